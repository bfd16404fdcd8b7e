"""Signals that ask a run to save what it has."""

import signal

import pytest

from nni_nasoa.device.interruption import interruptions


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_one_is_noted_and_the_second_ends_the_run(number):
    before = signal.getsignal(number)
    with interruptions() as interruption:
        assert not interruption
        signal.raise_signal(number)
        assert interruption.number == number
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_one_that_is_ignored_stays_so():
    """`nohup` has a run go on without its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptions() as interruption:
            signal.raise_signal(signal.SIGHUP)
            assert not interruption
    finally:
        signal.signal(signal.SIGHUP, before)
