import os
import signal
import stat
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import torch

from nni_nasoa.device.lock import device_lock

pytestmark = pytest.mark.usefixtures("own_locks")


@pytest.fixture
def process():
    """Function (code) that starts a Python with `device_lock` at hand and waits for its first line."""
    started = []

    def start(code):
        code = f"import sys, time\nfrom nni_nasoa.device.lock import device_lock\n{code}"
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


HOLD = "with device_lock('cpu', shared={}):\n    print('ready', flush=True)\n    sys.stdin.read()"


def taken_in_a_thread(shared):
    """Ask for the lock in a thread; returns the thread and the event that tells that it has it."""
    has, leave = threading.Event(), threading.Event()

    def take():
        with device_lock("cpu", shared=shared):
            has.set()
            leave.wait(60)

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    return SimpleNamespace(thread=thread, has=has, leave=leave)


@pytest.mark.parametrize(
    "theirs, mine, granted",
    [(False, False, False), (False, True, False), (True, False, False), (True, True, True)],
)
def test_who_may_hold_it_together(process, theirs, mine, granted):
    child = process(HOLD.format(theirs))
    asked = taken_in_a_thread(mine)
    assert asked.has.wait(0.5 if not granted else 30) is granted
    child.stdin.close()  # the child gives the lock back
    assert asked.has.wait(30)
    asked.leave.set()
    asked.thread.join(30)


@pytest.mark.parametrize("shared", [False, True])
def test_a_killed_process_leaves_nothing_locked(process, shared):
    child = process(HOLD.format(shared))
    child.send_signal(signal.SIGKILL)
    asked = taken_in_a_thread(False)
    assert asked.has.wait(30)
    asked.leave.set()


def test_a_killed_waiter_does_not_hold_others_up(process):
    with device_lock("cpu", shared=True):
        waiter = process("print('ready', flush=True)\nwith device_lock('cpu'):\n    pass")
        held_up = taken_in_a_thread(True)
        deadline = time.monotonic() + 30
        while held_up.has.is_set() and time.monotonic() < deadline:  # the waiter was not in the turnstile yet
            held_up.leave.set()
            held_up.thread.join(30)
            time.sleep(0.05)
            held_up = taken_in_a_thread(True)
            held_up.has.wait(0.2)
        assert not held_up.has.is_set()
        waiter.send_signal(signal.SIGKILL)
        assert held_up.has.wait(30)
        held_up.leave.set()


def test_a_measurement_does_not_starve_under_overlapping_batches(process):
    batches = (
        "print('ready', flush=True)\n"
        "while True:\n    with device_lock('cpu', shared=True):\n        time.sleep(0.05)"
    )
    for _ in range(4):  # somebody holds a share at almost any time
        process(batches)
    for _ in range(3):
        asked = taken_in_a_thread(False)
        assert asked.has.wait(30)
        asked.leave.set()
        asked.thread.join(30)


def test_batches_pause_while_somebody_measures(process):
    child = process(
        "print('ready', flush=True)\nwhile sys.stdin.readline():\n"
        "    with device_lock('cpu', shared=True):\n        print('batch', flush=True)"
    )
    answers = []
    reader = threading.Thread(target=lambda: answers.append(child.stdout.readline()), daemon=True)
    with device_lock("cpu"):
        child.stdin.write("go\n")
        child.stdin.flush()
        reader.start()
        reader.join(1)
        assert answers == []
    reader.join(30)
    assert answers == ["batch\n"]


@pytest.mark.parametrize("theirs, mine", [(False, False), (False, True), (True, False)])
def test_who_has_no_patience_goes_on_without(process, theirs, mine):
    child = process(HOLD.format(theirs))
    begin = time.monotonic()
    with device_lock("cpu", shared=mine, patience=0.2):
        assert time.monotonic() - begin >= 0.2
        others = taken_in_a_thread(theirs)
        child.stdin.close()
        assert others.has.wait(30)  # as nothing is locked here
        others.leave.set()
    with device_lock("cpu", patience=30):
        asked = taken_in_a_thread(True)
        assert not asked.has.wait(0.3)  # this one was had in time
    assert asked.has.wait(30)
    asked.leave.set()


def test_nested_in_one_thread():
    with device_lock("cpu"):
        with device_lock("cpu"), device_lock("cpu", shared=True):
            pass
        asked = taken_in_a_thread(True)
        assert not asked.has.wait(0.3)  # the inner ones gave nothing back
    assert asked.has.wait(30)
    asked.leave.set()
    with (
        device_lock("cpu", shared=True),
        device_lock("cpu", shared=True),
        pytest.raises(RuntimeError, match="this thread shares the lock of cpu"),
        device_lock("cpu"),
    ):
        pass


def test_an_error_gives_it_back():
    with pytest.raises(KeyError), device_lock("cpu"):
        raise KeyError
    asked = taken_in_a_thread(False)
    assert asked.has.wait(30)
    asked.leave.set()


def test_a_gpu_goes_by_its_uuid(own_locks, monkeypatch):
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(uuid=f"12-34-{torch.device(device).index or 0}"),
    )
    with device_lock("cuda:1"), device_lock("cuda"), device_lock(torch.device("cuda", 0)), device_lock("cpu"):
        pass
    assert sorted(path.name for path in own_locks.glob("*.lock")) == [
        "cpu.lock",
        "cuda-12-34-0.lock",
        "cuda-12-34-1.lock",
    ]


def assert_is_held():
    asked = taken_in_a_thread(False)
    assert not asked.has.wait(0.3)
    return asked


def test_it_lies_in_a_folder_of_the_users_own(own_locks):
    umask = os.umask(0)
    try:
        with device_lock("cpu"):
            pass
        own_locks.chmod(0o777)
        with device_lock("cpu"):
            pass
    finally:
        os.umask(umask)
    assert stat.S_IMODE(own_locks.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in own_locks.iterdir())


def a_pipe(path):
    os.mkfifo(path)


def a_link(path):
    path.symlink_to(path.parent / "elsewhere")


def a_folder(path):
    path.mkdir()


@pytest.mark.parametrize("lay", [a_pipe, a_link])
@pytest.mark.parametrize("part", ["lock", "turnstile"])
def test_what_lies_in_a_locks_place_holds_nobody_up(own_locks, lay, part):
    own_locks.mkdir()
    lay(own_locks / f"cpu.{part}")
    with device_lock("cpu"):
        asked = assert_is_held()
    assert asked.has.wait(30) and not (own_locks / "elsewhere").exists()
    asked.leave.set()


@pytest.mark.parametrize("lay", [a_pipe, a_link])
def test_what_lies_in_the_folders_place_is_left_there(own_locks, lay, tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    lay(own_locks)
    with device_lock("cpu"):
        asked = assert_is_held()
    assert asked.has.wait(30) and not own_locks.is_dir()
    asked.leave.set()


def test_where_there_can_be_no_lock_this_goes_on_without(own_locks):
    own_locks.mkdir()
    a_folder(own_locks / "cpu.lock")
    with device_lock("cpu"):
        pass


WAIT = """
from nni_nasoa.device.lock import device_lock
for _ in range(2):
    with device_lock("cpu", patience=4):
        print("on")
"""


def test_a_wait_is_told_in_a_line_and_has_an_end(process):
    process(HOLD.format(True))
    waiting = subprocess.run(
        [
            sys.executable,
            "-c",
            WAIT,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert waiting.stdout == "on\non\n" and waiting.stderr.splitlines() == [
        "waiting for another process that uses cpu, 4 s at most",
        "another process has not let go of cpu: what is measured may be disturbed by it",
    ]
