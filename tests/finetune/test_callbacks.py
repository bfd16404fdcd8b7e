"""Callbacks of real runs, and what TensorBoard, MLflow and Weights & Biases have of one afterwards."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nni_nasoa.cli import main
from nni_nasoa.finetune import (
    Callback,
    FineTuneError,
    FineTuneRegime,
    MLflow,
    TensorBoard,
    WandB,
    callback_of,
    finetune,
)

RECORD = {
    "elapsed": 1.5,
    "val_accuracy": 0.5,
    "val_loss": 1.0,
    "train_loss": None,
    "learning_rate": 0.1,
    "steps": 3,
}


def run(split, tiny, callbacks, minutes=0.05, **options):
    regime = FineTuneRegime(tiny, input_size=16)
    return finetune(split, regime, minutes, device="cpu", weights=None, callbacks=callbacks, **options)


class Recording(Callback):
    def __init__(self):
        self.calls = []

    def on_start(self, dataset, regime):
        self.calls.append(("on_start", dataset, regime))

    def on_evaluation(self, evaluation):
        self.calls.append(("on_evaluation", evaluation))

    def on_end(self, result):
        self.calls.append(("on_end", result))

    def close(self):
        self.calls.append(("close",))


class OnlyEvaluations:
    """No subclass, and with one of the methods alone."""

    def __init__(self):
        self.accuracies = []

    def on_evaluation(self, evaluation):
        self.accuracies.append(evaluation["val_accuracy"])
        evaluation.clear()  # what others are told is their own


class Failing(Recording):
    def __init__(self, at, error):
        super().__init__()
        self.at, self.error = at, error

    def _fail(self, name):
        self.calls.append((name,))
        if name == self.at:
            raise self.error

    def on_start(self, dataset, regime):
        self._fail("on_start")

    def on_evaluation(self, evaluation):
        self._fail("on_evaluation")

    def on_end(self, result):
        self._fail("on_end")

    def close(self):
        self._fail("close")


def test_a_run_tells_its_callbacks_what_it_returns(blobs, tiny, tmp_path):
    first, second = OnlyEvaluations(), Recording()
    result = run(blobs, tiny, [first, second], output=tmp_path / "out")
    names = [name for name, *_ in second.calls]
    assert names == ["on_start", *["on_evaluation"] * len(result.evaluations), "on_end", "close"]
    assert second.calls[0][1:] == ("blobs", result.regime)
    told = [one for name, one in second.calls[1:-2]]
    assert told == list(result.evaluations) and first.accuracies == [one["val_accuracy"] for one in told]
    (ended,) = second.calls[-2][1:]
    assert ended.accuracy == result.accuracy and ended.folder == tmp_path / "out"
    assert (ended.folder / "model.safetensors").exists()


@pytest.mark.parametrize("at", ["on_start", "on_evaluation", "on_end", "close"])
def test_an_error_in_one_is_a_line_and_costs_the_run_and_others_nothing(blobs, tiny, tmp_path, at):
    failing, other = Failing(at, KeyError("no such\nkey")), Recording()
    result = run(blobs, tiny, [failing, other], output=tmp_path / "out")
    line = f"callback Failing, {at}: KeyError: 'no such\\nkey'; it is called no more"
    assert result.notes.count(line) == 1 and result.accuracy > 0.5
    assert [name for name, *_ in failing.calls].count(at) == 1 and failing.calls[-1] == ("close",)
    assert [name for name, *_ in other.calls][-2:] == ["on_end", "close"]
    if at in ("on_start", "on_evaluation"):
        assert line in json.loads((tmp_path / "out" / "classifier.json").read_text())["notes"]


def test_one_can_say_before_the_run_that_it_cannot_be(blobs, tiny):
    failing = Failing("on_start", FineTuneError("nothing can be logged there"))
    with pytest.raises(FineTuneError, match="nothing can be logged there"):
        run(blobs, tiny, [failing])
    assert [name for name, *_ in failing.calls] == ["on_start", "close"]


def test_of_a_run_that_fails_no_end_is_told_but_all_is_closed(blobs, tiny):
    callback = Recording()
    broken = dataclasses.replace(blobs, train=dataclasses.replace(blobs.train, labels=blobs.train.labels + 7))
    with pytest.raises(Exception):  # noqa: B017, PT011  # torch's own, of labels that are no classes
        run(broken, tiny, [callback])
    assert [name for name, *_ in callback.calls] == ["on_start", "close"]


# -- TensorBoard --


def logged(callback, *records, regime=None):
    callback.on_start("pets", regime or FineTuneRegime("nano-a", input_size=16))
    for record in records:
        callback.on_evaluation(record)
    callback.close()


def test_tensorboard_reads_what_was_logged(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    later = {**RECORD, "elapsed": 2.5, "val_accuracy": 0.75, "train_loss": 2.0}
    logged(TensorBoard(tmp_path / "log"), RECORD, later)
    log = EventAccumulator(str(tmp_path / "log")).Reload()
    assert set(log.Tags()["scalars"]) == {"val_accuracy", "val_loss", "train_loss", "learning_rate"}
    assert [(event.step, event.value) for event in log.Scalars("val_accuracy")] == [(1500, 0.5), (2500, 0.75)]
    assert [(event.step, event.value) for event in log.Scalars("train_loss")] == [(2500, 2.0)]


def test_tensorboard_where_it_cannot_write_is_one_line(tmp_path, blobs, tiny):
    (tmp_path / "file").touch()
    with pytest.raises(FineTuneError, match="file/log: TensorBoard's log cannot be written"):
        run(blobs, tiny, [TensorBoard(tmp_path / "file" / "log")])


# -- what the others have of a run, in a process of its own, as they keep much of theirs in globals --


def in_a_process(tmp_path, code, **environment):
    """Run code after a run of the command with these options; what it prints, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NASOA_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1", **environment},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


