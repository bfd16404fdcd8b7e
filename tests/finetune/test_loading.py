"""What lies in a classifier's folder may be damaged, or made by somebody who means harm: one line says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nni_nasoa.finetune import Outcome, StopReason
from nni_nasoa.finetune.classifier import save_classifier
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.finetune.loading import load_classifier
from nni_nasoa.networks import ETNet

CLASSES = ("dog", "cat", "bird")


@pytest.fixture
def network(tiny):
    torch.manual_seed(0)
    return ETNet(tiny, 3).eval()


@pytest.fixture
def about(described):
    return described(CLASSES)


@pytest.fixture
def folder(tmp_path, network, about):
    return save_classifier(tmp_path / "c", network.state_dict(), about)


def refusal(folder) -> str:
    """What is said of a classifier that is not loaded: one short line, with its folder."""
    with pytest.raises(ClassifierError) as error:
        load_classifier(folder)
    line = str(error.value)
    assert line.isprintable() and len(line) < 500 + len(str(folder)) and str(folder) in line
    return line


@pytest.mark.parametrize(
    "spoil, right",
    [
        (lambda f: (f / "model.safetensors").unlink(), "no classifier here"),
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:1000]),
            "damaged",
        ),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
        (lambda f: (f / "classifier.json").write_text("{"), "not JSON"),
        (lambda f: (f / "classifier.json").write_text("[" * 10**5), "not JSON"),
        (lambda f: edit(f, format="x"), "not a classifier"),
        (lambda f: edit(f, version=2), "version 2"),
        (lambda f: edit(f, classes=["one"]), '"classes"'),
        (lambda f: edit(f, mean=[0, 0]), '"mean"'),
        (lambda f: edit(f, regime={"model": "a", "batch_size": 0}), "batch_size"),
        (lambda f: edit(f, input_size="16"), '"input_size"'),
        (lambda f: edit(f, input_size=True), '"input_size"'),
        (
            lambda f: edit(f, std=[1, 0, 1]),
            '"std" of the description, entry 2: 0 is not a number from 1e-06 to',
        ),
        (lambda f: edit(f, mean=[1, 10**400, 1]), '"mean" of the description, entry 2: 10'),
        (lambda f: edit(f, classes=list("abcd")), "not the weights"),
    ],
)
def test_what_is_no_classifier_is_one_line(folder, spoil, right):
    spoil(folder)
    with pytest.raises(ClassifierError, match=right) as error:
        load_classifier(folder)
    assert "\n" not in str(error.value) and str(folder) in str(error.value)


def edit(folder, **fields):
    about = json.loads((folder / "classifier.json").read_text())
    (folder / "classifier.json").write_text(json.dumps({**about, **fields}))


@pytest.mark.parametrize(
    "fields, right",
    [
        ({"encoding": "606060606-_65536_1-1-1-1"}, "5.37e+10 numbers, where the file has 4.57e+03"),  # 38 GB
        ({"encoding": "2-_8_" + "4" * 300}, "the last block would have"),
        ({"encoding": "x" * 10**5}, "its network cannot be built"),
        ({"model": "timm/eva_giant_patch14_224", "encoding": None}, "1.01e+09 numbers"),
        ({"model": "nope", "encoding": None}, "no model 'nope'"),
        ({"model": "gone.json#1", "encoding": None}, "gone.json: no such file"),
        ({"model": "x" * 10**5, "encoding": None}, "no model 'xxx"),
        ({"model": "timm/deit_tiny_patch16_224", "encoding": None, "weights_of": "pooled"}, "numbers"),
        ({"classes": [str(number) for number in range(10**5)]}, "for 100000 classes"),
        ({"std": [1e-300, 1, 1]}, '"std" of the description, entry 1: 1e-300 is not'),
        ({"std": [0.0, 1, 1]}, '"std" of the description, entry 1: 0.0 is not'),
        ({"mean": [1e39, 0, 0]}, '"mean" of the description, entry 1: 1e+39 is not'),
        ({"version": "x" * 10**5}, "version 'xxx"),
        ({"version": True}, "True is not 1"),
        ({"notes": 3}, '"notes" of the description: 3 is not a list of notes'),
        ({"dataset": []}, '"dataset" of the description'),
        ({"advice": "much"}, '"advice" of the description'),
        ({"weights_of": "staged"}, "no tensor 'stages.0"),
        ({"weights_of": "pooled"}, "no tensor"),
    ],
)
def test_a_description_is_held_against_the_weights_before_anything_is_made_of_it(folder, fields, right):
    edit(folder, **fields)
    assert right in refusal(folder)


def test_a_description_that_asks_for_much_memory_gets_none(folder):
    """In a process that may have 8 GB: torch alone takes some of address space."""
    edit(folder, encoding="606060606-_16384_1-1-1-1")  # 2.4 GB for a layer
    code = """
