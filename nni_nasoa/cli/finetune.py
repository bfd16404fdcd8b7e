"""`nasoa finetune`: a classifier that is ready before the minutes are over."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nni_nasoa.data.split_defaults import MAX_BAD
from nni_nasoa.files import check_can_be_written
from nni_nasoa.values import MINUTES

from .options import (
    AUGMENTATION,
    BALANCED,
    COLUMNS,
    DATASET,
    GEOMETRY,
    GROUP_BY,
    LOG_TO,
    REPORT,
    ROOT,
    STORE,
    TEST,
    VALIDATION,
    columns,
)
from .run_end import check_test_part, exit_seconds, tell_run, test_seconds
from .terminal import clear_errors, closed_at_the_end

if TYPE_CHECKING:
    from nni_nasoa.advisor.recording import Recorder
    from nni_nasoa.data import Dataset

OUTPUT = "nasoa-classifier"
# The store may take this share of the budget to answer, and so many seconds at least and at most.
STORE_SHARE, LEAST_STORE_SECONDS, MOST_STORE_SECONDS = 0.05, 1.0, 30.0


@click.command()
@DATASET
@click.option("--model", help="A model of the zoo, a network of a front file (front.json#1), or an encoding.")
@click.option(
    "--minutes",
    required=True,
    type=float,
    help="The budget, from the start of this command to the saved classifier.",
)
@click.option(
    "--resume",
    "resumed_folder",
    metavar="CLASSIFIER",
    type=click.Path(file_okay=False, path_type=Path),
    help="A classifier's folder to go on from, with its model and settings; the dataset may have new "
    "images and new classes.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the classifier; one that is there is replaced. "
    "[default: that of --resume, else nasoa-classifier]",
)
@click.option(
    "--regime",
    "regime_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A .json or .yml file of settings; options go before it.",
)
@click.option("--learning-rate", type=float, help="At its peak, for a whole batch.")
@click.option("--weight-decay", type=float)
@click.option(
    "--frozen-stages", type=int, help="0 trains everything, the number of stages or more only the head."
)
@click.option("--batch-size", type=int)
@click.option("--input-size", type=int, help="In pixels; by default what the model was pretrained at.")
@AUGMENTATION
@GEOMETRY
@click.option("--mixup", type=float, help="Alpha; 0 mixes nothing.")
@click.option("--cutmix", type=float, help="Alpha; 0 mixes nothing. With all stages trained.")
@click.option("--erasing", type=float, help="Probability that a part of an image is erased.")
@click.option("--label-smoothing", type=float)
@click.option("--optimizer", type=click.Choice(["sgd", "adamw"]))
@click.option("--layer-decay", type=float, help="Learning rate of a stage by that of the one behind it.")
@click.option("--clip-grad", type=float, help="Norm that gradients have at most; 0 leaves them.")
@click.option(
    "--weight-averaging",
    type=float,
    help="Average the weights over about this share of the steps, the latest.",
)
@click.option("--head", type=click.Choice(["stages", "last"]), help="What the head sees: all stages, or one.")
@BALANCED
@click.option(
    "--logit-adjustment",
    type=float,
    help="How far the loss makes up for uneven classes: 0 not at all, 1 (as --balanced) wholly.",
)
@click.option(
    "--select-by",
    type=click.Choice(["accuracy", "balanced"]),
    help="Accuracy that the best state is chosen by.",
)
@click.option(
    "--weights",
    default="default",
    show_default=True,
    help="A file, 'default' for the model's pretrained weights, or 'none'.",
)
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@ROOT
@COLUMNS
@VALIDATION
@GROUP_BY
@click.option(
    "--max-bad",
    type=click.FloatRange(0, 1),
    default=MAX_BAD,
    show_default=True,
    help="Share of the images that may be unreadable; they are left out and listed.",
)
@click.option(
    "--compile/--no-compile",
    "compiled",
    default=False,
    show_default=True,
    help="Train through torch.compile.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of features and evaluations; auto is the faster one here.",
)
@click.option(
    "--tensorboard",
    type=click.Path(file_okay=False),
    help="As --log-to tensorboard:FOLDER, the folder alone.",
)
@LOG_TO
@click.option(
    "--record/--no-record",
    default=True,
    show_default=True,
    help="Keep the run in the store that the advisor learns from.",
)
@STORE
@REPORT
@TEST
def finetune(
    dataset: str,
    model: str | None,
    minutes: float,
    resumed_folder: Path | None,
    output: Path | None,
    regime_file: Path | None,
    balanced: bool,
    weights: str,
    device: str,
    seed: int,
    root: str | None,
    val_fraction: float,
    group_by: str | None,
    max_bad: float,
    compiled: bool,
    precision: str,
    tensorboard: str | None,
    log_to: tuple[str, ...],
    record: bool,
    store: str | None,
    report_file: Path | None,
    test: bool,
    **settings: float | str | None,
) -> None:
    """Fine-tune a classifier that is ready before the minutes are over.

    With --resume, settings that are not asked for are those of the classifier, and the same images are held
    back for validation.

    Of a folder with train/ in it, val/ is validated on, where there is one; test/ is neither trained on nor
    chosen by, and tried in the end, as far as the minutes go. Those of a file that lists images as well.

    Ctrl-C saves the best so far. The page of --report is made when the minutes are over: of the images in
    test/, where the folder has such a part, else of those that were held back for validation.
    """
    from nni_nasoa.data import Dataset
    from nni_nasoa.finetune import FineTuneRegime, Monitoring, Resources, Timing, callback_of
    from nni_nasoa.finetune.clock import Clock, process_started
    from nni_nasoa.finetune.open_in_time import decoding_begun, look_in_time
    from nni_nasoa.training.regime import BALANCED_FIELDS

    with clear_errors(), ExitStack() as meanwhile:
        check_can_be_written(report_file)
        callbacks = [callback_of(text) for text in log_to]
        resumed = None
        if resumed_folder is not None:
            from nni_nasoa.finetune.resuming import HOLDOUT, Resumed

            resumed = Resumed.of(resumed_folder)
            held_back = resumed.classifier.about.get(HOLDOUT, {})
            val_fraction = _unless_given("val_fraction", val_fraction, held_back.get("fraction"))
            seed = _unless_given("seed", seed, held_back.get("seed"))
            group_by = _unless_given("group_by", group_by, held_back.get("group_by"))
            record = False  # what it comes to is no run of these minutes alone
        output = output or resumed_folder or Path(OUTPUT)
        fields = {} if resumed is None else resumed.classifier.regime.to_json()
        fields |= FineTuneRegime.load(regime_file).to_json() if regime_file is not None else {}
        fields |= BALANCED_FIELDS if balanced else {}
        fields |= {key: value for key, value in {"model": model, **settings}.items() if value is not None}
        if "model" not in fields:
            raise click.UsageError("Missing option '--model', or '--regime' with a file that names one.")
        regime = FineTuneRegime.from_json(fields)
        if resumed is not None:
            regime = resumed.regime(regime)
        start = None if weights == "none" else weights
        opened = Dataset(
            dataset,
            root=root,
            val_fraction=val_fraction,
            seed=seed,
            max_bad=max_bad,
            group_by=group_by,
            columns=columns(),
        )
        recorder, budget = None, 60 * MINUTES("minutes", minutes, click.ClickException)
        started = process_started()
        look_in_time(opened, Clock(budget, started=started))
        if test:
            check_test_part(opened)
        taken = opened.but(geometry=regime.geometry)
        if resumed is None:
            meanwhile.enter_context(decoding_begun(taken, regime))
        if record:  # its imports and look-ups take time, which is not there after training
            from nni_nasoa.advisor.recording import Recorder

            recorder = closed_at_the_end(
                Recorder.open(
                    store,
                    opened,
                    regime.model,
                    weights=start,
                    seconds=store_seconds(budget),
                    deadline=started + budget - exit_seconds(),
                )
            )
        from nni_nasoa.finetune.api import finetune as run
        from nni_nasoa.training.errors import FineTuneError

        try:
            result = run(
                taken,
                regime,
                minutes,
                resume=resumed,
                output=output,
                device=device,
                seed=seed,
                weights=start,
                resources=Resources(compile=compiled, precision=precision),
                monitoring=Monitoring(bar=None, tensorboard=tensorboard),
                callbacks=callbacks,
                timing=Timing(started, margin_of(budget, recorder, None if test or report_file else opened)),
            )
        except FineTuneError as error:
            if recorder:
                recorder.record_failure(error, opened, regime, budget, device)
            raise
    if result.folder is not None:  # else another process of torchrun's says it
        recorded = recorder.record(result) if recorder else None
        tell_run(
            result,
            recorded,
            deadline=started + budget,
            dataset=opened,
            test=test,
            report_file=report_file,
        )


def _unless_given(name: str, value: Any, otherwise: Any) -> Any:
    """An option's value, but where it is the default another one, if there is one."""
    source = click.get_current_context().get_parameter_source(name)
    return value if otherwise is None or source is not ParameterSource.DEFAULT else otherwise


def margin_of(budget: float, recorder: Recorder | None, tested: Dataset | None) -> float:
    """Seconds of a budget to keep back: for what is not foreseen, recording, the test, the command's end.

    The test is that of a dataset's own part for it, within the budget.
    """
    from nni_nasoa.finetune.clock import default_margin

    kept = default_margin(budget) + exit_seconds() + test_seconds(tested, budget)
    return kept + (recorder.seconds if recorder else 0.0)


def store_seconds(budget: float) -> float:
    """How long a run of so many seconds waits for the store, each time."""
    return min(MOST_STORE_SECONDS, max(LEAST_STORE_SECONDS, STORE_SHARE * budget))
