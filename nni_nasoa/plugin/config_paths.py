"""Where the relative paths of an experiment's config start, and on whose machine they are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nni_nasoa.data import Dataset


@dataclass(frozen=True)
class ConfigPaths:
    """Paths of a config, as the tuner and the trials take them.

    NNI runs the tuner in the experiment's log folder, so its own working directory says nothing.

    Parameters
    ----------
    folder
        Where relative ones start: the tuner's codeDirectory.
    here
        Whether trials run on the tuner's machine. Elsewhere their paths are of that machine, and stay as
        they are.
    """

    folder: str
    here: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ConfigPaths:
        """Those of a config as NNI stores it."""
        tuner, service = config.get("tuner") or {}, config.get("trainingService") or {}
        return cls(
            tuner.get("codeDirectory") or config.get("trialCodeDirectory") or ".",
            # A list is a hybrid one.
            isinstance(service, dict) and service.get("platform", "local") == "local",
        )

    def absolute(self, path: str) -> str:
        """An absolute path on the tuner's machine."""
        return str((Path(self.folder) / Path(path).expanduser()).absolute())

    def of_trials(self, path: str | None) -> str | None:
        """A path that trials are given."""
        return self.absolute(path) if path and self.here else path

    def dataset(self, source: str, root: str | None) -> Dataset:
        """What a task is about, on the trials' machine.

        Made for each use: files may come and go in between.
        """
        from nni_nasoa.data import Dataset

        given = Dataset(source, root=root)
        return given.absolute(self.folder) if self.here else given
