import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest

from nni_nasoa.data import DatasetError, dataset_names, open_dataset, stratified_split
from nni_nasoa.data.digits import load_digits, resize_bilinear


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits as original

    images, labels = load_digits()
    np.testing.assert_array_equal(images, original().images)
    np.testing.assert_array_equal(labels, original().target)
    assert images.dtype == np.uint8 and labels.dtype == np.int64


def test_digits_split():
    split = open_dataset("digits", input_size=32)
    assert split.train.images.shape[1:] == (3, 32, 32) and split.train.images.dtype == np.uint8
    assert len(split.train) + len(split.val) == 1797 and 340 < len(split.val) < 380
    assert split.classes == tuple("0123456789") and split.num_classes == 10 and split.input_size == 32
    assert not split.mirrored
    counts = np.bincount(split.val.labels) / np.bincount(
        np.concatenate([split.train.labels, split.val.labels])
    )
    assert (abs(counts - 0.2) < 0.01).all()
    np.testing.assert_array_equal(split.train.images[:, 0], split.train.images[:, 2])


def test_digits_at_their_own_size_are_unchanged():
    images, labels = load_digits()
    split = open_dataset("digits", input_size=8, seed=3)
    train, _ = stratified_split(labels, 0.2, 3)
    np.testing.assert_array_equal(split.train.images[:, 1], np.round(images[train] * (255 / 16)))


def test_resize_is_that_of_torch():
    import torch

    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8)).astype(np.float32)
    for size in (8, 12, 32, 33):
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(images)[None], size=(size, size), mode="bilinear", align_corners=False
        )[0]
        np.testing.assert_allclose(resize_bilinear(images, size), expected.numpy(), atol=1e-3)


def test_the_same_seed_gives_the_same_split():
    a, b, c = (open_dataset("digits", input_size=8, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.val.images, b.val.images)
    assert not np.array_equal(a.val.labels, c.val.labels) or not np.array_equal(a.val.images, c.val.images)


def test_stratified_split_holds_everything_once():
    labels = np.array([0] * 10 + [1] * 2 + [2] + [3] * 101)
    train, val = stratified_split(labels, 0.2, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(len(labels)))
    np.testing.assert_array_equal(np.bincount(labels[val], minlength=4), [2, 1, 0, 20])


@pytest.mark.parametrize("fraction", [0, 1, -0.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(DatasetError, match="val_fraction"):
        open_dataset("digits", input_size=8, val_fraction=fraction)


def test_nothing_left_to_validate_on():
    with pytest.raises(DatasetError, match="two or more"):
        stratified_split([0, 1, 2], 0.2, 0)


@pytest.mark.parametrize("size", [0, -1, 1.5, True, 10**9])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(DatasetError, match="input size"):
        open_dataset("digits", input_size=size)


@pytest.mark.parametrize(
    "name, hint", [("digit", "'digits'"), ("CIFAR-11", "'cifar10'"), ("/nowhere/at/all", "give a folder")]
)
def test_an_unknown_name_gets_a_hint(name, hint):
    with pytest.raises(DatasetError) as error:
        open_dataset(name, input_size=8)
    assert hint in str(error.value) and "\n" not in str(error.value)


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(DatasetError, match="unpack"):
        open_dataset(tmp_path / "images.zip", input_size=8)


def test_importing_and_digits_load_no_heavy_library():
    code = (
        "import sys; from nni_nasoa.data import open_dataset; open_dataset('digits', input_size=32); "
        "print([m for m in ('torch', 'torchvision', 'PIL', 'sklearn', 'scipy', 'pandas', "
        "'nni') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


# torchvision's datasets, on files that are made here in their on-disk formats


def cifar10_files(root, rng, per_batch=40):
    """The python version of CIFAR-10: pickled batches of rows (red, green, blue planes) and their labels."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    data, labels = [], []
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        batch = {
            "data": rng.integers(0, 256, (per_batch, 3072), dtype=np.uint8),
            "labels": [i % 10 for i in range(per_batch)],
        }
        (folder / name).write_bytes(pickle.dumps(batch))
        if name != "test_batch":
            data.append(batch["data"])
            labels += batch["labels"]
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    return np.concatenate(data).reshape(-1, 3, 32, 32), np.array(labels)


def mnist_files(root, rng, count=60):
    """MNIST's idx files: big-endian header, then bytes."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        images, labels = (
            rng.integers(0, 256, (count, 28, 28), dtype=np.uint8),
            (np.arange(count) % 10).astype(np.uint8),
        )
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, count, 28, 28) + images.tobytes()
        )
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, count) + labels.tobytes()
        )


