"""Views and figures: land from above, surfaces with defects, limbed figures in poses, charts, notes on a staff, words."""

from __future__ import annotations

from functools import partial

import numpy as np

from .canvas import (
    CENTRE,
    SIZE,
    Mask,
    board,
    box,
    cluttered,
    ellipse,
    finished,
    over,
    painted,
    paper,
    pose,
    scene,
    smooth,
    speckled,
    text,
)
from .task import drawing
from .textures import X, Y, cloud

LAND = ("fields", "orchard", "forest", "meadow", "bare ground", "river", "road", "lake", "houses", "industry")
_EARTHS = np.array(
    [
        (92, 112, 62),
        (122, 132, 78),
        (70, 92, 58),
        (150, 134, 98),
        (168, 150, 116),
        (128, 116, 90),
        (110, 124, 84),
    ]
)
_ROOFS = np.array([(150, 88, 70), (130, 126, 124), (190, 184, 176), (108, 84, 72)])


def _earth(rng):
    return _EARTHS[rng.integers(len(_EARTHS))] * rng.uniform(0.75, 1.15) + rng.normal(0, 8, 3)


def _crowns(image, rng, places, radius, colour, place):
    """Crowns of trees beside their shadows."""
    for shade, moved in ((0.45, 0.3 * radius), (1, 0)):
        mask = Mask(place)
        for x, y in places + moved:
            mask.disc(x, y, radius * rng.uniform(0.7, 1.15), rng.uniform(0.6, 1))
        image = over(image, mask.array(), colour * shade)
    return image


