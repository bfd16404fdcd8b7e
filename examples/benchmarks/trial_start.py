"""From process start to the first training step: this project's search trial beside a default NNI NAS trial.

    python examples/benchmarks/trial_start.py --repeats 5

Both train the same network on the same data with the same training loop, as processes that NNI's local
platform would start, one after the other in turn. The NNI trial is what NasExperiment runs by default: a
FunctionalEvaluator and the simplified model format, the space frozen to the architecture. The project's is
started in two ways: as the first trial of an experiment is, and as later ones are, which a warm process forks
(`nni_nasoa/plugin/warm_start.py`). The clock starts when the process does and stops when the first backward
pass is done; the process then ends. Where other work shares the machine, the processor time that the process
used, noted beside, is what it would have taken alone: it starts on one thread, and hardly waits.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import click

ARCHITECTURE = "011-_16_1-2-2"
HERE = Path(__file__).resolve().parent

# torch is imported first thing here; both trials need it anyway.
PROBE = """
import runpy, sys
import trial_start
trial_start.stop_at_the_first_step()
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
# What a trial does that is handed over to a warm process, whose copy calls `main` of `warm_trial.py`.
HAND_OVER = """
import sys
from nni_nasoa.plugin import search_trial
sys.argv = sys.argv[1:]
status = search_trial.run_warm("warm_trial")
print("cold", flush=True)
"""
WARM_SECONDS = 120  # that a warm process may take until it is there


def stop_at_the_first_step() -> None:
    """End this process when the first backward pass is done, and say so, with its processor time."""
    import torch

    backward = torch.Tensor.backward

    def first_step(tensor, *args, **kwargs):
        backward(tensor, *args, **kwargs)
        os.write(1, f"first step {time.process_time()}\n".encode())
        os._exit(0)

    torch.Tensor.backward = first_step


def train(model) -> None:
    """What the FunctionalEvaluator calls: the same training as in this project's trial."""
    import torch

    from nni_nasoa.data import open_dataset
    from nni_nasoa.training.proxy import train_proxy

    torch.set_num_threads(1)
    train_proxy(model, open_dataset("digits", input_size=32), epochs=1)


def nasoa_parameters(architecture: str) -> str:
    """What NNI sends to this project's trial."""
    return json.dumps(
        {"parameter_id": 0, "parameter_source": "algorithm", "parameters": {"architecture": architecture}}
    )


def nni_parameters(architecture: str) -> str:
    """What NNI sends to a default NAS trial: the frozen space with its evaluator."""
    import nni
    import trial_start  # this file by its name, under which the trial finds `train`
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.space import SimplifiedModelSpace

    from nni_nasoa.architecture import Architecture, ArchitectureSpace
    from nni_nasoa.plugin.model_space import ETNASSpace
    from nni_nasoa.search.choices import encode

    parsed = Architecture.parse(architecture)
    only = {"block_designs": (str(parsed.block),), "macros": (str(parsed.macro),)}
    space = ETNASSpace(num_labels=10, **only)
    model = SimplifiedModelSpace.from_model(space, FunctionalEvaluator(trial_start.train)).freeze(
        encode(parsed, ArchitectureSpace(**only))
    )
    return nni.dump(
        {
            "parameter_id": 0,
            "parameter_source": "algorithm",
            "parameters": model,
            "placement_constraint": None,
        }
    )


OPTIONS = ["nni_nasoa.plugin.search_trial", "--dataset", "digits", "--epochs", "1"]
TRIALS = {
    "nasoa": (nasoa_parameters, [PROBE, *OPTIONS]),
    "warm": (nasoa_parameters, [HAND_OVER, *OPTIONS]),
    "nni": (nni_parameters, [PROBE, "nni.nas.execution.training_service", "trial"]),
}


class Start(NamedTuple):
    """What it took to the end of the first training step: seconds gone by, and seconds of processor time."""

    elapsed: float
    processor: float


