from __future__ import annotations

import math

import pytest

from nni_nasoa.advisor.advice import Limits
from nni_nasoa.advisor.models import AdviceError


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "5"])
def test_limits_are_positive_numbers(value):
    with pytest.raises(AdviceError, match=r"max_latency_ms: .* is not a positive number"):
        Limits(max_latency_ms=value)