def _land(label, rng):
    name, place, first = LAND[label], pose(rng, turn=3, scale=(1.0, 1.4), shift=0.1), _earth(rng)
    image = over(
        np.tile(first, (SIZE, SIZE, 1)),
        cloud(rng, rng.uniform(1, 1.8)).clip(0, 1),
        0.6 * first + 0.4 * _earth(rng),
    )
    if name == "fields" or (name in ("river", "road", "lake") and rng.random() < 0.3):
        edges = np.r_[-0.4, np.sort(rng.uniform(0.1, 0.9, rng.integers(1, 3))), 1.4]
        for left, right, top, bottom in (
            (*pair, *span) for pair in zip(edges, edges[1:]) for span in ((-0.4, 0.5), (0.5, 1.4))
        ):
            colour, rows = _earth(rng), Mask(place)
            image = over(image, Mask(place).area(box(left, top, right, bottom)).array(), colour)
            for x in np.arange(left, right, rng.uniform(0.06, 0.1)):
                rows.line([(x, top), (x, bottom)], 0.02)
            image = over(image, rows.array() * rng.uniform(0, 0.6), colour * rng.uniform(0.6, 0.9))
    crown = np.array((62, 86, 48)) * rng.uniform(0.8, 1.4) + rng.normal(0, 8, 3)
    if name == "orchard":
        step = rng.uniform(0.11, 0.17)
        rows = np.stack(
            np.meshgrid(np.arange(-0.3, 1.3, step), np.arange(-0.3, 1.3, step * rng.uniform(0.8, 1.3))), -1
        ).reshape(-1, 2)
        image = _crowns(
            image, rng, rows[rng.random(len(rows)) < 0.93], step * rng.uniform(0.25, 0.38), crown, place
        )
    elif name == "forest":
        for shade in (0.75, 1.1):
            image = _crowns(
                image, rng, rng.uniform(-0.2, 1.2, (70, 2)), rng.uniform(0.045, 0.075), crown * shade, place
            )
    elif name == "lake":
        angles = np.arange(9) * 2 * np.pi / 9
        shore = np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(
            0.14, 0.42, (9, 1)
        ) + rng.uniform(0.35, 0.65, 2)
        image = over(
            image,
            Mask(place).area(smooth(shore, closed=True)).array(),
            np.array((58, 82, 98)) * rng.uniform(0.7, 1.4),
        )
    elif name in ("river", "road"):
        colour, bends, width = (
            ((58, 82, 98) * rng.uniform(0.7, 1.4, 1), 0.15, rng.uniform(0.07, 0.2))
            if name == "river"
            else (np.full(3, rng.uniform(70, 190)), rng.choice((0, 0.06)), rng.uniform(0.05, 0.1))
        )
        track = smooth(
            np.column_stack([np.linspace(-0.5, 1.5, 7), rng.uniform(0.35, 0.65) + rng.normal(0, bends, 7)])
        )
        image = over(image, Mask(place).line(track, width).array(), colour)
    elif name in ("houses", "industry"):
        ways, grey, step, (low, high) = (
            Mask(place),
            rng.uniform(100, 180),
            *((0.2, (0.07, 0.13)) if name == "houses" else (0.5, (0.2, 0.42))),
        )
        for y in np.arange(-0.34, 1.4, 2 * step if name == "houses" else step):
            ways.line([(-0.4, y), (1.4, y)], 0.05 if name == "houses" else rng.uniform(0.1, 0.6))
        image, shadows, roofs = (
            over(image, ways.array(), np.full(3, grey)),
            Mask(place),
            [Mask(place) for _ in _ROOFS],
        )
        for left, top in np.mgrid[-0.2:1.2:step, -0.2:1.2:step].reshape(2, -1).T + rng.uniform(
            -0.02, 0.02, 2
        ):
            corner, (width, height) = (left, top) + rng.uniform(0, 0.2 * step, 2), rng.uniform(low, high, 2)
            if rng.random() < 0.8:
                shadows.area(box(0, 0, width, height) + corner + 0.02)
                roofs[rng.integers(4)].area(box(0, 0, width, height) + corner).area(
                    box(0, 0, width, height / 2) + corner, 0.75
                )
        image = over(image, 0.6 * shadows.array(), np.zeros(3))
        for mask, colour in zip(roofs, _ROOFS * rng.uniform(0.8, 1.2)):
            image = over(image, mask.array(), colour)
    elif name == "bare ground":
        image = over(image, cloud(rng, 1).clip(0, 1) * 0.7, image.mean((0, 1)) * rng.uniform(0.6, 0.8))
    if name == "meadow" or (rng.random() < 0.4 and name not in ("forest", "orchard")):
        image = _crowns(
            image,
            rng,
            rng.uniform(0, 1, (int(rng.integers(4, 12)), 2)),
            rng.uniform(0.025, 0.045),
            crown,
            place,
        )
    return finished(image + rng.uniform(0, 0.35) * (rng.uniform(90, 190) - image), rng, 16)


DEFECTS = ("none", "scratch", "pits", "stain", "crack", "dent", "scuff")


