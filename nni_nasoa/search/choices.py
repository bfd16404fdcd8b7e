"""The search space as labelled choices: one definition for NNI's model space and the configs' `searchSpace`.

`choices` turns an `ArchitectureSpace` into labels and values (NASOA, section 3.1 and figure 2); `encode` and
`decode` map between an Architecture and a sample of them.

Every label but `stages` is always there; some count only under a condition, and a sample that differs
elsewhere is the same network:

==================  ============================================  ==========================================
label               values                                        counts where
==================  ============================================  ==========================================
layers              numbers of operations                         always
op1, op2, ..        operation codes                               op<i>: i <= layers
ratio1, ratio2, ..  ratio codes                                   ratio<i>: i < layers (the last is always 2)
skip_0_1, ..        none, add, concat, from place j to place i    i <= layers, and not the residual's place
channels            channels after the stem                       always
stages              numbers of stages                             there are several (else all of blocks<s>)
blocks1, blocks2..  blocks in the stage                           blocks<s>: s <= stages
doublings           how often the channels double                 always
double1, double2..  where: "s2b1" is stage 2, block 1             double<k>: k <= doublings
block               whole block designs (macro-level search)      in place of layers, op, ratio, skip
macro               whole macros, channels too (block level)      in place of channels .. double
==================  ============================================  ==========================================

A place to double that lies beyond the end of a stage, or in a stage that is not there, means the last block
before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nni_nasoa.architecture import Architecture, ArchitectureError, ArchitectureSpace, Block, Macro, Skip
from nni_nasoa.architecture.parts import KINDS, LAST_RATIO
from nni_nasoa.architecture.space import doubling_places, parse_macro
from nni_nasoa.architecture.variation import macro_of, skip_places
from nni_nasoa.values import one_of, shown, whole

# Layers, stages, blocks or doublings: above what any network can have, so that a wrong number costs nothing.
_MOST = 99
# Beside the labels, where a search tries candidates briefly first: for how many epochs.
EPOCHS = "epochs"


@dataclass(frozen=True)
class LabelledChoice:
    """One labelled choice of the space."""

    label: str
    values: tuple[int | str, ...]


def choices(space: ArchitectureSpace) -> tuple[LabelledChoice, ...]:
    """All choices of the space, block level first."""
    return _block_choices(space) + _macro_choices(space)


def _block_choices(space: ArchitectureSpace) -> tuple[LabelledChoice, ...]:
    if space.block_designs:
        return (LabelledChoice("block", space.block_designs),)
    most = max(space.layers)
    return (
        LabelledChoice("layers", space.layers),
        *(LabelledChoice(f"op{i}", space.ops) for i in range(1, most + 1)),
        *(LabelledChoice(f"ratio{i}", space.ratios) for i in range(1, most)),
        *(LabelledChoice(f"skip_{source}_{target}", space.skips) for source, target in skip_places(most)),
    )


def _macro_choices(space: ArchitectureSpace) -> tuple[LabelledChoice, ...]:
    if space.macros:
        return (LabelledChoice("macro", space.macros),)
    most = max(space.stages)
    places = tuple(
        f"s{stage}b{block}" for stage in range(1, most + 1) for block in range(1, max(space.blocks) + 1)
    )
    return (
        LabelledChoice("channels", space.channels),
        *([LabelledChoice("stages", space.stages)] if len(space.stages) > 1 else []),
        *(LabelledChoice(f"blocks{s}", space.blocks) for s in range(1, most + 1)),
        LabelledChoice("doublings", space.doublings),
        *(LabelledChoice(f"double{k}", places) for k in range(1, max(space.doublings) + 1)),
    )


def search_space(space: ArchitectureSpace) -> dict[str, dict[str, Any]]:
    """The space as NNI's `searchSpace`: a `choice` for every label."""
    return {choice.label: {"_type": "choice", "_value": list(choice.values)} for choice in choices(space)}


def describes_architectures(nni_space: Mapping[str, Any]) -> bool:
    """Whether an NNI `searchSpace` is one of architectures, going by its labels."""
    return bool({"layers", "block"} & set(nni_space)) and bool({"channels", "macro"} & set(nni_space))


def architecture_space(nni_space: Mapping[str, Any]) -> ArchitectureSpace:
    """Read the space back from an NNI `searchSpace`.

    Raises
    ------
    ArchitectureError
        The space is not one that `search_space` would give; the message names the first label that differs.
    """

    def values(label: str) -> tuple[Any, ...]:
        choice = nni_space.get(label)
        if (
            not isinstance(choice, Mapping)
            or choice.get("_type") != "choice"
            or not isinstance(choice.get("_value"), (list, tuple))
        ):
            raise ArchitectureError(
                f"search space: {shown(label)} must be a choice with a list of values, got {shown(choice)}"
            )
        return tuple(choice["_value"])

    given: dict[str, tuple[Any, ...]] = {}
    if "block" in nni_space:
        given["block_designs"] = values("block")
    else:
        given |= {"layers": values("layers"), "ops": values("op1")}
        # Where a block has one operation there is no ratio and no skip to read.
        given |= {
            name: values(label)
            for name, label in (("ratios", "ratio1"), ("skips", "skip_0_1"))
            if label in nni_space
        }
    if "macro" in nni_space:
        given["macros"] = values("macro")
    else:
        given |= {name: values(name) for name in ("channels", "doublings")} | {"blocks": values("blocks1")}
        given["stages"] = values("stages") if "stages" in nni_space else (_stages_of(nni_space),)
    space = ArchitectureSpace(**given)
    expected = search_space(space)
    if len(space.stages) == 1 and "macro" not in nni_space:
        nni_space = {label: choice for label, choice in nni_space.items() if label != "stages"}
    for label in [*expected, *nni_space]:
        if label not in expected:
            raise ArchitectureError(f"search space: {shown(label)} is not a label of this space")
        if label not in nni_space:
            raise ArchitectureError(
                f"search space: {shown(label)} is missing; "
                f"it would be a choice of {shown(expected[label]['_value'])}"
            )
        if list(values(label)) != expected[label]["_value"]:
            raise ArchitectureError(
                f"search space: {shown(label)} has {shown(list(values(label)))}, "
                f"where the other labels ask for {shown(expected[label]['_value'])}"
            )
    return space


