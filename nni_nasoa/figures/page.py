"""One HTML file with figures and the table of claims, or the table alone: no scripts, nothing beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nni_nasoa import __version__
from nni_nasoa.files import write_text

from .claims import Claim

if TYPE_CHECKING:
    from jinja2 import Template

_MARKDOWN, _HTML = (".md", ".markdown"), (".html", ".htm")


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page.

    Parameters
    ----------
    name
        As `nasoa figures` calls it.
    number
        Of the figure in the paper.
    title
        What it shows.
    path
        The picture, a PNG; None where it was not made.
    more
        What can be added by the command, or why there is no picture.
    command
        The command that makes it, or more of it.
    """

    name: str
    number: str
    title: str
    path: Path | None = None
    more: str = ""
    command: str = ""

    @property
    def is_wide(self) -> bool:
        """Whether the picture is much wider than high, so that a phone has to scroll along it."""
        if self.path is None:
            return False
        from PIL import Image

        with Image.open(self.path) as image:
            return image.width > 1.2 * image.height

    @property
    def data(self) -> str:
        """The picture as a data URI."""
        if self.path is None:
            return ""
        return f"data:image/png;base64,{base64.b64encode(self.path.read_bytes()).decode()}"


def check_table(path: str | os.PathLike) -> None:
    """Look whether a table can be written there, before anything else is done.

    Raises
    ------
    ValueError
        The suffix is neither that of Markdown nor that of HTML, or there is no such folder.
    """
    path, known = Path(path), (*_MARKDOWN, *_HTML)
    if path.suffix.lower() not in known:
        raise ValueError(
            f"output: {path} has the suffix '{path.suffix}', where one of {', '.join(known)} is needed"
        )
    if not path.parent.is_dir():
        raise ValueError(f"output: there is no folder {path.parent} to write {path.name} to")


def write_claims(claims: Sequence[Claim], path: str | os.PathLike) -> Path:
    """Write the table of claims; the suffix says whether as Markdown or as HTML."""
    check_table(path)
    if Path(path).suffix.lower() in _HTML:
        return write_page(path, "The paper's claims", (), claims)
    rows = [Claim(*(value.replace("|", "\\|") for value in vars(claim).values())) for claim in claims]
    return write_text(path, _template("claims.md.j2").render(claims=rows))


def write_page(
    path: str | os.PathLike, title: str, figures: Sequence[PageFigure], claims: Sequence[Claim]
) -> Path:
    """Write the page; pictures are within it."""
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return write_text(
        path,
        _template("page.html.j2").render(
            title=title, css=css, figures=figures, claims=claims, version=__version__
        ),
    )


@cache
def _template(name: str) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).get_template(name)