def _defect(label, rng):
    """Brushed metal or grained wood in uneven light, with a small defect."""
    name, wooden, mask, at = DEFECTS[label], rng.random() < 0.4, Mask(), rng.uniform(0.2, 0.8, 2)
    tone = np.array((150, 112, 78) if wooden else (140, 143, 148)) * rng.uniform(0.75, 1.2)
    grain = np.rot90(cloud(rng, rng.uniform(0.5, 1.2), stretch=rng.uniform(2, 6)), rng.integers(2)) - 0.5
    if wooden:
        grain = (
            0.25 * np.sin(2 * np.pi * (rng.uniform(3, 8) * X + 1.5 * cloud(rng, 2, stretch=2))) + 0.5 * grain
        )
    angle, turned, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.9)
    across, along = (
        (X - 0.5) * np.cos(angle) + (Y - 0.5) * np.sin(angle),
        np.array([np.cos(turned), np.sin(turned)]),
    )
    light, tint = (
        1 + rng.uniform(0, 0.5) * across + rng.uniform(-0.5, 0.5) * across**2,
        tone * rng.uniform(0.25, 0.4),
    )
    u, v = X - at[0], Y - at[1]
    if name == "scratch":
        half = rng.uniform(0.1, 0.25) * along
        mask.line(
            smooth(np.array([at - half, at + rng.normal(0, 0.015, 2), at + half])), rng.uniform(0.01, 0.018)
        )
    elif name == "pits":
        for x, y in at + rng.normal(0, 0.07, (int(rng.integers(1, 4)), 2)):
            mask.disc(x, y, rng.uniform(0.016, 0.032))
    elif name == "crack":
        start, steps = at, None
        for branch in range(3):
            turns = turned + (0.8, -0.8, 0)[branch] * (branch > 0) + rng.normal(0, 0.55, 6)
            walk = np.vstack(
                [start, start + np.cumsum(0.045 * np.column_stack([np.cos(turns), np.sin(turns)]), 0)]
            )
            mask.line(walk, rng.uniform(0.01, 0.018))
            steps = walk if steps is None else steps
            start = steps[rng.integers(1, 5)]
    elif name == "scuff":
        for start in at + rng.normal(0, 0.05, (int(rng.integers(8, 16)), 2)):
            mask.line([start, start + rng.uniform(0.04, 0.09) * along + rng.normal(0, 0.01, 2)], 0.01)
    elif name == "dent":
        size = rng.uniform(0.05, 0.1)
        light = light + 0.6 * depth * (u * along[0] + v * along[1]) / size * np.exp(
            -(u * u + v * v) / (2 * size * size)
        )
    where = mask.array()
    if name == "stain":
        beyond = np.hypot(u, v) + 0.25 * (cloud(rng, 2) - 0.5) - rng.uniform(0.08, 0.17)
        where, tint = 0.6 / (1 + np.exp(beyond / 0.015)), tone * rng.uniform(0.4, 1, 3)
    elif rng.random() < 0.4 and name in ("scratch", "scuff"):
        tint = 1.5 * tone
    return finished(
        over(tone * (1 + rng.uniform(0.25, 0.55) * grain[..., None]), depth * where, tint) * light[..., None],
        rng,
        10,
    )


# The trunk's lean; near arm, far arm, near leg, far leg: the upper and the lower part of each, in degrees
# from hanging down.
POSES = {
    "standing": (0, 12, 8, -12, -8, 5, 3, -5, -3),
    "arms up": (0, 155, 170, -155, -170, 6, 3, -6, -3),
    "star jump": (0, 125, 130, -125, -130, 38, 34, -38, -34),
    "arms out": (0, 90, 90, -90, -90, 6, 4, -6, -4),
    "waving": (0, 130, 190, -12, -8, 6, 3, -6, -3),
    "running": (15, 50, 130, -55, 20, 60, -15, -25, -85),
    "kicking": (-14, 50, 70, -60, -45, 82, 80, -6, -6),
    "bowing": (80, 20, 10, 5, 0, 2, 0, -6, -4),
    "sitting": (-5, 35, 75, 25, 65, 88, 2, 80, -6),
    "kneeling": (0, 25, 60, -15, 10, 82, 0, 0, -85),
}


def _figure(looks, filled, label, rng):
    lean, *limbs = np.radians(np.array(list(POSES.values())[label]) + rng.normal(0, 10, 9))
    trunk, limb, head = rng.uniform((0.26, 0.12, 0.055), (0.33, 0.17, 0.08))
    up = np.array([np.sin(lean), -np.cos(lean)])
    lines, top = [np.array([(0, 0), trunk * up])], (trunk + 1.15 * head) * up
    for i, angles in enumerate(np.reshape(limbs, (4, 2))):
        steps = limb * (1 if i < 2 else 1.3) * np.column_stack([np.sin(angles), np.cos(angles)])
        lines.append(np.cumsum([0.88 * trunk * up if i < 2 else (0, 0), *steps], 0))
    every, facing, base = (
        np.vstack([*lines, top]),
        rng.choice((-1, 1)),
        pose(rng, turn=0.1, scale=(0.6, 1.1), shift=0.1),
    )
    mask = Mask(lambda points: base((points - (every.min(0) + every.max(0)) / 2) * (facing, 1) + CENTRE))
    width = rng.uniform(0.05, 0.085) if filled else rng.uniform(0.018, 0.05)
    for i, line in enumerate(lines):
        mask.line(line, 2 * width if filled and i == 0 else width)
    return painted(mask.disc(*top, head), rng, looks[rng.integers(len(looks))], noise=15)


