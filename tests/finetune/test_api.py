"""What `finetune` is given as the dataset: a name, a folder or arrays, or all of it as one value."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning
from nni_nasoa.finetune import FineTuneError, FineTuneRegime, finetune


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve images of two classes, and four that are none."""
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    for label, grey in (("dark", 0), ("light", 200)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.full((20, 20, 3), grey + number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
        for number in range(2):
            (tmp_path / "photos" / label / f"broken {number}.png").write_text("no image")
    return tmp_path / "photos"


def run(dataset, tiny, **options):
    options = {"weights": None, **options}
    return finetune(dataset, FineTuneRegime(tiny, input_size=16), 0.1, device="cpu", **options)


@pytest.mark.slow
def test_a_dataset_brings_its_own_ways(folder, tiny):
    with pytest.raises(DatasetError, match="4 of 16 images cannot be read, more than the 10% that max_bad"):
        run(folder, tiny)
    with pytest.warns(DatasetWarning):
        held_back = len(Dataset(folder, val_fraction=0.6, max_bad=0.5).open(16).val)
    for dataset, options in (
        (Dataset(folder, val_fraction=0.6, max_bad=0.5), {}),
        (folder, {"val_fraction": 0.6, "max_bad": 0.5}),
    ):
        result = run(dataset, tiny, **options)
        assert result.classifier.metrics["val_images"] == held_back > 4
        assert any("4 of 16 images cannot be read" in note for note in result.notes)


@pytest.mark.parametrize("option", [{"val_fraction": 0.3}, {"max_bad": 0.5}, {"root": "data"}])
def test_what_a_dataset_brings_is_not_given_beside_it(tiny, option):
    (name,) = option
    with pytest.raises(DatasetError, match=f"^{name}: .* is given beside a Dataset, which brings its own$"):
        run(Dataset("digits"), tiny, **option)


@pytest.mark.alone
def test_the_seed_of_a_run_is_that_of_the_split_where_there_is_no_other(folder, shallow):
    for label in ("dark", "light"):
        for number in range(2):
            (folder / label / f"broken {number}.png").unlink()

    def trained_on(dataset):
        """The greys of the images that steps are taken on; each has its own."""
        network, greys = shallow(), set()

        def note(stage, inputs):
            if torch.is_grad_enabled():
                greys.update((255 * (0.229 * inputs[0][:, 0, 0, 0] + 0.485)).round().int().tolist())

        network.stages[0].register_forward_pre_hook(note)
        regime = FineTuneRegime("shallow", 0.01, batch_size=4, augmentation="none", input_size=16)
        finetune(dataset, regime, 0.05, network=network, device="cpu", seed=3)
        return greys

    greys = {
        seed: set(Dataset(folder, seed=seed).open(16).train.images[:, 0, 0, 0].tolist()) for seed in (3, 5)
    }
    assert greys[3] != greys[5]
    assert trained_on(folder) == greys[3]
    assert trained_on(Dataset(folder, seed=5)) == greys[5]


@pytest.mark.parametrize(
    "dataset, options, error, line",
    [
        ("digit", {}, DatasetError, "neither a folder nor a known name; did you mean 'digits'"),
        (Dataset("digit"), {}, DatasetError, "neither a folder nor a known name; did you mean 'digits'"),
        ("task:flagz", {}, DatasetError, "did you mean 'flags'"),
        (3, {}, DatasetError, "dataset: int is neither a name, nor a folder or file, nor a table of pandas"),
        ("digits", {"val_fraction": 1.5}, DatasetError, "val_fraction: 1.5 is not between 0 and 1"),
        ("digits", {"max_bad": -1}, DatasetError, "max_bad: -1 is not a share between 0 and 1"),
        ("digits", {"seed": -1}, FineTuneError, "seed: -1 is not a whole number"),
    ],
)
def test_what_is_wrong_is_one_line_before_any_work(tiny, tmp_path, dataset, options, error, line):
    missing = tmp_path / "weights.safetensors"  # which would be told as soon as the network is made
    with pytest.raises(error) as raised:
        run(dataset, tiny, weights=missing, **options)
    assert line in str(raised.value) and "\n" not in str(raised.value)