FILE_STORE = {"MLFLOW_ALLOW_FILE_STORE": "true"}  # without it MLflow asks for a database by now
COMMAND = """
import json
from click.testing import CliRunner
from nni_nasoa.cli import main
words = "finetune --dataset digits --model 2-_8_2-1-1 --input-size 16 --weights none --device cpu"
words += " --minutes 0.4 --no-record --output out --log-to"
done = CliRunner().invoke(main, [*words.split(), {place!r}])
assert done.exit_code == 0, done.output
lines = [json.loads(line) for line in open("out/evaluations.jsonl")]
"""


@pytest.mark.slow
def test_mlflow_has_the_run_in_a_store_of_files(tmp_path):
    place = f"mlflow:{(tmp_path / 'mlruns').as_uri()}"
    code = COMMAND.format(place=place) + (
        "from mlflow import MlflowClient\n"
        "client = MlflowClient()\n"
        "(run,) = client.search_runs(['0'])\n"
        "history = client.get_metric_history(run.info.run_id, 'val_accuracy')\n"
        "history = sorted((one.step, one.value) for one in history)\n"
        "lines = sorted((line['steps'], line['val_accuracy']) for line in lines)\n"
        "about, data = run.info, run.data\n"
        "print(json.dumps([about.status, about.run_name, data.params, data.tags, history, lines]))"
    )
    status, name, params, tags, history, lines = in_a_process(tmp_path, code, **FILE_STORE)
    assert status == "FINISHED" and name == "2-_8_2-1-1 on digits"
    assert (
        params["model"] == "2-_8_2-1-1"
        and params["learning_rate"] == "0.02"
        and params["dataset"] == "digits"
    )
    assert tags["classifier"] == "out" and history == lines and len(lines) > 2


