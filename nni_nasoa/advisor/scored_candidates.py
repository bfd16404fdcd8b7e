"""All candidates that fit, with what is expected of each, in the order of advice; see `advising`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .accuracy.familiarity import Familiarity
from .accuracy.features import features
from .accuracy.predictor import AccuracyPredictor
from .defaults import default_choice, is_sound, merit
from .distances import distances
from .fitting import FittingCandidates

CAUTION = 0.1  # a score falls by this share of the distance to the lower end of the accuracy's range
PROBE_MARGIN = 0.02  # two probes of some hundred images may differ by so much by chance
HABIT = 0.005  # accuracy that each step away from the defaults costs: see `distances`


@dataclass(frozen=True, eq=False)
class ScoredCandidates(FittingCandidates):
    """Candidates that fit, and what is expected of each.

    Parameters
    ----------
    mean, low, high
        Accuracies that are expected of the n candidates, and their ranges, arrays (n,).
    score
        By which they are compared, (n,); -inf for those that are not to be advised.
    familiarity
        What of the question was seen before.
    learned
        Whether the predictor is asked; else the advice follows the defaults.
    defaults
        The default choice of each model, a row; None where none of it fits.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    score: np.ndarray
    familiarity: Familiarity
    learned: bool
    defaults: tuple[int | None, ...]

    def order(self, top_k: int) -> list[int]:
        """Rows of the best and its alternatives: each differs from all before in network or frozen stages."""
        if self.learned:
            return self._diverse()[:top_k]
        rows = [row for row in self.defaults if row is not None]
        rows.sort(key=lambda row: merit(float(self.epochs[row]), self.figures[self.model(row)]), reverse=True)
        return rows[:top_k]

    def _diverse(self) -> list[int]:
        groups = self.regimes.model * 1000 + self.regimes.frozen_stages
        best = np.lexsort((-self.score, groups))
        first = np.unique(groups[best], return_index=True)[1]
        rows = best[first]
        rows = rows[np.isfinite(self.score[rows])]
        return rows[np.argsort(-self.score[rows], kind="stable")].tolist()


def scored(fitting: FittingCandidates, predictor: AccuracyPredictor) -> ScoredCandidates:
    """Score candidates by what a predictor expects of them."""
    regimes, profile = fitting.regimes, fitting.profile.flat()
    x = features(profile, fitting.figures, regimes, fitting.epochs, fitting.budget)
    mean, low, high = predictor.predict(x)
    familiarity = Familiarity.of(predictor, x, regimes)
    defaults = tuple(
        default_choice(
            regimes,
            place,
            fitting.epochs,
            fitting.figures[name],
            profile,
            pretrained=name in fitting.pretrained,
        )
        for place, name in enumerate(regimes.models)
    )
    usual = regimes.take([row for row in defaults if row is not None])
    score = mean - CAUTION * (mean - low) - HABIT * distances(regimes, usual)
    allowed, unknown = _allowed(fitting, familiarity)
    notes = fitting.notes
    if allowed is not None:
        score = np.where(allowed, score, -np.inf)
        if unknown:
            names = ", ".join(unknown)
            line = f"nothing is known yet of runs of {names}: left out; '--zoo NAME' asks for one alone"
            notes = (*notes, line)
    return ScoredCandidates(
        **{**vars(fitting), "notes": notes},
        mean=mean,
        low=low,
        high=high,
        score=score,
        familiarity=familiarity,
        learned=allowed is not None,
        defaults=defaults,
    )


def _allowed(fitting: FittingCandidates, familiarity: Familiarity) -> tuple[np.ndarray | None, list[str]]:
    """Which candidates the predictor may choose from, (n,), and the models of which it knows nothing.

    None where it may not choose at all: it has learned too little, or from no such networks, or one that it
    knows nothing of separates the classes better as it is than those that it knows.
    """
    regimes = fitting.regimes
    known = [
        name in fitting.pretrained and familiarity.models[place] for place, name in enumerate(regimes.models)
    ]
    if not familiarity.enough or not any(known) or _stranger_is_better(fitting, known):
        return None, []
    allowed = np.array(known)[regimes.model]
    if not familiarity.known_data:
        allowed &= is_sound(regimes, fitting.figures)
    there = set(np.unique(regimes.model).tolist())
    unknown = [name for place, name in enumerate(regimes.models) if not known[place] and place in there]
    return allowed, unknown


def _stranger_is_better(fitting: FittingCandidates, known: Sequence[bool]) -> bool:
    """Whether a pretrained network that the predictor does not know has the best probe, by a margin."""
    best = dict.fromkeys((True, False), 0.0)
    for place in np.unique(fitting.regimes.model):
        name = fitting.regimes.models[place]
        if name in fitting.pretrained:
            best[known[place]] = max(best[known[place]], fitting.figures[name].probed or 0.0)
    return best[False] > best[True] + PROBE_MARGIN