def test_cifar10(tmp_path, monkeypatch):
    from torchvision import datasets

    images, labels = cifar10_files(tmp_path, np.random.default_rng(0))
    monkeypatch.setattr(
        datasets.cifar, "check_integrity", lambda path, md5=None: True
    )  # the sums are those of the real files
    split = open_dataset("CIFAR-10", input_size=32, root=tmp_path)
    train, val = stratified_split(labels, 0.2, 0)
    np.testing.assert_array_equal(split.train.images, images[train])
    np.testing.assert_array_equal(split.val.images, images[val])
    np.testing.assert_array_equal(split.val.labels, labels[val])
    assert split.classes[:2] == ("airplane", "automobile") and split.name == "cifar10" and split.mirrored


def test_mnist_becomes_rgb_at_the_wanted_size(tmp_path):
    mnist_files(tmp_path, np.random.default_rng(0))
    split = open_dataset("mnist", input_size=16, root=tmp_path)
    assert split.train.images.shape == (50, 3, 16, 16) and len(split.val) == 10
    np.testing.assert_array_equal(split.train.images[:, 0], split.train.images[:, 1])
    assert not split.mirrored


def test_a_decoded_dataset_needs_neither_files_nor_torchvision(tmp_path):
    mnist_files(tmp_path, np.random.default_rng(0))
    first = open_dataset("mnist", input_size=8, root=tmp_path)
    code = (
        "import sys; from nni_nasoa.data import open_dataset; split = open_dataset('mnist', input_size=8, "
        f"root={str(tmp_path)!r}); "
        "print('torchvision' in sys.modules, int(split.train.images.sum(dtype='int64')))"
    )
    (tmp_path / "MNIST").rename(tmp_path / "gone")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == f"False {first.train.images.sum(dtype='int64')}\n"


def test_an_official_validation_part_is_used(tmp_path):
    """DTD brings train, val and test lists; its images lie in class folders."""
    from PIL import Image

    base = tmp_path / "dtd" / "dtd"
    (base / "labels").mkdir(parents=True)
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        lines = []
        for name in ("banded", "dotted"):
            (base / "images" / name).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                Image.new("RGB", (20, 30), (i, 0, 0)).save(base / "images" / name / f"{part}{i}.png")
                lines.append(f"{name}/{part}{i}.png")
        (base / "labels" / f"{part}1.txt").write_text("\n".join(lines) + "\n")
    split = open_dataset("dtd", input_size=8, root=tmp_path)
    assert (len(split.train), len(split.val)) == (8, 4)
    assert split.classes == ("banded", "dotted")


@pytest.mark.parametrize(
    "failure",
    [
        OSError("<urlopen error [Errno -3]\nTemporary failure in name resolution>"),
        RuntimeError("Error downloading x"),
        EOFError(),
    ],
)
def test_without_a_network_there_is_one_clear_line(tmp_path, monkeypatch, failure):
    from torchvision import datasets

    def fail(self):
        raise failure

    monkeypatch.setattr(datasets.CIFAR100, "download", fail)
    with pytest.raises(DatasetError) as error:
        open_dataset("cifar100", input_size=32, root=tmp_path)
    message = str(error.value)
    assert (
        message.startswith("cifar100: torchvision could not")
        and str(tmp_path) in message
        and "\n" not in message
    )


def test_every_known_name_is_one_of_torchvision():
    import inspect

    from torchvision import datasets

    from nni_nasoa.data.torchvision_sets import KNOWN

    assert len(KNOWN) > 15 and set(dataset_names()) == {"digits", "fractals", *KNOWN}
    for known in KNOWN.values():
        parameters = inspect.signature(getattr(datasets, known.class_name)).parameters
        assert {"root", "download", *known.train, *(known.val or {})} <= set(parameters)
