import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa import zoo
from nni_nasoa.search.evolution import Limit, Objective
from nni_nasoa.search.front import (
    FrontError,
    comparable,
    comparable_step_times,
    distinct,
    pareto_front,
    read_front,
    read_records,
    write_front,
    write_records,
)

RECORDS = [
    {
        "default": 0.9,
        "accuracy": 0.90,
        "relative_speed": 1.0,
        "architecture": "10001-_32_2-12-2",
        "trial_id": "00123",
        "params_m": 4.0,
    },
    {
        "default": 0.9,
        "accuracy": 0.95,
        "relative_speed": 0.5,
        "architecture": "2-_32_2-1-21",
        "trial_id": "1e5",
        "params_m": 9.0,
    },
    {
        "default": 0.9,
        "accuracy": 0.89,
        "relative_speed": 0.9,
        "architecture": "020-_16_1-2-2",
        "trial_id": "nan",
        "params_m": 1.0,
    },
    {
        "default": 0.9,
        "accuracy": 0.80,
        "relative_speed": 2.0,
        "architecture": "031-_16_1-2-2",
        "trial_id": "abcde",
        "params_m": 1.0,
        "device": "12",
        "dataset": "2024",
        "epochs": 2,
    },
]


def names(records):
    return [record["architecture"].partition("-")[0] for record in records]


def test_front_has_the_best_first_objective_first():
    assert names(pareto_front(RECORDS)) == ["2", "10001", "031"]
    assert names(pareto_front(RECORDS, [Objective("relative_speed"), Objective("accuracy")])) == [
        "031",
        "10001",
        "2",
    ]
    assert names(pareto_front(RECORDS, [Objective("params_m", maximize=False), Objective("accuracy")])) == [
        "020",
        "10001",
        "2",
    ]
    assert pareto_front([]) == []


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_front_is_what_nothing_dominates(points):
    records = [{"a": a, "b": b} for a, b in points]
    front = pareto_front(records, [Objective("a"), Objective("b", maximize=False)])
    undominated = [
        (a, b) for a, b in points if not any(c >= a and d <= b and (c, d) != (a, b) for c, d in points)
    ]
    assert sorted((record["a"], record["b"]) for record in front) == sorted(undominated)


def test_limits():
    assert names(pareto_front(RECORDS, limits=[Limit("params_m", maximum=5)])) == ["10001", "031"]
    assert pareto_front(RECORDS, limits=[Limit("peak_memory", maximum=5)]) == []


@pytest.mark.parametrize("value", [None, "0.99", math.nan, math.inf, True, [1], 10**400])
def test_a_record_without_its_objectives_does_not_count(value):
    broken = RECORDS[0] | {"architecture": "0-_32_1", "accuracy": value}
    assert pareto_front([broken, *RECORDS]) == pareto_front(RECORDS)
    assert len(distinct([broken, *RECORDS])) == 4


def test_of_an_architecture_the_first_record_counts():
    again = RECORDS[0] | {"accuracy": 0.99}
    assert pareto_front([*RECORDS, again]) == pareto_front(RECORDS)


def test_what_was_trained_for_fewer_epochs_does_not_compare():
    brief = {**RECORDS[0], "accuracy": 0.99, "relative_speed": 9.0, "epochs": 1}
    full = {**RECORDS[0], "epochs": 4}
    assert comparable([brief, full]) == [full] and comparable([brief, brief]) == [brief, brief]
    assert distinct([brief, full]) == pareto_front([brief, full]) == [full]
    untold = {name: value for name, value in RECORDS[1].items() if name != "epochs"}
    assert comparable([untold, brief, full]) == [untold, full]
    run = {"accuracy": 0.5, "epochs": 3.5}  # of fine-tuning, where epochs are what came of it
    assert comparable([run, {**run, "epochs": 9.0}]) == [run, {**run, "epochs": 9.0}]


def test_front_file_is_a_family_of_the_zoo(tmp_path):
    path = write_front(tmp_path / "front.json", RECORDS, experiment="abc")
    content = json.loads(path.read_text())
    assert {key: content[key] for key in content if key != "networks"} == {
        "format": "nni-nasoa front",
        "version": 1,
        "experiment": "abc",
        "objectives": [
            {"name": "accuracy", "mode": "maximize"},
            {"name": "relative_speed", "mode": "maximize"},
        ],
    }
    assert read_front(path) == read_records(path) == pareto_front(RECORDS)
    assert zoo.get(f"{path}#1").encoding == "2-_32_2-1-21" and len(zoo.list_models(str(path))) == 3
    assert [file.name for file in tmp_path.iterdir()] == ["front.json"]  # no draft is left


