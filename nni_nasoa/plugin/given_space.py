"""The search space of a config, with the designs that the tuner's arguments put in place of candidates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nni_nasoa.architecture import Architecture
from nni_nasoa.search.choices import architecture_space, describes_architectures
from nni_nasoa.search.front import pareto_front, read_front
from nni_nasoa.search.operators import ArchitectureOperators
from nni_nasoa.values import shown

from .class_args import ClassArgsError, EvolutionArgs
from .experiments import find_experiment, read_results
from .search_space_codec import Architectures, BriefTries, Vocabulary, read_search_space
from .trial_command import trial_settings


def given_search_space(search_space: Any, args: EvolutionArgs, code_directory: Path) -> Vocabulary:
    """What is to be searched.

    Parameters
    ----------
    search_space
        The config's.
    args
        The tuner's; `blocks_from` and `macros_from` are read.
    code_directory
        Where their relative paths start.

    Raises
    ------
    ValueError
        The search space is none, or the designs cannot be had or do not belong there; one line.
    """
    if not isinstance(search_space, Mapping) or not describes_architectures(search_space):
        if args.blocks_from or args.macros_from:
            raise ClassArgsError(
                "classArgs: blocks_from and macros_from need a search space of architectures"
            )
        return read_search_space(search_space)
    space = architecture_space(search_space)
    for name, label, field in (
        ("blocks_from", "block", "block_designs"),
        ("macros_from", "macro", "macros"),
    ):
        if (source := getattr(args, name)) is not None:
            if not getattr(space, field):
                raise ClassArgsError(f"classArgs: {name} needs a search space with the label '{label}'")
            designs = [
                str(getattr(Architecture.parse(record["architecture"]), label))
                for record in _front(name, source, code_directory)
            ]
            changed: dict[str, Any] = {field: tuple(dict.fromkeys(designs))}
            space = dataclasses.replace(space, **changed)
    return Architectures(ArchitectureOperators(space))


def _front(name: str, source: str, code_directory: Path) -> list[dict]:
    """The records on the front of a front file or an experiment."""
    path = code_directory / Path(source).expanduser()
    try:
        if path.is_file() or path.suffix == ".json":
            return read_front(path)
        front = pareto_front(read_results(find_experiment(source)))
    except ValueError as error:
        raise ClassArgsError(f"classArgs: {name}: {error}") from None
    if not front or any("architecture" not in record for record in front):
        raise ClassArgsError(f"classArgs: {name}: experiment {shown(source)} has no results of architectures")
    return front


def brief_tries(vocabulary: Vocabulary, config: Mapping[str, Any], brief: int) -> BriefTries:
    """The same search space, whose candidates are trained for `brief` epochs first.

    Raises
    ------
    ClassArgsError
        These are no fewer than those of the trial command, or its trials are not those of a search of ours.
    """
    epochs = trial_settings(config, "brief_epochs").epochs
    if brief >= epochs:
        raise ClassArgsError(
            f"classArgs: brief_epochs: {brief} is not below the {epochs} epochs of the trial command"
        )
    return BriefTries(vocabulary, brief, epochs)


def initial_candidates(vocabulary: Vocabulary, args: EvolutionArgs) -> list[Any]:
    """What is evaluated first, as candidates; a ClassArgsError of one line where one is not of the space."""
    candidates = []
    for number, one in enumerate(args.initial, start=1):
        try:
            candidates.append(vocabulary.to_candidate({"architecture": one} if isinstance(one, str) else one))
        except ValueError as error:
            raise ClassArgsError(f"classArgs: initial, entry {number}: {error}") from None
    return candidates
