"""What users meet first must not make them wait: no torch, no nni, no plotting before it is needed."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "torchvision", "nni", "sklearn", "matplotlib", "scipy", "pandas", "pytorch_lightning"}


def loaded_by(code: str) -> set[str]:
    """Packages that a fresh interpreter has loaded after running the code."""
    report = (
        "import sys, json; "
        "print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    [
        "nni_nasoa",
        "nni_nasoa.architecture",
        "nni_nasoa.cli",
        "nni_nasoa.zoo",
        "nni_nasoa.figures.block_drawing",
        "nni_nasoa.figures.search_front",
        "nni_nasoa.figures.gallery",
        "nni_nasoa.figures.step_times",
        "nni_nasoa.search.choices",
        "nni_nasoa.search.evolution",
        "nni_nasoa.search.operators",
        "nni_nasoa.search.front",
        "nni_nasoa.search.nsga2",
        "nni_nasoa.search.reward",
        "nni_nasoa.plugin.experiments",
        "nni_nasoa.advisor",
        "nni_nasoa.experience.records",
        "nni_nasoa.experience.store",
        "nni_nasoa.advisor.accuracy.hedge",
        "nni_nasoa.evaluation",
        "nni_nasoa.finetune.callbacks",
    ],
)
def test_import_is_light(module):
    loaded = loaded_by(f"import {module}")
    assert "nni_nasoa" in loaded and not loaded & HEAVY


@pytest.mark.parametrize("module", ["nni_nasoa.advisor", "nni_nasoa.experience.records", "nni_nasoa.cli"])
def test_database_waits_until_it_is_used(module):
    assert not loaded_by(f"import {module}") & {"sqlalchemy", "psycopg", "numpy"}


def test_package_alone_needs_nothing_at_all():
    assert not loaded_by("import nni_nasoa") & (HEAVY | {"numpy", "click", "rich", "yaml"})


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["report", "--help"], ["zoo"]])
def test_command_is_light(arguments):
    loaded = loaded_by(f"from nni_nasoa.cli import main; main({arguments!r}, standalone_mode=False)")
    assert not loaded & HEAVY
    assert "numpy" not in loaded or arguments == ["zoo"]


@pytest.mark.alone
def test_help_takes_a_small_part_of_the_time_that_torch_takes():
    """Whatever the machine: compared side by side, the best of three."""
    timed = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
    codes = {
        "help": "from nni_nasoa.cli import main; main(['--help'], standalone_mode=False)",
        "torch": "import torch",
    }
    seconds = {
        name: min(
            float(
                subprocess.run(
                    [sys.executable, "-c", timed.format(code)], capture_output=True, text=True, check=True
                ).stdout.splitlines()[-1]
            )
            for _ in range(3)
        )
        for name, code in codes.items()
    }
    assert seconds["help"] < seconds["torch"] / 3, seconds
