import copy
import io
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nni_nasoa.architecture import Architecture, ArchitectureError, ArchitectureSpace, random_architecture
from nni_nasoa.networks import ETNet

CANDIDATES = ArchitectureSpace(channels=(32,), stages=(3,), blocks=(1, 2), doublings=(1, 2))
# Concatenation into places 1 and 2, an add over a concatenation, strides and widths that change.
RICH = "01211-c01a02c12_16_21-2"


def random_encodings(count):
    rng = np.random.default_rng(0)
    return [str(random_architecture(rng, CANDIDATES)) for _ in range(count)]


def images(n=4, size=32, dtype=torch.float32):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(0), dtype=dtype)


def forward_out_of_place(network, x):
    """The definition, step by step, with nothing done in place."""
    for i in (0, 2, 4):
        x = F.relu(network.stem[i](x))
    for block in (block for stage in network.stages for block in stage):
        places = [x]
        for op, skips in zip(block.ops, block.skips):
            value = op(places[-1])
            for skip in skips:
                source = (
                    places[skip.source] if skip.projection is None else skip.projection(places[skip.source])
                )
                value = torch.cat([source, value], 1) if skip.kind == "c" else value + source
            places.append(F.relu(value))
        x = places[-1]
    return network.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


@pytest.mark.parametrize("encoding", [RICH, *random_encodings(8)])
def test_in_place_steps_change_neither_output_nor_gradients(encoding):
    torch.manual_seed(0)
    network = ETNet(encoding, 5).double()
    twin = copy.deepcopy(network)
    x, labels = images(dtype=torch.float64), torch.tensor([0, 1, 2, 3])
    outputs = network(x.clone().requires_grad_()), forward_out_of_place(twin, x)
    torch.testing.assert_close(*outputs)
    for output in outputs:
        F.cross_entropy(output, labels).backward()
    for (name, own), other in zip(network.named_parameters(), twin.parameters()):
        torch.testing.assert_close(own.grad, other.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_an_input_is_not_written_to():
    x = images()
    before = x.clone()
    block = ETNet(RICH, 5).stages[0][0]
    value = torch.randn(2, 16, 8, 8)
    value_before = value.clone()
    ETNet(RICH, 5)(x)
    block(value)
    assert torch.equal(x, before) and torch.equal(value, value_before)


@pytest.mark.parametrize("encoding", [RICH, *random_encodings(8)])
def test_parameters_are_those_that_the_architecture_counts(encoding):
    network = ETNet(encoding, 7)
    assert sum(p.numel() for p in network.parameters()) == Architecture.parse(encoding).parameters(7)


def test_shapes_and_names():
    network = ETNet("2-_32_2-11-112-1121112", num_classes=10)
    assert network.architecture == Architecture.parse("2-_32_2-11-112-1121112") and network.num_classes == 10
    assert [len(stage) for stage in network.stages] == [1, 2, 3, 7]
    assert [name for name, _ in network.named_children()] == ["stem", "stages", "head"]
    assert network.forward_features(images()).shape == (4, network.architecture.out_channels)
    assert network(images()).shape == (4, 10)


def test_initialisation():
    torch.manual_seed(0)
    network = ETNet("02031-a02_64_111-2111-21-211", 10)
    for module in network.modules():
        if (
            isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 10_000
        ):  # kaiming normal, fan out, relu
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()


@pytest.mark.parametrize("encoding", [RICH, "521-_32_1-2", "621-a01_16_2"])
def test_compiles_without_graph_breaks(encoding):
    network, twin, graphs = ETNet(encoding, 5), ETNet(encoding, 5), []
    twin.load_state_dict(network.state_dict())

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    outputs = torch.compile(network, backend=backend, fullgraph=True)(images()), twin(images())
    torch.testing.assert_close(*outputs)
    for output in outputs:
        F.cross_entropy(output, torch.tensor([0, 1, 2, 3])).backward()
    assert len(graphs) == 1
    for own, other in zip(network.parameters(), twin.parameters()):
        torch.testing.assert_close(own.grad, other.grad)


def test_compiles_with_functionalisation():
    """In-place steps are safe to rewrite, which is what torch.compile's default backend does."""
    torch.compiler.reset()
    network = ETNet(RICH, 5)
    twin = copy.deepcopy(network)
    outputs = torch.compile(network, backend="aot_eager", fullgraph=True)(images()), twin(images())
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("encoding", ["2-_32_2-11-2", RICH, "620-_16_2-2"])
def test_trains_in_bfloat16_autocast(encoding):
    torch.manual_seed(0)
    network = ETNet(encoding, 4)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    x, labels, losses = images(), torch.tensor([0, 1, 2, 3]), []
    for _ in range(12):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(x)
            loss = F.cross_entropy(logits, labels)
        assert logits.dtype == torch.bfloat16
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("encoding", ["2-_32_2-11-2", RICH, "620-_16_2-2"])
def test_keeps_channels_last(encoding):
    network = ETNet(encoding, 4).to(memory_format=torch.channels_last)
    formats = []
    for block in (block for stage in network.stages for block in stage):
        block.register_forward_hook(
            lambda _, inputs, output: formats.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    x = images(size=96).contiguous(memory_format=torch.channels_last)
    network(x)
    assert formats and all(formats)
    plain = copy.deepcopy(network.eval()).to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(network(x), plain(x.contiguous()), rtol=1e-4, atol=1e-4)


def test_pickle_deepcopy_and_state_dict():
    network = ETNet(RICH, 5).eval()
    x = images()
    fresh = ETNet(network.architecture, 5).eval()
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    buffer.seek(0)
    fresh.load_state_dict(torch.load(buffer, weights_only=True))
    for other in (pickle.loads(pickle.dumps(network)), copy.deepcopy(network), fresh):
        assert other.architecture == network.architecture
        assert torch.equal(other(x), network(x))


def test_blocks_without_written_skips_hold_their_input_only():
    blocks = [block for stage in ETNet("10001-_64_4-111", 5).stages for block in stage]
    assert all(block.kept_places == {0} for block in blocks)


def test_bad_arguments():
    with pytest.raises(ArchitectureError, match="block layer 1: op '9'"):
        ETNet("9-_32_1-1")
    with pytest.raises(ValueError, match="num_classes: 0"):
        ETNet("2-_32_1-1", 0)
