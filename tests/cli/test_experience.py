import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.cli import main


@pytest.fixture
def experience(tmp_path, monkeypatch):
    """Run the command, with a store of its own and an empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASOA_STORE", str(tmp_path / "store.db"))
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments):
        result = CliRunner().invoke(main, ["experience", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def test_list(experience, make_record):
    records = [make_record(created=f"2026-01-{day:02}T10:20:30Z", task=f"task-{day}") for day in range(1, 26)]
    records.append(
        make_record(
            status="killed", seconds=None, accuracy=None, predicted=None, created="2026-01-31T00:00:00Z"
        )
    )
    ExperienceStore().add_all(records)
    lines = experience("list").stdout.splitlines()
    assert lines[-1] == f"20 of 26 runs in {ExperienceStore().location}"
    rows = [line.split() for line in lines if line.strip().startswith("2026-")]
    assert len(rows) == 20 and rows[-1] == [
        "2026-01-31",
        "00:00",
        "30",
        "-",
        "-",
        "-",
        "killed",
        "nano-1",
        "on",
        "digits",
    ]
    assert rows[-2] == [
        "2026-01-25",
        "10:20",
        "30",
        "29.5",
        "90.00",
        "85.00",
        "ok",
        "nano-1",
        "on",
        "task-25",
    ]
    filtered = experience(
        "list",
        "--status",
        "ok",
        "--since",
        "2026-01-24",
        "--limit",
        5,
        "--model",
        "nano-1",
        "--device",
        "a processor",
    )
    assert (
        "task-24" in filtered.stdout and "task-23" not in filtered.stdout and "2 of 2 runs" in filtered.stdout
    )


def test_export_and_import(experience, make_record, tmp_path):
    ExperienceStore().add_all([make_record(task="flowers"), make_record()])
    assert (
        experience("export", "runs.jsonl", "--task", "flowers").stdout
        == f"1 run of {tmp_path}/store.db written to runs.jsonl\n"
    )
    assert [json.loads(line)["task"] for line in Path("runs.jsonl").read_text().splitlines()] == ["flowers"]
    assert (
        experience("import", "runs.jsonl", "--store", "other.db").stdout
        == "1 run added to other.db, which has 1\n"
    )
    assert experience("import", "runs.jsonl").stdout == f"0 runs added to {tmp_path}/store.db, which has 2\n"


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["list"], "store.db: there is no such experience store"),
        (["export", "runs.jsonl"], "there is no such experience store"),
        (["list", "--store", "mysql://me:s3cret@server/db"], "is neither a file nor PostgreSQL"),
        (["import", "none.jsonl"], "none.jsonl: cannot be read"),
        (["import", "bad.jsonl"], "bad.jsonl, line 1: accuracy: nan is not a number from 0 to 1"),
    ],
)
def test_errors_are_one_line(experience, make_record, tmp_path, arguments, words):
    (tmp_path / "bad.jsonl").write_text(
        json.dumps(make_record().to_json()).replace('"accuracy": 0.9, "epochs"', '"accuracy": NaN, "epochs"')
    )
    result = experience(*arguments)
    assert (
        result.exit_code == 1
        and words in result.stderr
        and result.stderr.startswith("Error: ")
        and result.stderr.count("\n") == 1
    )
    assert "s3cret" not in result.stderr and not (tmp_path / "runs.jsonl").exists()


def test_wrong_time(experience, make_record):
    ExperienceStore().add(make_record())
    result = experience("list", "--since", "yesterday")
    assert result.exit_code == 1 and result.stderr.startswith(
        "Error: since: 'yesterday' is not a date such as 2026-01-31"
    )
