"""`nasoa report`: the Pareto front of a search, as a table, files and figures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nni_nasoa.search.reward import DEFAULT_WEIGHT, POINTS, score
from nni_nasoa.values import shown

from .terminal import cell, clear_errors, print_table, text

if TYPE_CHECKING:
    from nni_nasoa.plugin.experiments import FinalResult
    from nni_nasoa.search.problem import Limit, Objective


@dataclass(frozen=True)
class _Results:
    """What a report is made of.

    `trials` counts the experiment's trials by status; it is empty for a results file. `left_out` counts
    results of a search space that the experiment had before. `failures` has a line for each reason for which
    trials have no result.
    """

    source: str
    records: list[dict[str, Any]]
    experiment: str | None = None
    trials: dict[str, int] = field(default_factory=dict)
    objectives: tuple[Objective, ...] | None = None
    limits: tuple[Limit, ...] = ()
    left_out: int = 0
    failures: tuple[str, ...] = ()

    @cached_property
    def compared(self) -> list[Mapping[str, Any]]:
        """Those that compare: networks that were trained for fewer epochs than others do not."""
        from nni_nasoa.search.front import comparable

        return comparable(self.records)


@click.command()
@click.argument("source", default="latest")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="nasoa-report",
    show_default=True,
    help="Folder for front.json, results.csv, front.png and the drawings.",
)
@click.option(
    "--objective",
    "objectives",
    multiple=True,
    metavar="NAME[:min|max]",
    help="A metric to compare results by; repeat it for more. Without it: accuracy and relative_speed for "
    "networks, default for anything else. More is better unless :min is given.",
)
@click.option(
    "--block",
    "blocks",
    multiple=True,
    metavar="ENCODING",
    help="Draw this block in place of the front's; repeat it for more.",
)
def report(source: str, output: Path, objectives: tuple[str, ...], blocks: tuple[str, ...]) -> None:
    """Print the Pareto front of a search, and write it down.

    SOURCE is an NNI experiment of this machine, running or stopped, by its id (or 'latest', which
    is the default); or a file of results: the results.csv or front.json of an earlier report, a
    .json list or a .jsonl file.
    """
    with clear_errors():
        _report(source, output, objectives, blocks)


def _report(source: str, output: Path, objectives: tuple[str, ...], blocks: tuple[str, ...]) -> None:
    from nni_nasoa.figures.block_drawing import draw_block, typical_layout
    from nni_nasoa.figures.search_front import draw_objectives, draw_search_front
    from nni_nasoa.search.front import OBJECTIVES, pareto_front, write_front, write_records

    for encoding in blocks:
        typical_layout(encoding)  # a wrong one is reported before anything is written
    results = _read(source)
    compared = _objectives(objectives, results)
    front = pareto_front(results.records, compared, results.limits)
    if not front:
        raise ValueError(_why_empty(results, compared))

    output.mkdir(parents=True, exist_ok=True)
    write_front(
        output / "front.json",
        results.records,
        experiment=results.experiment,
        objectives=compared,
        limits=results.limits,
    )
    write_records(output / "results.csv", results.records)
    picture = output / "front.png"
    if compared == OBJECTIVES and all(
        "architecture" in record and "step_time_ms" in record for record in front
    ):
        draw_search_front(results.compared, picture, front=front)
    else:
        draw_objectives(results.compared, compared, picture, front=front)
    for old in output.glob("block_*.png"):  # those that an earlier, longer front has left
        if re.fullmatch(r"block_\d+\.png", old.name):
            old.unlink()
    drawn = blocks or [record["architecture"] for record in front if "architecture" in record]
    for number, encoding in enumerate(drawn, start=1):
        draw_block(encoding, output / f"block_{number}.png")
    _print_report(results, front, compared, output, len(drawn))


def _read(source: str) -> _Results:
    from nni_nasoa.plugin.class_args import EvolutionArgs
    from nni_nasoa.plugin.experiments import (
        find_experiment,
        read_config,
        read_space_in_use,
        read_status,
        read_trials,
    )
    from nni_nasoa.plugin.trial_failures import failure_lines, no_service_line
    from nni_nasoa.search.front import read_records

    path = Path(source)
    if path.suffix in (".csv", ".json", ".jsonl"):
        return _Results(source, read_records(path))
    folder = find_experiment(source)
    status = read_status(folder)
    trials = {name: count for name, count in status.items() if isinstance(count, int) and name != "trials"}
    found = read_trials(folder)
    results = _of_space(found, read_space_in_use(folder))
    # A network or a classifier says itself which one it is; any other result is of use
    # only with its parameters.
    records = [
        {name: value for name, value in trial.metrics.items() if name not in _NOT_FOR_READERS}
        | {"trial_id": trial.trial_id, "sequence": trial.sequence}
        | ({} if _identity([trial.metrics]) else {"parameters": trial.parameters})
        for trial in results
    ]
    tuner = read_config(folder).get("tuner") or {}
    ours = (
        tuner.get("name") == "NasoaEvolution"
        or tuner.get("className") == "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"
    )
    arguments = EvolutionArgs.parse(tuner.get("classArgs") or {}) if ours else EvolutionArgs()
    return _Results(
        f"experiment {status['id']}",
        records,
        status["id"],
        trials,
        arguments.objectives,
        arguments.limits,
        left_out=len(found) - len(results),
        failures=(*filter(None, [no_service_line(folder)]), *failure_lines(folder)),
    )


def _of_space(results: Sequence[FinalResult], space: Any) -> list[FinalResult]:
    """The results that are of a search space; all of them where none is known."""
    from nni_nasoa.plugin.search_space_codec import read_search_space

    if space is None:
        return list(results)
    vocabulary, kept = read_search_space(space), []
    for result in results:
        with suppress(ValueError, TypeError, KeyError):
            parameters = vocabulary.identity(result.metrics) or result.parameters
            if parameters is not None:
                vocabulary.to_candidate(parameters)
            kept.append(result)
    return kept


_NOT_FOR_READERS = ("record", "survey")  # what the advisor's trials tell its tuner


def _identity(records: Sequence[Mapping[str, Any]]) -> str | None:
    """The field by which all of the records say which ones they are."""
    return next(
        (name for name in ("architecture", "classifier") if all(name in record for record in records)), None
    )


def _objectives(given: tuple[str, ...], results: _Results) -> tuple[Objective, ...]:
    """The objectives that the options name, else the experiment's own, else those that suit the records."""
    from nni_nasoa.search.evolution import Objective
    from nni_nasoa.search.front import OBJECTIVES

    if not given:
        networks = not results.records or any("architecture" in record for record in results.records)
        return results.objectives or (OBJECTIVES if networks else (Objective("default"),))
    objectives: list[Objective] = []
    for option in given:
        name, _, mode = option.partition(":")
        if not name or mode not in ("", "max", "min") or name in (objective.name for objective in objectives):
            raise click.UsageError(
                f"--objective {shown(option)}: give NAME, NAME:max or NAME:min, and each metric once"
            )
        objectives.append(Objective(name, mode != "min"))
    return tuple(objectives)


