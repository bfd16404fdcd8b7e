"""`nasoa figures training-efficiency`, `inference-efficiency`, `nas-comparison`: accuracy and step times."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nni_nasoa.figures import STEP_TIMES

from .figures_of_runs import output_option
from .terminal import clear_errors

if TYPE_CHECKING:
    from nni_nasoa.figures.claims import Claim

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--measure",
        is_flag=True,
        help="Measure steps of ET-NAS and of torchvision's networks on this device, too; on two cores that "
        "takes about a minute.",
    ),
    click.option(
        "--records",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"The file of measured times, which are drawn; by default {STEP_TIMES} beside the picture.",
    ),
    click.option("--device", default="auto", show_default=True),
    click.option(
        "--input-size", type=click.IntRange(32, 4096), help="In pixels; by default 224 on a GPU, else 64."
    ),
    click.option("--batch-size", type=click.IntRange(2, 2**16), help="By default 64 on a GPU, else 8."),
    click.option(
        "--network",
        "only",
        multiple=True,
        help="Measure this network alone, such as et-nas-a or resnet50; repeat it for more.",
    ),
)


def _measuring(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("training-efficiency")
@output_option("training-efficiency.png")
@_measuring
def training_efficiency(output: Path, **options: Any) -> None:
    """Draw accuracy against the time of a training step, published and measured.

    Published are times of ET-NAS and its peers on a V100, and timm's on an RTX 3090. With --measure, those on
    this device are recorded and drawn beside them, in a panel of their own.
    """
    _efficiency(output, "train", **options)


@click.command("inference-efficiency")
@output_option("inference-efficiency.png")
@_measuring
def inference_efficiency(output: Path, **options: Any) -> None:
    """Draw accuracy against the time of an inference step, published and measured.

    Published are times of ET-NAS and its peers on a V100. With --measure, those on this device are recorded
    and drawn beside them, in a panel of their own; training-efficiency draws the same records.
    """
    _efficiency(output, "infer", **options)


@click.command("nas-comparison")
@output_option("nas-comparison.png")
def nas_comparison(output: Path) -> None:
    """Draw ET-NAS beside networks that other searches found, as published."""
    from nni_nasoa.figures.efficiency import draw_nas_comparison

    with clear_errors():
        click.echo(f"written to {draw_nas_comparison(output)}")


def _efficiency(
    output: Path,
    kind: str,
    *,
    measure: bool,
    records: Path | None,
    device: str,
    only: tuple[str, ...],
    **sizes: int | None,
) -> None:
    from nni_nasoa.figures.efficiency import draw_inference_efficiency, draw_training_efficiency
    from nni_nasoa.figures.paper import check_picture
    from nni_nasoa.figures.step_times import read_step_times

    if not measure and (only or any(sizes.values())):
        raise click.UsageError("--network, --input-size and --batch-size say what to measure: add --measure")
    path = records or output.with_name(STEP_TIMES)
    with clear_errors():
        check_picture(output)
        if measure:
            measure_step_times(path, device, only, **sizes)
        measured = read_step_times(path) if measure or records or path.exists() else None
        draw = draw_training_efficiency if kind == "train" else draw_inference_efficiency
        said = f"written to {draw(measured, output)}"
        if measured:
            said += f", with the {len(measured.networks)} networks measured in {path}"
        else:
            said += "; --measure adds this device"
        click.echo(said)


def measure_step_times(path: Path, device: str, only: tuple[str, ...], **sizes: int | None) -> None:
    """Measure and record, with a line for each network."""
    from nni_nasoa.figures.step_times import check_networks, measure, step_ms
    from nni_nasoa.files import check_can_be_written

    check_networks(only)
    check_can_be_written(path)
    for record in measure(path, device, only=only, **sizes):
        times = ", ".join(
            f"{name} {'out of memory' if ms is None else f'{ms:.1f} ms'}"
            for name, ms in (
                ("training step", step_ms(record, "train")),
                ("inference", step_ms(record, "infer")),
            )
        )
        click.echo(f"{record['name']}: {times}", err=True)


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file to write the table to, too; its suffix (.md, .html) says in which format.",
)
@click.option(
    "--records",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file of step times, such as --measure of training-efficiency writes, to take for measured ones.",
)
def claims(output: Path | None, records: Path | None) -> None:
    """Print what the paper claims, what its own points give, and what was measured here.

    What was measured comes with the package, from the benchmarks' recorded data; step times may be your own.
    """
    from nni_nasoa.figures.claims import claims as all_claims
    from nni_nasoa.figures.page import check_table, write_claims
    from nni_nasoa.figures.step_times import read_step_times

    with clear_errors():
        if output is not None:
            check_table(output)
        rows = all_claims(read_step_times(records) if records else None)
        _print_claims(rows)
        if output is not None:
            click.echo(f"written to {write_claims(rows, output)}")


def _print_claims(rows: list[Claim]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=True)
    table.add_column("fig.", max_width=4)
    for heading, share in (("the paper says", 3), ("its own points give", 3), ("measured here", 5)):
        table.add_column(heading, overflow="fold", ratio=share)
    for row in rows:
        table.add_row(row.figure, row.claim, row.published, row.measured)
    Console(markup=False, highlight=False, emoji=False).print(table)
