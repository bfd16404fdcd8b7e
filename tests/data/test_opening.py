import struct
import sys

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import DatasetError, DatasetWarning, open_dataset
from nni_nasoa.data.decode import to_array
from nni_nasoa.data.opening import open_bytes, open_image

# A stand-in for pillow-heif: to Pillow it adds a format that begins as HEIC does.
PLUGIN = """
from PIL import Image, ImageFile

class File(ImageFile.ImageFile):
    format = "HEIF"
    def _open(self):
        self._size, self._mode = (4, 4), "RGB"
        self.tile = [("raw", (0, 0, 4, 4), 12, ("RGB", 0, 1))]

def register_heif_opener():
    Image.register_open("HEIF", File, lambda begin: begin[4:8] == b"ftyp")
"""
HEIC = b"\0\0\0\x18ftypheic" + bytes(range(48))


def psd(pixels):
    height, width, channels = pixels.shape
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, channels, height, width, 8, 3)
    return header + bytes(12) + struct.pack(">H", 0) + pixels.transpose(2, 0, 1).tobytes()


@pytest.fixture
def photos(tmp_path):
    """A function that writes twenty images into two classes, as files of a kind, and gives their folder."""

    def photos(name, **options):
        for label in ("a", "b"):
            (tmp_path / label).mkdir()
            for i in range(10):
                pixels = np.full((16, 16, 3), 12 * i + 100 * (label == "b"), np.uint8)
                path = tmp_path / label / f"{i}{name}"
                if name == ".psd":
                    path.write_bytes(psd(pixels))
                else:
                    image = Image.fromarray(pixels)
                    image.convert("1" if name == ".pbm" else "RGB").save(path, **options)
        return tmp_path

    return photos


@pytest.mark.parametrize(
    "suffix", ".avif .tga .jp2 .mpo .pnm .pbm .jpe .dib .psd .ico .qoi .pcx .sgi .TIF .WebP".split()
)
def test_what_pillow_opens_is_taken(photos, suffix):
    split = open_dataset(photos(suffix, **({"format": "jpeg"} if suffix == ".mpo" else {})), input_size=8)
    assert (len(split.train), len(split.val)) == (16, 4) and split.left_out.bad == ()


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "tiff", "ppm", "webp", "avif", "jpeg2000"])
def test_images_without_a_suffix_are_known_by_how_they_begin(photos, kind):
    root = photos("", format=kind)
    (root / "a" / "README").write_text("no image")
    (root / "a" / "empty").touch()
    with pytest.warns(
        DatasetWarning, match=r"passed over as no images by their names: 2 files \(2 without a suf"
    ):
        split = open_dataset(root, input_size=8)
    assert (len(split.train), len(split.val)) == (16, 4)


def test_other_files_are_counted_and_told_with_their_suffixes(photos):
    root = photos(".png")
    for name in ("a/1.xcf", "a/2.XCF", "b/3.dng", "a/LICENSE", "labels.csv", "a/.DS_Store", "a/Thumbs.db"):
        (root / name).touch()
    with pytest.warns(DatasetWarning) as caught:
        split = open_dataset(root, input_size=8)
    line = "passed over as no images by their names: 5 files (2 .xcf, 1 without a suffix, 1 .csv, 1 .dng)"
    assert line in str(caught[0].message) and split.left_out.other_files == 5


def test_other_files_alone_are_told_in_the_error(tmp_path):
    for name in ("a/1.dng", "b/1.dng", "b/2.dng"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match=r"no images found \(passed over: 3 files \(3 \.dng\)\)"):
        open_dataset(tmp_path, input_size=8)


def test_images_beside_the_folders_of_classes_are_told(photos):
    root = photos(".png")
    Image.new("L", (8, 8)).save(root / "cover.png")
    with pytest.warns(DatasetWarning, match="not used: 1 images beside the folders of classes"):
        open_dataset(root, input_size=8)


@pytest.fixture
def without_heif(monkeypatch):
    """Neither the package that opens HEIC nor what it has told Pillow."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])


def test_without_its_package_heic_says_what_is_missing(photos, without_heif):
    root = photos(".png")
    for i in range(4):
        (root / "a" / f"photo{i}.heic").write_bytes(HEIC + bytes([i]))
    with pytest.raises(DatasetError, match=r"4 of 24 images cannot be read.*pip install 'nni-nasoa\[heic\]'"):
        open_dataset(root, input_size=8)
    with pytest.raises(OSError, match="HEIC needs pillow-heif"):
        open_bytes(HEIC)


def test_heic_is_opened_with_its_package(tmp_path, without_heif, monkeypatch):
    (tmp_path / "pillow_heif.py").write_text(PLUGIN)
    monkeypatch.delitem(sys.modules, "pillow_heif")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "photo").write_bytes(HEIC)
    expected = np.frombuffer(HEIC[12:], np.uint8).reshape(4, 4, 3)
    for image in (open_image(tmp_path / "photo"), open_bytes(HEIC)):
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_real_heic_is_opened(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.full((64, 64, 3), (200, 30, 30), np.uint8)
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(tmp_path / "red.heic")
    assert (
        np.abs(np.asarray(open_image(tmp_path / "red.heic").convert("RGB")).astype(int) - pixels).max() < 12
    )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A JPEG of 182 megapixels: its left half is black, the right one white."""
    image = Image.new("L", (14_000, 13_000))
    image.paste(255, (7_000, 0, 14_000, 13_000))
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    image.save(path, quality=50)
    return path


def test_a_large_jpeg_is_read_at_a_fraction_of_its_size(large, tmp_path, write):
    for i in range(3):
        write(tmp_path / "a" / f"{i}.png", (i, 0, 0))
        write(tmp_path / "b" / f"{i}.png", (i, 9, 9))
    (tmp_path / "a" / "large.jpg").symlink_to(large)
    split = open_dataset(tmp_path, input_size=8)
    assert split.left_out.bad == () and len(split.train) + len(split.val) == 7
    squares = np.concatenate([split.train.images, split.val.images])
    assert sum((square[:, :, 5:] == 255).all() and (square[:, :, :3] == 0).all() for square in squares) == 1


def test_what_would_be_read_whole_is_refused(large, tmp_path):
    with open_image(large) as image, pytest.raises(Image.DecompressionBombError):
        to_array(image, 2048 * 2)
    with pytest.raises(Image.DecompressionBombError, match="exceeds limit"):
        open_bytes(large.read_bytes().replace(b"\xff\xc0\0", b"\xff\xc2\0", 1))  # says that it is progressive