CHARTS = (
    "bars",
    "horizontal bars",
    "stacked bars",
    "histogram",
    "lines",
    "area",
    "scatter",
    "pie",
    "box plot",
    "heat map",
)


def _chart(label, rng):
    name, count = (
        CHARTS[label],
        int(rng.integers(9, 15) if CHARTS[label] == "histogram" else rng.integers(3, 8)),
    )
    image, ink = (paper if rng.random() < 0.7 else board)(rng)
    place = pose(rng, turn=0.02, scale=(0.6, 0.95), shift=0.12, stretch=0.25)
    grid, axes, *layers = (Mask(place) for _ in range(6))
    middles, half, values = (
        (np.arange(count) + 0.5) / count,
        rng.uniform(0.25, 0.42) / count,
        rng.uniform(0.1, 0.95, (3, count)),
    )
    if name in ("bars", "horizontal bars", "stacked bars", "histogram"):
        if name == "histogram":
            half, values[0] = (
                0.48 / count,
                np.exp(-(((middles - rng.uniform(0.3, 0.7)) / 0.3) ** 2)) * rng.uniform(0.7, 0.95, count),
            )
        tops = np.cumsum(values / 3, 0) if name == "stacked bars" else values[:1]
        for layer, low, high in zip(layers, (0 * tops[0], *tops), tops):
            for x, start, end in zip(middles, low, high):
                layer.area(
                    box(start, x - half, end, x + half)
                    if name == "horizontal bars"
                    else box(x - half, 1 - end, x + half, 1 - start)
                )
    elif name in ("lines", "area"):
        for i, (layer, series) in enumerate(zip(layers, values[: rng.integers(1, 4)])):
            points = np.column_stack(
                [np.linspace(0, 1, count), 1 - series * (1 - 0.3 * i * (name == "area"))]
            )
            layer.line(points, rng.uniform(0.015, 0.035)) if name == "lines" else layer.area(
                [(0, 1), *points, (1, 1)]
            )
    elif name == "scatter":
        for layer in layers[: rng.integers(1, 3)]:
            for x, y in rng.multivariate_normal(
                rng.uniform(0.35, 0.65, 2), 0.03 * np.array([(1, 0.8), (0.8, 1)]), 15
            ).clip(0, 1):
                layer.disc(x, y, 0.025)
    elif name == "pie":
        turns, hole = (
            rng.random() * 6 + 2 * np.pi * np.r_[0, np.cumsum(rng.dirichlet(np.full(count, 3)))],
            rng.choice((0, 0.2)),
        )
        for i in range(count):
            slice_ = np.vstack(
                [
                    ellipse(0.5, 0.5, 0.48, None, *turns[i : i + 2]),
                    ellipse(0.5, 0.5, hole, None, *turns[i : i + 2])[::-1],
                ]
            )
            layers[3 if i == count - 1 and i % 3 == 0 else i % 3].area(slice_)
    elif name == "box plot":
        for x, (low, first, median, third, high) in zip(
            middles, np.sort(rng.uniform(0.05, 0.95, (count, 5)))
        ):
            layers[0].area(box(x - half, first, x + half, third))
            axes.line([(x, low), (x, first)], 0.015).line([(x, third), (x, high)], 0.015).line(
                [(x - half, median), (x + half, median)], 0.02
            )
    else:
        for i, j in np.ndindex(count, count):
            layers[0].area(box(i, j, i + 1, j + 1) / count, rng.random())
    if name != "pie":
        axes.line([(0, 0), (0, 1), (1, 1)], rng.uniform(0.01, 0.025))
        for at in np.linspace(0, 1, rng.integers(3, 7)) if rng.random() < 0.5 else ():
            grid.line([(0, at), (1, at)], 0.01, fill=0.4)
    for mask, colour in zip((grid, *layers, axes), (ink, *rng.uniform(20, 235, (4, 3)), ink)):
        image = over(image, mask.array(), colour)
    return finished(image, rng, 15)


