"""Accuracy at equal wall-clock: `finetune` against a plain PyTorch loop, in turns, on small tasks.

The plain loop is what one writes by hand: a DataLoader over PIL images with torchvision's transforms, SGD
with momentum, and a cosine over its steps. It is given what the clock-driven trainer does not have: its
number of steps is tuned beforehand, by timing, so that it fills the budget, and that does not count. Both
start from the same weights. Half of the validation part is a test part that neither sees, whose accuracy is
reported: the trainer chooses its state by the other half.

    python examples/benchmarks/finetune_vs_plain.py --model 2-_16_2-11-11 --budgets 3 10 30 --seeds 5
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import torch
from outputs import output_file
from PIL import Image
from rich.console import Console
from rich.table import Table
from small_tasks import tasks
from torch import nn
from torchvision.transforms import v2

from nni_nasoa.data import ImageArrays, ImageSplit
from nni_nasoa.finetune import FineTuneRegime, finetune
from nni_nasoa.training.speed import environment
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.staged import staged

EVAL_BATCH = 256


def as_pil(part: ImageArrays) -> list:
    """Images with their labels, as a DataLoader's dataset."""
    return [
        (Image.fromarray(image.transpose(1, 2, 0)), int(label))
        for image, label in zip(part.images, part.labels)
    ]


class PlainLoop:
    """A fine-tuning loop by hand, that is done in about `budget` seconds."""

    def __init__(self, split: ImageSplit, regime: FineTuneRegime, weights, seed: int):
        torch.manual_seed(seed)
        self.split, self.regime = split, regime
        self.network = create_model(regime.model, num_classes=split.num_classes, weights=weights)
        view = staged(self.network)
        usual = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(view.mean, view.std)]
        varied = [v2.RandomCrop(split.input_size, padding=split.input_size // 8, padding_mode="edge")]
        varied += [v2.RandomHorizontalFlip()] if split.mirrored and regime.augmentation == "crop-flip" else []
        self.train_set = as_pil(split.train)
        self.transform, self.val_transform = v2.Compose(varied + usual), v2.Compose(usual)

    def _loader(self, items, transform, batch, shuffle):
        def collate(chosen):
            return torch.stack([transform(image) for image, _ in chosen]), torch.tensor(
                [label for _, label in chosen]
            )

        return torch.utils.data.DataLoader(
            items, batch, shuffle=shuffle, collate_fn=collate, drop_last=shuffle and len(items) > batch
        )

    def _train(self, steps: int, optimizer, scheduler=None) -> None:
        self.network.train()
        done = 0
        while done < steps:
            for images, labels in self._loader(self.train_set, self.transform, self.regime.batch_size, True):
                loss = nn.functional.cross_entropy(
                    self.network(images), labels, label_smoothing=self.regime.label_smoothing
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if scheduler is not None:
                    scheduler.step()
                done += 1
                if done == steps:
                    return

    @torch.no_grad()
    def accuracy(self, part: ImageArrays) -> float:
        """On a part of the dataset."""
        self.network.eval()
        right = sum(
            (self.network(images).argmax(1) == labels).sum().item()
            for images, labels in self._loader(as_pil(part), self.val_transform, EVAL_BATCH, False)
        )
        return right / len(part)

    def _optimizer(self):
        return torch.optim.SGD(
            self.network.parameters(),
            self.regime.learning_rate,
            0.9,
            weight_decay=self.regime.weight_decay,
            nesterov=True,
        )

    def tuned_steps(self, budget: float) -> int:
        """How many steps fill the budget, from a copy's timing."""
        state = {name: value.clone() for name, value in self.network.state_dict().items()}
        self._train(1, self._optimizer())
        begin = time.monotonic()
        self._train(5, self._optimizer())
        step = (time.monotonic() - begin) / 5
        begin = time.monotonic()
        self.accuracy(self.split.val)
        evaluation = time.monotonic() - begin
        self.network.load_state_dict(state)
        return max(1, int((budget - evaluation) / step))

    def run(self, steps: int) -> tuple[float, float]:
        """Accuracy, and the seconds that it took."""
        begin = time.monotonic()
        optimizer = self._optimizer()
        self._train(steps, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps))
        return self.accuracy(self.split.val), time.monotonic() - begin


def compare(task: str, split: ImageSplit, regime: FineTuneRegime, weights, budget: float, seeds: int) -> dict:
    """Both, seed by seed."""
    runs = []
    half = len(split.val) // 2
    val, test = (
        ImageArrays(split.val.images[part], split.val.labels[part])
        for part in (slice(half), slice(half, None))
    )
    split = replace(split, val=val)
    for seed in range(seeds):
        plain = PlainLoop(split, regime, weights, seed)
        steps = plain.tuned_steps(budget)
        _, seconds = plain.run(steps)
        accuracy = plain.accuracy(test)
        result = finetune(split, regime, budget / 60, weights=weights, seed=seed, device="cpu")
        runs.append(
            {
                "seed": seed,
                "plain": accuracy,
                "plain_seconds": round(seconds, 2),
                "plain_steps": steps,
                "ours": float((result.classifier.probabilities(test.images).argmax(1) == test.labels).mean()),
                "ours_seconds": round(result.seconds, 2),
                "ours_steps": result.steps,
                "notes": list(result.notes),
            }
        )
    medians = {
        key: statistics.median(run[key] for run in runs)
        for key in ("plain", "ours", "plain_seconds", "ours_seconds")
    }
    return {"task": task, "budget": budget, **medians, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="2-_16_2-11-11")
    parser.add_argument("--weights", default="none", help="'default', 'none', or a file")
    parser.add_argument("--tasks", nargs="+", default=["digits", "letters", "shapes", "textures", "counts"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[3, 10, 30], help="in seconds")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument(
        "--output",
        type=output_file,
        metavar="FILE",
        default=Path(__file__).parent / "data" / "finetune_vs_plain.json",
    )
    arguments = parser.parse_args()
    weights = None if arguments.weights == "none" else arguments.weights
    known, results = tasks(arguments.input_size), []
    table = Table("task", "budget s", "plain %", "ours %", "plain s", "ours s")
    for task in arguments.tasks:
        split = known[task]()
        regime = FineTuneRegime(
            arguments.model,
            arguments.learning_rate,
            batch_size=arguments.batch_size,
            label_smoothing=0.1,
            augmentation="crop-flip" if split.mirrored else "crop",
            input_size=arguments.input_size,
        )
        for budget in arguments.budgets:
            results.append(result := compare(task, split, regime, weights, budget, arguments.seeds))
            table.add_row(
                task,
                f"{budget:g}",
                *(f"{100 * result[key]:.1f}" for key in ("plain", "ours")),
                *(f"{result[key]:.1f}" for key in ("plain_seconds", "ours_seconds")),
            )
            arguments.output.write_text(
                json.dumps(
                    {
                        "environment": environment("cpu"),
                        "arguments": {k: str(v) for k, v in vars(arguments).items() if k != "output"},
                        "results": results,
                    },
                    indent=1,
                )
                + "\n"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
