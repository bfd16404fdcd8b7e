"""Corrections of expected times: kept as JSON values, and what is no such thing is refused."""

import json

import pytest

from nni_nasoa.advisor.time.corrections import Corrections


def test_json_and_back():
    corrections = Corrections()
    for ratio in (1.5, 2.0, 1.7):
        corrections.observe(("nano-a", "0"), ratio)
    again = Corrections.from_json(json.loads(json.dumps(corrections.to_json())))
    assert again.factor(("nano-a", "0")) == corrections.factor(("nano-a", "0")) > 1 and again.seen == 3


@pytest.mark.parametrize(
    "ratios",
    [[float("nan")], [float("inf")], [10**400], ["1"], [True], [None], "1", 3],
    ids=lambda it: str(it)[:5],
)
def test_what_is_no_list_of_numbers_is_refused_in_one_line(ratios):
    with pytest.raises(ValueError, match=r"^corrections: not a list of paths with logarithms of ratios$"):
        Corrections.from_json([[["nano-a"], ratios]])
