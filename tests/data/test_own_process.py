from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

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
