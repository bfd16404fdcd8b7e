import math
import re
from html.parser import HTMLParser

import pytest
from documents import ROOT

from nni_nasoa.figures.claims import NOT_MEASURED, claims, ms_at, speed_ratio
from nni_nasoa.figures.measured import shipped, summary
from nni_nasoa.figures.page import write_claims
from nni_nasoa.figures.published import Network, on_v100
from nni_nasoa.figures.step_times import Measured


def network(series, name, top1, train, infer=None):
    return Network(series, name, name, top1, train, infer)


LINE = [
    network("ET-NAS", "a", 60.0, 10.0, 1.0),
    network("ET-NAS", "b", 70.0, 40.0, 4.0),
    network("ET-NAS", "worse", 65.0, 41.0, 5.0),  # another is sooner and more accurate
    network("Other", "x", 65.0, 60.0, 2.0),
]


def row(rows, start):
    (found,) = [claim for claim in rows if claim.claim.startswith(start)]
    return found


def test_times_between_networks_are_interpolated():
    assert ms_at(LINE, "ET-NAS", "train", 65.0) == pytest.approx(20.0)  # half way between logarithms
    assert ms_at(LINE, "ET-NAS", "train", 70.0) == 40.0
    assert ms_at(LINE, "ET-NAS", "train", 59.9) is None and ms_at(LINE, "ET-NAS", "train", 70.1) is None
    assert ms_at(LINE, "none", "train", 65.0) is None
    assert speed_ratio(LINE, LINE[-1], "train") == pytest.approx(3.0)
    assert speed_ratio(LINE, LINE[-1], "infer") == pytest.approx(1.0)


def test_what_the_published_points_give():
    known = {one.name: one for one in on_v100()}
    at_equal = speed_ratio(on_v100(), known["RegNetY-16GF"], "train")
    pair = known["RegNetY-16GF"].train_ms / known["et-nas-g"].train_ms
    assert pair == pytest.approx(5.06, abs=0.005) and at_equal == pytest.approx(5.07, abs=0.005)
    rows = claims()
    assert row(rows, "ET-NAS-G").published.startswith(
        f"{pair:.2f} times; {at_equal:.2f} times at equal accuracy"
    )
    i_and_b3 = known["EfficientNet-B3"].train_ms / known["et-nas-i"].train_ms
    assert row(rows, "ET-NAS-I trains").published.startswith(f"{i_and_b3:.2f} times")
    ratios = [speed_ratio(on_v100(), one, "infer") for one in on_v100() if one.series == "EfficientNet"]
    assert f"{min(ratios):.2f} to {max(ratios):.2f}" in row(rows, "ET-NAS's inference is like").published


def test_what_was_not_measured_is_said():
    rows = claims()
    assert (
        NOT_MEASURED in row(rows, "ET-NAS-G").measured and "regnet_y_800mf" in row(rows, "ET-NAS-G").measured
    )
    none = claims(Measured("here", ()))
    assert row(none, "ET-NAS-G").measured.startswith(f"these two: {NOT_MEASURED}. No RegNetY")
    assert row(none, "ET-NAS's inference is like").measured.startswith(NOT_MEASURED)


def test_own_step_times_are_taken():
    own = Measured(
        "my GPU",
        (
            network("ET-NAS", "et-nas-g", 80.41, 10.0, 1.0),
            network("RegNetY", "regnet_y_16gf", 80.4, 42.0, 3.0),
        ),
    )
    found = row(claims(own), "ET-NAS-G")
    assert found.measured == "4.20 times; on my GPU" and not found.source


def test_shipped_figures_are_those_of_the_recorded_data():
    assert shipped() == summary(ROOT / "examples")
    for part in shipped().values():
        assert (ROOT / "examples" / part["file"]).is_file()


def test_claims_say_what_was_measured():
    rows, data = claims(), shipped()
    points = data["upper_bounds"]["points"].values()
    assert f"{sum(points) / len(points):+.1f} points" in row(rows, "One advised run").measured
    assert row(rows, "40 times").measured.startswith(f"{data['tuners']['median']['BOHB']:.1f} times")
    blocks = data["blocks"]["classic"]
    assert {one["block"] for one in blocks} == {"basic block", "bottleneck", "inverted residual"}
    for one in blocks:
        gain = 100 * (one["best_as_fast"] - one["accuracy"])
        assert f"{gain:+.1f} points over the {one['block']}" in row(rows, "The search finds").measured
    shares = list(data["smallest_is_best"]["shares"].values())
    assert row(rows, "With little time").measured.startswith("so it is") == (shares[0] > shares[-1])
    frozen = re.findall(r"\d+ on (\d+)", row(rows, "How many stages").measured)
    assert sum(map(int, frozen)) == len(data["frozen_stages_of_the_best"]["by_task"])


class Text(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_data(self, data):
        self.found.append(data.strip())


def test_files_have_the_whole_table(tmp_path):
    rows = claims()
    lines = write_claims(rows, tmp_path / "claims.md").read_text().splitlines()
    assert len(lines) == 2 + len(rows) and all(line.count("|") == 5 for line in lines)
    assert all(one.claim in line and one.measured in line for one, line in zip(rows, lines[2:]))
    page = write_claims(rows, tmp_path / "claims.html").read_text()
    found = Text(page).found
    assert all(text in found for one in rows for text in (one.claim, one.published, one.measured))
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page
    assert not re.search(r"<(script|link)|src=\"http", page)


def test_text_of_devices_is_escaped(tmp_path):
    rows = claims(Measured("<b>|GPU|", (network("ET-NAS", "et-nas-a", 62.0, 1.0, 1.0),)))
    assert "<b>" not in write_claims(rows, tmp_path / "claims.html").read_text()
    assert "<b>\\|GPU\\|" in write_claims(rows, tmp_path / "claims.md").read_text()


@pytest.mark.parametrize("name, message", [("claims.png", "suffix"), ("no/claims.md", "no folder")])
def test_other_files_are_refused(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        write_claims(claims(), tmp_path / name)


def test_published_tables_are_finite():
    assert all(math.isfinite(one.train_ms) and math.isfinite(one.infer_ms) for one in on_v100())
