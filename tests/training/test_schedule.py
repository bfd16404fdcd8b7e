from __future__ import annotations

import pytest

from nni_nasoa.training.schedule import warmup_cosine


def test_share_at_known_places():
    assert warmup_cosine(0, 0.1) == pytest.approx(0.1)
    assert warmup_cosine(0.1, 0.1) == pytest.approx(1)
    assert warmup_cosine(0.55, 0.1) == pytest.approx(0.5)
    assert warmup_cosine(1, 0.1) == pytest.approx(0)


def test_steps_do_as_well_as_shares_and_warm_up_begins_where_it_is_told():
    assert [warmup_cosine(step, 4, 20) for step in range(21)] == [
        pytest.approx(warmup_cosine(step / 20, 0.2)) for step in range(21)
    ]
    assert [warmup_cosine(step, 4, 20, first=0.0) for step in range(5)] == [0, 0.25, 0.5, 0.75, 1]


def test_without_warm_up_it_begins_at_the_peak_and_warm_up_may_be_all():
    assert warmup_cosine(0, 0) == 1
    assert warmup_cosine(0.5, 1) == pytest.approx(0.55) and warmup_cosine(1, 1) == 1
