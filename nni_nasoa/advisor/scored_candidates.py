"""All candidates that fit, with what is expected of each, in the order of advice; see `advising`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .accuracy.familiarity import Familiarity
from .accuracy.features import features
from .accuracy.predictor import AccuracyPredictor
from .accuracy.probe_estimate import probe_estimates
from .defaults import default_choice, is_sound, merit
from .distances import distances
from .fitting import FittingCandidates

CAUTION = 0.1  # a score falls by this share of the distance to the lower end of the accuracy's range
HABIT = 0.005  # accuracy that each step away from the defaults costs: see `distances`
HASTE = 0.005  # accuracy that to take the whole budget costs: of what promises as much, the soonest is taken


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
        Whether candidates are compared by their scores; else the advice follows the defaults.
    probed
        Which are rated by probes alone, (n,): the predictor cannot know.
    defaults
        The default choice of each model, a row; None where none of it fits.
    """

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    score: np.ndarray
    familiarity: Familiarity
    learned: bool
    probed: np.ndarray
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
    """Score candidates by what a predictor expects of them, or, where it cannot know, probes."""
    regimes, profile = fitting.regimes, fitting.profile.flat()

    def features_of(rows: np.ndarray) -> np.ndarray:
        return features(profile, fitting.figures, regimes.take(rows), fitting.epochs[rows], fitting.budget)

    there, firsts = np.unique(regimes.model, return_index=True)
    familiarity = Familiarity.of(predictor, features_of(firsts), [regimes.models[place] for place in there])
    familiar = fitting.pretrained & familiarity.models
    known = np.array([name in familiar for name in regimes.models], dtype=bool)
    trusted = known[regimes.model] & familiarity.enough & familiarity.known_data
    expected = _by_probes(fitting)
    probed = ~trusted & np.isfinite(expected[0])
    asked = np.flatnonzero(~probed)
    if len(asked):
        expected[:, asked] = predictor.predict(features_of(asked))
    mean, low, high = expected
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
    haste = HASTE * np.nan_to_num(fitting.seconds) / fitting.budget
    score = mean - CAUTION * (mean - low) - HABIT * distances(regimes, usual) - haste
    # Where the predictor knows something, nothing is taken that neither it nor a probe knows.
    guessed = np.array([not _looked(fitting, name) for name in regimes.models], dtype=bool)[regimes.model]
    allowed = trusted | (probed & is_sound(regimes, fitting.figures) & ~(guessed & trusted.any()))
    learned = familiarity.enough and bool(allowed.any())
    notes = fitting.notes
    if learned:
        score = np.where(allowed, score, -np.inf)
        rated = {place for place in there if allowed[regimes.model == place].any()}
        if unknown := [regimes.models[place] for place in there if place not in rated]:
            line = (
                f"nothing is known yet of {', '.join(unknown)} on such data, neither by runs nor by a probe: "
                "left out; '--zoo NAME' asks for one alone"
            )
            notes = (*notes, line)
    return ScoredCandidates(
        **{**vars(fitting), "notes": notes},
        mean=mean,
        low=low,
        high=high,
        score=score,
        familiarity=familiarity,
        learned=learned,
        probed=probed,
        defaults=defaults,
    )


def _looked(fitting: FittingCandidates, model: str) -> bool:
    """Whether a model was probed, on images of any size."""
    return any(name.partition("@")[0] == model for name in fitting.profile.probes)


def _by_probes(fitting: FittingCandidates) -> np.ndarray:
    """What probes let expect of the candidates, (3, n): mean, low, high.

    NaN of models without pretrained weights.
    """
    regimes = fitting.regimes
    found = np.full((3, len(regimes)), np.nan)
    for place, name in enumerate(regimes.models):
        mine, figures = regimes.model == place, fitting.figures[name]
        if name in fitting.pretrained:
            found[:, mine] = probe_estimates(
                fitting.profile.probes,
                figures,
                regimes.input_size[mine],
                fitting.images[mine],
                fitting.epochs[mine],
                1 - np.minimum(regimes.frozen_stages[mine] / figures.stages, 1),
            )
    return found
