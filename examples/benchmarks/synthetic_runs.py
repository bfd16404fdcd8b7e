"""Fine-tuning runs out of formulas.

With this stream the predictor's benchmark tries itself where no real runs are at hand. A task has a
difficulty, a distance from the pretraining images and an amount of data, which its profile shows with noise
and now and then not at all; a model has a capacity and a speed. A run's accuracy saturates with the epochs
that its budget buys at its learning rate, at a ceiling that falls with difficulty, frozen stages far from
home, and too large a model on too few images.

    python examples/benchmarks/synthetic_runs.py 0 runs.jsonl    # seed, file
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

TASKS, RUNS_PER_TASK = 25, 60
STAGES = 4
# capacity 0..1, million parameters, GMACs, images a second at 32 pixels
MODELS = {
    "tiny": (0.15, 0.02, 0.005, 9000),
    "small": (0.35, 0.06, 0.012, 6000),
    "medium": (0.5, 0.15, 0.03, 3500),
    "wide": (0.6, 0.6, 0.06, 2400),
    "deep": (0.75, 0.4, 0.09, 1300),
    "large": (0.9, 1.5, 0.2, 700),
}


def synthetic_runs(seed: int, tasks: int = TASKS, runs_per_task: int = RUNS_PER_TASK) -> list[dict[str, Any]]:
    """Runs, task by task, as JSON-able records."""
    rng = np.random.default_rng(seed)
    return [run for number in range(tasks) for run in _runs(f"task-{number:02d}", runs_per_task, rng)]


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def _runs(name: str, runs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    difficulty, distance = rng.beta(1.6, 2.2), rng.beta(2, 2)
    classes, per_class = (
        int(rng.choice([2, 5, 10, 20, 50])),
        float(np.exp(rng.uniform(np.log(15), np.log(500)))),
    )
    images = round(classes * per_class)
    detail = rng.uniform()  # how much a larger input shows
    profile = {
        "images": images,
        "classes": classes,
        "images_per_class": per_class,
        "smallest_class": per_class * rng.uniform(0.5, 1),
        "width": float(rng.choice([28, 64, 128, 256])),
        "aspect": float(np.exp(rng.normal(0, 0.1))),
        "channels": int(rng.choice([1, 3])),
        "brightness": rng.uniform(0.2, 0.8),
        "contrast": rng.uniform(0.05, 0.3),
        "saturation": rng.uniform(0, 0.5),
        "bytes_per_image": float(np.exp(rng.normal(8, 1))),
        "nearest_mean": _sigmoid(1.5 - 5 * difficulty + rng.normal(0, 0.4)),
        "log_evidence": 1 - 2 * difficulty + rng.normal(0, 0.2),
        "distance": distance + rng.normal(0, 0.1),
        "sharpness": detail + rng.normal(0, 0.15),
    }
    for probe in ("nearest_mean", "log_evidence", "sharpness"):
        if rng.uniform() < 0.15:
            profile[probe] = None
    return [_run(name, profile, difficulty, distance, detail, rng) for _ in range(runs)]


def _run(
    task: str, profile: dict, difficulty: float, distance: float, detail: float, rng: np.random.Generator
) -> dict[str, Any]:
    model = str(rng.choice(list(MODELS)))
    capacity, params, macs, speed = MODELS[model]
    regime = {
        "learning_rate": float(10 ** rng.uniform(-3.5, -0.3)),
        "weight_decay": float(10 ** rng.uniform(-5, -3)),
        "frozen_stages": int(rng.integers(STAGES + 1)),
        "batch_size": int(rng.choice([16, 32, 64, 128])),
        "input_size": int(rng.choice([16, 24, 32, 48])),
        "augmentation": str(rng.choice(["none", "crop", "crop-flip", "full"])),
    }
    budget = float(np.exp(rng.uniform(np.log(3), np.log(120))))
    frozen, strength = (
        regime["frozen_stages"] / STAGES,
        ["none", "crop", "crop-flip", "full"].index(regime["augmentation"]) / 3,
    )
    epochs = budget * speed * (32 / regime["input_size"]) ** 2 * (1 + 3 * frozen) / profile["images"]
    best_rate = 0.02 * (regime["batch_size"] / 64) ** 0.7 * 4**frozen
    off = np.log(regime["learning_rate"] / best_rate)
    pace = np.exp(-(off**2) / (6 if off < 0 else 3))  # too high a rate hurts sooner
    progress = 1 - np.exp(-0.6 * (epochs * pace * profile["images"] / regime["batch_size"] / 40) ** 0.5)
    scarce = np.exp(-profile["images_per_class"] / 60)
    ceiling = (
        3.2
        - 5.5 * difficulty
        + 1.5 * capacity
        - 2.5 * distance * frozen**2
        - 2.2 * capacity * scarce * (1 - frozen) * (1 - strength)
        - 1.2 * strength * (1 - progress)
        - 1.5 * detail * np.log2(48 / regime["input_size"])
        - 0.25 * np.log(profile["classes"])
    )
    chance = 1 / profile["classes"]
    accuracy = chance + (1 - chance) * _sigmoid(ceiling + rng.normal(0, 0.15)) * progress
    if off > 2.5 or rng.uniform() < 0.01:  # diverged
        accuracy = chance
    tested = max(20, profile["images"] // 5)
    return {
        "task": task,
        "profile": profile,
        "model": model,
        "regime": regime,
        "model_figures": {"params_m": params, "gmacs": macs, "throughput": speed, "pretrained": capacity},
        "budget_seconds": budget,
        "seconds": budget * rng.uniform(0.9, 1),
        "accuracy": float(rng.binomial(tested, accuracy) / tested),
    }


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[1].isdigit():
        raise SystemExit("usage: synthetic_runs.py SEED FILE.jsonl")
    Path(sys.argv[2]).write_text("".join(json.dumps(run) + "\n" for run in synthetic_runs(int(sys.argv[1]))))
