"""Why a regime is advised, in lines for people."""

from __future__ import annotations

import numpy as np

from .accuracy.probe_estimate import kind_was_probed
from .defaults import ENOUGH_EPOCHS
from .scored_candidates import ScoredCandidates


def reasons(scored: ScoredCandidates, row: int) -> list[str]:
    """Lines on why a candidate is a choice."""
    lines = _on_the_model(scored, row), _on_experience(scored, row), _on_freezing(scored, row)
    return [line for line in lines if line]


def _on_the_model(scored: ScoredCandidates, row: int) -> str:
    model, budget = scored.model(row), f"{scored.budget:.3g} s"
    probes = {
        name: probe for name in scored.regimes.models if (probe := scored.figures[name].probed) is not None
    }
    most = {
        name: scored.epochs[scored.regimes.model == place].max(initial=0)
        for place, name in enumerate(scored.regimes.models)
    }
    rivals = [name for name in probes if most[name] >= ENOUGH_EPOCHS]
    if len(rivals) > 1 and model in rivals and probes[model] == max(probes[name] for name in rivals):
        return (
            f"{model} separates the classes best ({100 * probes[model]:.0f} % as it is) among networks "
            f"that get at least {ENOUGH_EPOCHS} epochs in {budget}"
        )
    if _head_only(scored, row):
        gets = f"sees {_seen(float(scored.epochs[row]))} in {budget}"
    else:
        gets = f"gets {scored.epochs[row]:.3g} epochs in {budget}"
    separates = f"separates the classes by {100 * probes[model]:.0f} % as it is, " if model in probes else ""
    if not scored.learned:
        if not separates:
            return f"{model} {gets}; the networks were not tried on the data"
        return f"{model} {separates}and {gets}"
    others = np.where(scored.regimes.model == scored.regimes.model[row], -np.inf, scored.score)
    line = f"{model} {separates}{gets}"
    if len(scored.regimes.models) > 1 and np.isfinite(others.max()):
        other = int(others.argmax())
        own, best = (f"{100 * scored.mean[place]:.1f} %" for place in (row, other))
        line += f"; {own} are expected of it, of {scored.model(other)} {best}"
    return line


def _head_only(scored: ScoredCandidates, row: int) -> bool:
    return bool(scored.regimes.frozen_stages[row] >= scored.figures[scored.model(row)].stages)


def _seen(views: float) -> str:
    """Of which images features are computed, in words."""
    if views < 0.995:
        return f"{100 * views:.0f} % of the images"
    return "all images" if views < 1.5 else "all images and their mirror images"


def _on_experience(scored: ScoredCandidates, row: int) -> str:
    seen = scored.familiarity
    runs = f"{seen.runs} run" + ("" if seen.runs == 1 else "s")
    if not seen.enough:
        return f"few records ({runs}): defaults"
    if scored.probed[row]:
        what = "networks" if seen.known_data else "data"
        looked = kind_was_probed(scored.profile.probes, scored.figures[scored.model(row)])
        return f"no records of such {what} among {runs}" + (
            ": expected by what a head learns from your images"
            if looked
            else ", and no time to look at your images: expected is what such networks typically reach"
        )
    if not scored.learned:
        return f"no records of such networks among {runs}: defaults"
    if not seen.similar:
        return f"{runs}, on data that is somewhat different"
    return f"{seen.similar} of {runs} were on similar data"


def _on_freezing(scored: ScoredCandidates, row: int) -> str:
    regimes, frozen = scored.regimes, scored.regimes.frozen_stages[row]
    if not frozen:
        return ""
    stages = scored.figures[scored.model(row)].stages
    same = (
        (regimes.model == regimes.model[row])
        & (regimes.frozen_stages == 0)
        & (regimes.batch_size == regimes.batch_size[row])
        & (regimes.input_size == regimes.input_size[row])
    )
    whole = scored.epochs[same].max(initial=0)
    if _head_only(scored, row):
        rest = f"trained as a whole it gets {whole:.3g} epochs" if whole else "no more fits"
        return f"only a head is fitted to what it sees: {rest}"
    what = f"{frozen} of {stages} stages frozen"
    if not whole:
        return f"{what}: no more fits"
    return f"{what}: {scored.epochs[row]:.3g} epochs instead of {whole:.3g}"
