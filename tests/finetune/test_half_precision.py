"""What GPUs do otherwise than CPUs: half precision on the CPU, and all of it where there is a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nni_nasoa.device.out_of_memory import is_out_of_memory
from nni_nasoa.finetune import FineTuneRegime, Resources, finetune, load_classifier
from nni_nasoa.finetune.errors import memory_errors
from nni_nasoa.networks import ETNet
from nni_nasoa.training.errors import FineTuneError

SECONDS = 1 / 60
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.alone
@pytest.mark.parametrize("frozen", [0, 1, 3])
def test_half_precision_trains(blobs, tiny, frozen):
    torch.manual_seed(0)
    network, types = ETNet(tiny, 2), set()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, outputs: types.add(outputs.dtype))
    regime = FineTuneRegime(tiny, 0.05, frozen_stages=frozen, batch_size=16, augmentation="crop")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = finetune(blobs, regime, 6 * SECONDS, network=network, device="cpu")
    assert result.accuracy > 0.75 and result.steps > 5 and types == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in result.classifier.network.parameters())


@pytest.mark.parametrize(
    "text",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        (
            "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. "
            "This error may appear if you passed in a non-contiguous input."
        ),
        "GET was unable to find an engine to execute this computation",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    ],
)
def test_full_memory_has_many_names(text):
    assert is_out_of_memory(RuntimeError(text)) and is_out_of_memory(torch.OutOfMemoryError("x"))
    assert not is_out_of_memory(RuntimeError("size mismatch")) and not is_out_of_memory(ValueError(text))


def test_a_network_that_does_not_fit_is_one_line():
    with (
        pytest.raises(FineTuneError, match="cuda:0: out of memory") as error,
        memory_errors(torch.device("cuda", 0)),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
    assert "\n" not in str(error.value)
    with pytest.raises(RuntimeError, match="size mismatch"), memory_errors(torch.device("cpu")):
        raise RuntimeError("size mismatch")


@gpu
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"frozen_stages": 1, "augmentation": "full"},
        {"frozen_stages": 99, "mixup": 0.2},
        {"optimizer": "adamw", "learning_rate": 0.01},
    ],
)
def test_a_gpu_trains_in_time(digits, tiny, tmp_path, fields):
    regime = FineTuneRegime(
        tiny, **{"learning_rate": 0.1, "batch_size": 64, "augmentation": "crop", **fields}
    )
    benchmark, state = torch.backends.cudnn.benchmark, torch.cuda.get_rng_state()
    result = finetune(digits, regime, 20 * SECONDS, weights=None, device="cuda", output=tmp_path / "c")
    assert (
        result.seconds <= result.budget
        and result.accuracy > (0.5 if not fields.get("frozen_stages") else 0.2)
        and result.steps > 20
    )
    assert torch.backends.cudnn.benchmark == benchmark and torch.equal(torch.cuda.get_rng_state(), state)
    predicted = load_classifier(tmp_path / "c", "cpu").probabilities(digits.val.images).argmax(1)
    assert (predicted == digits.val.labels).mean() == pytest.approx(result.accuracy, abs=0.05)


@gpu
@pytest.mark.parametrize("frozen", [0, 1])
def test_images_and_features_that_stay_in_the_host_travel(digits, tiny, monkeypatch, frozen):
    monkeypatch.setattr("nni_nasoa.finetune.building.RESIDENT_SHARE", 0.0)  # small images would be moved
    regime = FineTuneRegime(tiny, 0.1, frozen_stages=frozen, augmentation="crop")
    result = finetune(
        digits, regime, 15 * SECONDS, weights=None, device="cuda", resources=Resources(memory_limit=1000)
    )
    assert result.seconds <= result.budget and result.accuracy > 0.2 and result.steps > 20


@gpu
def test_a_gpu_whose_memory_is_full_halves_the_batch(blobs, shallow):
    class Hungry(nn.Module):
        def forward(self, x):
            if self.training and len(x) > 20:
                torch.empty(2**45, dtype=torch.uint8, device=x.device)
            return x

    network = shallow()
    network.stages[0].append(Hungry())
    result = finetune(
        blobs,
        FineTuneRegime("m", 0.05, batch_size=64, augmentation="none"),
        10 * SECONDS,
        network=network,
        device="cuda",
    )
    assert sum("out of memory: batch size" in note for note in result.notes) == 2 and result.accuracy > 0.9


@gpu
def test_a_gpu_trains_compiled(digits, tiny):
    regime = FineTuneRegime(tiny, 0.1, augmentation="crop")
    result = finetune(
        digits, regime, 240 * SECONDS, weights=None, device="cuda", resources=Resources(compile=True)
    )
    assert result.seconds <= result.budget and result.accuracy > 0.5 and not result.notes
