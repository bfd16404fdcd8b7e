"""The speed of candidates that are not trained yet, on the machine on which the trials run.

It is measured as a trial does it, in a process of its own: `python -m nni_nasoa.plugin.speed_meter` reads the
settings of the trials and then encodings, a line each, and answers each encoding with a line of JSON. It ends
when its stdin does.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_nasoa.architecture import Architecture
from nni_nasoa.search.operators import ArchitectureOperators

from .class_args import ClassArgsError
from .search_trial import SearchTrialSettings, known_before
from .trial_command import trial_settings

if TYPE_CHECKING:
    from .search_space_codec import Vocabulary

_ARGUMENT = "measure_speed"
_PLACE = f"classArgs: {_ARGUMENT}"
LONGEST_SECONDS = 120.0  # for a candidate; the first one waits for PyTorch, too

_logger = logging.getLogger(__name__)


class SpeedMeter:
    """Times candidates as the trials of a search do, before any of them is trained.

    Called with an architecture, it gives what a trial would report of it but for the accuracy; nothing where
    it cannot be timed. Where the process dies, or hangs, candidates are not measured from then on.

    Parameters
    ----------
    settings
        Of the trials.
    folder
        Where they run: relative paths start there.

    Attributes
    ----------
    count, seconds
        How many candidates were timed, and what that has taken in all.
    failure
        Why none is timed any more, a line; empty before.
    """

    def __init__(self, settings: SearchTrialSettings, folder: str | os.PathLike[str] = ".") -> None:
        self._settings, self._folder = settings, Path(folder)
        self._process: subprocess.Popen[str] | None = None
        self.count, self.seconds, self.failure = 0, 0.0, ""

    def __call__(self, architecture: Architecture) -> Mapping[str, float]:
        """Metrics by name, as far as they are known before the training."""
        if self.failure:
            return {}
        begin = time.monotonic()
        try:
            answer = self._ask(str(architecture))
        except OSError as error:
            answer = None
            _logger.warning("%s", error)
        self.seconds += time.monotonic() - begin
        if answer is None:
            self.failure = "candidates are not timed any more, as the process that does it has died or hung"
            _logger.warning("%s", self.failure)
            self.end()
            return {}
        self.count += bool(answer)
        return answer

    def __str__(self) -> str:
        """What was timed so far and what it took, or why nothing is any more."""
        return self.failure or f"{self.count} timed beforehand in {self.seconds:.0f} s"

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            with suppress(OSError):  # what it did not read is lost
                self._process.communicate()
            self._process = None

    def _ask(self, encoding: str) -> dict[str, float] | None:
        """The answer to a line; None where none comes."""
        process = self._process = self._process or self._started()
        assert process.stdin is not None and process.stdout is not None
        hanging = threading.Timer(LONGEST_SECONDS, process.kill)
        hanging.start()
        try:
            process.stdin.write(encoding + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        finally:
            hanging.cancel()
        return json.loads(line) if line.endswith("\n") else None

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "nni_nasoa.plugin.speed_meter"],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(dataclasses.asdict(self._settings)) + "\n")
        return process


def meter_of(vocabulary: Vocabulary, config: Mapping[str, Any]) -> SpeedMeter:
    """The meter for what an experiment searches, by its config as NNI keeps that.

    Raises
    ------
    ClassArgsError
        It does not search architectures, its trials run on other machines, or are not those of a search of
        ours.
    """
    if not isinstance(vocabulary.operators, ArchitectureOperators):
        raise ClassArgsError(f"{_PLACE}: only architectures are timed, and the search space is not of these")
    service = config.get("trainingService")
    if not isinstance(service, Mapping) or service.get("platform") != "local":
        raise ClassArgsError(
            f"{_PLACE}: candidates are timed on this machine, so trainingService has to be local"
        )
    return SpeedMeter(trial_settings(config, _ARGUMENT), config.get("trialCodeDirectory") or ".")


def main() -> None:
    """Answer one line after the other, until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print does not get between the answers
    settings = SearchTrialSettings(**json.loads(sys.stdin.readline()))
    classes = settings.proxy.open(settings.input_size).num_classes
    for line in sys.stdin:
        try:
            found = known_before(Architecture.parse(line.strip()), settings, classes)
        except (ValueError, RuntimeError) as error:  # that it does not fit, its trial will say
            _logger.warning("%s: %s", line.strip(), error)
            found = {}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
