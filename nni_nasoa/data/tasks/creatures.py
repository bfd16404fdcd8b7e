"""Living and natural things seen closely: butterflies, fish, blood cells, galaxies, insects."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
from numpy.typing import ArrayLike

from .canvas import CENTRE, SIZE, Mask, cluttered, ellipse, finished, hsv, over, pose, scene, smooth
from .prototypes import prototype
from .task import drawing
from .textures import X, Y, cloud


def _mottled(back: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return back + (cloud(rng, rng.uniform(0.8, 2))[..., None] - 0.5) * rng.uniform(20, 100, 3)


def _overlaid(image: np.ndarray, *masks_and_colours: tuple[np.ndarray, ArrayLike]) -> np.ndarray:
    for mask, colour in masks_and_colours:
        image = over(image, mask, np.asarray(colour))
    return image


def _butterfly(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """Families of four are alike in form and colours; species differ in band, spots, eyespots and margin."""
    kin, own = prototype(f"{name}-families", label // 4), prototype(name, label)
    reach, tip, cut, wide, deep = kin.uniform(
        (0.36, 0.2, 0.5, 0.24, 0.24), (0.5, 0.4, 0.95, 0.42, 0.42)
    ) * own.normal(1, 0.05, 5)
    hue, pale, tail = kin.random(), kin.uniform(0.3, 1), 0.5 * (kin.random() < 0.35)
    fore = np.array([(0, -0.2), (0.5, -0.9), (1, -1.1), (1, -1), (cut, 0.07), (0, 0.27)]) * (reach, tip)
    hind = np.array([(0, -0.06), (0.8, -0.06), (1.1, 0.45), (0.8, 1), (0.6, 1.1 + tail), (0, 0.45)]) * (
        wide,
        deep,
    )
    margin, spots, banded, size = (
        own.uniform(0.04, 0.3),
        own.choice((0, 3, 4, 6)),
        own.random() < 0.5,
        own.uniform(0.016, 0.03),
    )
    across, eyed, eye = own.uniform(0.35, 0.7), own.random(2) < 0.4, own.uniform(0.5, 0.7)
    base, edge, light = (
        hsv(turn + rng.normal(0, 0.025), saturation, value * rng.uniform(0.8, 1))
        for turn, saturation, value in (
            (hue + own.normal(0, 0.025), pale, 1),
            (hue + 0.1, 0.7, 0.25),
            (hue + own.uniform(0.2, 0.8), own.uniform(0.1, 0.9), 1),
        )
    )
    place, spread = pose(rng, turn=0.5, scale=(0.65, 0.98)), rng.uniform(0.7, 1, 2) * (-1, 1)
    whole, inner, marks, dark, pupils = masks = [Mask(place) for _ in range(5)]
    for form, has_eye in zip((hind, fore), eyed):
        wing = smooth(form * rng.normal(1, 0.03, form.shape), 30, closed=True)
        heart, outer = wing.mean(0), wing[[round(at) for at in np.linspace(6, 22, spots)]]
        areas = [
            (whole, wing),
            (inner, heart + (1 - margin) * (wing - heart)),
            *((marks, ellipse(x, y, size)[::3]) for x, y in heart + 0.84 * (outer - heart)),
        ]
        areas += (
            [(marks, across * wing[[7, 21, 21, 7]] + [(0, -0.02), (0, -0.02), (0, 0.03), (0, 0.03)])]
            if banded
            else []
        )
        areas += [
            (mask, ellipse(eye * wing[13, 0], eye * wing[13, 1], radius)[::2])
            for mask, radius in ((dark, 0.055), (pupils, 0.028))
            if has_eye
        ]
        for (mask, points), side in product(areas, spread):
            mask.area(points * (side, 1) + CENTRE)
    outline, *inside = (mask.array() for mask in masks)
    body = (
        Mask(place)
        .area(ellipse(0.5, 0.52, 0.025, 0.17))
        .line([(0.44, 0.2), (0.5, 0.36), (0.56, 0.2)], 0.01)
        .array()
    )
    image = _overlaid(
        _mottled(scene(rng)[0], rng),
        (outline, edge),
        *zip([mask * outline for mask in inside], (base, light, edge, light)),
    )
    return finished(over(image, body, 0.7 * edge), rng, 14)


def _fish(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """Plain, with bars, lines, both or spots, in water with bubbles.

    They are known by form, fins and marks more than by colour.
    """
    own, pattern = prototype(name, label), label % 5
    height, peak, blunt, belly = own.uniform((0.1, 0.6, 0.5, 0.7), (0.27, 1.1, 0.9, 1.2)) * rng.normal(
        1, 0.05, 4
    )
    hue, other, size, begin, long, fin, fork, spread = own.uniform(
        (0, 0.25, 0.02, 0.25, 0.08, 0.04, 0.05, 0.07), (1, 0.75, 0.045, 0.5, 0.2, 0.14, 0.24, 0.2)
    )
    count, hue, bubbles, t = own.integers(3, 7), hue + rng.normal(0, 0.1), Mask(), np.linspace(0, 1, 30)
    base, facing = pose(rng, turn=0.15, scale=(0.6, 1.02), shift=0.1), rng.choice((-1, 1))
    body, fins, marks = masks = [
        Mask(lambda points: base((points - CENTRE) * (facing, 1) + CENTRE)) for _ in range(3)
    ]
    x, profile = 0.08 + 0.66 * t, height * np.sin(np.pi * t**peak).clip(0) ** blunt + 0.035 * t
    body.area(np.column_stack([np.r_[x, x[::-1]], 0.5 + np.r_[-profile, belly * profile[::-1]]]))
    fins.area(ellipse(begin, 0.5 - 0.85 * height, long, fin)).area(
        ellipse(0.56, 0.5 + 0.7 * belly * height, 0.09, 0.7 * fin)
    )
    fins.area(
        np.array([(0, -0.03), (0.18, -spread), (fork, 0), (0.18, spread), (0, 0.03)]) * rng.uniform(0.9, 1.1)
        + (0.71, 0.5)
    )
    for at in np.linspace(-1, 1, count):
        if pattern in (1, 3):
            marks.line([(0.45 + 0.21 * at, 0.1), (0.45 + 0.21 * at + rng.normal(0, 0.01), 0.9)], size)
        if pattern in (2, 3):
            marks.line(np.column_stack([x, 0.5 + 0.6 * at * profile]), 0.75 * size)
        for u, v in rng.uniform((0.22, -0.8), (0.7, 0.8), (6, 2)) if pattern == 4 else ():
            marks.area(ellipse(u, 0.5 + v * np.interp(u, x, profile), 0.7 * size)[::4])
    marks.disc(0.18, 0.47, 0.022)
    skin, paint = (
        hsv(hue, *rng.uniform((0.3, 0.6), (0.8, 1))),
        hsv(hue + other, *rng.uniform((0.3, 0.1), (0.9, 0.45))),
    )
    for u, v, radius in rng.uniform((0, 0, 0.01), (1, 1, 0.035), (7, 3)):
        bubbles.line(ellipse(u, v, radius)[::3], 0.01)
    water = _mottled(
        (1.1 - 0.6 * Y[..., None]) * hsv(rng.uniform(0.42, 0.65), *rng.uniform((0.3, 0.2), (0.8, 0.9))), rng
    )
    shape, finned, marked = (mask.array() for mask in masks)
    return finished(
        _overlaid(
            water,
            (rng.uniform(0.6, 0.95) * finned, rng.uniform(0.6, 1) * skin),
            (shape, skin),
            (marked * shape, paint),
            (0.7 * bubbles.array(), np.full(3, 240.0)),
        ),
        rng,
        25,
    )


CELLS = {
    # The radius of each.
    "neutrophil": 0.26,
    "band cell": 0.26,
    "eosinophil": 0.26,
    "basophil": 0.26,
    "lymphocyte": 0.225,
    "monocyte": 0.3,
    "blast": 0.275,
}


def _cell(contrast: float, noise: float, label: int, rng: np.random.Generator) -> np.ndarray:
    """A stained white blood cell among red ones, told by its nucleus, its size and its grains."""
    (name, radius), stain, red = list(CELLS.items())[label], rng.normal(0, 9, (4, 3)), Mask()
    for u, v, wide in rng.uniform((-0.05, -0.05, 0.09), (1.05, 1.05, 0.13), (9, 3)):
        red.area(ellipse(u, v, wide * rng.uniform(0.85, 1.1), wide)[::2], 0.8).area(
            ellipse(u, v, 0.45 * wide)[::2], 0.45
        )
    place = pose(rng, turn=3, scale=(0.75, 1.15), shift=0.13)
    cell, nucleus = (
        Mask(place).area(ellipse(0.5, 0.5, radius, radius * rng.uniform(0.92, 1.08))).array(),
        Mask(place),
    )
    lobed = {"neutrophil": int(rng.integers(3, 6)), "eosinophil": 2, "basophil": int(rng.integers(2, 4))}
    if lobes := lobed.get(name):
        angles = np.linspace(-0.42, 0.42, lobes) * rng.uniform(3, 4.4) + rng.normal(0, 0.12, lobes)
        places = CENTRE + rng.uniform(0.09, 0.14, (lobes, 1)) * np.column_stack(
            [np.cos(angles), np.sin(angles)]
        )
        nucleus.line(places, rng.uniform(0.025, 0.06))
        for u, v in places:
            nucleus.area(ellipse(u, v, *(rng.uniform(0.85, 1.2, 2) * (0.06 if lobes > 2 else 0.085))))
    elif name == "band cell":
        nucleus.line(
            ellipse(0.5, 0.5, *rng.uniform(0.1, 0.15, 2), *(rng.uniform(1.2, 2) * np.array((-1, 1)))),
            rng.uniform(0.07, 0.11),
        )
    elif name == "monocyte":
        nucleus.area(ellipse(0.5, 0.5, *rng.uniform(0.15, 0.21, 2))).disc(
            0.5, rng.uniform(0.62, 0.68), rng.uniform(0.08, 0.12), 0
        )
    else:
        nucleus.area(ellipse(0.52, 0.5, *((0.83 * radius) * rng.uniform(0.9, 1.08, 2))))
    for u, v in rng.uniform(0.4, 0.62, (rng.integers(2, 4), 2)) if name == "blast" else ():
        nucleus.disc(u, v, 0.042, 0.6)
    nucleus, grain = (
        nucleus.array() * cell,
        (8 * (cloud(rng, 0, 9, 17) - rng.uniform(0.52, 0.6))).clip(0, 1) * cell,
    )
    image = _overlaid(
        np.tile((240.0, 232, 236) + stain[0], (SIZE, SIZE, 1)),
        (red.array(), (228, 165, 165) + stain[1]),
        (cell, (205, 192, 217) + 2 * stain[2]),
        (grain * (name == "eosinophil"), (222, 110, 100) + stain[1]),
        (0.93 * nucleus, (110, 60, 150) + stain[3]),
        (grain * (name == "basophil"), (70, 40, 120) + stain[3]),
    )
    return finished(
        225 + contrast * rng.uniform(0.8, 1.1) * (image - 225) + rng.normal(0, noise, (SIZE, SIZE, 1)) - 15,
        rng,
        noise,
    )


GALAXIES = {
    # How flat they are seen.
    "round elliptical": (0.85, 1),
    "flat elliptical": (0.4, 0.7),
    "tight spiral": (0.5, 1),
    "loose spiral": (0.5, 1),
    "barred spiral": (0.5, 1),
    "ring": (0.5, 1),
    "edge-on": (0.09, 0.2),
    "irregular": (0.5, 1),
}


def _galaxy(label: int, rng: np.random.Generator) -> np.ndarray:
    """Old reddish and young bluish light of a galaxy, and stars, under noise of the sky."""
    (name, flats), turn = list(GALAXIES.items())[label], rng.uniform(0, np.pi)
    flat, scale, (left, top) = rng.uniform(*flats), rng.uniform(0.07, 0.14), rng.uniform(0.38, 0.62, 2)
    u = ((X - left) * np.cos(turn) + (Y - top) * np.sin(turn)) / scale
    v = ((Y - top) * np.cos(turn) - (X - left) * np.sin(turn)) / scale / flat
    r, angle, clumps = (
        np.hypot(u, v) + 1e-3,
        np.arctan2(v, u) * rng.choice((-1, 1)),
        (2 * cloud(rng, 0.8)).clip(0.3, 2),
    )
    old, young = np.exp(-((r / rng.uniform(0.3, 0.5)) ** 1.2)) + 0.15 * np.exp(-r), 0 * r
    if "elliptical" in name:
        old = 1.6 * np.exp(-2.2 * r ** rng.uniform(0.5, 0.7))
    elif name == "edge-on":
        old, young = np.exp(-np.hypot(u, 2 * v * flat) / 0.4), 0.9 * np.exp(-np.abs(u) / 1.4 - np.abs(v))
    elif name == "ring":
        young = (
            rng.uniform(0.2, 0.7)
            * clumps
            * np.exp(-(((r - rng.uniform(1.3, 1.9)) / rng.uniform(0.2, 0.35)) ** 2))
        )
    elif name == "irregular":
        old, young = (
            0.15 * np.exp(-r),
            clumps * (6 * cloud(rng, 1.5, 2) - 2.5).clip(0, 1) * np.exp(-((r / rng.uniform(1, 1.7)) ** 2)),
        )
    else:
        barred, pitch = (
            name == "barred spiral",
            rng.uniform(0.2, 0.32) if name == "tight spiral" else rng.uniform(0.4, 0.75),
        )
        wave = 0.5 + 0.5 * np.cos((2 if barred else rng.choice((2, 2, 3, 4))) * (angle - np.log(r) / pitch))
        young = (
            0.8
            * clumps
            * (wave ** rng.uniform(1.5, 3) + 0.12)
            * np.exp(-((r / 1.9) ** 2))
            * np.exp(-((0.9 * barred / r) ** 6))
        )
        old = old + 0.7 * barred * np.exp(-((u / 0.95) ** 4) - (v * flat / 0.22) ** 2)
    across, down = (
        np.exp(-(((X[0] - at[:, None]) / rng.uniform(0.012, 0.02)) ** 2))
        for at in rng.random((2, rng.integers(4, 22)))
    )
    stars = np.einsum(
        "sy,sx,sc->yxc",
        down,
        across,
        rng.pareto(1.5, (len(down), 1)).clip(0, 8) * rng.uniform(0.12, 0.2, (len(down), 3)),
    )
    light = stars + (old[..., None] * (1, 0.85, 0.65) + young[..., None] * (0.75, 0.85, 1)) * rng.uniform(
        0.8, 1.1, 3
    )
    return finished(
        np.arcsinh(4 * light) * rng.uniform(25, 95)
        + rng.normal(rng.uniform(8, 30), rng.uniform(8, 26), light.shape),
        rng,
    )


_Insect = tuple[tuple[float, ...], int, float, float, tuple[tuple[float, float, float], ...]]
INSECTS: dict[str, _Insect] = {
    # Half width and half length of head, thorax and abdomen; pairs of legs, and their reach; length of the
    # feelers; pairs of wings, each by angle, length and width.
    "beetle": ((0.07, 0.05, 0.15, 0.07, 0.18, 0.22), 3, 0.36, 0.16, ()),
    "ant": ((0.085, 0.07, 0.05, 0.1, 0.1, 0.13), 3, 0.38, 0.2, ()),
    "spider": ((0.05, 0.03, 0.1, 0.1, 0.15, 0.17), 4, 0.42, 0, ()),
    "fly": ((0.1, 0.06, 0.1, 0.1, 0.1, 0.14), 3, 0.32, 0, ((1, 0.4, 0.1),)),
    "bee": ((0.085, 0.06, 0.12, 0.1, 0.13, 0.18), 3, 0.28, 0.12, ((0.35, 0.34, 0.075), (0.75, 0.26, 0.06))),
    "wasp": ((0.075, 0.05, 0.08, 0.1, 0.085, 0.22), 3, 0.34, 0.16, ((0.3, 0.38, 0.05), (0.7, 0.28, 0.045))),
    "dragonfly": (
        (0.075, 0.05, 0.07, 0.08, 0.032, 0.32),
        3,
        0.16,
        0,
        ((-0.15, 0.44, 0.05), (0.2, 0.42, 0.06)),
    ),
    "moth": ((0.05, 0.04, 0.075, 0.08, 0.065, 0.18), 0, 0, 0.16, ((-0.1, 0.42, 0.14), (0.65, 0.34, 0.13))),
}


def _insect(label: int, rng: np.random.Generator) -> np.ndarray:
    """An insect (or a spider) from above, on a ground with things in the way."""
    name, (sizes, legs, reach, feelers, wings) = list(INSECTS.items())[label]
    head, thorax, abdomen = (np.array(sizes) * rng.normal(1, 0.07, 6)).reshape(3, 2)
    place, width, shoulder = (
        pose(rng, turn=3, scale=(0.8, 1.05)),
        rng.uniform(0.018, 0.03),
        0.5 - 0.75 * abdomen[1],
    )
    limbs, sails, trunk, marks = masks = [Mask(place) for _ in range(4)]
    front, rear = shoulder - thorax[1] - 0.7 * head[1], shoulder + 0.9 * thorax[1] + 0.88 * abdomen[1]
    for at, part in ((front, head), (shoulder, thorax), (rear, abdomen)):
        trunk.area(ellipse(0.5, at, *part))
    for at in rear + np.linspace(-0.6, 0.75, 4) * abdomen[1] if name in ("bee", "wasp") else ():
        marks.line([(0.3, at), (0.7, at)], 0.03)
    for side in (-1, 1):
        for angle in np.linspace(-0.75, 0.95, legs) + rng.normal(0, 0.12, legs):
            foot = rng.uniform(0.88, 1.08) * reach * np.array((side * np.cos(angle), np.sin(angle)))
            hip = np.array((0.5, shoulder + 0.06 * angle))
            limbs.line(hip + np.array((0 * foot, 0.6 * foot - (0, 0.03), foot)), width)
        feeler = np.array([(0, 0), (0.4 * side, -0.6), (side * rng.uniform(0.5, 0.9), -1)])
        limbs.line(np.array((0.5, front)) + feelers * feeler, 0.8 * width)
        for angle, long, wide in wings:
            wing = np.exp(1j * (angle + rng.normal(0, 0.1))) * (
                ellipse(long / 2, 0, long / 2, wide) @ (1, 1j)
            )
            sails.area(np.column_stack([0.5 + side * wing.real, shoulder + wing.imag]))
    (back, ink), (legged, winged, body, striped) = cluttered(rng), (mask.array() for mask in masks)
    return finished(
        _overlaid(
            _mottled(back, rng),
            (legged, ink),
            (rng.uniform(0.5, 0.9) * winged, 0.5 * ink + rng.uniform(40, 127, 3)),
            (body, ink),
            (striped * body, 0.3 * ink + rng.uniform(0, 178, 3)),
        ),
        rng,
        25,
    )


DRAWINGS = (
    drawing(
        "butterflies",
        "butterflies",
        tuple(f"butterfly {i}" for i in range(24)),
        partial(_butterfly, "butterflies"),
        240,
        480,
    ),
    drawing("fish", "fish", tuple(f"fish {i}" for i in range(16)), partial(_fish, "fish"), 640, 480),
    drawing("cells", "cells", tuple(CELLS), partial(_cell, 0.9, 8), 640, 480, imbalance=3),
    drawing("cells-few", "cells", tuple(CELLS), partial(_cell, 0.55, 13), 126, 480),
    drawing("galaxies", "galaxies", tuple(GALAXIES), _galaxy, 480, 480),
    drawing("insects", "insects", tuple(INSECTS), _insect, 480, 480),
)