import resource, sys, tracemalloc
from nni_nasoa.finetune import load_classifier
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_classifier(sys.argv[1])
except ValueError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200_000  # kB


@pytest.mark.parametrize("where", ["classifier.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["[" * 10**5, "1" * 5000, "\ud800"])
def test_a_description_that_is_no_json_is_refused(folder, network, where, damage):
    if where == "classifier.json":
        (folder / where).write_bytes(damage.encode("utf-8", "surrogatepass"))
    else:
        (folder / "classifier.json").unlink()
        rewrite(folder, metadata={"classifier": damage.encode("utf-8", "replace").decode()})
    refusal(folder)


def rewrite(folder: Path, metadata=None, header=lambda tensors: tensors) -> None:
    """Write the file of weights anew, with another header."""
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    known = json.loads(content[8 : 8 + length])
    before = known.pop("__metadata__")
    known = {"__metadata__": metadata or before, **header(known)}
    text = json.dumps(known).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


@pytest.mark.parametrize(
    "about_tensor",
    [
        {"dtype": "F4"},
        {"dtype": "nonsense"},
        {"shape": [10**18, 10**18]},
        {"shape": []},
        {"data_offsets": [0, 10**18]},
    ],
)
def test_a_header_that_does_not_fit_the_file_is_refused(folder, about_tensor):
    rewrite(folder, header=lambda known: {**known, "head.bias": {**known["head.bias"], **about_tensor}})
    refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["head.weight", "stem.0.norm.running_var"])
def test_weights_that_are_not_finite_are_refused(folder, network, about, name, value):
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    state[name].view(-1)[0] = value
    save_classifier(folder, state, about)
    assert f"tensor '{name}' has values that are not finite" in refusal(folder)


def test_a_network_is_built_by_its_encoding_where_its_name_is_not_known(tmp_path, network, about):
    """The front file that it comes from may be gone, or the model that was added to the zoo."""
    about = {**about, "model": "gone/front.json#3", "weights_of": "staged"}
    from nni_nasoa.zoo.staged import staged

    save_classifier(tmp_path / "c", staged(network).state_dict(), about)
    assert load_classifier(tmp_path / "c").classes == CLASSES


@pytest.mark.parametrize(
    "notes", [(), ["decoding all images takes longer than it may: only the head is trained"]]
)
def test_a_classifier_of_an_earlier_release_is_loaded(folder, about, notes):
    old = {key: value for key, value in about.items() if key != "outcome"} | {"notes": notes}
    (folder / "classifier.json").write_text(json.dumps(old))
    told = {"cut_to_head": True, "sampled": True} if notes else {}
    assert load_classifier(folder).outcome == Outcome(StopReason.UNKNOWN, **told)


@pytest.mark.parametrize(
    "outcome, words",
    [
        (None, "outcome: None is not an object with the fields of an outcome"),
        ({}, "reason: is missing"),
        ({"reason": "it was late"}, "reason: 'it was late' is not one of budget"),
        ({"reason": "budget", "steps": "many"}, "steps: 'many' is not a whole number"),
    ],
)
def test_an_outcome_that_is_none_is_said_in_one_line(folder, about, outcome, words):
    (folder / "classifier.json").write_text(json.dumps({**about, "outcome": outcome}))
    with pytest.raises(ClassifierError, match=f"^{folder}: {words}") as caught:
        load_classifier(folder)
    assert "\n" not in str(caught.value)
