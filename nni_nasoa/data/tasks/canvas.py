"""What all drawn tasks draw with: masks of lines and areas, poses, and looks such as ink on paper."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from nni_nasoa.data.digits import resize_bilinear

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

SIZE = 64  # Pixels of an image in one direction.
_FINE = 3  # How many times as fine masks are before they are smoothed.

Points = np.ndarray
"""Shape (n, 2): x and y, from 0 to 1."""
Pose = Callable[[Points], Points]
Look = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""From random numbers to a background (SIZE, SIZE, 3) and an ink (3,), from 0 to 255."""

CENTRE = np.array([0.5, 0.5])


class Mask:
    """Where ink lies. Points go through a pose before they are drawn."""

    def __init__(self, pose: Pose = lambda points: points) -> None:
        from PIL import Image, ImageDraw

        self._image = Image.new("L", (_FINE * SIZE, _FINE * SIZE))
        self._draw, self._pose = ImageDraw.Draw(self._image), pose

    def area(self, points: ArrayLike, fill: float = 1.0) -> Mask:
        """Fill a polygon, with 0 to make a hole."""
        self._draw.polygon(self._pixels(points), fill=round(255 * fill))
        return self

    def line(self, points: ArrayLike, width: float = 0.05, closed: bool = False, fill: float = 1.0) -> Mask:
        """Draw a line through points with round ends."""
        pixels, pen = self._pixels(points), max(1, round(width * _FINE * SIZE))
        pixels = [*pixels, pixels[0]] if closed else pixels
        ink, radius = round(255 * fill), pen / 2
        self._draw.line(pixels, fill=ink, width=pen, joint="curve")
        for x, y in pixels[:1] + pixels[-1:]:
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ink)
        return self

    def disc(self, x: float, y: float, radius: float, fill: float = 1.0) -> Mask:
        """Fill a disc."""
        return self.area(ellipse(x, y, radius), fill)

    def array(self) -> np.ndarray:
        """(SIZE, SIZE) float32 from 0 to 1."""
        return np.asarray(self._image.reduce(_FINE), np.float32) / 255

    def _pixels(self, points: ArrayLike) -> list[tuple[float, float]]:
        return [(x, y) for x, y in self._pose(np.asarray(points, float)) * _FINE * SIZE]


def ellipse(
    x: float, y: float, width: float, height: float | None = None, start: float = 0.0, end: float = 2 * np.pi
) -> Points:
    """Points of an ellipse, or of an arc of it, with these half axes."""
    angles = np.linspace(start, end, 40)
    return np.column_stack(
        [x + width * np.cos(angles), y + (width if height is None else height) * np.sin(angles)]
    )


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """Corners of a rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def polygon(corners: int, radius: float = 0.4, turned: float = -np.pi / 2) -> Points:
    """A regular polygon around the centre."""
    angles = turned + 2 * np.pi * np.arange(corners) / corners
    return CENTRE + radius * np.column_stack([np.cos(angles), np.sin(angles)])


def star(spikes: int, radius: float = 0.42, inner: float = 0.45) -> Points:
    """A star around the centre; `inner` is the share of the inner corners' radius."""
    points = polygon(2 * spikes, radius) - CENTRE
    points[1::2] *= inner
    return CENTRE + points


def smooth(points: Points, count: int = 60, closed: bool = False) -> Points:
    """A smooth curve near control points: a quadratic B-spline."""
    points = np.vstack([points, points[:2]]) if closed else np.vstack([points[:1], points, points[-1:]])
    along = np.linspace(0, len(points) - 2 - 1e-9, count)
    i, t = along.astype(int), (along % 1)[:, None]
    return 0.5 * (points[i] * (1 - t) ** 2 + points[i + 1] * (1 + 2 * t - 2 * t * t) + points[i + 2] * t * t)


def pose(
    rng: np.random.Generator,
    *,
    turn: float = 0.15,
    scale: tuple[float, float] = (0.75, 1.05),
    shift: float = 0.06,
    stretch: float = 0.1,
) -> Pose:
    """A random pose: turned by some radians (standard deviation), scaled, stretched, moved."""
    angle = rng.normal(0, turn)
    factors = rng.uniform(*scale) * np.exp(rng.uniform(-stretch, stretch) * np.array([1, -1]))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * factors
    move = rng.uniform(-shift, shift, 2)
    return lambda points: (points - CENTRE) @ matrix.T + CENTRE + move


