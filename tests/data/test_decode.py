import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data.decode import to_array


def file_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return Image.open(file)


def png(width, height, depth, colour_type, row):
    """A PNG of equal rows, for what Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    data = zlib.compress((b"\0" + row) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_rotation_noted_by_the_camera_is_applied():
    image = Image.new("RGB", (8, 16))
    image.paste((255, 255, 255), (0, 0, 8, 8))  # the upper half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    pixels = to_array(Image.open(file), 8)
    assert pixels[0, :, -1].min() > 200 and pixels[0, :, 0].max() < 50


def test_the_centre_is_cropped_and_the_shorter_side_resized():
    image = Image.new("RGB", (48, 16))
    image.paste((200, 0, 0), (16, 0, 32, 16))
    pixels = to_array(image, 8)
    assert pixels.shape == (3, 8, 8) and pixels.flags.c_contiguous and (pixels[0, :, 1:-1] > 190).all()


@pytest.mark.parametrize(
    "mode, colour, expected",
    [
        ("L", 128, (128, 128, 128)),
        ("1", 1, (255, 255, 255)),
        ("I;16", 128 * 256, (128, 128, 128)),
        ("CMYK", (0, 0, 0, 255), (0, 0, 0)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (7, 255), (7, 7, 7)),
    ],
)
def test_every_mode_becomes_rgb(mode, colour, expected):
    pixels = to_array(Image.new(mode, (9, 9), colour), 4)
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.array(expected)[:, None, None], (3, 4, 4)))


def test_16_bit_png_from_a_file():
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), 200 * 256, np.uint16)).save(file, "PNG")
    assert (to_array(Image.open(file), 4) == 200).all()


def test_a_large_jpeg_is_the_same_as_when_decoded_whole():
    gradient = np.linspace(0, 255, 640).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.broadcast_to(gradient[None, :, None], (640, 640, 3)).copy()).save(
        file, "JPEG", quality=95
    )
    whole = Image.open(file)
    whole.load()
    np.testing.assert_allclose(
        to_array(Image.open(file), 32).astype(int), to_array(whole, 32).astype(int), atol=3
    )


@pytest.mark.parametrize(
    "colour_type, pixel, expected",
    [
        (0, [200], (200, 200, 200)),
        (2, [200, 100, 50], (200, 100, 50)),
        (4, [200, 255], (200, 200, 200)),
        (6, [200, 100, 50, 255], (200, 100, 50)),
        (6, [200, 100, 50, 0], (255, 255, 255)),
    ],
)
def test_16_bit_png_of_every_kind(colour_type, pixel, expected):
    row = b"".join(struct.pack(">H", 257 * value) for value in pixel) * 8
    pixels = to_array(Image.open(io.BytesIO(png(8, 8, 16, colour_type, row))), 4)
    np.testing.assert_array_equal(pixels[:, 2, 2], expected)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_from_a_file(kind):
    """Pillow writes JPEGs as Adobe does, inverted and marked as such."""
    file = io.BytesIO()
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(file, kind)
    assert (b"Adobe" in file.getvalue()) == (kind == "JPEG")
    image = Image.open(file)
    assert image.mode == "CMYK"
    np.testing.assert_allclose(to_array(image, 8)[:, 4, 4], (255, 0, 0), atol=2)


def test_grey_and_black_and_white_from_files():
    assert (to_array(file_of(Image.new("L", (9, 9), 77), "JPEG"), 4) == 77).all()
    assert (to_array(file_of(Image.new("1", (9, 9), 1), "PNG"), 4) == 255).all()
    assert (to_array(file_of(Image.fromarray(np.full((8, 8), 200 * 256, np.uint16)), "TIFF"), 4) == 200).all()


@pytest.mark.parametrize(
    "kind, transparency, expected",
    [
        ("PNG", 1, (255, 255, 255)),
        ("GIF", 1, (255, 255, 255)),
        ("PNG", bytes([255, 128, 255]), (227, 127, 127)),
    ],
)
def test_a_palette_with_transparency_lies_on_white(kind, transparency, expected):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    image.paste(2, (0, 0, 8, 4))
    image = file_of(image, kind, transparency=transparency)
    assert image.mode == "P"
    pixels = to_array(image, 8)
    np.testing.assert_array_equal(pixels[:, 0, 0], (0, 0, 200))
    np.testing.assert_array_equal(pixels[:, 7, 7], expected)


def test_a_transparent_grey_level_lies_on_white():
    image = Image.new("L", (8, 8), 77)
    image.putpixel((0, 0), 10)
    assert (to_array(file_of(image, "PNG", transparency=77), 4)[:, 2:] == 255).all()


@pytest.mark.parametrize("kind, options", [("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})])
def test_of_an_animation_the_first_frame_counts(kind, options):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    image = file_of(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, **options)
    assert image.n_frames == 3
    np.testing.assert_array_equal(to_array(image, 4)[:, 2, 2], (255, 0, 0))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 20000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_smallest_and_the_thinnest(size, kind):
    pixels = to_array(file_of(Image.new("RGB", size, (250, 0, 0)), kind), 32)
    assert pixels.shape == (3, 32, 32) and pixels[0].min() > 245 and pixels[1:].max() < 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"])
def test_a_truncated_file_is_an_error_and_not_half_an_image(kind):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)).save(file, kind)
    whole = file.getvalue()
    assert to_array(Image.open(io.BytesIO(whole)), 8).std() > 1
    for share in (0, 0.01, 0.1, 0.5, 0.9):
        with pytest.raises(Exception, match=r"truncated|Truncated|cannot identify|decoder"):
            to_array(Image.open(io.BytesIO(whole[: int(share * len(whole))])), 8)


def test_a_decompression_bomb_is_an_error():
    with pytest.raises(Image.DecompressionBombError, match="exceeds limit"):
        to_array(Image.open(io.BytesIO(png(20_000, 20_000, 8, 0, b""))), 8)