def _why_empty(results: _Results, objectives: tuple[Objective, ...]) -> str:
    from nni_nasoa.search.front import distinct

    if distinct(results.records, objectives) and results.limits:
        names = ", ".join(limit.name for limit in results.limits)
        return f"{results.source}: none of its {len(results.records)} results is within the limits on {names}"
    if results.records:
        keys = ", ".join(sorted({key for record in results.records for key in record}))
        names = " and ".join(objective.name for objective in objectives)
        return (
            f"{results.source}: none of its {len(results.records)} results has {names} as numbers; "
            f"there are: {keys}"
        )
    return (
        f"{results.source}: no results yet"
        + (f" (trials: {_counts(results.trials)})" if results.trials else "")
        + "".join(f"\n{line}" for line in results.failures)
    )


def _counts(trials: dict[str, int]) -> str:
    return ", ".join(
        f"{count} {status}" for status, count in trials.items() if count or status in ("succeeded", "failed")
    )


_COLUMNS = (  # heading, key, factor, format
    ("accuracy\n%", "accuracy", 100, ".2f"),
    ("relative\nspeed", "relative_speed", 1, ".3f"),
    ("step\nms", "step_time_ms", 1, ".2f"),
    ("params\nM", "params_m", 1, ".3f"),
    ("GMACs", "gmacs", 1, ".4f"),
)
_COLUMNS_OF = {
    "architecture": _COLUMNS,
    "classifier": (("run", "run", 1, ""), ("network", "model", 1, ""), ("took\ns", "seconds", 1, ".3g")),
}


def _best_score(records: Sequence[Mapping[str, Any]]) -> float | None:
    """The best default metric, where that is the score with its default weight and target."""
    try:
        scores = [score(record["accuracy"], record["relative_speed"]) for record in records]
    except (KeyError, ValueError):  # another kind of result
        return None
    known = [record.get("default") for record in records]
    return max(scores, default=None) if scores == known else None


def _print_report(
    results: _Results, front: list[dict], objectives: tuple[Objective, ...], output: Path, drawings: int
) -> None:
    from nni_nasoa.search.front import comparable_step_times, distinct

    counted = distinct(results.records, objectives)
    lines = [
        f"{len(counted)} evaluated, {len(front)} on the front"
        + (f"; trials: {_counts(results.trials)}" if results.trials else "")
    ]
    if results.left_out:
        many = f"{results.left_out} results are" if results.left_out > 1 else "1 result is"
        lines.append(f"{many} of an earlier search space and left out")
    if brief := len(results.records) - len(results.compared):
        lines.append(f"{brief} trained for fewer epochs and left out: their accuracies do not compare")
    lines += results.failures
    identity = _identity(front) or "parameters"
    columns = list(_COLUMNS_OF.get(identity, (("trial", "trial_id", 1, ""),)))
    known = {key for _, key, _, _ in columns}
    columns += [
        (objective.name, objective.name, 1, ".5g") for objective in objectives if objective.name not in known
    ]
    if identity == "architecture":
        times = comparable_step_times(counted)
        of = {record["architecture"]: ms for record, ms in zip(counted, times.ms)}
        front = [record | {"step_time_ms": of[record["architecture"]]} for record in front]
        if times.device:
            lines.append(f"step time: of training, on {times.device}, from the relative speed")
    if (score := _best_score(counted)) is not None:
        lines.append(
            f"NNI's default metric is a score: {POINTS} x accuracy x relative speed ^ {DEFAULT_WEIGHT}; "
            f"the best is {score:.1f}"
        )
    lines.append(
        f"written to {output}: front.json, results.csv, front.png"
        + (", block_1.png" if drawings else "")
        + (f" to block_{drawings}.png" if drawings > 1 else "")
    )

    rows = [
        [
            str(number),
            *(cell(record.get(key), factor, form) for _, key, factor, form in columns),
            text(record.get(identity)),
        ]
        for number, record in enumerate(front, start=1)
    ]
    headings = [
        "#",
        *(heading for heading, *_ in columns),
        "encoding" if identity == "architecture" else identity,
    ]
    print_table(f"Pareto front of {results.source}", headings, rows, lines)
