from __future__ import annotations

from nni_nasoa.training import sampling


def test_time_is_short(monkeypatch):
    """When time is up, the three samples that a median needs are taken all the same."""
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(sampling.time, "monotonic", lambda: float(next(clock)))
    samples = iter(range(100))
    # Asked at 10, 20, 30, 40 s.
    assert sampling.repeated(lambda: next(samples), repeats=50, max_seconds=35.0) == [0, 1, 2, 3, 4, 5]
    assert sampling.repeated(lambda: next(samples), repeats=50, max_seconds=5.0) == [6, 7, 8]
    assert sampling.repeated(lambda: next(samples), repeats=2, max_seconds=0.0) == [9, 10]
