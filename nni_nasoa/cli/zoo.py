"""`nasoa zoo`: the models there are, pretraining of small ones, and a zoo of one's own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .terminal import cell, clear_errors, print_table, text

# Figures of a model by their headings, what they are multiplied by, and their format.
PUBLISHED = {
    "params\nM": ("params_m", 1, ".2f"),
    "GMACs\nat 224": ("gmacs_224", 1, ".2f"),
    "ImageNet\ntop-1 %": ("imagenet_top1", 1, ".2f"),
}
SEARCHED = {
    "params\nM": ("params_m", 1, ".3f"),
    "GMACs\nat 224": ("gmacs_224", 1, ".3f"),
    "accuracy in\nsearch %": ("search_accuracy", 100, ".2f"),
    "relative\nspeed": ("relative_speed", 1, ".3f"),
}
family_option = click.option("--family", help="Only this family of models, or the networks of a front.json.")


@click.group(invoke_without_command=True)
@family_option
@click.pass_context
def zoo(context: click.Context, family: str | None) -> None:
    """List the models of the zoo, pretrain small ones, add your own.

    Alone, it does what `nasoa zoo list` does.
    """
    if context.invoked_subcommand is None:
        _print_models(family)
    elif family is not None:
        raise click.UsageError(
            f"--family is an option of 'nasoa zoo list', not of '{context.invoked_subcommand}'."
        )


@zoo.command("list")
@family_option
def list_(family: str | None) -> None:
    """List the models of the zoo with their published figures, or those of the search that found them."""
    _print_models(family)


def _print_models(family: str | None) -> None:
    from nni_nasoa.zoo import get, list_models

    with clear_errors(), _warnings_as_lines():
        models = [get(name) for name in list_models(family)]
    columns = (
        PUBLISHED if not models or any(model.imagenet_top1 is not None for model in models) else SEARCHED
    )
    rows = [
        [
            model.name,
            *(cell(getattr(model, key), factor, form) for key, factor, form in columns.values()),
            text(model.encoding),
        ]
        for model in models
    ]
    print_table("Zoo", ["model", *columns, "encoding"], rows, [])


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: click.echo(f"warning: {message}", err=True)
        yield


@zoo.command()
@click.argument("name")
@click.option(
    "--network",
    help="The network that the weights are of, where they do not tell: an encoding, or one of a front "
    "file (front.json#2).",
)
@click.option(
    "--weights",
    required=True,
    type=click.Path(),
    help="A .safetensors or published .pth file, or a folder saved by 'nasoa finetune'.",
)
def add(name: str, network: str | None, weights: str) -> None:
    """Add a network and its weights to your own zoo, as NAME.

    From then on every command takes NAME as a model. The zoo is the folder that NASOA_ZOO names, or
    ~/.local/share/nni_nasoa/zoo.
    """
    from nni_nasoa.files import zoo_folder
    from nni_nasoa.zoo import add_model

    with clear_errors():
        model = add_model(name, weights, network)
    click.echo(
        f"added {model.name} to {zoo_folder()}: {model.encoding}, images of {model.input_size} pixels "
        f"(mean {_shown(model.mean)}, std {_shown(model.std)})"
    )


@zoo.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove NAME from your own zoo, and delete its weights there."""
    from nni_nasoa.zoo import remove_model

    with clear_errors():
        remove_model(name)
    click.echo(f"removed {name}")


def _shown(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)


@zoo.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="nano-weights",
    show_default=True,
    help="Folder for the weights and their cards.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Networks at a time, each in a process with its share of the cores.",
)
@click.option("--device", default="auto", show_default=True)
@click.option("--classes", type=click.IntRange(2), help="Of fractals.")
@click.option("--instances", type=click.IntRange(1), help="Images of each class.")
@click.option("--size", type=click.IntRange(8, 512), help="Height and width of the images in pixels.")
@click.option("--epochs", type=click.IntRange(1))
@click.option("--batch-size", type=click.IntRange(2))
@click.option("--learning-rate", type=click.FloatRange(0, 100, min_open=True), help="At its peak.")
@click.option("--seed", type=click.IntRange(0), help="Of the images, initial weights and order.")
def pretrain(models: tuple[str, ...], output: Path, jobs: int, device: str, **settings: float | None) -> None:
    """Pretrain networks on images of fractals, drawn from formulas.

    Without MODEL, the whole nano family is made again, by the recipe of its cards. A MODEL is a nano network,
    one of a front file (front.json#2, or front.json for all), or an encoding. What no option sets is as in a
    nano network's card, else the default of the recipe that the cards describe.

    Run it again after an interruption: finished networks stay, and the others go on from their last epoch.
    """
    from nni_nasoa.making.pretraining import pretrain_all
    from nni_nasoa.making.pretraining_recipe import PretrainError

    from .zoo_pretrain import recipes_of, show_epochs

    cards = []
    try:
        with clear_errors():
            recipes = recipes_of(models, {key: value for key, value in settings.items() if value is not None})
            for recipe, networks in recipes.items():
                with show_epochs(networks, recipe) as on_epoch:
                    cards += pretrain_all(
                        networks, output, recipe, jobs=jobs, device=device, on_epoch=on_epoch
                    )
    except PretrainError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        click.echo(
            f"Interrupted. The same command goes on from the last whole epoch that is in {output}.", err=True
        )
        raise SystemExit(130) from None
    for card in cards:
        accuracy = "-" if card["accuracy"] is None else f"{100 * card['accuracy']:.1f} %"
        click.echo(
            f"{card['name']}: accuracy {accuracy} on fractals that it has not seen; "
            f"{output / card['name']}.safetensors"
        )