@pytest.mark.slow
def test_wandb_has_the_run_offline(tmp_path):
    code = COMMAND.format(place="wandb:flowers") + "print(json.dumps(len(lines)))"
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    number = in_a_process(tmp_path, code, **offline)
    (log,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    history, config, exits = _read_wandb(log)
    assert len(history) == number and {"val_accuracy", "steps", "elapsed"} <= set(history[-1])
    assert config["model"] == "2-_8_2-1-1" and config["dataset"] == "digits" and exits == [0]


def _read_wandb(path):
    """The history, the config and the exit codes in a log of wandb's."""
    from wandb.proto.wandb_internal_pb2 import Record

    history, config, exits = [], {}, []
    for data in _records(path.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = [(one.key or "/".join(one.nested_key), one.value_json) for one in record.history.item]
            history.append({key: json.loads(value) for key, value in items})
        elif kind == "run":
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "exit":
            exits.append(record.exit.exit_code)
    return history, config, exits


def _records(log):
    """The records of a log in LevelDB's format: parts of them, each with a checksum, a length and a kind."""
    place, whole, block = 7, b"", 32768  # after wandb's own mark
    while place + 7 <= len(log):
        if block - place % block < 7:
            place += block - place % block
        length, kind = int.from_bytes(log[place + 4 : place + 6], "little"), log[place + 6]
        whole += log[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


@pytest.mark.slow
def test_a_run_of_mlflows_that_is_active_is_used_and_stays_open(tmp_path):
    code = (
        "import json, mlflow\n"
        f"mlflow.set_tracking_uri({(tmp_path / 'mlruns').as_uri()!r})\n"
        "from nni_nasoa.finetune import FineTuneRegime, MLflow\n"
        "with mlflow.start_run() as run:\n"
        "    callback = MLflow()\n"
        "    callback.on_start('pets', FineTuneRegime('nano-a'))\n"
        f"    callback.on_evaluation({RECORD!r})\n"
        "    callback.close()\n"
        "    mlflow.log_metric('mine', 1)\n"
        "run = mlflow.MlflowClient().get_run(run.info.run_id)\n"
        "print(json.dumps([run.info.status, run.data.metrics]))"
    )
    status, metrics = in_a_process(tmp_path, code, **FILE_STORE)
    assert status == "FINISHED" and metrics["mine"] == 1 and metrics["val_accuracy"] == 0.5


@pytest.mark.parametrize(
    "make, package",
    [
        (lambda: TensorBoard("log"), "tensorboard"),
        (MLflow, "mlflow"),
        (lambda: WandB("flowers"), "wandb"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch, make, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FineTuneError, match=rf"pip install 'nni-nasoa\[{package}\]'"):
        make()


def test_a_server_that_is_not_there_is_one_line_before_the_run(monkeypatch, blobs, tiny):
    import mlflow

    before = mlflow.get_tracking_uri()
    try:
        with pytest.raises(FineTuneError, match=r"^http://127\.0\.0\.1:9: MLflow cannot log there"):
            run(blobs, tiny, [MLflow("http://127.0.0.1:9")])
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.parametrize(
    "text, words",
    [
        ("tensorbord:log", "log-to: 'tensorbord' is not one of tensorboard, mlflow, wandb; did you mean"),
        ("wandb", "log-to: 'wandb' names no place; give tensorboard:FOLDER"),
        ("tensorboard:", "log-to: 'tensorboard:' names no place"),
    ],
)
def test_a_place_that_is_none_is_one_line(text, words):
    with pytest.raises(FineTuneError, match=words):
        callback_of(text)
    asked = "finetune --dataset digits --model nano-a --minutes 1 --log-to".split()
    done = CliRunner().invoke(main, [*asked, text])
    assert done.exit_code == 1 and words in done.stderr and done.stderr.count("\n") == 1


def test_places_are_taken_as_they_are():
    assert isinstance(callback_of("tensorboard:a:b"), TensorBoard)
    assert callback_of("mlflow:http://localhost:5000")._uri == "http://localhost:5000"
    assert (callback_of("wandb:me/flowers")._entity, callback_of("wandb:flowers")._entity) == ("me", "")