def start_trial(command: list[str], parameters: str, temporary: str) -> Start | None:
    """Start one trial with these parameters, and wait until its first training step is done.

    None says that there is no warm process yet that it could be handed over to. `temporary` is a folder for
    what trials of an experiment share.

    Raises
    ------
    RuntimeError
        The trial ended before it trained; its stderr is in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder, "environments", "local-env", "trials", "TRIAL")
        trial.mkdir(parents=True)
        (trial / "parameter.cfg").write_text(parameters)
        # TMPDIR: device locks of its own, so that neither waits for whoever measures on this machine.
        env = {
            **os.environ,
            "TMPDIR": temporary,
            "NASOA_WARM": str(int(command[0] == HAND_OVER)),
            "NNI_PLATFORM": "local",
            "NNI_EXP_ID": "EXPERIMENT",
            "NNI_TRIAL_JOB_ID": "TRIAL",
            "NNI_TRIAL_SEQ_ID": "0",
            "NNI_SYS_DIR": str(trial),
            "NNI_OUTPUT_DIR": str(trial),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(HERE), str(HERE / "baselines"), os.environ.get("PYTHONPATH")])
            ),
        }
        start, used = time.perf_counter(), _processor_seconds_of_children()
        process = subprocess.Popen(
            [sys.executable, "-c", *command], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        line = process.stdout.readline().decode()
        elapsed = time.perf_counter() - start
        errors = process.communicate()[1].decode(errors="replace")
    if line == "cold\n":
        return None
    if not line.startswith("first step "):
        raise RuntimeError(f"{command[1]} did not train:\n{errors}")
    processor = _processor_seconds_of_children() - used
    if command[0] == HAND_OVER:  # the copy is no child
        processor += float(line.split()[-1])
    return Start(elapsed, processor)


def _processor_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(repeats: int, architecture: str = ARCHITECTURE) -> dict[str, list[Start]]:
    """Start each kind of trial `repeats` times, in turn, after one run each that warms the disk."""
    sys.path.insert(0, str(HERE))
    parameters = {name: make(architecture) for name, (make, _) in TRIALS.items()}
    starts: dict[str, list[Start]] = {name: [] for name in TRIALS}
    with tempfile.TemporaryDirectory() as temporary:
        deadline = time.monotonic() + WARM_SECONDS
        while start_trial(TRIALS["warm"][1], parameters["warm"], temporary) is None:
            if time.monotonic() > deadline:
                raise RuntimeError("no warm process has come up")
            time.sleep(0.5)
        for repeat in range(repeats + 1):
            for name, (_, command) in TRIALS.items():
                start = start_trial(command, parameters[name], temporary)
                if start is None:
                    raise RuntimeError("the warm process is gone")
                if repeat:
                    starts[name].append(start)
    return starts


def median(starts: list[Start]) -> Start:
    """The median of either time."""
    return Start(*map(statistics.median, zip(*starts)))


def ratios(starts: dict[str, list[Start]], name: str = "nasoa") -> Start:
    """Medians of either time, those of a trial of this project over NNI's."""
    return Start(*(own / nni for own, nni in zip(median(starts[name]), median(starts["nni"]))))


@click.command()
@click.option("--repeats", default=5, type=click.IntRange(1), show_default=True)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), default=HERE / "data" / "trial_start.json"
)
def main(repeats: int, output: Path) -> None:
    """Compare, print a table, write a data file."""
    from importlib.metadata import version

    starts = compare(repeats)
    for name, values in starts.items():
        for column, what in zip(zip(*values), Start._fields):
            print(
                f"{name:6} {what:9} median {statistics.median(column):5.2f} s   of "
                f"{', '.join(f'{value:.2f}' for value in column)}"
            )
    found = {name: ratios(starts, name) for name in starts if name != "nni"}
    for name, ratio in found.items():
        print(f"{name:6} over NNI's: {ratio.elapsed:.2f} elapsed, {ratio.processor:.2f} processor")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(
        json.dumps(
            {
                "architecture": ARCHITECTURE,
                "seconds": {name: [start._asdict() for start in values] for name, values in starts.items()},
                "ratio_of_medians": {name: ratio._asdict() for name, ratio in found.items()},
                "cpus": os.cpu_count(),
                "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                "platform": platform.platform(),
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in ("torch", "nni")},
                },
            },
            indent=2,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
