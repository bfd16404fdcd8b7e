"""What all commands share."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
