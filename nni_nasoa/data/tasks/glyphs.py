"""Letters of several alphabets, signs and pictures of fonts, and the fonts themselves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from .canvas import Look, board, cluttered, faint, painted, paper, scene, speckled, text
from .task import Drawing, drawing

SANS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold")
SERIF = ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic")
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
GREEK = "αβγδεζηθικλμνξοπρστυφχψω"
CYRILLIC = "БГДЖЗИЛПФЦЧШЩЭЮЯ"
GEORGIAN = "აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ"
OPERATORS = "∀∂∃∅∆∇∈∉∏∑∓√∝∞∠∧∨∩∪∫≈≠≡≤≥⊂⊃⊆⊕⊗⊥±×÷"  # noqa: RUF001  # these very signs are meant
ARROWS = "←↑→↓↖↗↘↙"
PICTURES = "♔♕♖♗♘♙♠♣♥♦☀☁☂☃☎☢☣☮☯☺✂✈✉✿❄★☽⚓⚔⚖"
FONTS = {
    "sans": "DejaVuSans",
    "sans bold": "DejaVuSans-Bold",
    "sans oblique": "DejaVuSans-Oblique",
    "serif": "DejaVuSerif",
    "serif bold": "DejaVuSerif-Bold",
    "mono": "DejaVuSansMono",
    "times": "STIXGeneral",
    "times italic": "STIXGeneralItalic",
}


def _character(
    characters: str, fonts: Sequence[str], look: Look, label: int, rng: np.random.Generator, **pose: Any
) -> np.ndarray:
    font = fonts[int(rng.integers(len(fonts)))]
    return painted(text(characters[label], font, rng, **pose), rng, look)


def _of_font(fonts: Sequence[str], label: int, rng: np.random.Generator) -> np.ndarray:
    characters = "".join(LATIN.lower()[i] for i in rng.integers(0, 26, 3))
    return painted(text(characters, fonts[label], rng, size=(0.85, 1.05), turn=4), rng, paper, noise=12)


def _characters(
    name: str,
    kind: str,
    characters: str,
    fonts: Sequence[str],
    look: Look,
    train: int,
    val: int,
    **pose: Any,
) -> Drawing:
    return drawing(
        name,
        kind,
        tuple(characters),
        partial(_character, characters, fonts, look, **pose),
        train,
        val,
        mirrored=False,
    )


DRAWINGS = (
    _characters("latin-capitals", "letters", LATIN, (*SANS, *SERIF), scene, 1040, 520),
    _characters(
        "latin-noisy", "letters", LATIN, (*SANS, *SERIF), speckled, 2600, 520, turn=20, size=(0.4, 0.85)
    ),
    _characters(
        "greek-small",
        "letters",
        GREEK,
        ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "STIXGeneralBol"),
        paper,
        720,
        480,
    ),
    _characters("cyrillic-faint", "letters", CYRILLIC, (*SANS, *SERIF), faint, 800, 480),
    _characters(
        "georgian-few", "letters", GEORGIAN, ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif"), board, 198, 495
    ),
    _characters(
        "operators", "signs", OPERATORS, ("DejaVuSans", "DejaVuSans-Bold", "STIXGeneral"), scene, 1020, 510
    ),
    _characters(
        "arrows",
        "signs",
        ARROWS,
        ("DejaVuSans", "DejaVuSans-Bold", "STIXGeneral"),
        cluttered,
        320,
        400,
        size=(0.4, 0.9),
    ),
    _characters(
        "pictures", "pictures", PICTURES, ("DejaVuSans",), cluttered, 300, 480, size=(0.5, 0.95), turn=20
    ),
    drawing(
        "fonts", "fonts", tuple(FONTS), partial(_of_font, tuple(FONTS.values())), 1600, 480, mirrored=False
    ),
)