def encode(architecture: Architecture, space: ArchitectureSpace) -> dict[str, Any]:
    """The architecture as a sample: a value for each label of the space, its first where it does not count.

    Raises
    ------
    ArchitectureError
        The space does not contain the architecture.
    """
    sample = {choice.label: choice.values[0] for choice in choices(space)}
    block = next(filter(space.contains_block, architecture.spellings()), architecture.block)
    macro = architecture.macro
    if space.block_designs:
        sample["block"] = str(block)
    else:
        sample |= {"layers": len(block.ops)}
        sample |= {f"op{i}": op for i, op in enumerate(block.ops, start=1)}
        sample |= {f"ratio{i}": ratio for i, ratio in enumerate(block.ratios[:-1], start=1)}
        sample |= {f"skip_{source}_{target}": "none" for source, target in skip_places(len(block.ops))}
        sample |= {f"skip_{skip.source}_{skip.target}": KINDS[skip.kind] for skip in block.skips}
    if space.macros:
        sample["macro"] = str(macro)
    else:
        places = doubling_places(macro)
        sample |= {"channels": macro.channels, "doublings": len(places)}
        if len(space.stages) > 1:
            sample["stages"] = len(macro.stages)
        sample |= {f"blocks{s}": len(stage) for s, stage in enumerate(macro.stages, start=1)}
        sample |= {
            f"double{k}": f"s{stage + 1}b{place + 1}" for k, (stage, place) in enumerate(places, start=1)
        }
    known = {choice.label: choice.values for choice in choices(space)}
    for label, value in sample.items():
        if label not in known or value not in known[label]:
            raise ArchitectureError(
                f"{architecture}: {label} = {value} is not in the search space, "
                f"which has {list(known.get(label, ()))}"
            )
    if decode(sample) != architecture:
        raise ArchitectureError(
            f"{architecture}: its skips are not in the search space, which has one at most between two places"
        )
    return sample


def decode(sample: Mapping[str, Any]) -> Architecture:
    """The architecture that a sample means; `{"architecture": text}` is taken as well.

    Raises
    ------
    ArchitectureError
        A label is missing, its value is of another kind, or the sample does not give a valid network
        (channels that do not divide into groups, a concatenation into the last place, channels that double
        three times at one block).
    """
    if not isinstance(sample, Mapping):
        raise ArchitectureError(f"sample: expected a dict from labels to values, got {type(sample).__name__}")
    if "architecture" in sample:
        return Architecture.parse(sample["architecture"])
    try:
        block = Block.parse(sample["block"]) if "block" in sample else _decode_block(sample)
        macro = parse_macro(sample["macro"]) if "macro" in sample else _decode_macro(sample)
    except KeyError as error:
        raise ArchitectureError(f"sample: label {error} is missing") from None
    return Architecture(block, macro)


def _stages_of(labels: Mapping[str, Any]) -> int:
    """How many stages there are where that is no choice: as many as have a number of blocks."""
    return sum(re.fullmatch(r"blocks[1-9]\d?", str(label)) is not None for label in labels)


def _count(sample: Mapping[str, Any], label: str, least: int = 1) -> int:
    """A label's value that says how many there are of something."""
    value = sample[label]
    return whole(least, _MOST)(label, value, ArchitectureError)


def _decode_block(sample: Mapping[str, Any]) -> Block:
    n = _count(sample, "layers")
    kinds = {name: kind for kind, name in KINDS.items()}
    skips = []
    for source, target in skip_places(n):
        label = f"skip_{source}_{target}"
        name = one_of(("none", *kinds))(label, sample[label], ArchitectureError)
        if name != "none":
            skips.append(Skip(kinds[name], source, target))
    return Block(
        tuple(sample[f"op{i}"] for i in range(1, n + 1)),
        (*(sample[f"ratio{i}"] for i in range(1, n)), LAST_RATIO),
        tuple(skips),
    )


def _decode_macro(sample: Mapping[str, Any]) -> Macro:
    stages = _count(sample, "stages") if "stages" in sample else _stages_of(sample)
    depths = [_count(sample, f"blocks{s}") for s in range(1, stages + 1)]
    places = []
    for k in range(1, _count(sample, "doublings", 0) + 1):
        match = re.fullmatch(r"s([1-9]\d?)b([1-9]\d?)", str(sample[f"double{k}"]))
        if not match:
            raise ArchitectureError(
                f"double{k}: {shown(sample[f'double{k}'])} is not a place such as s2b1 (stage 2, block 1)"
            )
        stage, place = int(match[1]) - 1, int(match[2]) - 1
        places.append((stage, place) if stage < len(depths) else (len(depths) - 1, depths[-1] - 1))
    return macro_of(sample["channels"], depths, places)
