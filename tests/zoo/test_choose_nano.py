import csv
import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from nni_nasoa.zoo.nano import NanoFamily

EXAMPLES = Path(__file__).parents[2] / "examples"
FRONT = EXAMPLES / "search_digits" / "front.json"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("choose_nano", EXAMPLES / "nano_family" / "choose.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_table_from_a_front(script, tmp_path):
    result = CliRunner().invoke(
        script.main, [str(FRONT), "-o", str(tmp_path / "nano.csv"), "--count", "3", "--min-params", "0.015"]
    )
    assert result.exit_code == 0, result.output
    assert result.output == (tmp_path / "nano.csv").read_text()
    models = NanoFamily(tmp_path / "nano.csv", tmp_path).models()
    assert list(models) == ["nano-a", "nano-b", "nano-c"]
    assert [info.encoding for info in models.values()] == ["3-_8_1-12-1", "2-_8_11-2-21", "0-_16_21-2-111"]
    with (tmp_path / "nano.csv").open() as file:
        assert list(csv.DictReader(file))[2] == {
            "name": "nano-c",
            "encoding": "0-_16_21-2-111",
            "params_m": "0.2175",
            "gmacs_224": "0.0971",
            "search_accuracy": "0.9331",
            "relative_speed": "2.873",
        }


def record(encoding, accuracy, speed):
    return {"architecture": encoding, "accuracy": accuracy, "relative_speed": speed}


def test_only_the_front_and_what_gets_slower_as_it_grows(script):
    small, middle, large = (
        record("2-_8_11", 0.5, 4.0),
        record("2-_16_11", 0.6, 3.0),
        record("2-_16_11-2", 0.7, 2.0),
    )
    assert script.parameters_m(small) < script.parameters_m(middle) < script.parameters_m(large)
    dominated, shrinking = record("2-_16_11-1", 0.55, 2.5), record("2-_8_11-1", 0.8, 1.0)
    records = [dominated, large, small, shrinking, middle]
    assert script.choose(records, 3, 0.0, 2.0) == [small, middle, large]
    with pytest.raises(
        ValueError, match="of 4 networks on the front with 0 to 2 M parameters, at most 3 in a row get slower"
    ):
        script.choose(records, 4, 0.0, 2.0)
    with pytest.raises(ValueError, match="no network on the front has 1 to 2 M parameters"):
        script.choose(records, 1, 1.0, 2.0)


def test_even_on_a_logarithmic_scale(script):
    widths = (8, 16, 32, 64)
    records = [
        record(f"2-_{width}_{blocks}", 0.1 * number, 10 - number)
        for number, (width, blocks) in enumerate(
            (width, blocks) for width in widths for blocks in ("1", "11", "111")
        )
    ]
    chosen = [script.parameters_m(item) for item in script.choose(records, 4, 0.0, 2.0)]
    ratios = [large / small for small, large in pairwise(chosen)]
    assert max(ratios) / min(ratios) < 1.5
    assert (chosen[0], chosen[-1]) == (script.parameters_m(records[0]), script.parameters_m(records[-1]))


@pytest.mark.parametrize(
    "front, options, message",
    [
        ("missing.json", [], "Error: missing.json: no such file"),
        (
            str(FRONT),
            ["--min-params", "3", "--max-params", "4"],
            f"Error: {FRONT}: no network on the front has 3 to 4 M parameters",
        ),
        (
            str(FRONT),
            ["--count", "6", "--min-params", "0.01"],
            f"Error: {FRONT}: of 6 networks on the front with 0.01 to 2 M parameters, at most 5",
        ),
    ],
)
def test_errors_are_one_line(script, tmp_path, front, options, message):
    result = CliRunner().invoke(script.main, [front, "-o", str(tmp_path / "nano.csv"), *options])
    assert (
        result.exit_code == 1 and result.output.startswith(message) and result.output.strip().count("\n") == 0
    )
    assert not (tmp_path / "nano.csv").exists()
