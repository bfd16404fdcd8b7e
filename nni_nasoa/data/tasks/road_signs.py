"""Road signs: plates with symbols, near and far."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from nni_nasoa.data.digits import resize_bilinear

from .canvas import SIZE, Mask, box, cluttered, ellipse, finished, over, polygon, smooth
from .outlines import drawn, lit, paths, slanted
from .task import drawing

PAINTS = {
    "red": (195, 30, 40),
    "blue": (30, 80, 170),
    "yellow": (245, 190, 40),
    "white": (235, 235, 235),
    "black": (25, 25, 25),
}
_ROUND = ellipse(0.5, 0.5, 0.44)
PLATES = {
    # Outline; share of the field in it; colours of rim, field and ink; the symbol's size, and how much lower
    # it is; symbols.
    "triangle": (
        polygon(3, 0.52) + np.array((0, 0.1)),
        0.72,
        "red white black",
        0.6,
        0.1,
        "mark bend-left bend-right fork cross dots junction wave",
    ),
    "ring": (_ROUND, 0.76, "red white black", 0.8, 0, "bar cross dots slash H wave"),
    "disc": (_ROUND, 0.92, "white blue white", 0.9, 0, "bar slash fork bend-left bend-right chevrons"),
    "diamond": (
        polygon(4, 0.48),
        0.88,
        "black yellow black",
        0.75,
        0,
        "mark bend-left bend-right cross junction chevrons",
    ),
    "square": (box(0.1, 0.1, 0.9, 0.9), 0.92, "white blue white", 1, 0, "H T cross dots"),
}
SYMBOLS = {
    "bar": "28,50 72,50",
    "mark": "50,25 50,54; 50,74 50,75",
    "cross": "50,25 50,75; 25,50 75,50",
    "slash": "30,70 70,30",
    "bend-left": "62,78 62,60 54,53 44,47 38,40 38,22",
    "bend-right": "38,78 38,60 46,53 56,47 62,40 62,22",
    "dots": "34,50 35,50; 65,50 66,50",
    "fork": "50,78 50,52 30,25; 50,52 70,25",
    "chevrons": "30,30 45,50 30,70; 55,30 70,50 55,70",
    "wave": "27,40 35,35 42,39 50,45 58,41 65,35 73,40; 27,60 35,55 42,59 50,65 58,61 65,55 73,60",
    "T": "50,30 50,77; 28,28 72,28",
    "junction": "42,25 42,77; 42,50 72,50",
    "H": "34,25 34,75; 66,25 66,75; 34,50 66,50",
}
SIGNS = tuple(f"{plate} {symbol}" for plate, (*_, symbols) in PLATES.items() for symbol in symbols.split())
FAR = SIGNS[:6] + SIGNS[8:14]


def _road_sign(
    classes: Sequence[str],
    scale: tuple[float, float],
    shift: float,
    coarsest: int,
    label: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """On a pole, in any light, sometimes partly behind something."""
    plate, symbol = classes[label].split()
    outline, share, paints, size, low, _ = PLATES[plate]
    rim, field, ink = (
        np.array(PAINTS[paint]) * rng.uniform(0.8, 1.1) + rng.normal(0, 10, 3) for paint in paints.split()
    )
    place, middle = slanted(rng, 0.6, turn=0.08, scale=scale, shift=shift), np.array([0.5, 0.5 + low])
    pen = np.ptp(place(np.array([(0, 0.5), (1, 0.5)]))[:, 0]) * rng.uniform(0.1, 0.13) * size
    mark = drawn(place, (), [(line - 0.5) * size + middle for line in paths(SYMBOLS[symbol])], pen)
    image = over(cluttered(rng)[0], drawn(place, [box(0.48, 0.5, 0.52, 4)]), np.full(3, rng.uniform(60, 180)))
    image = over(
        over(image, drawn(place, [outline]), rim),
        drawn(place, [(outline - middle) * share + middle]),
        field,
    )
    twig = Mask().line(smooth(rng.uniform(-0.2, 1.2, (4, 2)), 20), rng.uniform(0.03, 0.08)).array() * (
        rng.random() < 0.4
    )
    image = over(over(image, mark, ink), twig, rng.uniform(0, 140, 3))
    coarse = resize_bilinear(image.transpose(2, 0, 1), int(rng.integers(coarsest, SIZE + 1)))
    return finished(
        lit(resize_bilinear(coarse, SIZE).transpose(1, 2, 0), rng, 0.7) * rng.uniform(0.25, 1), rng, 16
    )


DRAWINGS = (
    drawing(
        "road-signs",
        "road signs",
        SIGNS,
        partial(_road_sign, SIGNS, (0.6, 1.0), 0.12, 24),
        900,
        480,
        mirrored=False,
        imbalance=6,
    ),
    drawing(
        "road-signs-far",
        "road signs",
        FAR,
        partial(_road_sign, FAR, (0.32, 0.6), 0.2, 56),
        960,
        480,
        mirrored=False,
    ),
)