# -- looks --


def paper(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Dark ink on something nearly white."""
    return _flat(rng.uniform(215, 255) + rng.uniform(-8, 8, 3)), rng.uniform(0, 70) + rng.uniform(0, 40, 3)


def board(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Light on dark."""
    return _flat(rng.uniform(0, 50) + rng.uniform(0, 30, 3)), rng.uniform(150, 255, 3)


def scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Any colour on a background of smooth colours, lighter or darker than it."""
    cells = int(rng.integers(1, 4))
    back = resize_bilinear(rng.uniform(0, 255, (3, cells, cells)), SIZE).transpose(1, 2, 0)
    back = 0.55 * back
    ink = rng.uniform(170, 255, 3)
    return (back, ink) if rng.random() < 0.5 else (255 - back, 255 - ink)


def faint(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Grey on grey, with little contrast, under noise."""
    level, contrast = rng.uniform(60, 190), rng.uniform(25, 60) * rng.choice((-1, 1))
    return _flat(np.full(3, level)) + rng.normal(0, rng.uniform(4, 16), (SIZE, SIZE, 1)), np.full(
        3, level + contrast
    )


def cluttered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A scene with a few thin lines in other colours behind what is drawn."""
    back, ink = scene(rng)
    for _ in range(int(rng.integers(3, 8))):
        line = Mask().line(rng.uniform(-0.1, 1.1, (2, 2)), rng.uniform(0.015, 0.04)).array()
        back = over(back, line, 0.4 * back + 0.6 * rng.uniform(0, 255, 3))
    return back, ink


def speckled(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A scene under strong noise."""
    back, ink = scene(rng)
    return back + rng.normal(0, rng.uniform(15, 45), (SIZE, SIZE, 3)), ink


def _flat(colour: np.ndarray) -> np.ndarray:
    return np.tile(np.asarray(colour, float), (SIZE, SIZE, 1))


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """A colour, (3,), 0 to 255, of a saturation and a value from 0 to 1.

    Hues go around from 0 to 1, and on.
    """
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1, saturation, value))


def over(back: np.ndarray, mask: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Lay an ink over a background where the mask says."""
    return back + mask[..., None] * (ink - back)


def finished(image: np.ndarray, rng: np.random.Generator, noise: float = 6.0) -> np.ndarray:
    """An image under a little noise, (SIZE, SIZE, 3) uint8."""
    return (image + rng.normal(0, rng.uniform(0, noise), image.shape)).clip(0, 255).astype(np.uint8)


def painted(
    mask: Mask | np.ndarray, rng: np.random.Generator, look: Look = scene, noise: float = 6.0
) -> np.ndarray:
    """A mask in a look."""
    back, ink = look(rng)
    return finished(over(back, mask.array() if isinstance(mask, Mask) else mask, ink), rng, noise)


# -- text --


@cache
def _font(name: str, size: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", f"{name}.ttf")), size)


def text(
    characters: str,
    font: str,
    rng: np.random.Generator,
    *,
    size: tuple[float, float] = (0.55, 0.85),
    turn: float = 10.0,
    shift: float = 0.06,
) -> np.ndarray:
    """A mask of characters in one of matplotlib's fonts, in a random pose.

    Parameters
    ----------
    characters
        What to write.
    font
        The font's file, without its suffix.
    rng
        Random numbers.
    size
        Lowest and highest height of the line, as a part of the image.
    turn
        Standard deviation of the angle, in degrees.
    shift
        How far it is moved at most, as a part of the image.

    Returns
    -------
    Shape (SIZE, SIZE), float32 from 0 to 1.
    """
    from PIL import Image, ImageDraw

    side = _FINE * SIZE
    image = Image.new("L", (side, side))
    place = side * (0.5 + rng.uniform(-shift, shift, 2))
    drawn = _font(font, int(side * rng.uniform(*size) / max(1, 0.62 * len(characters))))
    # Centred by what is seen, not by the line it would stand on.
    left, top, right, bottom = drawn.getbbox(characters)
    ImageDraw.Draw(image).text(
        (place[0] - (left + right) / 2, place[1] - (top + bottom) / 2), characters, font=drawn, fill=255
    )
    image = image.rotate(rng.normal(0, turn), Image.Resampling.BICUBIC)
    return np.asarray(image.reduce(_FINE), np.float32) / 255
