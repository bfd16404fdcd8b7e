"""Load a classifier from its folder, which may be damaged, or written by somebody who means harm.

Nothing is computed or allocated for what the description says before it fits what lies beside it: the file of
weights tells names and shapes without being read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nni_nasoa.architecture import Architecture
from nni_nasoa.data.rendering import Rendering
from nni_nasoa.experience.old_records import outcome_of
from nni_nasoa.files import parse_json, read_json
from nni_nasoa.networks import WeightsError
from nni_nasoa.networks.published import check_tensors
from nni_nasoa.training.outcome import Outcome, OutcomeError
from nni_nasoa.training.regime import FineTuneRegime, RegimeError
from nni_nasoa.values import (
    WRONG,
    Rule,
    list_of,
    mapping,
    one_line,
    one_of,
    or_none,
    reason,
    shown,
    text,
    whole,
)
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.family import IMAGE_RULES
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import staged

from .classifier import DESCRIPTION, FORMAT, VERSION, WEIGHTS, Classifier
from .errors import ClassifierError

# A network may have so many times the numbers that its file has: a view of it may lack a second head.
MOST_OF_FILE = 2
_DICT = Rule("an object", lambda _, value: value if isinstance(value, dict) else WRONG)
_RULES = {
    "version": whole(VERSION, VERSION, str(VERSION)),
    "classes": list_of(text("the name of a class"), "a list of two or more classes", least=2),
    "model": text("the name of a model"),
    "encoding": or_none(text("an encoding")),
    "weights_of": one_of(("network", "staged", "pooled")),
    "metrics": _DICT,
    **IMAGE_RULES,
}
_OPTIONAL = {  # what nothing is computed by
    "dataset": text("the name of a dataset"),
    "notes": list_of(text("a note"), "a list of notes"),
    "versions": mapping(text("a version")),
    "created": text("a time"),
    "advice": _DICT,
    "resumed_from": _DICT,
    "holdout": _DICT,
    "validation_digest": text("a digest"),
}


def load_classifier(folder: str | os.PathLike, device: str | torch.device = "cpu") -> Classifier:
    """Load what `save_classifier` has saved.

    Raises
    ------
    ClassifierError
        There is no classifier in the folder, it is damaged, or of a later version.
    """
    from safetensors import safe_open

    folder = Path(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise ClassifierError(f"{folder}: no classifier here ({WEIGHTS} is missing)")
    with _clear_errors(weights), safe_open(weights, "pt") as file:
        about = _edited(folder, parse_json((file.metadata() or {}).get("classifier", "null")))
        about = _check(about, folder)
        names = list(file.keys())
        _check_size(about, sum(math.prod(file.get_slice(name).get_shape()) for name in names), folder)
        state = {name: file.get_tensor(name) for name in names}
    network = _network(about, folder)
    try:
        _fill(network, state, about["model"])
    except (WeightsError, RuntimeError) as error:
        raise ClassifierError(
            f"{weights}: not the weights of {one_line(about['model'], 60)} ({reason(error)})"
        ) from None
    return Classifier(network, about, device)


@contextmanager
def _clear_errors(weights: Path) -> Iterator[None]:
    try:
        yield
    except ClassifierError:
        raise
    except Exception as error:  # a header that safetensors lets pass may name a type that torch lacks
        raise ClassifierError(f"{weights}: damaged ({reason(error)})") from None


def _edited(folder: Path, about: Any) -> Any:
    """The description in classifier.json, which may have been edited, where it belongs to these weights."""
    try:
        beside = read_json(folder / DESCRIPTION)
    except FileNotFoundError:
        return about
    except (OSError, ValueError) as error:
        raise ClassifierError(f"{folder / DESCRIPTION}: {reason(error)}") from None
    same = not isinstance(about, dict) or (isinstance(beside, dict) and beside.get("id") == about.get("id"))
    return beside if same else about


def _check(about: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ClassifierError(f'{folder}: not a classifier, whose description has "format": "{FORMAT}"')
    if about.get("version") != VERSION:
        raise ClassifierError(
            f"{folder}: classifier of version {shown(about.get('version'))}, "
            f"where this release reads {VERSION}"
        )
    there = {key: rule for key, rule in _OPTIONAL.items() if about.get(key) is not None}
    for key, rule in {**_RULES, **there}.items():
        rule(f'{folder}: "{key}" of the description', about.get(key), ClassifierError)
    if "outcome" not in about:  # an earlier release has saved it
        about = {**about, "outcome": outcome_of("unknown", about.get("notes"))}
    try:
        FineTuneRegime.from_json(about.get("regime"))
        Outcome.from_json(about["outcome"])
    except (RegimeError, OutcomeError) as error:
        raise ClassifierError(f"{folder}: {error}") from None
    try:
        Rendering.of_description(about)
    except ValueError as error:
        raise ClassifierError(f'{folder}: "rendering" of the description: {error}') from None
    return about


def _check_size(about: Mapping[str, Any], held: int, folder: Path) -> None:
    """Raise a ClassifierError where the network would be much larger than its file of weights."""
    classes = len(about["classes"])
    with _clear_network_errors(folder):
        if about["encoding"] is not None:
            needed = Architecture.parse(about["encoding"]).parameters(classes)
        else:
            needed = _parameters(about["model"], classes)
    if needed > MOST_OF_FILE * held:
        raise ClassifierError(
            f"{folder / WEIGHTS}: not the weights of {one_line(about['model'], 60)} for {classes} classes "
            f"({needed:.3g} numbers, where the file has {held:.3g})"
        )


def _parameters(model: str, classes: int) -> int:
    """How many a model has, found without memory for them; 0 for those that have to be built for that."""
    try:
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in create_model(model, classes).parameters())
    except NotImplementedError:  # torchvision's RegNets compute with tensors as they are made
        return 0


def _network(about: Mapping[str, Any], folder: Path) -> nn.Module:
    """The network, or the view of one, whose weights the file has."""
    classes = len(about["classes"])
    with _clear_network_errors(folder):
        network = create_model(about["encoding"] or about["model"], classes)
        if about["weights_of"] == "network":
            return network
        # A network that has an encoding is cut by it, whether or not the zoo knows its name here.
        view = staged(network, about["model"] if about["encoding"] is None else None)
        pooled = about["weights_of"] == "pooled"
        return PooledStages(view, classes, about["input_size"]) if pooled else view


@contextmanager
def _clear_network_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    # Libraries raise whatever they please about a size or a number of classes that a model does not take.
    except Exception as error:
        raise ClassifierError(f"{folder}: its network cannot be built ({reason(error)})") from None


def _fill(network: nn.Module, state: Mapping[str, Tensor], model: str) -> None:
    """Give a network the weights of a file, which have to fit and be finite."""
    check_tensors(state, network.state_dict(), one_line(model, 60))
    network.load_state_dict(state)
    for name, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise WeightsError(f"tensor '{name}' has values that are not finite")
