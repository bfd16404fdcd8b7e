"""What a choice rests on, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .candidates import stages_of
from .defaults import ENOUGH_EPOCHS, probed

if TYPE_CHECKING:
    from .options import Options


def reasons(options: Options, row: int) -> list[str]:
    """Lines on why a candidate is a choice."""
    return [
        line
        for line in (_on_the_model(options, row), _on_experience(options), _on_freezing(options, row))
        if line
    ]


def _on_the_model(options: Options, row: int) -> str:
    model, budget = options.model(row), f"{options.budget:.3g} s"
    probes = {name: probed(options.figures[name]) for name in options.regimes.models}
    most = {
        name: options.epochs[options.regimes.model == place].max(initial=0)
        for place, name in enumerate(options.regimes.models)
    }
    rivals = [name for name, probe in probes.items() if probe is not None and most[name] >= ENOUGH_EPOCHS]
    if len(rivals) > 1 and model in rivals and probes[model] == max(probes[name] for name in rivals):
        return (
            f"{model} separates the classes best ({100 * probes[model]:.0f} % as it is) among networks that get at least "
            f"{ENOUGH_EPOCHS} epochs in {budget}"
        )
    if not options.learned:
        if probes[model] is None:
            return f"{model} gets {options.epochs[row]:.3g} epochs in {budget}; the networks were not tried on the data"
        return f"{model} separates the classes by {100 * probes[model]:.0f} % as it is, and gets {options.epochs[row]:.3g} epochs in {budget}"
    said = "" if probes[model] is None else f"separates the classes by {100 * probes[model]:.0f} % as it is, "
    others = np.where(options.regimes.model == options.regimes.model[row], -np.inf, options.score)
    line = f"{model} {said}gets {options.epochs[row]:.3g} epochs in {budget}"
    if len(options.regimes.models) > 1 and np.isfinite(others.max()):
        other = int(others.argmax())
        line += f"; {100 * options.mean[row]:.1f} % are expected of it, of {options.model(other)} {100 * options.mean[other]:.1f} %"
    return line


def _on_experience(options: Options) -> str:
    seen = options.familiarity
    runs = f"{seen.runs} run" + ("" if seen.runs == 1 else "s")
    if not seen.enough:
        return f"few records ({runs}): defaults"
    if not options.learned:
        return f"no records of such networks among {runs}: defaults"
    if not seen.known_data:
        return f"no records of such data among {runs}: only learning rates that are sound everywhere, and a range down to a linear head's"
    return (
        f"{seen.similar} of {runs} were on similar data"
        if seen.similar
        else f"{runs}, on data that is somewhat different"
    )


def _on_freezing(options: Options, row: int) -> str:
    regimes, frozen = options.regimes, options.regimes.frozen_stages[row]
    if not frozen:
        return ""
    stages = stages_of(options.model(row), options.figures[options.model(row)])
    same = (
        (regimes.model == regimes.model[row])
        & (regimes.frozen_stages == 0)
        & (regimes.batch_size == regimes.batch_size[row])
        & (regimes.input_size == regimes.input_size[row])
    )
    what = "only the head is trained" if frozen >= stages else f"{frozen} of {stages} stages frozen"
    whole = options.epochs[same].max(initial=0)
    return (
        f"{what}: {options.epochs[row]:.3g} epochs instead of {whole:.3g}"
        if whole
        else f"{what}: no more fits"
    )
