"""`nasoa figures`: the paper's figures."""

from __future__ import annotations

from pathlib import Path

import click

from .figures_all import all_figures, overview
from .figures_of_runs import along_time, freezing, model_trade_off, output_option
from .figures_published import claims, inference_efficiency, nas_comparison, training_efficiency
from .figures_recorded import block_search, budgets
from .terminal import clear_errors


@click.group()
def figures() -> None:
    """Draw the paper's figures."""


@figures.command()
@click.argument("encoding")
@output_option("block.png")
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


@figures.command("search-space")
@output_option("search-space.png")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="An experiment's config, whose searchSpace is drawn; by default the whole space of the paper.",
)
def search_space(output: Path, config: Path | None) -> None:
    """Draw the search space: what a block may be, and how blocks are stacked."""
    from nni_nasoa.architecture import ArchitectureSpace
    from nni_nasoa.figures.search_space import draw_search_space, read_space

    with clear_errors():
        space = ArchitectureSpace() if config is None else read_space(config)
        click.echo(f"written to {draw_search_space(space, output)}")


for command in (
    overview,
    training_efficiency,
    inference_efficiency,
    nas_comparison,
    budgets,
    freezing,
    model_trade_off,
    along_time,
    block_search,
    claims,
    all_figures,
):
    figures.add_command(command)
