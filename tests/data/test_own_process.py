from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from nni_nasoa.data.own_process import over_in_time

FOREVER = "import os, pathlib, time; pathlib.Path({!r}).write_text(str(os.getpid())); time.sleep(600)"


def test_a_call_that_is_over_in_time_is_so_whether_it_fails_or_not(tmp_path):
    assert over_in_time(partial(Path.touch, tmp_path / "there"), 600) and (tmp_path / "there").exists()
    assert over_in_time(partial(Path.unlink, tmp_path / "not there"), float("inf"))
    assert over_in_time(partial(Path.touch, tmp_path / "later"), 1e9)


def test_the_process_is_ended_when_its_time_is(tmp_path):
    begin = time.monotonic()
    assert not over_in_time(partial(exec, FOREVER.format(str(tmp_path / "pid"))), 3)
    assert time.monotonic() - begin < 60
    process = int((tmp_path / "pid").read_text())
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return
    raise AssertionError(f"process {process} goes on")


def test_without_time_no_process_is_started(tmp_path):
    assert not over_in_time(partial(Path.touch, tmp_path / "there"), 0)
    assert not (tmp_path / "there").exists()


def test_more_can_be_passed_on_than_a_pipe_holds():
    assert over_in_time(partial(len, os.urandom(2**22)), 600)


def test_what_the_process_writes_is_heard_where_that_is_asked_for():
    code = (
        "from functools import partial; from nni_nasoa.data.own_process import over_in_time; "
        "over_in_time(partial(exec, 'import sys; sys.stderr.write(chr(97)); print(1)'), 600, quiet={})"
    )
    for quiet, heard in ((True, ""), (False, "a")):
        run = subprocess.run(
            [sys.executable, "-c", code.format(quiet)], capture_output=True, text=True, check=True
        )
        assert (run.stdout, run.stderr) == ("", heard)


PARENT = """
import os, sys, time
from functools import partial
from nni_nasoa.data.own_process import over_in_time, start_process
call = partial(exec, sys.argv[2])
if sys.argv[1] == "start":
    process = start_process(call)
    if not os.fork():  # it holds the other end of the process's stdin
        time.sleep(30)
        os._exit(0)
    time.sleep(600)
over_in_time(call, 600)
"""


@pytest.mark.parametrize("how", ["start", "over"])
def test_a_process_ends_with_its_parent_however_that_is_killed(tmp_path, how):
    file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", PARENT, how, FOREVER.format(str(file))]) as parent:
        wait_until(lambda: file.exists() and file.read_text())
        parent.kill()
    wait_until(lambda: not is_running(int(file.read_text())))


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process):
    """Whether a process is, and is not only waited for by nobody."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
