from __future__ import annotations

import ast
import inspect
from importlib import import_module

import numpy as np
import pytest

from nni_nasoa.finetune.clock import default_margin
from nni_nasoa.training import time_shares

NAMES = {name for name in vars(time_shares) if name.isupper()}
USERS = (
    "training.inputs",
    "finetune.clock",
    "finetune.first_pass",
    "finetune.open_in_time",
    "finetune.trainer",
    "finetune.training_start",
    "finetune.best_state",
    "advisor.time.images_in_time",
    "advisor.time.simulated_run",
)


@pytest.mark.parametrize("user", USERS)
def test_the_trainer_and_its_forecast_have_no_numbers_of_their_own(user):
    tree = ast.parse(inspect.getsource(import_module(f"nni_nasoa.{user}")))
    stored = {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    imported = {
        alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported & NAMES and not stored & NAMES


def test_each_share_has_a_user():
    used = set()
    for user in USERS:
        tree = ast.parse(inspect.getsource(import_module(f"nni_nasoa.{user}")))
        used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert used >= NAMES


@pytest.mark.parametrize("budget", [1.0, 20.0, 600.0])
def test_the_margin_of_a_run_is_a_share_of_its_budget_within_bounds(budget):
    expected = np.clip(time_shares.MARGIN_SHARE * budget, time_shares.MIN_MARGIN, time_shares.MAX_MARGIN)
    assert default_margin(budget) == pytest.approx(expected)
