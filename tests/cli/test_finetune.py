from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from nni_nasoa.cli import main
from nni_nasoa.finetune import load_classifier


@pytest.fixture
def nasoa(tmp_path, monkeypatch, process_just_started):
    """Run the command in an empty folder, as if its process had just been started."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        result = CliRunner().invoke(main, list(map(str, arguments)))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def finetune(nasoa, tiny):
    def run(*arguments):
        return nasoa(
            "finetune",
            "--dataset",
            "digits",
            "--model",
            tiny,
            "--weights",
            "none",
            "--input-size",
            16,
            "--device",
            "cpu",
            *arguments,
        )

    return run


def test_finetune_then_predict(finetune, nasoa, digits, tmp_path):
    result = finetune(
        "--minutes",
        4 / 60,
        "--learning-rate",
        0.1,
        "--augmentation",
        "crop",
        "--optimizer",
        "adamw",
        "-o",
        "out",
    )
    assert result.exit_code == 0, result.output
    assert (
        "validation accuracy" in result.output
        and "of 4 s" in result.output
        and "written to out" in result.output
    )
    classifier = load_classifier("out")
    assert classifier.regime.optimizer == "adamw" and classifier.regime.learning_rate == 0.1

    names = []
    for i in range(3):
        names.append(f"é {i}.png")
        Image.fromarray(digits.val.images[i].transpose(1, 2, 0)).save(names[-1])
    predicted = nasoa("predict", "out", *names, "-k", 2, "--device", "cpu")
    assert predicted.exit_code == 0 and all(name in predicted.output for name in names)
    assert max(map(len, predicted.output.splitlines())) <= 80
    as_json = json.loads(nasoa("predict", "out", *names, "-k", 2, "--json", "--device", "cpu").output)
    assert [entry["image"] for entry in as_json] == names
    assert as_json[0]["predictions"] == [
        {"label": label, "probability": pytest.approx(probability, abs=1e-6)}
        for label, probability in classifier.predict([names[0]], 2)[0]
    ]


def test_tensorboards_log_holds_loss_and_accuracy(finetune):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert finetune("--minutes", 8 / 60, "--tensorboard", "log", "-o", "out").exit_code == 0
    log = EventAccumulator("log").Reload()
    accuracies = [event.value for event in log.Scalars("val_accuracy")]
    lines = [json.loads(line) for line in Path("out/evaluations.jsonl").read_text().splitlines()]
    assert accuracies == pytest.approx([line["val_accuracy"] for line in lines]) and len(
        log.Scalars("val_loss")
    ) == len(lines)
    assert [event.value for event in log.Scalars("train_loss")] == pytest.approx(
        [line["train_loss"] for line in lines if line["train_loss"]]
    )


def test_an_image_that_cannot_be_read_does_not_stop_the_others(finetune, nasoa, digits):
    finetune("--minutes", 2 / 60, "-o", "out")
    Image.fromarray(digits.val.images[0].transpose(1, 2, 0)).save("good.png")
    result = nasoa("predict", "out", "none.png", "good.png", "--device", "cpu")
    assert (
        result.exit_code == 1
        and "good.png" in result.output
        and "Error: none.png: cannot be read" in result.output
    )
    found = json.loads(
        CliRunner()
        .invoke(main, ["predict", "out", "none.png", "good.png", "--json", "--device", "cpu"])
        .stdout
    )
    assert "error" in found[0] and found[1]["predictions"]


def test_a_regime_file_and_options_before_it(nasoa, tiny, tmp_path):
    (tmp_path / "r.yml").write_text(f"model: {tiny}\nlearning_rate: 0.3\nbatch_size: 32\ninput_size: 16\n")
    result = nasoa(
        "finetune",
        "--dataset",
        "digits",
        "--regime",
        "r.yml",
        "--batch-size",
        48,
        "--weights",
        "none",
        "--minutes",
        2 / 60,
        "--device",
        "cpu",
    )
    assert result.exit_code == 0, result.output
    regime = load_classifier("nasoa-classifier").regime
    assert (regime.learning_rate, regime.batch_size) == (0.3, 48)


@pytest.mark.parametrize(
    "arguments, right",
    [
        (["--minutes", "0"], "minutes: 0.0 is not a number of minutes above 0"),
        (["--minutes", "1", "--learning-rate", "-1"], "learning_rate: -1.0"),
        (["--minutes", "1", "--device", "gpu"], "device: 'gpu'"),
        (["--minutes", "1", "--weights", "x.pth"], "x.pth: no such file"),
        (["--minutes", "1", "--regime", "none.yml"], "none.yml: cannot be read"),
        (["--minutes", "1", "--dataset", "flower"], "neither a folder"),
        (["--minutes", "1", "--model", "et-nas-z"], "no model 'et-nas-z'"),
        (["--minutes", "1", "-o", "full"], "holds no classifier"),
    ],
)
def test_what_is_wrong_is_one_line(finetune, tmp_path, arguments, right):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").touch()
    result = finetune(*arguments)
    assert result.exit_code == 1 and result.output.startswith("Error: ") and right in result.output
    assert len(result.output.splitlines()) == 1


def test_no_model_and_no_classifier(nasoa):
    assert "--model" in nasoa("finetune", "--dataset", "digits", "--minutes", 1).output
    assert "no classifier here" in nasoa("predict", "nowhere", "a.png").output
    assert "Missing argument" in nasoa("predict", "nowhere").output


@pytest.mark.slow
def test_ctrl_c_saves_the_best_and_says_so(tmp_path, tiny):
    command = [
        sys.executable,
        "-m",
        "nni_nasoa.cli",
        "finetune",
        "--dataset",
        "digits",
        "--model",
        tiny,
        "--weights",
        "none",
        "--input-size",
        "16",
        "--minutes",
        "5",
        "--device",
        "cpu",
        "-o",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        while not (tmp_path / "out" / "classifier.json").exists() and process.poll() is None:
            time.sleep(0.1)
        os.kill(process.pid, 2)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130 and "(interrupted by Ctrl-C)" in output and "written to" in output
    assert load_classifier(tmp_path / "out").classes == tuple("0123456789")


def test_a_run_ends_with_a_page_of_the_images_that_were_held_back(finetune):
    done = finetune("--minutes", 3 / 60, "-o", "out", "--report", "page.html")
    assert done.exit_code == 0, done.output
    assert "% of 359 validation images right" in done.output and "page written to page.html" in done.output
    text = Path("page.html").read_text(encoding="utf-8")
    assert "359 validation images told right" in text and "chose its best state by these images" in text


def test_a_page_that_could_not_be_written_is_told_before_the_run(finetune):
    done = finetune("--minutes", 3 / 60, "-o", "out", "--report", "none/page.html")
    assert done.exit_code == 1 and done.output.startswith("Error: none/page.html: cannot be written")
    assert not Path("out").exists()


@pytest.fixture
def silent_server():
    """The URL of a server of PostgreSQL that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://me:s3cret@127.0.0.1:{server.getsockname()[1]}/runs"


@pytest.mark.alone
def test_a_run_ends_on_time_though_the_store_is_silent(finetune, silent_server):
    begin = time.monotonic()
    result = finetune("--minutes", 6 / 60, "-o", "out", "--store", silent_server)
    assert time.monotonic() - begin <= 6 and result.exit_code == 0
    assert "note: the run is not recorded (the store has not answered in 1.0 s)" in result.output
    assert "s3cret" not in result.output and load_classifier("out").metrics["val_accuracy"] > 0


@pytest.mark.alone
def test_a_run_ends_on_time_on_a_full_disk_for_the_store(finetune, tmp_path):
    Path("full").symlink_to("/dev/full")
    begin = time.monotonic()
    result = finetune("--minutes", 6 / 60, "-o", "out", "--store", "full")
    assert time.monotonic() - begin <= 6 and result.exit_code == 0
    assert "note: the run is not recorded (" in result.output
