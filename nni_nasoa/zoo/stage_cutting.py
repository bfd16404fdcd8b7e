"""Cut a network into stages, by its graph.

Parameters are numbered by stage; torch.fx traces the network, and a cut is made where the first parameter of
a stage is used, if a single tensor crosses there.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from nni_nasoa.device.signals import signals_deferred
from nni_nasoa.device.threads import one_thread

# Plain transformers have a stage for each of their blocks: where there are more than MAX_STAGES, they are
# joined to JOINED_STAGES.
MAX_STAGES, JOINED_STAGES = 8, 4
# The stages of ETNet and of timm's models without a group_matcher; of ResNet; of RegNet.
_STAGE = re.compile(r"(?:stages\.|transformers\.|layer|trunk_output\.block)(\d+)\b")


class StagedError(ValueError):
    """A network that has no linear head to fine-tune. The message is one line."""


def cut(network: nn.Module, size: int) -> tuple[list[nn.Module], nn.Linear]:
    """The stages of a network in eval mode, and its head; see `zoo.staged`.

    `size` is an input size that the network takes.
    """
    numbers = _consecutive(_stage_numbers(network))
    try:
        optional = list(inspect.signature(network.forward).parameters.values())[1:]
        # Interrupted as it takes its patches of torch back, torch.fx leaves some that break all modules.
        with signals_deferred():
            graph = _Tracer(network, numbers, _functions(network)).trace(
                network, {argument.name: argument.default for argument in optional}
            )
    except Exception:  # control flow that depends on the data, in whichever way the network does it
        return _uncut(network, size)
    found = _head(graph, network)
    if found is None:
        return _uncut(network, size)
    head, linear = found
    stages = _slices(network, graph, head, numbers)
    # A few of timm's models hand tuples from stage to stage, which the graph does not show.
    if hasattr(network, "forward_head") and not _pass_tensors(stages, network, size):
        return _uncut(network, size)
    return stages, linear


@torch.no_grad()
def _pass_tensors(stages: list[nn.Module], network: nn.Module, size: int) -> bool:
    x = _blank(network, size)
    with one_thread():
        return all(isinstance(x := stage(x), Tensor) for stage in stages)


def _blank(network: nn.Module, size: int) -> Tensor:
    return torch.zeros(1, 3, size, size, device=next(network.parameters()).device)


def _stage_numbers(network: nn.Module) -> dict[str, int]:
    """A stage for every parameter by its name; greater ones come later."""
    names = [name for name, _ in network.named_parameters()]
    if hasattr(network, "group_matcher"):
        from timm.models import group_parameters

        timm_network: Any = network
        groups = group_parameters(network, timm_network.group_matcher(coarse=True), reverse=True)
        last = max(groups.values())  # what follows the stages; 0 is the stem
        return {name: min(max(group, 1), max(last - 1, 1)) for name, group in groups.items()}
    if isinstance(features := getattr(network, "features", None), nn.Sequential):
        stages = _by_resolution(features)
        return {
            name: stages[name.split(".")[1]] if name.startswith("features.") else max(stages.values())
            for name in names
        }
    found = [int(match[1]) if (match := _STAGE.search(name)) else None for name in names]
    stage = min((number for number in found if number is not None), default=0)  # the stem's
    numbers = {}
    for name, number in zip(names, found):
        numbers[name] = stage = stage if number is None else number
    return numbers


def _by_resolution(features: nn.Sequential) -> dict[str, int]:
    """A stage for every child: one ends where the next has a stride, but the stem is none of its own."""
    stage, length = 0, 0
    stages: dict[str, int] = {}
    for name, child in features.named_children():
        strided = any(isinstance(module, nn.Conv2d) and max(module.stride) > 1 for module in child.modules())
        if (strided and length > 1) or (strided and stage):
            stage, length = stage + 1, 0
        stages[name] = stage
        length += 1
    return stages


def _consecutive(numbers: dict[str, int]) -> dict[str, int]:
    """The same stages as 0, 1, 2, ..., at most MAX_STAGES of them."""
    known = sorted(set(numbers.values()))
    joined = len(known) if len(known) <= MAX_STAGES else JOINED_STAGES
    place = {number: i * joined // len(known) for i, number in enumerate(known)}
    return {name: place[number] for name, number in numbers.items()}


def _functions(network: nn.Module) -> tuple[Callable[..., Any], ...]:
    """Functions that depend on the size of images; looked into, they would hold for a single one."""
    if not hasattr(network, "group_matcher"):
        return ()
    from timm.layers import resample_abs_pos_embed

    return (resample_abs_pos_embed,)


class _Tracer(fx.Tracer):
    """Looks into modules with parameters of several stages or the last linear layer; others stay whole.

    So do the functions that are given.
    """

    def __init__(
        self, network: nn.Module, numbers: Mapping[str, int], functions: tuple[Callable[..., Any], ...]
    ) -> None:
        super().__init__(autowrap_functions=functions)
        self.numbers = numbers
        self.last = next(
            (module for module in reversed(list(network.modules())) if isinstance(module, nn.Linear)), None
        )

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        parameters = (f"{name}.{parameter}" for parameter, _ in module.named_parameters())
        stages = {self.numbers[parameter] for parameter in parameters if parameter in self.numbers}
        return isinstance(module, nn.Linear) or (
            len(stages) < 2 and all(part is not self.last for part in module.modules())
        )


def _head(graph: fx.Graph, network: nn.Module) -> tuple[fx.Node, nn.Linear] | None:
    """The linear layer whose output is the network's output."""
    node = graph.output_node().args[0]
    while isinstance(node, fx.Node) and node.op == "call_module":
        module = network.get_submodule(str(node.target))
        if isinstance(module, nn.Linear):
            return node, module
        if not isinstance(module, nn.Identity):
            return None
        node = node.args[0]
    return None


