import os
import pty
import re
import subprocess
import sys
import threading

import pytest

from nni_nasoa.data.parallel import in_threads, progress_bar

OPEN = (
    "import sys, warnings; from nni_nasoa.data import open_dataset; warnings.simplefilter('ignore'); "
    "open_dataset(sys.argv[1], input_size=8, show_progress={'None': None, 'False': False}[sys.argv[2]])"
)


def test_results_come_in_order_and_not_far_ahead():
    running, most = [], []
    lock = threading.Lock()

    def double(number):
        with lock:
            running.append(number)
        return 2 * number

    for number, result in enumerate(in_threads(double, range(1000))):
        assert result == 2 * number
        most.append(len(running) - number)
    assert number == 999 and max(most) <= 9 * (os.cpu_count() or 1) + 1


def test_an_error_in_a_thread_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 / number, [1, 0]))


def run(animals, show, terminal):
    if not terminal:
        return subprocess.run(
            [sys.executable, "-c", OPEN, str(animals), show], capture_output=True, text=True, check=True
        ).stderr
    own, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(animals), show],
        stderr=other,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(other)
    output = b""
    try:
        while block := os.read(own, 4096):
            output += block
    except OSError:  # Linux says so where the other end is closed
        pass
    os.close(own)
    assert process.wait(60) == 0
    return output.decode()


def test_a_terminal_shows_a_bar_while_images_are_decoded(animals):
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run(animals, "None", terminal=True))
    assert "animals: decoding" in output and "15/15" in output
    assert "decoding" not in run(animals, "None", terminal=True)  # for they are there


@pytest.mark.parametrize("show, terminal", [("None", False), ("False", True), ("False", False)])
def test_there_is_no_bar_elsewhere(animals, show, terminal):
    assert run(animals, show, terminal) == ""


def test_a_bar_may_be_asked_for(capsys):
    with progress_bar("set [red]", 3, True) as advance:
        advance(3)
    assert "set [red]" in capsys.readouterr().err
