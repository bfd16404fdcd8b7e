import json

import pytest
import torch
from documents import ROOT

from nni_nasoa.figures.step_times import (
    SMALL,
    check_networks,
    imagenet_top1,
    measure,
    networks,
    read_step_times,
)


def test_networks_of_both_sizes():
    everything = networks(small=False)
    assert [name for series, name in everything if series == "ET-NAS"] == [
        f"et-nas-{letter}" for letter in "abcdefghijkl"
    ]
    assert {name for _, name in everything} > SMALL == {name for _, name in networks(small=True)}
    assert networks(small=True, only=["resnet101"]) == [("ResNet", "resnet101")]
    assert imagenet_top1("ResNet", "resnet50") == pytest.approx(76.13)  # of its first weights


def test_measured_times_are_kept(tmp_path):
    path = tmp_path / "times.json"
    (first,) = list(measure(path, "cpu", input_size=32, batch_size=2, only=["et-nas-a"]))
    kept = json.loads(path.read_text())
    assert kept["networks"] == [first] and first["train_fp32"]["step_time_ms"] > 0
    assert {"device", "torch", "torchvision", "date"} <= set(kept["environment"])
    measured = read_step_times(path)
    (network,) = measured.networks
    assert (network.series, network.short, network.imagenet_top1) == ("ET-NAS", "A", 62.06)
    assert network.train_ms == first["train_fp32"]["step_time_ms"]
    assert network.infer_ms == first["infer_fp32"]["step_time_ms"]
    for part in ("32 × 32 pixels, batch 2", kept["environment"]["device"], torch.__version__.split("+")[0]):
        assert part in measured.where


def test_files_of_the_benchmark_are_read():
    measured = read_step_times(ROOT / "examples" / "benchmarks" / "data" / "step_time_cpu_small.json")
    assert {network.name for network in measured.networks} == SMALL


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"networks": []}'])
def test_other_files_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "times.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"times\.json") as caught:
        read_step_times(path)
    assert "\n" not in str(caught.value)


def test_a_time_that_is_none_is_refused(tmp_path):
    path = tmp_path / "times.json"
    given = json.loads((ROOT / "examples" / "benchmarks" / "data" / "step_time_cpu_small.json").read_text())
    given["networks"][1]["train_fp32"]["step_time_ms"] = -1
    path.write_text(json.dumps(given))
    with pytest.raises(ValueError, match="et-nas-b: -1 is no accuracy or time above 0"):
        read_step_times(path)


def test_names_are_looked_at():
    check_networks(["et-nas-a", "resnet50"])
    with pytest.raises(ValueError, match="did you mean 'resnet50'"):
        check_networks(["resnet5"])
