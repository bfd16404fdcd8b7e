import os
import pickle
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import save_file

from nni_nasoa.networks import ETNet, WeightsError, load_weights

A = "2-_32_2-11-112-1121112"


def same(network, other):
    return all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_own_weights_round_trip(tmp_path, suffix):
    network, path = ETNet(A, 10), tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(network.state_dict(), path)
    other = ETNet(A, 10)
    assert not same(network, other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_weights(other, path)
    assert same(network, other)


def test_published_file(tmp_path, formula_checkpoint, formula_images, golden_logits):
    path = tmp_path / "A.pth"
    torch.save(formula_checkpoint(A), path)
    network = ETNet(A, 10).double().eval()
    load_weights(network, path)
    torch.testing.assert_close(network(formula_images), golden_logits[A], rtol=0, atol=1e-9)


def test_other_number_of_classes_gives_a_fresh_head_and_says_so(tmp_path, formula_checkpoint):
    path = tmp_path / "A.pth"
    torch.save(formula_checkpoint(A), path)
    network, whole = ETNet(A, 7), ETNet(A, 10)
    head = network.head.weight.clone()
    load_weights(whole, path)
    with pytest.warns(
        UserWarning,
        match=r"A.pth: the head there is for 10 classes; the network's head for 7 classes starts afresh",
    ):
        load_weights(network, path)
    assert torch.equal(network.head.weight, head)
    assert torch.equal(network.stages[3][6].ops[0].conv.weight, whole.stages[3][6].ops[0].conv.weight)


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize(
    "name, content, message",
    [
        pytest.param(*case, id=case[0])
        for case in [
            ("missing.pth", None, "missing.pth: no such file"),
            ("text.pth", b"not weights", "text.pth: not a state_dict saved by torch"),
            ("empty.pth", b"", "empty.pth: not a state_dict saved by torch"),
            ("text.safetensors", b"not weights", "text.safetensors: not a safetensors file"),
            (
                "pickle.pth",
                pickle.dumps(Malicious(), protocol=2),
                "pickle.pth: not a state_dict saved by torch",
            ),
            ("code.pth", Malicious(), "code.pth: not a state_dict saved by torch"),
            ("nested.pth", {"state_dict": {"a": torch.zeros(1)}}, "nested.pth: not a plain state_dict"),
            ("list.pth", [1], "list.pth: not a plain state_dict"),
            (
                "other.pth",
                {"conv1.weight": torch.zeros(1)},
                f"other.pth: no tensor 'stem.0.conv.weight', which architecture {A} has",
            ),
        ]
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / name)
    network = ETNet(A, 10)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError) as error:
        load_weights(network, tmp_path / name)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "made-by-a-pickle").exists()
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02\x68\x05\x2e",  # asks for what was never put there
        b"\x80\x02\x8a\xff" + b"\xff" * 255 + b".",  # a number of 255 bytes
        b"\x80\x02cos\nsystem\n.",
        b"\x80\x02]]]\x86R.",
        b"\x80\x02(ub.",
        b"\x80\x02" + b"(" * 10**5,
        b"PK\x03\x04" + b"\0" * 100,
    ],
    ids=range(7),
)
def test_a_damaged_pth_is_one_line(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.pth: not a (plain )?state_dict") as error:
        load_weights(ETNet(A, 10), tmp_path / "a.pth")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize(
    "tensor", [torch.zeros(2, 2).to_sparse(), torch.zeros(2, 2, device="meta")], ids=["sparse", "meta"]
)
def test_tensors_without_numbers_in_memory_are_none(tmp_path, tensor):
    torch.save({"stem.0.conv.weight": tensor}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="a plain state_dict"):
        load_weights(ETNet(A, 10), tmp_path / "a.pth")


def test_loading_weights_does_not_load_torchs_compiler():
    code = (
        "import sys, torch; known = 'torch._dynamo' in sys.modules; from nni_nasoa.zoo import create_model; "
        "create_model('nano-a', 10, weights='default'); "
        "sys.exit(not known and 'torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
