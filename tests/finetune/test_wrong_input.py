"""What is wrong with a call is one line, before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nni_nasoa.finetune import FineTuneError, FineTuneRegime, finetune
from nni_nasoa.networks import ETNet

SECONDS = 1 / 60


def small(tiny, **fields) -> FineTuneRegime:
    return FineTuneRegime(tiny, **{"learning_rate": 0.05, "batch_size": 16, "augmentation": "none", **fields})


@pytest.mark.parametrize(
    "arguments, right",
    [
        ({"minutes": 0}, "minutes"),
        ({"minutes": float("nan")}, "minutes"),
        ({"minutes": "5"}, "minutes"),
        ({"device": "gpu"}, "auto, cpu, cuda"),
        ({"regime": FineTuneRegime("no-such-model")}, "no model"),
        ({"regime": FineTuneRegime("2-_8_2-1-1", input_size=32)}, "input_size"),
        ({"network": ETNet("2-_8_2-1-1", 3)}, "3 outputs"),
        ({"weights": "nowhere.safetensors"}, "no such file"),
        ({"regime": FineTuneRegime("2-_8_2-1-1-1-1")}, "too small"),
        ({"dataset": "no-such-dataset"}, "neither a folder"),
        ({"device": "mps"}, "'mps' is not one of auto, cpu"),
        ({"device": "meta"}, "'meta' is not one of auto, cpu"),
        ({"seed": -1}, "seed: -1"),
        ({"seed": 2**64}, "seed: 1844"),
    ],
)
def test_bad_input_is_one_line(blobs, tiny, arguments, right):
    call = {
        "dataset": blobs,
        "regime": small(tiny),
        "minutes": 1,
        "weights": None,
        "device": "cpu",
        **arguments,
    }
    with pytest.raises((ValueError, FineTuneError), match=right) as error:
        finetune(call.pop("dataset"), call.pop("regime"), call.pop("minutes"), **call)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "model, weights, right",
    [
        ("no-such-model", "default", "no model 'no-such-model'"),
        ("2-_8_2-1-1-", None, "is no encoding .*stage 4"),
        ("et-nas-a", "none.pth", "none.pth: no such file"),
        ("et-nas-a", "default", "et-nas-a: no file"),
        ("2-_8_2-1-1", "default", "has no pretrained weights"),
        ("resnet18", "default", "could not be downloaded"),
        ("nano-a", __file__, "test_wrong_input.py"),
    ],
)
def test_a_wrong_model_is_told_before_images_are_decoded(
    tmp_path, monkeypatch, no_network, model, weights, right
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises((ValueError, FineTuneError), match=right):
        finetune(tmp_path, FineTuneRegime(model), 1, weights=weights, device="cpu")


@pytest.mark.parametrize(
    "dataset, regime, right",
    [
        (".", FineTuneRegime("2-_8_2-1-1-1", input_size=8), "input size 8 is too small"),
        (".", FineTuneRegime("nano-a", input_size=8), "too small"),
        ("no such folder", FineTuneRegime("nano-a"), "neither a folder nor a known name"),
        ("task:nothing", FineTuneRegime("nano-a"), "none of the name"),
    ],
)
def test_what_is_wrong_is_told_before_images_are_decoded_however_short_the_time(
    tmp_path, monkeypatch, dataset, regime, right
):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        (tmp_path / "pets" / label / "broken.png").write_bytes(b"no image")  # an error, if it were opened
    monkeypatch.chdir(tmp_path / "pets")
    with pytest.raises((ValueError, FineTuneError), match=right):
        finetune(dataset, regime, 0.001, weights=None, device="cpu", output="out")
    assert not Path("out").exists() and not (tmp_path / "cache").exists()


def test_a_folder_that_holds_something_else_is_not_written_to(blobs, shallow, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"thesis\.tex"):
        finetune(blobs, small("shallow"), 1 * SECONDS, network=shallow(), output=tmp_path)
    assert os.listdir(tmp_path) == ["thesis.tex"]
