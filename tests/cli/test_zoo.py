import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from click.testing import CliRunner

from nni_nasoa.architecture import Architecture
from nni_nasoa.cli import main
from nni_nasoa.zoo import nano

ENCODING = "2-_8_11-21"
SHORT = [
    "--classes",
    "4",
    "--instances",
    "8",
    "--size",
    "24",
    "--epochs",
    "1",
    "--batch-size",
    "16",
    "--device",
    "cpu",
]
FRONT = {
    "format": "nni-nasoa front",
    "version": 1,
    "networks": [
        {"architecture": ENCODING, "accuracy": 0.9, "relative_speed": 0.5},
        {"architecture": "2-_8_1", "accuracy": 0.8, "relative_speed": 1.25},
    ],
}


@pytest.fixture
def nasoa(tmp_path, tmp_path_factory, monkeypatch):
    """Run the command in an empty folder that is the home, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NASOA_ZOO", str(tmp_path / "own"))
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path_factory.getbasetemp() / "zoo-command-cache"))
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "front.json").write_text(json.dumps(FRONT))

    def run(*arguments):
        result = CliRunner().invoke(main, ["zoo", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def rows(result):
    assert result.exit_code == 0, result.output
    return [line.split() for line in result.stdout.splitlines()]


def test_list_alone_and_by_name(nasoa):
    assert nasoa().output == nasoa("list").output
    assert ["et-nas-a", "2.60", "0.23", "62.06", "2-_32_2-11-112-1121112"] in rows(nasoa())
    architecture = Architecture.parse("2-_8_1")
    cost = f"{architecture.parameters() / 1e6:.3f}", f"{architecture.macs() / 1e9:.3f}"
    for arguments in (["--family", "front.json"], ["list", "--family", "front.json"]):
        assert ["front.json#2", *cost, "80.00", "1.250", "2-_8_1"] in rows(nasoa(*arguments))
    assert {row[0] for row in rows(nasoa("--family", "nano")) if row[:1]} >= set(nano.FAMILY.models())
    result = nasoa("--family", "nano", "pretrain")
    assert result.exit_code == 2 and "--family is an option of 'nasoa zoo list'" in result.stderr


def test_from_a_front_to_a_model_of_ones_own(nasoa, tmp_path):
    result = nasoa("pretrain", "front.json#1", *SHORT, "-o", "weights")
    assert result.exit_code == 0 and result.output.splitlines()[0].startswith("front-1  epoch 1/1  loss ")
    assert result.output.splitlines()[1].startswith("front-1: accuracy ") and result.output.endswith(
        "weights/front-1.safetensors\n"
    )
    result = nasoa("add", "mine", "--weights", "weights/front-1.safetensors")
    assert result.exit_code == 0
    assert result.output == (
        f"added mine to {tmp_path / 'own'}: {ENCODING}, images of 24 pixels "
        "(mean 0.5 0.5 0.5, std 0.33 0.33 0.33)\n"
    )
    assert "mine" in [row[0] for row in rows(nasoa("--family", "searched")) if row]
    tuned = CliRunner().invoke(
        main, ["finetune", "--dataset", "digits", "--model", "mine", "--minutes", "0.1", "-o", "tuned"]
    )
    assert (
        tuned.exit_code == 0
        and json.loads((tmp_path / "tuned" / "classifier.json").read_text())["input_size"] == 24
    )
    result = nasoa("add", "tuned", "--weights", "tuned")  # knows its network
    assert result.exit_code == 0 and ENCODING in result.output
    (tmp_path / "own" / "tuned.safetensors").write_bytes(b"half")
    result = nasoa("list", "--family", "searched")
    assert [row[0] for row in rows(result) if row][-1] == "mine"
    assert result.stderr.startswith("warning: left out of the zoo: ") and result.stderr.count("\n") == 1
    for name in ("mine", "tuned"):
        assert nasoa("remove", name).output == f"removed {name}\n"
    assert list((tmp_path / "own").iterdir()) == []


def test_pretraining_whole_fronts_and_encodings_in_several_jobs(nasoa, tmp_path):
    arguments = ["pretrain", "front.json", "2-_8_11", *SHORT, "--jobs", "2"]
    first = nasoa(*arguments)
    assert first.exit_code == 0 and first.output.count("  epoch 1/1  ") == 3
    assert sorted(path.name for path in (tmp_path / "nano-weights").iterdir()) == [
        f"{name}{suffix}"
        for name in ("2-_8_11", "front-1", "front-2")
        for suffix in (".json", ".safetensors")
    ]
    again = nasoa(*arguments)  # all are finished
    assert again.output.splitlines() == first.output.splitlines()[3:]


def test_the_nano_family_is_made_again_by_its_cards(nasoa, tmp_path):
    result = nasoa("pretrain", *SHORT, "--size", 32, "--seed", "5", "-o", "again")
    assert result.exit_code == 0, result.output
    short = {"classes": 4, "instances": 8, "size": 32, "epochs": 1, "batch_size": 16, "seed": 5}
    for name, model in nano.FAMILY.models().items():
        card = json.loads((tmp_path / "again" / f"{name}.json").read_text())
        assert card["encoding"] == model.encoding
        assert card["recipe"] == {**nano.FAMILY.card(name)["recipe"], **short}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "zoo: no model 'nothing'; see `nasoa zoo list`"),
        (["resnet18"], "resnet18: not an ET-NAS network; only those can be pretrained"),
        (["missing.json"], "missing.json: no such file"),
        (["front.json#3"], "zoo: no model 'front.json#3'; did you mean 'front.json#"),
        (["2-_8_19"], "macro stage 1 block 2: multiplier '9'"),
        (
            ["front.json", "sub/front.json"],
            (
                "sub/front.json#1: would be called front-1, as front.json#1; "
                "pretrain it into a folder of its own"
            ),
        ),
        (
            ["2-_8_1-1-1-1-1", *SHORT],
            "2-_8_1-1-1-1-1: images of 24 pixels are too small; the network's total stride is 64",
        ),
        ([ENCODING, "--device", "gpu"], "device: 'gpu' is not one of auto, cpu, cuda"),
        ([ENCODING, "-o", "front.json/below"], "front.json/below: not a folder that can be written"),
    ],
)
def test_what_cannot_be_pretrained_is_one_line(nasoa, tmp_path, arguments, message):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "front.json").write_text(json.dumps(FRONT))
    result = nasoa("pretrain", *arguments)
    assert (
        result.exit_code == 1
        and result.stderr.startswith(f"Error: {message}")
        and result.stderr.count("\n") == 1
    )
    assert not (tmp_path / "nano-weights").exists()


def test_errors_of_adding_and_removing_are_one_line(nasoa):
    for arguments in (
        ["add", "../x", "--weights", "front.json"],
        ["add", "x", "--weights", "missing.pth", "--network", ENCODING],
        ["remove", "et-nas-a"],
    ):
        result = nasoa(*arguments)
        assert (
            result.exit_code == 1 and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
        )


def test_finetuning_without_pretrained_weights_tells_the_ways_out(nasoa):
    result = CliRunner().invoke(
        main, ["finetune", "--dataset", "digits", "--model", "front.json#1", "--minutes", "0.1"]
    )
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    for way in (
        "front.json#1 has no pretrained weights",
        "--weights none",
        "nasoa zoo pretrain",
        "nasoa zoo add",
    ):
        assert way in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_is_one_line_and_the_same_command_goes_on(nasoa, tmp_path, jobs):
    command = [
        sys.executable,
        "-m",
        "nni_nasoa.cli",
        "zoo",
        "pretrain",
        ENCODING,
        "2-_8_11",
        *SHORT,
        "--epochs",
        "60",
        "--jobs",
        str(jobs),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    first = process.stdout.readline()
    assert "  epoch 1/60  " in first
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert (
        stderr == "Interrupted. The same command goes on from the last whole epoch that is in nano-weights.\n"
    )
    assert psutil.wait_procs(children, timeout=30)[1] == []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and first.split("  loss")[0] not in done.stdout
    assert len(list((tmp_path / "nano-weights").glob("*.safetensors"))) == 2
