"""The trial of an architecture search: train one candidate on a proxy dataset, time it, report one result.

NNI runs it as `python -m nni_nasoa.plugin.search_trial --dataset digits ...`. The speed is measured first, so
that the score after each epoch and that of the final result (see `evaluate`) are of one kind. A candidate
that cannot be trained fails with one line on stderr and exit code 1, and the search goes on. With
`--architecture` it runs without NNI and prints the record.

A trial is a process, so this one imports little: torch, nni where there is an NNI, and neither torchvision
nor nni.nas.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.data.split_defaults import MAX_BAD
from nni_nasoa.search.choices import EPOCHS, decode
from nni_nasoa.search.reward import DEFAULT_WEIGHT, score
from nni_nasoa.values import whole

from .kept_results import KeptResults
from .result_context import CONTEXT, context_of, without_context
from .trial import TrialError, first_line, manager_needed, report_on_the_way, under_nni
from .warm_start import run_warm

if TYPE_CHECKING:
    import torch

    from nni_nasoa.data import Dataset
    from nni_nasoa.networks import ETNet


@dataclass(frozen=True)
class SearchTrialSettings:
    """How candidates are compared; the options of the command of the same names describe each."""

    dataset: str = "digits"
    root: str | None = None
    max_bad: float = MAX_BAD
    epochs: int = 2
    batch_size: int = 64
    learning_rate: float = 0.1
    input_size: int = 32
    speed_input_size: int | None = None
    speed_batch_size: int | None = None
    speed_repeats: int = 15
    threads: int = 1
    device: str = "auto"
    target_speed: float = 1.0
    speed_weight: float = DEFAULT_WEIGHT
    seed: int = 0

    @property
    def proxy(self) -> Dataset:
        """What candidates are trained on."""
        from nni_nasoa.data import Dataset

        return Dataset(self.dataset, root=self.root, max_bad=self.max_bad)

    def score(self, accuracy: float, relative_speed: float) -> float:
        """What NNI ranks by."""
        return score(accuracy, relative_speed, self.target_speed, self.speed_weight)

    @property
    def speed_shape(self) -> tuple[int, int]:
        """Input size and batch size at which networks are timed."""
        return self.speed_input_size or self.input_size, self.speed_batch_size or self.batch_size


def evaluate(
    architecture: Architecture,
    settings: SearchTrialSettings,
    on_epoch: Callable[[int, dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Time and train one candidate.

    Parameters
    ----------
    architecture, settings
        What to evaluate, and how.
    on_epoch
        Called after each epoch with its number, from 1, and the result record so far.

    Returns
    -------
    The result record: `default` (the score), `accuracy` (0 to 1), `relative_speed` (training throughput over
    the reference network's), `throughput` (images/s), `step_time_ms`, `reference_step_time_ms`, `params_m`,
    `gmacs` (at the speed's input size), and what it belongs to: `architecture`, `device`, `dataset`,
    `input_size`, `batch_size`, `epochs`, `speed_input_size`, `speed_batch_size`.

    Raises
    ------
    DatasetError, ProxyError, RuntimeError
        The candidate cannot be evaluated.
    ValueError
        There is no such device.
    """
    from nni_nasoa.device.device import device_name
    from nni_nasoa.training.proxy import train_proxy

    device = _prepared_device(architecture, settings)
    split = settings.proxy.open(settings.input_size)
    network = _network(architecture, settings, split.num_classes)
    known = _timed(network, settings, device)

    def record(accuracy: float) -> dict[str, Any]:
        return {
            "default": settings.score(accuracy, known["relative_speed"]),
            "accuracy": accuracy,
            **known,
            "device": device_name(device),
            **identity(architecture, settings),
        }

    accuracy = train_proxy(
        network,
        split,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        device=device,
        seed=settings.seed,
        on_epoch=None if on_epoch is None else lambda epoch, accuracy: on_epoch(epoch, record(accuracy)),
    )
    return record(accuracy)


