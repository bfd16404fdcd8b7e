"""Whether runs end by their deadline, with a process that loads the machine.

Models, input sizes, regimes and budgets are mixed.

    python examples/benchmarks/finetune_deadlines.py --runs 30 --longest 120
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torchvision.models  # noqa: F401  (what a process imports does not count)
from outputs import output_file
from rich.console import Console
from rich.table import Table

from nni_nasoa.finetune import FineTuneRegime, StopReason, finetune
from nni_nasoa.training.speed import environment

MODELS = (
    "2-_8_2-1-1",
    "2-_16_2-11-11",
    "020-_16_2-11-11",
    "10001-_32_2-12-2",
    "et-nas-a",
    "et-nas-c",
    "resnet18",
    "mobilenet_v3_small",
)
LOAD = """
import numpy as np, time
while True:
    a = np.random.rand(400, 400)
    (a @ a).sum(); time.sleep(0.02 * np.random.rand())
"""


@contextmanager
def loaded_machine():
    """A process that takes about a core, in bursts."""
    process = subprocess.Popen([sys.executable, "-c", LOAD])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--shortest", type=float, default=5)
    parser.add_argument("--longest", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--output",
        type=output_file,
        metavar="FILE",
        default=Path(__file__).parent / "data" / "finetune_deadlines.json",
    )
    arguments = parser.parse_args()
    rng, results = np.random.default_rng(arguments.seed), []
    budgets = np.geomspace(arguments.shortest, arguments.longest, arguments.runs).tolist()
    table = Table(
        "model",
        "input",
        "batch",
        "frozen",
        "augmentation",
        "budget s",
        "used s",
        "used %",
        "accuracy",
        "ended by",
    )
    with loaded_machine():
        for run, budget in enumerate(budgets):
            regime = FineTuneRegime(
                MODELS[run % len(MODELS)],
                0.02,
                frozen_stages=int(rng.choice([0, 0, 1, 2, 9])),
                batch_size=int(rng.choice([16, 32, 64, 128])),
                input_size=int(rng.choice([32, 64, 96])),
                augmentation=str(rng.choice(["none", "crop", "full"])),
            )
            begin = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                result = finetune(
                    "digits",
                    regime,
                    budget / 60,
                    weights=None,
                    device="cpu",
                    seed=run,
                    output=Path(folder) / "classifier",
                )
            used = result.seconds
            results.append(
                {
                    "regime": regime.to_json(),
                    "budget": budget,
                    "used": used,
                    "wall": time.monotonic() - begin,
                    "in_time": used <= budget,
                    "share": used / budget,
                    "accuracy": result.accuracy,
                    "outcome": result.outcome.to_json(),
                    "steps": result.steps,
                    "notes": list(result.notes),
                }
            )
            table.add_row(
                regime.model,
                str(regime.input_size),
                str(regime.batch_size),
                str(regime.frozen_stages),
                regime.augmentation,
                f"{budget:.1f}",
                f"{used:.2f}",
                f"{100 * used / budget:.1f}",
                f"{result.accuracy:.3f}",
                result.outcome.reason.value,
            )
    arguments.output.write_text(
        json.dumps({"environment": environment("cpu"), "results": results}, indent=1) + "\n"
    )
    console = Console()
    console.print(table)
    late = [result for result in results if not result["in_time"]]
    early = [
        result
        for result in results
        if result["share"] < 0.9
        and result["outcome"]["reason"] == StopReason.BUDGET.value
        and not result["outcome"]["unused_seconds"]
    ]
    console.print(
        f"{len(results)} runs, {len(late)} after their deadline, "
        f"{len(early)} that left more than a tenth without a reason"
    )
    sys.exit(bool(late or early))


if __name__ == "__main__":
    main()
