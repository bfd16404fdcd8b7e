from __future__ import annotations

from nni_nasoa.training.sampling import repeated


def test_time_is_short():
    """When time is up, the three samples that a median needs are taken all the same."""
    clock = iter(range(0, 1000, 10))
    samples = iter(range(100))

    def take(repeats, max_seconds):
        return repeated(lambda: next(samples), repeats, max_seconds, now=lambda: float(next(clock)))

    assert take(50, 35.0) == [0, 1, 2, 3, 4, 5]  # asked at 10, 20, 30, 40 s
    assert take(50, 5.0) == [6, 7, 8]
    assert take(2, 0.0) == [9, 10]
