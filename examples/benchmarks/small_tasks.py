"""Small image tasks that need no network: digits, letters, shapes, textures of photographs, discs."""

from __future__ import annotations

import string
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset


def tasks(input_size: int, seed: int = 0) -> dict:
    """Name -> a function that makes the task."""
    return {
        "digits": partial(open_dataset, "digits", input_size=input_size, seed=seed),
        **{
            name: partial(_drawn, name, draw, classes, images, mirrored, input_size, seed)
            for name, draw, classes, images, mirrored in (
                ("letters", _letter, tuple(string.ascii_uppercase), 60, False),
                ("shapes", _shape, SHAPES, 120, True),
                ("textures", _texture, TEXTURES, 100, True),
                ("counts", _count, COUNTS, 150, True),
            )
        },
    }


def _drawn(name, draw, classes, images_per_class, mirrored, size, seed) -> ImageSplit:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(classes)), images_per_class)
    images = np.stack(
        [
            np.asarray(draw(int(label), 64, rng).resize((size, size), Image.Resampling.BICUBIC)).transpose(
                2, 0, 1
            )
            for label in labels
        ]
    )
    order = rng.permutation(len(labels))
    parts = [
        ImageArrays(np.ascontiguousarray(images[part]), labels[part])
        for part in np.split(order, [round(0.7 * len(order))])
    ]
    return ImageSplit(*parts, tuple(classes), name, mirrored)


def _canvas(size: int, rng) -> Image.Image:
    """A background: a gradient between two similar colours, with some noise."""
    first, axis = rng.integers(0, 256, 3), rng.integers(2)
    ramp = (
        first + np.linspace(0, 1, size)[:, None, None] * rng.uniform(-80, 80, 3) + np.zeros((size, size, 1))
    )
    ramp = ramp.transpose(1, 0, 2) if axis else ramp
    return Image.fromarray(
        (ramp + rng.normal(0, rng.uniform(0, 10), (size, size, 3))).clip(0, 255).astype(np.uint8)
    )


def _contrast(image: Image.Image, rng) -> tuple[int, ...]:
    """A color that stands out."""
    mean = np.asarray(image).mean((0, 1))
    while True:
        color = rng.integers(0, 256, 3)
        if abs((color - mean).mean()) > 60:
            return tuple(int(v) for v in color)


def _letter(label: int, size: int, rng) -> Image.Image:
    import matplotlib

    fonts = sorted(Path(matplotlib.get_data_path(), "fonts", "ttf").glob("DejaVu*.ttf"))
    fonts = [font for font in fonts if "Display" not in font.name]
    font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), int(rng.integers(30, 52)))
    mask = Image.new("L", (size, size))
    ImageDraw.Draw(mask).text(
        tuple(size / 2 + rng.normal(0, 4, 2)), string.ascii_uppercase[label], font=font, fill=255, anchor="mm"
    )
    mask = mask.rotate(rng.normal(0, 15), Image.Resampling.BICUBIC)
    image = _canvas(size, rng)
    image.paste(_contrast(image, rng), mask=mask)
    return image


SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "arrow")


def _shape(label: int, size: int, rng) -> Image.Image:
    mask = Image.new("L", (128, 128))
    draw, name = ImageDraw.Draw(mask), SHAPES[label]
    if name == "circle":
        draw.ellipse((14, 14, 114, 114), 255)
    elif name == "square":
        draw.rectangle((20, 20, 108, 108), 255)
    elif name == "ring":
        draw.ellipse((14, 14, 114, 114), 255)
        draw.ellipse((40, 40, 88, 88), 0)
    elif name == "cross":
        draw.rectangle((50, 14, 78, 114), 255)
        draw.rectangle((14, 50, 114, 78), 255)
    elif name == "heart":
        draw.polygon([(64, 112), (16, 56), (112, 56)], 255)
        draw.ellipse((14, 20, 66, 72), 255)
        draw.ellipse((62, 20, 114, 72), 255)
    elif name == "arrow":
        draw.polygon([(14, 52), (70, 52), (70, 24), (116, 64), (70, 104), (70, 76), (14, 76)], 255)
    else:
        corners = 3 if name == "triangle" else 10
        angles = 2 * np.pi * np.arange(corners) / corners - np.pi / 2
        radii = np.where(np.arange(corners) % 2, 22, 52) if name == "star" else np.full(corners, 52)
        draw.polygon([(64 + r * np.cos(a), 64 + r * np.sin(a)) for a, r in zip(angles, radii)], 255)
    side = int(size * rng.uniform(0.35, 0.9))
    mask = mask.rotate(rng.uniform(-40, 40), Image.Resampling.BICUBIC).resize((side, side))
    image = _canvas(size, rng)
    image.paste(_contrast(image, rng), tuple(int(v) for v in rng.integers(0, size - side + 1, 2)), mask)
    return image


TEXTURES = tuple(f"{photo}-{part}" for photo in ("china", "flower") for part in ("a", "b", "c", "d"))


@cache
def _photo(name: str) -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return load_sample_image(f"{name}.jpg")


def _texture(label: int, size: int, rng) -> Image.Image:
    """A patch of a quarter of one of scikit-learn's two photographs, rotated and recoloured."""
    photo = _photo(TEXTURES[label].split("-")[0])
    row, column = divmod("abcd".index(TEXTURES[label][-1]), 2)
    height, width = photo.shape[0] // 2, photo.shape[1] // 2
    side = int(rng.integers(48, 110))
    top, left = row * height + rng.integers(0, height - side), column * width + rng.integers(0, width - side)
    patch = np.rot90(photo[top : top + side, left : left + side], rng.integers(4)) * rng.uniform(0.6, 1.3, 3)
    return Image.fromarray(patch.clip(0, 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)


COUNTS = ("one", "two", "three", "four", "five")


def _count(label: int, size: int, rng) -> Image.Image:
    """Some discs that do not touch."""
    image, places = _canvas(size, rng), []
    draw, fill = ImageDraw.Draw(image), _contrast(image, rng)
    radius = rng.uniform(4, 8)
    while len(places) < label + 1:
        place = rng.uniform(radius, size - radius, 2)
        if all(np.hypot(*(place - other)) > 2.2 * radius for other in places):
            places.append(place)
            draw.ellipse((*(place - radius), *(place + radius)), fill)
    return image