def known_before(
    architecture: Architecture, settings: SearchTrialSettings, num_classes: int
) -> dict[str, float]:
    """What a result record says of speed and size: it needs no training.

    Raises
    ------
    ProxyError, RuntimeError, ValueError
        As in `evaluate`.
    """
    device = _prepared_device(architecture, settings)
    return _timed(_network(architecture, settings, num_classes), settings, device)


def _prepared_device(architecture: Architecture, settings: SearchTrialSettings) -> torch.device:
    """The device, made ready, for a candidate that the inputs are large enough for."""
    import torch

    from nni_nasoa.device.allocation import keep_freed_memory
    from nni_nasoa.device.device import resolve_device
    from nni_nasoa.training.proxy import check_input_size

    keep_freed_memory()
    device = resolve_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    check_input_size(architecture, settings.input_size)
    check_input_size(architecture, settings.speed_shape[0], "speed input size")
    return device


def _network(architecture: Architecture, settings: SearchTrialSettings, num_classes: int) -> ETNet:
    import torch

    from nni_nasoa.networks import ETNet

    torch.manual_seed(settings.seed)
    return ETNet(architecture, num_classes)


def _timed(network: ETNet, settings: SearchTrialSettings, device: torch.device) -> dict[str, float]:
    from nni_nasoa.device.precision import mixed_precision
    from nni_nasoa.training.speed import relative_speed

    size, batch = settings.speed_shape
    speed = relative_speed(
        network, size, batch, device, autocast=mixed_precision(device), repeats=settings.speed_repeats
    )
    architecture, classes = network.architecture, network.num_classes
    return {
        "relative_speed": speed.relative_speed,
        "throughput": speed.throughput,
        "step_time_ms": speed.step_time_ms,
        "reference_step_time_ms": speed.reference_step_time_ms,
        "params_m": architecture.parameters(classes) / 1e6,
        "gmacs": architecture.macs(size, classes) / 1e9,
    }


def identity(architecture: Architecture, settings: SearchTrialSettings) -> dict[str, Any]:
    """The part of a result record that says what it belongs to, known before the evaluation."""
    speed_size, speed_batch = settings.speed_shape
    return {
        "architecture": str(architecture),
        "dataset": settings.proxy.name,
        "input_size": settings.input_size,
        "batch_size": settings.batch_size,
        "epochs": settings.epochs,
        "speed_input_size": speed_size,
        "speed_batch_size": speed_batch,
    }


def report(record: Mapping[str, Any], besides: Sequence[str] = ()) -> None:
    """Report a result record of `evaluate` as NNI's final result.

    What it belongs to is told beside an intermediate result: see `result_context`.

    Parameters
    ----------
    besides
        Names of what it belongs to that differs between results, so that the final one has it, too.
    """
    import nni

    with manager_needed():
        nni.report_intermediate_result(_on_the_way(record))
        nni.report_final_result(without_context(record) | {name: record[name] for name in besides})


