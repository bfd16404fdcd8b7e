"""`nasoa figures`: the paper's figures."""

from __future__ import annotations

from pathlib import Path

import click

from .figures_of_runs import along_time, freezing
from .terminal import clear_errors


@click.group()
def figures() -> None:
    """Draw the paper's figures."""


@figures.command()
@click.argument("encoding")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="block.png",
    show_default=True,
    help="The image to write; its suffix (.png, .svg, .pdf) says in which format.",
)
@click.option(
    "--width",
    type=click.IntRange(1, 2**16),
    default=64,
    show_default=True,
    help="Channels of a block given alone.",
)
def block(encoding: str, output: Path, width: int) -> None:
    """Draw a block: operations, channels and skips.

    ENCODING is a block such as 10001- or a whole network such as 10001-_64_4-111-112-11.
    """
    from nni_nasoa.figures.block_drawing import draw_block

    with clear_errors():
        click.echo(f"written to {draw_block(encoding, output, width=width)}")


for command in (freezing, along_time):
    figures.add_command(command)