def test_records_come_back_from_a_csv_file_as_they_were(tmp_path):
    plain = {
        "default": -1.5e-7,
        "steps": 3,
        "on": False,
        "label": "1_000",
        "trial_id": "12345",
        "parameters": {"x": [1, 'a,"b"\nc']},
    }
    path = write_records(tmp_path / "results.csv", [*RECORDS, plain])
    back = read_records(path)
    assert back == [*RECORDS, plain]
    assert {key: type(value) for key, value in back[4].items()} == {
        key: type(value) for key, value in plain.items()
    }
    write_records(path, back)
    assert read_records(path) == back


def test_json_and_json_lines(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(RECORDS))
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, RECORDS)) + "\n\n")
    assert read_records(tmp_path / "list.json") == read_records(tmp_path / "lines.jsonl") == RECORDS


def test_a_line_ends_where_the_line_does_and_not_in_a_text(tmp_path):
    """Python has ends of lines that JSON has not, such as U+2028."""
    record = {"note": "one\u2028two\x85three"}
    (tmp_path / "a.jsonl").write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_records(tmp_path / "a.jsonl") == [record]


def test_numbers_of_any_length_are_numbers(tmp_path):
    (tmp_path / "a.csv").write_text(f"x,y\n{'9' * 5000},12\n")
    assert read_records(tmp_path / "a.csv") == [{"x": math.inf, "y": 12}]


def test_front_of_another_space(tmp_path):
    records = [{"loss": 0.5, "parameters": {"x": 1}}, {"loss": 0.2, "parameters": {"x": 2}}]
    path = write_front(tmp_path / "front.json", records, objectives=[Objective("loss", maximize=False)])
    assert read_records(path) == records[1:]
    with pytest.raises(FrontError):
        read_front(path)  # the zoo has no use for it


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("results.txt", "", "ends in .csv, .jsonl, .json"),
        ("missing.csv", None, "cannot be read"),
        ("results.csv", "accuracy,x\n1,2\n3\n", "line 3: 1 fields, where the header line has 2"),
        ("results.csv", "accuracy,architecture\n0.5,92-_32_1\n", "record 1: block layers"),
        ("results.csv", b"\xff\xfe\x00", "cannot be read"),
        ("results.json", "{", "not JSON"),
        ("results.json", "3", "neither a list of results nor a front file"),
        ("results.json", "[3]", "record 1 is not an object"),
        ("results.json", '{"a": 1}', "not a front file"),
        ("results.json", "[" * 100000, "nested too deeply|not JSON"),
        ("results.json", '{"format": "nni-nasoa front", "networks": [3]}', "record 1 is not an object"),
        ("results.jsonl", '{"a": 1}\n{"a"\n', "line 2: not JSON"),
        ("results.jsonl", b'{"a": 1}\n"\xff"\n', "line 2: not text in UTF-8"),
        ("results.json", "9" * 5000, "not JSON"),
    ],
)
def test_wrong_files_are_told_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FrontError, match=message) as caught:
        read_records(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_step_times_are_of_the_most_common_device():
    def record(device, reference, speed):
        return {
            "device": device,
            "reference_step_time_ms": reference,
            "relative_speed": speed,
            "step_time_ms": reference / speed,
        }

    noisy = [record("A", 10, 0.5), record("A", 30, 0.5), record("A", 11, 2.0), record("B", 1, 0.5)]
    times = comparable_step_times(noisy)
    assert times.device == "A" and times.ms == (22, 22, 5.5, 22)


def test_step_times_without_a_reference_are_as_they_were_measured():
    times = comparable_step_times([{"step_time_ms": 7}, {"step_time_ms": "?"}])
    assert times.device is None and times.ms[0] == 7 and math.isnan(times.ms[1])
    odd = comparable_step_times([{"step_time_ms": 10**400, "device": [1]}, {"step_time_ms": 3, "device": 7}])
    assert odd.device is None and math.isnan(odd.ms[0]) and odd.ms[1] == 3
    assert comparable_step_times([]).ms == ()
