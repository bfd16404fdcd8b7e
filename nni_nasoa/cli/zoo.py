"""`nasoa zoo`: the models there are."""

from __future__ import annotations

import click

from .terminal import cell, clear_errors, print_table, text


@click.command()
@click.option("--family", help="Only this family of models, or the networks of a front.json.")
def zoo(family: str | None):
    """List the models of the zoo with their published figures."""
    from nni_nasoa.zoo import get, list_models

    columns = {"params\nM": "params_m", "GMACs\nat 224": "gmacs_224", "ImageNet\ntop-1 %": "imagenet_top1"}
    with clear_errors():
        models = [get(name) for name in list_models(family)]
    rows = [[model.name, *(cell(getattr(model, key), 1, ".2f") for key in columns.values()), text(model.encoding)] for model in models]
    print_table("Zoo", ["model", *columns, "encoding"], rows, [])