PITCHES = ("E4", "F4", "G4", "A4", "B4", "C5", "D5", "E5", "F5")


def _note(label, rng):
    """A note on a staff: filled, hollow or with a flag, perhaps with an accidental, bar lines and a slur beside it."""
    mask, gap, pen = (
        Mask(pose(rng, turn=0.04, scale=(0.75, 1.1), shift=0.12)),
        0.11,
        rng.uniform(0.012, 0.022),
    )
    x, y, kind, up = (
        rng.uniform(0.3, 0.8),
        0.5 + (4 - label) * gap / 2,
        rng.integers(3),
        -1 if rng.random() < 0.9 - 0.1 * label else 1,
    )
    for line in range(-2, 3):
        mask.line([(-0.5, 0.5 + line * gap), (1.5, 0.5 + line * gap)], pen)
    head = ellipse(x, y, 0.62 * gap, 0.42 * gap) - np.column_stack(
        [np.zeros(40), 0.25 * gap * np.cos(np.linspace(0, 2 * np.pi, 40))]
    )
    mask.line(head, 0.025) if kind == 1 else mask.area(head)
    stem, end = x - 0.56 * up * gap, y + 3.2 * up * gap
    mask.line([(stem, y), (stem, end)], pen)
    if kind == 2:
        mask.line(
            smooth(np.array([(stem, end), (stem + 0.06, end - 0.1 * up), (stem + 0.09, end - 0.2 * up)])),
            0.03,
        )
    for bar in rng.choice((x - 0.28, x + 0.25, x + 0.45), rng.integers(0, 3), replace=False):
        mask.line([(bar, 0.5 - 2 * gap), (bar, 0.5 + 2 * gap)], rng.uniform(0.015, 0.04))
    if rng.random() < 0.5:
        mask.line([(x - 0.17, y - 0.1), (x - 0.17, y + 0.08)], 0.015).line(
            [(x - 0.21, y + 0.03), (x - 0.13, y)], 0.025
        )
    if rng.random() < 0.5:
        mask.line(ellipse(rng.uniform(0.2, 0.8), rng.choice((0.1, 0.8)), 0.25, 0.08, np.pi, 2 * np.pi), 0.02)
    return painted(mask, rng, (paper, paper, scene)[rng.integers(3)], noise=25)


WORDS = tuple(
    [
        "bat",
        "bet",
        "but",
        "cat",
        "cot",
        "cut",
        "dog",
        "dig",
        "hat",
        "hot",
        "mat",
        "met",
        "nut",
        "net",
        "pan",
        "pen",
        "pin",
        "pot",
        "rat",
        "rot",
        "sun",
        "son",
        "star",
        "stir",
        "tree",
        "free",
        "lake",
        "like",
        "rain",
        "ruin",
        "stone",
        "store",
        "house",
        "horse",
        "milk",
        "mile",
        "gold",
        "cold",
        "word",
        "ward",
    ]
)
_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSansMono",
    "STIXGeneral",
    "STIXGeneralItalic",
)


def _word(label, rng):
    return painted(
        text(WORDS[label], _FONTS[rng.integers(6)], rng, size=(0.6, 0.95), turn=5, shift=0.1), rng, scene
    )


_POSED = tuple(POSES)
DRAWINGS = (
    drawing("aerial", "aerial", LAND, _land, 500, 500),
    drawing("defects", "defects", DEFECTS, _defect, 700, 420),
    drawing("poses", "poses", _POSED, partial(_figure, (cluttered, scene, speckled), False), 600, 500),
    drawing("poses-few", "poses", _POSED, partial(_figure, (board, paper), True), 120, 400),
    drawing("charts", "charts", CHARTS, _chart, 300, 400),
    drawing("scores", "scores", PITCHES, _note, 720, 450, mirrored=False),
    drawing("words", "words", WORDS, _word, 1000, 480, mirrored=False),
)