def _slices(
    network: nn.Module, graph: fx.Graph, head: fx.Node, numbers: Mapping[str, int]
) -> list[nn.Module]:
    """The graph up to the head as a module for each stage."""
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
    nodes = nodes[: nodes.index(head)]
    source = next(node for node in graph.nodes if node.op == "placeholder")
    modules, begin, stage = [], 0, 0
    for i, node in enumerate(nodes):
        own = _stage_of(node, network, numbers)
        if own is None or own <= stage:
            continue
        crossing = _crossing(nodes, i, head)
        if i > begin and len(crossing) == 1:
            modules.append(_slice(network, nodes[begin:i], source, crossing[0]))
            source, begin = crossing[0], i
        stage = own
    return [*modules, _slice(network, nodes[begin:], source, head.all_input_nodes[0])]


def _stage_of(node: fx.Node, network: nn.Module, numbers: Mapping[str, int]) -> int | None:
    if node.op == "call_module":
        parameters = (
            f"{node.target}.{name}" for name, _ in network.get_submodule(str(node.target)).named_parameters()
        )
        return max((numbers[name] for name in parameters if name in numbers), default=None)
    return None


def _crossing(nodes: list[fx.Node], place: int, head: fx.Node) -> list[fx.Node]:
    """Values from before `place` that are used at or after it, but for tensors of the network itself."""
    after = {*nodes[place:], head}
    before = [source for source in nodes[0].graph.nodes if source not in after and source.op != "get_attr"]
    return [node for node in before if node.op != "output" and any(user in after for user in node.users)]


def _slice(network: nn.Module, nodes: list[fx.Node], source: fx.Node, result: fx.Node) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {source: graph.placeholder("x")}

    def copy_of(node: fx.Node) -> fx.Node:
        if node not in copies:
            copies[node] = graph.node_copy(node, copy_of)
        return copies[node]

    for node in nodes:
        copy_of(node)
    graph.output(copies[result])
    return fx.GraphModule(network, graph, "Stage")


class _Features(nn.Module):
    """The features of a timm model that is not cut, as its own head would see them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network.forward_head(self.network.forward_features(x), pre_logits=True)


def _uncut(network: nn.Module, size: int) -> tuple[list[nn.Module], nn.Linear]:
    """One stage and a head.

    The network's own head is taken out of it, since its parameters must not be frozen with the stage.
    """
    if not all(
        hasattr(network, method) for method in ("forward_features", "forward_head", "reset_classifier")
    ):
        raise StagedError(
            f"{type(network).__name__}: no linear layer at its end, so there is no head to fine-tune"
        )
    timm_network: Any = network
    head, classes = timm_network.get_classifier(), timm_network.num_classes
    timm_network.reset_classifier(0)
    features = _Features(timm_network)
    if not isinstance(head, nn.Linear):
        with torch.no_grad():
            width = features(_blank(network, size)).shape[-1]
        head = nn.Linear(width, max(1, classes))
    return [features], head
