"""Make all figures that need no runs, with a page that shows them and says what makes the rest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from nni_nasoa.architecture import ArchitectureSpace

from . import STEP_TIMES
from .claims import claims
from .overview import Inventory, overview_figure
from .page import PageFigure, write_claims, write_page
from .paper import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .step_times import Measured

SUFFIXES = (".png", ".svg")
BLOCKS = ("02031-a02", "23311-a02c12")
"""The blocks of ET-NAS-I and K, and of L, which have extra skips."""
_SEARCH = "nnictl create --config experiment_configs/search.yml --foreground"


def draw_all(folder: str | os.PathLike, inventory: Inventory) -> list[Path]:
    """Draw all figures that can be drawn offline, and the page; the files, the page first.

    What was measured, or run, into the same folder by the commands that the page names is drawn, too.

    Parameters
    ----------
    folder
        Where to; it is made where there is none.
    inventory
        What the user has, for the overview.

    Raises
    ------
    ValueError
        A file of measured times or of runs in the folder is none.
    """
    from .step_times import read_step_times

    folder = Path(folder)
    times = folder / STEP_TIMES
    measured = read_step_times(times) if times.exists() else None
    pictures = list(_offline(inventory, measured)) + list(_of_runs(folder))
    folder.mkdir(parents=True, exist_ok=True)
    files, shown = [], []
    for name, number, title, figure in pictures:
        made = [save(figure(), folder / f"{name}{suffix}") for suffix in SUFFIXES]
        files += made
        again = "" if measured or not name.endswith("efficiency") else _command(name, folder, "--measure")
        more = "Step times of this device are added by" if again else ""
        shown.append(PageFigure(name, number, title, made[0], more, again))
    drawn = {name for name, *_ in pictures}
    for name, number, title, why, command in _to_be_run(folder):
        picture = folder / "report" / "front.png"
        if name == "search-front" and picture.is_file():
            shown.append(PageFigure(name, number, title, picture))
        elif name not in drawn:
            shown.append(PageFigure(name, number, title, None, why, command))
    shown.sort(key=lambda figure: int(figure.number.split(",")[0]))
    rows = claims(measured)
    files += [write_claims(rows, folder / f"claims{suffix}") for suffix in (".md", ".html")]
    return [write_page(folder / "index.html", "The paper's figures", shown, rows), *files]


_Pictures = Iterator[tuple[str, str, str, Callable[[], "Figure"]]]


def _offline(inventory: Inventory, measured: Measured | None) -> _Pictures:
    """(name, number in the paper, title, figure) of those that need no runs."""
    from .block_drawing import block_figure
    from .block_search import block_search_figure, shipped_block_search
    from .budgets import budgets_figure
    from .efficiency import inference_figure, nas_figure, training_figure
    from .search_space import search_space_figure
    from .time_limits import shipped_time_limits

    yield "overview", "1", "Overview", partial(overview_figure, inventory)
    yield "search-space", "2", "Search space", partial(search_space_figure, ArchitectureSpace())
    yield "training-efficiency", "3", "Training efficiency", partial(training_figure, measured)
    yield "inference-efficiency", "3", "Inference efficiency", partial(inference_figure, measured)
    yield "nas-comparison", "4, 10", "Beside other searches", nas_figure
    yield "budgets", "5", "Within a time limit", lambda: budgets_figure(shipped_time_limits())
    yield "block-search", "9", "Search for blocks", lambda: block_search_figure(shipped_block_search())
    for block in BLOCKS:
        yield f"block-{block}", "8", f"The block {block}", partial(block_figure, block)


def _of_runs(folder: Path) -> _Pictures:
    """Those whose runs are recorded in the folder; the trade-off is else of what comes with the package."""
    from .along_time import along_time_figure
    from .freezing import freezing_figure
    from .model_trade_off import model_trade_off_figure, trade_off_of_limits, trade_off_of_runs
    from .runs import read_runs
    from .time_limits import shipped_time_limits

    own = folder / "model-trade-off.jsonl"
    runs = read_runs(own) if own.exists() else []
    trade_off = trade_off_of_runs(runs) if runs else trade_off_of_limits(shipped_time_limits())
    yield "model-trade-off", "6", "Models within a time", partial(model_trade_off_figure, trade_off)
    for name, number, title, figure in (
        ("freezing", "6", "Frozen stages", freezing_figure),
        ("along-time", "7", "Accuracy along time", along_time_figure),
    ):
        records = folder / f"{name}.jsonl"
        if records.exists() and (runs := read_runs(records)):
            yield name, number, title, partial(figure, runs)


def _to_be_run(folder: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """(name, number, title, what it needs, command) of those that need runs."""
    runs = "It needs runs of fine-tuning, which this makes and records; then make this page again."
    yield (
        "freezing",
        "6",
        "Frozen stages",
        runs,
        _command("freezing", folder, "--dataset digits --model nano-d --minutes 0.2"),
    )
    yield (
        "along-time",
        "7",
        "Accuracy along time",
        runs,
        _command(
            "along-time", folder, "--dataset digits --model nano-b --model nano-e --minutes 0.1 --minutes 0.5"
        ),
    )
    yield (
        "search-front",
        "9",
        "What a search found",
        "It needs a search, some five minutes on two cores; then make this page again.",
        f"{_SEARCH} && nasoa report -o {quote(str(folder / 'report'))}",
    )


def _command(name: str, folder: Path, options: str) -> str:
    return f"nasoa figures {name} -o {quote(str(folder / f'{name}.png'))} {options}"
