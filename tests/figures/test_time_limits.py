import json

import pytest
from documents import ROOT

from nni_nasoa.figures.measured import block_search, shipped, time_limits
from nni_nasoa.figures.time_limits import read_time_limits, shipped_time_limits, time_limits_of

RIGHT = {
    "series": ["Big", "Small"],
    "cells": [
        {"task": "task:one", "budget": 3, "advised": 0.9, "Big": {"x": 0.8, "y": 0.5}, "Small": {"z": 0.95}},
        {"task": "two", "budget": 3, "advised": 0.5, "Big": {"x": 0.2, "y": 0.3}, "Small": {"z": 0.5}},
    ],
}


def test_points_are_above_the_best_of_a_series():
    limits = time_limits_of(RIGHT, "here.json")
    assert limits.tasks == ["one", "two"] and limits.budgets == [3] and limits.where == "here.json"
    assert limits.points_above("Big", 3) == pytest.approx((10 + 20) / 2)
    assert limits.points_above("Small", 3) == pytest.approx((-5 + 0) / 2)


def test_it_says_where_it_was_recorded():
    environment = {"device": "a GPU", "threads": 2, "torch": "2.4", "date": "2026-01-31T12:00:00Z"}
    where = time_limits_of(RIGHT | {"environment": environment}, "/some/where/here.json").where
    assert where == "a GPU, 2 threads, torch 2.4, 2026-01-31, here.json"


def test_what_comes_with_the_package_is_the_recorded_data():
    folder = ROOT / "nni_nasoa" / "figures"
    for name, make in (("time_limits", time_limits), ("block_search", block_search)):
        read = json.loads((folder / f"{name}.json").read_text())
        assert read == make(ROOT / "examples") and (ROOT / "examples" / read["file"]).is_file()
        assert read["environment"].keys() >= {"device", "threads", "torch", "date"}
    # The claims are of the same data.
    limits, points = shipped_time_limits(), shipped()["upper_bounds"]["points"]
    for series in limits.series:
        means = [limits.points_above(series, budget) for budget in limits.budgets]
        assert sum(means) / len(means) == pytest.approx(points[series], abs=0.01)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"series": []}, "no task within a budget"),
        ({"cells": []}, "no task within a budget"),
        ({"cells": None}, "no accuracies within time limits"),
        ({"cells": [{"task": "one"}]}, "no accuracies within time limits"),
        ({"cells": [RIGHT["cells"][0] | {"advised": 90}]}, "advised: 90 is not a number from 0 to 1"),
        ({"cells": [RIGHT["cells"][0] | {"budget": 0}]}, "budget: 0 is not a positive number"),
        ({"cells": [RIGHT["cells"][0] | {"Big": {}}]}, "cell 1: no networks of Big"),
        ({"cells": [RIGHT["cells"][0] | {"Big": {"x": "much"}}]}, "Big"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, change, message):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(RIGHT | change))
    with pytest.raises(ValueError, match=message) as caught:
        read_time_limits(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
