"""Options that several commands have, once each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from nni_nasoa.data.rendering import GEOMETRIES
from nni_nasoa.data.split_defaults import VAL_FRACTION

DATASET = click.option(
    "--dataset",
    required=True,
    help="A folder of images (a folder for each class), a file that lists them (.csv, .tsv, .parquet), "
    "shards (.tar), a dataset of Hugging Face on disk, or a name such as digits or flowers102.",
)
ROOT = click.option(
    "--root",
    type=click.Path(file_okay=False),
    help="Where torchvision's datasets lie or are downloaded to, or where the paths in a file that lists "
    "images begin, if not in its folder.",
)
_COLUMNS = {"path": "image paths", "label": "labels", "part": "parts (train, val, test)"}
VALIDATION = click.option(
    "--val-fraction",
    type=float,
    default=VAL_FRACTION,
    show_default=True,
    help="Held back for validation where the dataset brings no such part.",
)
GROUP_BY = click.option(
    "--group-by",
    metavar="REGEX",
    help="What is found in the paths of images that belong together, as 'patient\\d+' is: they are "
    "held back for validation together, or not at all.",
)
REPORT = click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Write a page, too, that shows how good the classifier is and where it is wrong.",
)
AUGMENTATION = click.option(
    "--augmentation", type=click.Choice(["none", "crop", "crop-flip", "full", "trivial"])
)
TEST = click.option(
    "--test",
    is_flag=True,
    help="Try the classifier on all of the part test/ in the end, however long that takes beyond the "
    "minutes. By default it is tried within them, as far as they go.",
)
LOG_TO = click.option(
    "--log-to",
    metavar="tensorboard:FOLDER|mlflow:URI|wandb:PROJECT",
    multiple=True,
    help="Log the run there, too; several times for several.",
)
GEOMETRY = click.option(
    "--geometry",
    type=click.Choice(GEOMETRIES),
    help="How oblong images become square; by default crop, or squish where a crop would lose much.",
)
BALANCED = click.option(
    "--balanced", is_flag=True, help="Weigh all classes alike, however many images each one has."
)
STORE = click.option(
    "--store",
    metavar="FILE|URL",
    help="The store of experience: a file, or postgresql://USER@SERVER/DATABASE, whose password "
    "PGPASSWORD or ~/.pgpass tells. "
    "[default: NASOA_STORE, else the user's own]",
)

Command = TypeVar("Command", bound=Callable[..., object])


def COLUMNS(command: Command) -> Command:  # noqa: N802 - it is used as the options above
    """Options that name the columns of a table; `columns` gives what was given."""

    def keep(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            context.meta.setdefault(__name__, {})[str(parameter.name).removesuffix("_column")] = value

    for name, what in reversed(_COLUMNS.items()):
        command = click.option(
            f"--{name}-column",
            metavar="NAME",
            expose_value=False,
            callback=keep,
            help=f"The column of {what} in a table.  [default: found by its name]",
        )(command)
    return command


def columns() -> dict[str, str] | None:
    """The columns that the command of the current context was given, by "path", "label" and "part"."""
    return click.get_current_context().meta.get(__name__)
