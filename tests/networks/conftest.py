"""Published checkpoints as their facts describe them: names, shapes, order, and a formula for values."""

import gzip
import json
import math
from pathlib import Path

import pytest
import torch

DATA = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="session")
def published_shapes():
    """encoding -> {published tensor name: shape}, in the published order."""
    with gzip.open(DATA / "et_nas_state_dict_shapes.json.gz", "rt") as file:
        return json.load(file)


@pytest.fixture(scope="session")
def golden_logits():
    """encoding -> float64 logits (2, 10) of the formula's weights on the formula's images."""
    logits = json.loads((DATA / "et_nas_golden_logits.json").read_text())
    return {encoding: torch.tensor(rows, dtype=torch.float64) for encoding, rows in logits.items()}


@pytest.fixture(scope="session")
def formula_images():
    return torch.cos(0.05 * torch.arange(2 * 3 * 64 * 64, dtype=torch.float64)).reshape(2, 3, 64, 64)


@pytest.fixture(scope="session")
def formula_checkpoint(published_shapes):
    """Function (encoding, num_classes) -> a published state_dict with the formula's float64 values."""

    def value(j, name, shape):
        if name.endswith("num_batches_tracked"):
            return torch.tensor(0)
        c = torch.cos(0.37 * torch.arange(math.prod(shape), dtype=torch.float64) + 0.11 * j).reshape(shape)
        if len(shape) > 1:
            return c * math.sqrt(2 / c[0].numel())
        return 1 + 0.1 * c if name.endswith(("running_var", "weight")) else 0.1 * c

    def checkpoint(encoding, num_classes=10):
        shapes = {
            name: [num_classes, *shape[1:]] if name.startswith("fc.") else shape
            for name, shape in published_shapes[encoding].items()
        }
        return {name: value(j, name, shape) for j, (name, shape) in enumerate(shapes.items())}

    return checkpoint