def _on_the_way(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record that is reported before the end, with all that it belongs to as one value."""
    return {name: record[name] for name in ("default", "accuracy", "relative_speed")} | {
        CONTEXT: context_of(record)
    }


def _run_under_nni(settings: SearchTrialSettings) -> None:
    import nni

    with manager_needed():
        parameters = nni.get_next_parameter() or {}
        architecture = decode(parameters)
    told = parameters.get(EPOCHS)  # by a search that tries candidates briefly first
    if told is not None:
        settings = dataclasses.replace(settings, epochs=whole(1)(EPOCHS, told, TrialError))

    def report_progress(epoch: int, record: dict[str, Any]) -> None:
        if epoch < settings.epochs:  # the last one is told with the result
            report_on_the_way(_on_the_way(record), "search_trial", f" after epoch {epoch}")

    kept = KeptResults.of_experiment()
    with kept.claimed(str(architecture)):
        record = kept.find(identity(architecture, settings))
        if record is None:
            record = _evaluate(architecture, settings, report_progress)
            kept.keep(record)
    # One that an earlier release kept has another scale.
    record |= {"default": settings.score(record["accuracy"], record["relative_speed"])}
    report(record, () if told is None else (EPOCHS,))


def _run_alone(architecture: Architecture, settings: SearchTrialSettings) -> None:
    record = _evaluate(
        architecture,
        settings,
        lambda epoch, record: click.echo(
            f"epoch {epoch}/{settings.epochs}: accuracy {record['accuracy']:.4f}", err=True
        ),
    )
    click.echo(json.dumps(record, indent=2))


def _evaluate(
    architecture: Architecture, settings: SearchTrialSettings, on_epoch: Callable[[int, dict[str, Any]], None]
) -> dict[str, Any]:
    """`evaluate`, with whatever goes wrong as a TrialError that names the architecture."""
    from nni_nasoa.device.out_of_memory import is_out_of_memory

    try:
        return evaluate(architecture, settings, on_epoch)
    except (ValueError, RuntimeError, MemoryError, OSError) as error:
        reason = first_line(error)
        if isinstance(error, MemoryError) or is_out_of_memory(error):
            reason = (
                f"out of memory: {architecture.parameters() / 1e6:.1f}M parameters, trained at batch size "
                f"{settings.batch_size}, timed at input size {settings.speed_shape[0]} and batch size "
                f"{settings.speed_shape[1]}"
            )
        raise TrialError(f"{architecture}: {reason}") from error


@click.command(context_settings={"show_default": True})
@click.option(
    "--dataset",
    default=SearchTrialSettings.dataset,
    help="digits, a torchvision dataset's name, a folder of images, or a file that lists them.",
)
@click.option(
    "--root",
    default=None,
    help="Where torchvision's datasets lie, or paths in a list begin.  [default: in the cache]",
    show_default=False,
)
@click.option(
    "--max-bad",
    type=click.FloatRange(0, 1),
    default=SearchTrialSettings.max_bad,
    help="Share of the images that may be unreadable.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=SearchTrialSettings.epochs,
    help="Passes over the training part.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(2),
    default=SearchTrialSettings.batch_size,
    help="Images a training step.",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    default=SearchTrialSettings.learning_rate,
    help="Peak learning rate.",
)
@click.option(
    "--input-size",
    type=click.IntRange(1),
    default=SearchTrialSettings.input_size,
    help="Pixels in the proxy training.",
)
@click.option(
    "--speed-input-size",
    type=click.IntRange(1),
    help="Pixels when timed.  [default: as trained]",
    show_default=False,
)
@click.option(
    "--speed-batch-size",
    type=click.IntRange(2),
    help="Batch size when timed.  [default: as trained]",
    show_default=False,
)
@click.option(
    "--speed-repeats",
    type=click.IntRange(1),
    default=SearchTrialSettings.speed_repeats,
    help="Samples behind the measured speed.",
)
@click.option(
    "--threads",
    type=click.IntRange(0, 256),
    default=SearchTrialSettings.threads,
    help="CPU threads; 0 leaves them to torch.",
)
@click.option("--device", default=SearchTrialSettings.device, help="auto, cpu, cuda, cuda:1, ...")
@click.option(
    "--target-speed",
    type=click.FloatRange(0, min_open=True),
    default=SearchTrialSettings.target_speed,
    help="Relative speed at which the score is 10000 times the accuracy.",
)
@click.option(
    "--speed-weight",
    type=click.FloatRange(0),
    default=SearchTrialSettings.speed_weight,
    help="Exponent of the speed in the score.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=SearchTrialSettings.seed,
    help="Of initial weights, order and augmentation.",
)
@click.option("--architecture", help="Evaluate this encoding without NNI, and print the result.")
@click.option("--debug", is_flag=True, help="Show where a failure comes from.")
def main(architecture: str | None, debug: bool, **options: Any) -> None:
    """Train one candidate of a search on a proxy dataset, time it, and report the result to NNI."""
    settings = SearchTrialSettings(**options)
    try:
        if architecture is not None:
            _run_alone(Architecture.parse(architecture), settings)
        elif under_nni():
            _run_under_nni(settings)
        else:
            raise TrialError("no NNI experiment here; give --architecture to evaluate one without NNI")
    except (TrialError, ArchitectureError) as error:
        if debug:
            raise
        click.echo(f"search_trial: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    if (status := run_warm("nni_nasoa.plugin.search_trial")) is not None:
        sys.exit(status)
    main()
