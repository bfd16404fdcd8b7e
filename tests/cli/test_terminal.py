"""What all commands share."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from nni_nasoa.cli import main

COMMAND = """
import atexit, sys, types
import click
from nni_nasoa.cli.terminal import OneLine

class Large:
    def __del__(self):
        print("taken apart")

sys.modules["torch"] = types.SimpleNamespace(large=Large())
atexit.register(print, "ended")

@click.command(cls=OneLine)
@click.argument("status", type=int)
def command(status):
    click.echo("done")
    raise SystemExit(status)

command()
"""


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_with_torch_ends_at_once_with_its_status_and_all_that_was_said(status):
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, str(status)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "done\nended\n", "")


def test_wrong_options_are_one_line():
    ended = subprocess.run(
        [sys.executable, "-c", COMMAND, "many"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (
        ended.returncode == 2
        and ended.stderr == "Error: Invalid value for 'STATUS': 'many' is not a valid integer.\n"
    )


LINE = """
import click
from nni_nasoa.cli.terminal import OneLine, output_may_be_lost

@click.command(cls=OneLine)
@click.option("--beside", is_flag=True)
def command(beside):
    if beside:
        with output_may_be_lost():
            click.echo("done")
    else:
        click.echo("all that there is to say")

command()
"""


def ended(words, redirected="", **environment):
    """What a shell makes of a command whose streams are redirected."""
    shell = f'exec "$0" -c "$@" {redirected}'
    return subprocess.run(
        ["bash", "-c", shell, sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("torch", ["", "import sys; sys.modules['torch'] = sys\n"])
@pytest.mark.parametrize(
    "redirected, words, status, told",
    [
        (">&-", [], 0, ""),
        (">&-", ["--beside"], 0, ""),
        ("<&- >&- 2>&-", [], 0, ""),
        (">/dev/full", [], 1, "Error: what was to be printed is lost (No space left on device)\n"),
        (">/dev/full", ["--beside"], 0, "note: what was to be printed is lost (No space left on device)\n"),
    ],
)
def test_streams_that_are_closed_or_full_end_no_good_run(torch, redirected, words, status, told):
    done = ended([torch + LINE, *words], redirected)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", told)


def test_a_closed_stream_s_number_is_not_the_next_files(tmp_path):
    code = LINE.replace(
        'click.echo("done")', f"open({str(tmp_path / 'file')!r}, 'w'); import os; os.write(1, b'x')"
    )
    assert ended([code, "--beside"], ">&-").returncode == 0
    assert (tmp_path / "file").read_text() == ""


def test_what_a_strict_terminal_cannot_show_is_escaped():
    code = LINE.replace('"all that there is to say"', r'"bird\udcff.png"')
    done = ended([code], PYTHONIOENCODING="utf-8:strict")
    assert (done.returncode, done.stdout, done.stderr) == (0, "bird\\udcff.png\n", "")


LONG = "x" * 5000


@pytest.mark.parametrize(
    "words",
    [
        ["finetune", "--dataset", "digits", "--minutes", "1", "--model", LONG],
        ["finetune", "--dataset", "digits", "--minutes", "1", "--model", "2-_8_" + LONG],
        ["finetune", "--dataset", "digits", "--minutes", "1", "--model", "nano-a", "--optimizer", LONG],
        ["finetune", "--dataset", "digits", "--minutes", "1" + "0" * 5000, "--model", "nano-a"],
        ["finetune", "--dataset", "digits", "--minutes", LONG, "--model", "nano-a"],
        ["finetune", "--dataset", LONG, "--minutes", "1", "--model", "nano-a"],
        ["finetune", "--regime", LONG, "--dataset", "digits", "--minutes", "1"],
        ["zoo", "list", "--family", LONG],
        ["experience", "list", "--store", "sqlite://" + LONG],
        ["experience", "collect", "--budgets", LONG],
        ["report", LONG],
        [LONG],
        ["--" + LONG],
    ],
    ids=range(13),
)
def test_long_values_are_shortened_in_one_line(words):
    done = CliRunner().invoke(main, words)
    (line,) = done.output.splitlines()
    assert done.exit_code and len(line) < 1100 and isinstance(done.exception, SystemExit)
