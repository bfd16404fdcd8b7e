"""The parts of `gpu_session.py`: each yields (key, result), and skips the keys that are known."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent / "baselines"))

TESTS = ("finetune/test_half_precision.py", "training/test_speed.py", "training/test_proxy.py")
FOLDERS = ("photo-parts", "clipart-animals", "flags", "fashion", "clipart-food", "clipart")
Results = Iterator[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Setting:
    """Where and how large.

    Parameters
    ----------
    device
        As `finetune` takes it.
    folders
        Where `real_images.py` has made its folders.
    small
        Whether everything is as small as a test needs it.
    """

    device: str
    folders: Path
    small: bool = False


@dataclass(frozen=True)
class Part:
    """A part: its name, how many seconds it may take, and what it does."""

    name: str
    seconds: float
    run: Callable[[Setting, Collection[str]], Results]


def step_times(setting: Setting, known: Collection[str], compiled: bool = False) -> Results:
    """Times of a step of each network at 224 pixels, batch 64, float32 and bfloat16."""
    from nni_nasoa import zoo
    from nni_nasoa.figures.step_times import networks
    from nni_nasoa.training.speed import inference_time, training_step_time

    size, batch, repeats = (32, 2, 3) if setting.small else (224, 64, 20)
    only = ("et-nas-a",) if setting.small else ()
    for series, name in networks(False, only):
        for precision, kind in (("fp32", None), ("bf16", torch.bfloat16)):
            key = f"{name} {precision}"
            if key in known:
                continue
            network: Any = zoo.create_model(name) if series == "ET-NAS" else _of_torchvision(name)
            if compiled:
                network = torch.compile(network, backend="eager" if setting.small else "inductor")
            asked = {"autocast": kind, "repeats": repeats, "max_seconds": 5.0}
            result: dict[str, Any] = {"series": series, "input_size": size, "batch_size": batch}
            for what, measure in (("train", training_step_time), ("infer", inference_time)):
                try:
                    result[what] = measure(network, size, batch, setting.device, **asked).step_time_ms
                except Exception as error:  # out of memory, or a compiler that fails in its own way
                    result[what] = None
                    result[f"{what}_error"] = str(error).partition("\n")[0][:200]
            yield key, result


def compiled_step_times(setting: Setting, known: Collection[str]) -> Results:
    """The same through torch.compile."""
    return step_times(setting, known, compiled=True)


def _of_torchvision(name: str) -> Any:
    from torchvision.models import get_model

    return get_model(name, weights=None)


def tests(setting: Setting, known: Collection[str]) -> Results:
    """The tests that need a GPU, and those beside them."""
    for name in TESTS[1:2] if setting.small else TESTS:
        if name in known:
            continue
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(ROOT / "tests" / name)]
        done = subprocess.run(
            [*command, *(["-k", "gpu"] if setting.small else [])],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = (done.stdout + done.stderr).strip().splitlines() or [""]
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        yield name, {"status": done.returncode, "said": lines[-1], "failed": failed}


def real_folders(setting: Setting, known: Collection[str]) -> Results:
    """Fine-tuning on folders of real images, and a plain loop in the same time: first the short runs."""
    models, budgets = (
        (("nano-a",), (2.0,)) if setting.small else (("lite0", "lite1", "lite2"), (10.0, 30.0, 60.0))
    )
    there = [name for name in FOLDERS if (setting.folders / name / "train").is_dir()]
    if not there:
        raise ValueError(f"{setting.folders}: no folder of real images; real_images.py makes them")
    for budget in budgets:
        for folder in there:
            for model in models:
                for who, run in (("finetune", _finetuned), ("plain loop", _plain)):
                    key = f"{folder} {model} {budget:g} {who}"
                    if key not in known:
                        yield key, run(setting.folders / folder, model, budget, setting.device)


def _finetuned(folder: Path, model: str, budget: float, device: str) -> dict[str, Any]:
    from nni_nasoa.evaluation import evaluate
    from nni_nasoa.finetune import FineTuneRegime, finetune

    with tempfile.TemporaryDirectory() as cache:  # cold, as the plain loop's files are decoded anew, too
        os.environ["NASOA_CACHE"] = cache
        result = finetune(folder / "train", FineTuneRegime(model), budget / 60, device=device)
        accuracy = evaluate(result.classifier, folder / "test", "all").accuracy
    return {
        "accuracy": accuracy,
        "seconds": round(result.seconds, 2),
        "steps": result.steps,
        "epochs": round(result.epochs, 3),
        "outcome": result.outcome.reason.value,
        "notes": list(result.notes),
    }


def _plain(folder: Path, model: str, budget: float, device: str) -> dict[str, Any]:
    from plain_folder_loop import plain_run

    from nni_nasoa.device.device import resolve_device

    workers = 0 if device == "cpu" else min(8, os.cpu_count() or 1)
    return plain_run(folder, model, budget, resolve_device(device), workers)


def one_process_of_torchrun(setting: Setting, known: Collection[str]) -> Results:
    """DistributedDataParallel over one process: whether it ends on time, and what it reaches."""
    seconds = 6.0 if setting.small else 30.0
    if "digits" in known:
        return
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
        command += ["-m", "nni_nasoa.cli", "finetune", "--dataset", "digits", "--model", "nano-a"]
        command += [
            "--minutes",
            str(seconds / 60),
            "--device",
            setting.device,
            "--output",
            f"{output}/classifier",
        ]
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        taken = time.monotonic() - begin
    found = re.search(r"validation accuracy ([\d.]+) %", done.stdout + done.stderr)
    yield (
        "digits",
        {
            "status": done.returncode,
            "budget": seconds,
            "seconds_with_start": round(taken, 2),
            "accuracy": float(found[1]) / 100 if found else None,
            "said": "" if found else (done.stderr.strip().splitlines() or [""])[-1][:300],
        },
    )


def out_of_memory(setting: Setting, known: Collection[str]) -> Results:
    """A run whose batch does not fit into the part of the memory that the process may take."""
    from nni_nasoa.finetune import FineTuneRegime, finetune

    if "digits" in known:
        return
    if setting.device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(4 * 2**30 / torch.cuda.mem_get_info()[1])  # 4 GiB
    regime = (
        FineTuneRegime("nano-a", batch_size=64)
        if setting.small
        else FineTuneRegime("lite2", batch_size=1024, input_size=224)
    )
    result = finetune("digits", regime, (2 if setting.small else 40) / 60, device=setting.device)
    yield (
        "digits",
        {
            "outcome": result.outcome.to_json(),
            "accuracy": result.accuracy,
            "seconds": round(result.seconds, 2),
            "budget": result.budget,
            "notes": list(result.notes),
        },
    )


PARTS = (
    Part("step times", 360, step_times),
    Part("tests", 240, tests),
    Part("real folders", 600, real_folders),
    Part("torchrun", 90, one_process_of_torchrun),
    Part("out of memory", 90, out_of_memory),
    Part("compiled step times", 480, compiled_step_times),
)
"""The most valuable first: what is not reached in a session's time is done by the next one."""
