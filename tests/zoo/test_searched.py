import json

import pytest

from nni_nasoa import zoo
from nni_nasoa.architecture import Architecture
from nni_nasoa.networks import WeightsError

RECORDS = [
    {"architecture": "011-_32_2-211-2", "accuracy": 0.9, "relative_speed": 0.5, "default": 0.85},
    {"architecture": "2-_32_2-11-112", "accuracy": 0.8, "relative_speed": 1.2, "default": 0.81},
]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def front(networks):
    return {
        "format": "nni-nasoa front",
        "version": 1,
        "experiment": "abc",
        "objectives": [],
        "networks": networks,
    }


@pytest.fixture
def front_file(tmp_path):
    return str(write(tmp_path / "front.json", front(RECORDS)))


def test_read_front(front_file):
    assert zoo.read_front(front_file) == RECORDS


def test_a_front_file_is_a_family(front_file):
    assert zoo.list_models(front_file) == [f"{front_file}#1", f"{front_file}#2"]
    info, architecture = zoo.get(f"{front_file}#2"), Architecture.parse(RECORDS[1]["architecture"])
    assert (info.family, info.encoding, info.imagenet_top1) == (front_file, "2-_32_2-11-112", None)
    assert (info.params_m, info.gmacs_224) == (architecture.parameters() / 1e6, architecture.macs() / 1e9)
    network = zoo.create_model(f"{front_file}#1", num_classes=4)
    assert str(network.architecture) == RECORDS[0]["architecture"] and network.num_classes == 4
    with pytest.raises(WeightsError, match=r"front\.json#1 has no pretrained weights"):
        zoo.create_model(f"{front_file}#1", weights="default")


def test_a_front_file_whose_name_begins_like_an_encoding(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "2_front_a.json", front(RECORDS))
    assert zoo.create_model("2_front_a.json#1", 2).num_classes == 2


@pytest.mark.parametrize("number", ["0", "3", "x", ""])
def test_a_number_that_is_not_there(front_file, number):
    with pytest.raises(ValueError, match="zoo: no model"):
        zoo.get(f"{front_file}#{number}")


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([], 'not a front file, which is a JSON object with "format": "nni-nasoa front"'),
        ({"networks": []}, 'not a front file, which is a JSON object with "format": "nni-nasoa front"'),
        ({**front([]), "version": 2}, "front file of version 2, where this release reads version 1"),
        ({**front([]), "networks": {}}, 'no list "networks"'),
        (front([*RECORDS, 3]), "network 3: not a JSON object"),
        (front([{"accuracy": 1.0}]), 'network 1: no "architecture"'),
        (front([{"architecture": 7}]), "network 1: architecture: expected text, got int"),
        (front([{"architecture": "9-_32_1"}]), "network 1: block layer 1: op '9' is not one of 0-6"),
        (
            front([{**RECORDS[0], "accuracy": "high"}]),
            "network 1: accuracy: 'high' is not a number",
        ),
        (
            front([{**RECORDS[0], "relative_speed": float("nan")}]),
            "network 1: relative_speed: nan is not a number",
        ),
        (
            front([{**RECORDS[0], "accuracy": 10**400}]),
            f"network 1: accuracy: 1{'0' * 59}... is not a number",
        ),
        (
            front([{**RECORDS[0], "params_m": -(10**400)}]),
            f"network 1: params_m: -1{'0' * 58}... is not a number",
        ),
    ],
    ids=range(14),
)
def test_what_is_wrong_is_one_line_that_names_the_place(tmp_path, content, message):
    path = write(tmp_path / "front.json", content)
    with pytest.raises(zoo.FrontError) as error:
        zoo.list_models(str(path))
    assert str(error.value).startswith(f"{path}: {message}") and "\n" not in str(error.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(zoo.FrontError, match="no such file"):
        zoo.read_front(tmp_path / "missing.json")
    with pytest.raises(zoo.FrontError, match="cannot be read"):
        zoo.read_front(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(zoo.FrontError, match="not text in UTF-8"):
        zoo.read_front(tmp_path / "binary.json")
