import csv
from pathlib import Path

import pytest
import torch

from nni_nasoa import zoo
from nni_nasoa.architecture import Architecture
from nni_nasoa.networks import ETNet, WeightsError, convert_published
from nni_nasoa.networks.published import published_names
from nni_nasoa.training.speed import count_macs

TABLE = Path(zoo.__file__).with_name("et_nas.csv")
with TABLE.open(newline="") as file:
    ROWS = list(csv.DictReader(file))


@pytest.fixture(params=ROWS, ids=[row["name"] for row in ROWS])
def row(request):
    return request.param


def test_names_shapes_and_order_are_the_published_ones(row, published_shapes):
    with torch.device("meta"):
        network = ETNet(row["encoding"])
    own = network.state_dict()
    assert {name: list(own[key].shape) for key, name in published_names(network).items()} == published_shapes[
        row["encoding"]
    ]
    assert list(published_names(network).values()) == list(published_shapes[row["encoding"]])
    assert set(published_names(network)) == set(own)


def test_parameters_and_macs_are_the_published_ones(row):
    with torch.device("meta"):
        network = ETNet(row["encoding"])
    parameters, macs = sum(p.numel() for p in network.parameters()), count_macs(network)
    architecture = Architecture.parse(row["encoding"])
    assert (parameters, macs) == (architecture.parameters(), architecture.macs())
    assert parameters / 1e6 == pytest.approx(float(row["params_m"]), abs=0.051)
    assert macs / 1e9 == pytest.approx(float(row["gmacs_224"]), abs=0.0051)


@pytest.mark.slow
def test_logits_are_the_published_ones(formula_checkpoint, formula_images, golden_logits):
    assert len(golden_logits) == 4
    for encoding, logits in golden_logits.items():
        network = ETNet(encoding, 10).double().eval()
        network.load_state_dict(convert_published(formula_checkpoint(encoding), encoding))
        with torch.no_grad():
            torch.testing.assert_close(network(formula_images), logits, rtol=0, atol=1e-9)


A, B = ROWS[0]["encoding"], ROWS[1]["encoding"]


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda state: state.pop("layers.7.module_list.0.0.0.weight"),
            f"no tensor 'layers.7.module_list.0.0.0.weight', which architecture {A} has",
        ),
        (
            lambda state: state.update({"layers.99.x": torch.zeros(1)}),
            f"1 tensors that architecture {A} does not have, such as 'layers.99.x'",
        ),
        (
            lambda state: state.update({"fc.bias": torch.zeros(3)}),
            "tensor 'fc.weight' has shape (10, 512), where",
        ),
        (
            lambda state: state.update({"fc.bias": torch.zeros(())}),
            "tensor 'fc.weight' has shape (10, 512), where",
        ),
        (lambda state: state.pop("fc.bias"), "tensor 'fc.weight' has shape (10, 512), where"),
    ],
)
def test_what_does_not_fit_is_named(change, message, formula_checkpoint):
    state = formula_checkpoint(A)
    change(state)
    with pytest.raises(WeightsError) as error:
        convert_published(state, A)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_another_network_is_refused(formula_checkpoint):
    with pytest.raises(WeightsError, match=r"layers\.6\.module_list\.0\.0\.0\.weight"):
        convert_published(formula_checkpoint(A), B)
