"""What the advisor knows of a dataset: its profile, what probes and landmarks have found in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nni_nasoa.advisor.accuracy.features import log_odds
from nni_nasoa.advisor.accuracy.probe_estimate import head_figures
from nni_nasoa.advisor.models import ModelFigures
from nni_nasoa.data.profile import DatasetProfile, ProfileError
from nni_nasoa.training.regime import MAX_STAGES
from nni_nasoa.values import MAX_NUMBER, SHARE, number, or_none, whole

from .plan import LANDMARKS, PROBE_MODEL, other_sizes
from .probing import ACCURACIES, IMAGES

VERSION = 5  # profiles of another version are found out anew: they hold other values, or were made otherwise
_FIELDS = {"version", "dataset", "probes", "landmarks", "looked_for"}
_PROBE = {
    **dict.fromkeys(
        ("nearest_mean", "nearest_neighbour", "linear", "linear_few", "distance"), or_none(SHARE)
    ),
    "log_me": or_none(number(-MAX_NUMBER, MAX_NUMBER, "a number")),
    "images": whole(0, IMAGES),
    "stages": whole(1, MAX_STAGES),
}


@dataclass(frozen=True)
class TaskProfile:
    """A dataset's profile, and what probes and landmarks have found in it.

    Parameters
    ----------
    dataset
        The profile.
    probes
        By model, what `probing.probe` gives; by "model@pixels" on images of another size than the model's
        own.
    landmarks
        What `landmarks.landmark` gives, by its name in `LANDMARKS`.
    looked_for
        By model, in how many seconds all that could be found of it was looked for; what is not there then
        took longer.
    """

    dataset: DatasetProfile
    probes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    landmarks: Mapping[str, float | None] = field(default_factory=dict)
    looked_for: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "version": VERSION,
            "dataset": self.dataset.to_json(),
            "probes": {model: dict(found) for model, found in self.probes.items()},
            "landmarks": dict(self.landmarks),
            "looked_for": dict(self.looked_for),
        }

    @classmethod
    def from_json(cls, data: Any) -> TaskProfile:
        """The inverse of `to_json`.

        Raises
        ------
        ValueError
            It is not what `to_json` gives, or of another version. The message is one line.
        """
        if not isinstance(data, Mapping) or set(data) != _FIELDS or data["version"] != VERSION:
            raise ProfileError(f"profile: not that of a task, version {VERSION}")
        for part in ("probes", "landmarks", "looked_for"):
            if not isinstance(data[part], Mapping):
                raise ProfileError(f"profile: {part} is not an object")
        for model, found in data["probes"].items():
            if not isinstance(model, str) or not isinstance(found, Mapping) or set(found) != set(_PROBE):
                raise ProfileError(f"profile: a probe is not an object of {', '.join(_PROBE)}")
        probes = {
            model: {
                name: rule(f"profile: the probe of {model}, {name}", found[name], ProfileError)
                for name, rule in _PROBE.items()
            }
            for model, found in data["probes"].items()
        }
        landmarks = {
            str(name): or_none(SHARE)(f"profile: {name}", found, ProfileError)
            for name, found in data["landmarks"].items()
        }
        looked_for = {
            str(name): number(0, MAX_NUMBER, "seconds")(f"profile: looked_for {name}", found, ProfileError)
            for name, found in data["looked_for"].items()
        }
        return cls(DatasetProfile.from_json(data["dataset"]), probes, landmarks, looked_for)

    def with_more(
        self, probes: Mapping[str, Mapping[str, Any]], landmarks: Mapping[str, float | None]
    ) -> TaskProfile:
        """With these, too, in place of those of the same names."""
        return replace(self, probes={**self.probes, **probes}, landmarks={**self.landmarks, **landmarks})

    def flat(self) -> dict[str, Any]:
        """All that does not depend on the model to be trained, as scalars; what `RunRecord.profile` holds."""
        found = self.probes.get(PROBE_MODEL, {})
        sized = {
            f"separability_{end}": self._linear(PROBE_MODEL, size)
            for end, size in zip(("small", "large"), other_sizes(PROBE_MODEL))
        }
        return (
            self.dataset.to_json()
            | {f"separability_{name}": found.get(name) for name in ACCURACIES}
            | sized
            | {"distance": found.get("distance")}
            | {name: self.landmarks.get(name) for name in LANDMARKS}
        )

    def model_figures(self, model: str) -> ModelFigures:
        """What is known of a model, on this dataset too: with its stages, and what its probes have found."""
        of_zoo, found = ModelFigures.of_zoo(model), self.probes.get(model, {})
        seen = {
            **{f"probe_{name}": found.get(name) for name in ACCURACIES},
            "stages": self._stages(model) or of_zoo.counted_stages,
            "probe_linear": self._linear_as_of_all(model),
            "probe_large": self._linear(model, other_sizes(model)[1]),
            **head_figures(self.probes, of_zoo, self.dataset.train_images or 1),
        }
        return ModelFigures(model, {**of_zoo.known, **seen})

    def _stages(self, model: str) -> int | None:
        """How many stages a probe of the model has counted, on images of any size."""
        of_model = (found for name, found in self.probes.items() if name.partition("@")[0] == model)
        return next((found["stages"] for found in of_model if found.get("stages")), None)

    def _linear_as_of_all(self, model: str) -> float | None:
        """How well a linear head does, as of a probe of as many images as `PROBE_MODEL` has seen.

        One of fewer images has fewer to learn from, so its accuracy is lower. What the two networks differ by
        on the first images, which both have seen, does not depend on that.
        """
        found, first = (self.probes.get(name, {}) for name in (model, PROBE_MODEL))
        needed = first.get("linear"), first.get("linear_few"), found.get("linear_few")
        known = [share for share in needed if share is not None]
        if found.get("images") == first.get("images") or len(known) < len(needed):
            return found.get("linear")
        whole, few, own = map(log_odds, known)
        return 1 / (1 + math.exp(few - own - whole))

    def _linear(self, model: str, size: int | None) -> float | None:
        """How well a linear head does on images of another size."""
        return self.probes.get(f"{model}@{size}", {}).get("linear")
