"""The best of the scored candidates and its alternatives, with what is expected of them and why."""

from __future__ import annotations

from .advice import Choice
from .reasons import reasons
from .scored_candidates import ScoredCandidates


def choices(scored: ScoredCandidates, top_k: int) -> list[Choice]:
    """The best, and alternatives; see `ScoredCandidates.order`."""
    return [choice(scored, row) for row in scored.order(top_k)]


def choice(scored: ScoredCandidates, row: int) -> Choice:
    """A candidate as a choice."""
    model = scored.model(row)
    figures = scored.figures[model]
    accuracy, low, high = (float(values[row]) for values in (scored.mean, scored.low, scored.high))
    if not scored.learned and not scored.probed[row]:  # then it may be anything from guessing on
        accuracy, low, high = 0.5, 1 / max(2, scored.profile.dataset.classes or 2), 1.0
    return Choice(
        scored.regimes.regime(row),
        float(scored.epochs[row]),
        float(scored.seconds[row]),
        accuracy,
        low,
        high,
        figures.parameters_m(scored.profile.dataset.classes),
        figures.stages,
        "default" if model in scored.pretrained else None,
        tuple(reasons(scored, row)),
    )
