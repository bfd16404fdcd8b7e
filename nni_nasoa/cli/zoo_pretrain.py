"""What `nasoa zoo pretrain` trains, by which recipe, and how it shows its progress."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nni_nasoa.making.pretraining import Epoch
    from nni_nasoa.making.pretraining_recipe import PretrainRecipe
    from nni_nasoa.zoo.nano import NanoFamily


def recipes_of(
    models: Sequence[str], settings: Mapping[str, Any], family: NanoFamily | None = None
) -> dict[PretrainRecipe, dict[str, str]]:
    """The networks to train, names and encodings, by their recipes.

    Parameters
    ----------
    models
        Nano networks, front files or networks of them, encodings; none of them are the whole `family`.
    settings
        Fields of the recipe that are not to be those of a nano network's card, or the defaults.
    family
        The family whose cards tell the recipes; None is the one that this package has.

    Raises
    ------
    ValueError
        There is no such model, it has no encoding, or two would be written to the same file.
    """
    from nni_nasoa.making.pretraining_recipe import PretrainRecipe
    from nni_nasoa.zoo import nano

    family = family or nano.FAMILY
    if models:
        networks = _networks(models)
    else:
        networks = {name: info.encoding for name, info in family.models().items() if info.encoding}
    recipes: dict[PretrainRecipe, dict[str, str]] = {}
    for name, encoding in networks.items():
        card = family.card(name) or {}
        recipe = dataclasses.replace(PretrainRecipe(**card.get("recipe", {})), **settings)
        recipes.setdefault(recipe, {})[name] = encoding
    return recipes


def _networks(models: Iterable[str]) -> dict[str, str]:
    """Encodings of networks by what their files will be called."""
    from nni_nasoa.zoo import list_models

    networks: dict[str, str] = {}
    sources: dict[str, str] = {}
    for model in models:
        for source in list_models(model) if model.endswith(".json") else [model]:
            name, encoding = _network(source)
            if sources.setdefault(name, source) != source:
                raise ValueError(
                    f"{source}: would be called {name}, as {sources[name]}; "
                    "pretrain it into a folder of its own"
                )
            networks[name] = encoding
    return networks


def _network(model: str) -> tuple[str, str]:
    """What a network's files are called, and its encoding."""
    from nni_nasoa.architecture import Architecture
    from nni_nasoa.zoo import get

    file, hash_, number = model.rpartition("#")
    if not hash_ and re.match("[0-9].*_", model):
        return model, str(Architecture.parse(model))
    if (encoding := get(model).encoding) is None:
        raise ValueError(f"{model}: not an ET-NAS network; only those can be pretrained")
    return f"{Path(file).stem}-{number}" if hash_ else model, encoding


@contextmanager
def show_epochs(networks: Mapping[str, str], recipe: PretrainRecipe) -> Iterator[Callable[[Epoch], None]]:
    """Gives the function to call after each epoch: bars where stdout is a terminal, else a line for each."""
    if not sys.stdout.isatty():
        yield lambda epoch: click.echo(
            f"{epoch.name}  epoch {epoch.number}/{recipe.epochs}  {_result(epoch)}  {epoch.seconds:.0f} s"
        )
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[result]}"),
    )
    with Progress(*columns, console=Console(highlight=False)) as progress:
        tasks = {name: progress.add_task(name, total=recipe.epochs, result="") for name in networks}
        yield lambda epoch: progress.update(tasks[epoch.name], completed=epoch.number, result=_result(epoch))


def _result(epoch: Epoch) -> str:
    return f"loss {epoch.loss:.3f}  accuracy {100 * epoch.accuracy:.1f} %"
