"""Training images per second, end to end.

It compares `finetune` on its decoded cache with ImageFolder, transforms and a DataLoader. Makes a folder of
JPEGs of about 500 x 375 pixels, and trains the same network on it both ways, in turns, with a random resized
crop, mirroring and varied colours. Building the cache is reported, and not part of the rate.

    python examples/benchmarks/finetune_throughput.py --images 5000
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from outputs import output_file
from PIL import Image
from rich.console import Console
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from nni_nasoa.data import open_dataset
from nni_nasoa.data.augment import JITTER, RATIO, SCALE
from nni_nasoa.finetune import FineTuneRegime, finetune
from nni_nasoa.training.speed import environment
from nni_nasoa.zoo import create_model

CLASSES = 10


def make_folder(folder: Path, images: int) -> None:
    """JPEGs with detail at all scales, as photographs have."""
    rng = np.random.default_rng(0)
    for i in range(images):
        height, width = int(rng.integers(340, 400)), int(rng.integers(460, 530))
        layers = [
            Image.fromarray(
                rng.integers(0, 256, (max(2, height // s), max(2, width // s), 3), dtype=np.uint8)
            ).resize((width, height))
            for s in (100, 25, 6)
        ]
        picture = Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.25)
        path = folder / f"class-{i % CLASSES}" / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=88)


def loader_rate(folder: Path, model: str, size: int, batch: int, seconds: float, workers: int) -> float:
    """Images per second of a loop over a DataLoader, once its workers are up."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, SCALE, RATIO),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(JITTER, JITTER, JITTER),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    loader = torch.utils.data.DataLoader(
        ImageFolder(str(folder), transform), batch, shuffle=True, num_workers=workers, drop_last=True
    )
    network = create_model(model, CLASSES).to(memory_format=torch.channels_last)
    optimizer, done, begin = torch.optim.SGD(network.parameters(), 0.02, 0.9, nesterov=True), -3, 0.0
    while True:
        for images, labels in loader:
            if done == 0:
                begin = time.monotonic()
            loss = nn.functional.cross_entropy(
                network(images.contiguous(memory_format=torch.channels_last)), labels
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            if done > 0 and time.monotonic() - begin >= seconds:
                return done * batch / (time.monotonic() - begin)


def our_rate(folder: Path, model: str, size: int, batch: int, seconds: float) -> float:
    """Images per second of `finetune`, from its first to its last evaluation, those included."""
    regime = FineTuneRegime(model, batch_size=batch, input_size=size, augmentation="full")
    result = finetune(folder, regime, (seconds + 2) / 60, weights=None, device="cpu")
    first, last = result.evaluations[0], result.evaluations[-1]
    return (last["images"] - first["images"]) / (last["elapsed"] - first["elapsed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="2-_16_2-11-11")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--output",
        type=output_file,
        metavar="FILE",
        default=Path(__file__).parent / "data" / "finetune_throughput.json",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "images"
        make_folder(folder, arguments.images)
        begin = time.monotonic()
        open_dataset(folder, input_size=arguments.input_size)
        building = time.monotonic() - begin
        rates = {"loader": [], "finetune": []}
        for _ in range(arguments.repeats):
            rates["loader"].append(
                loader_rate(
                    folder,
                    arguments.model,
                    arguments.input_size,
                    arguments.batch_size,
                    arguments.seconds,
                    arguments.workers,
                )
            )
            rates["finetune"].append(
                our_rate(
                    folder, arguments.model, arguments.input_size, arguments.batch_size, arguments.seconds
                )
            )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["finetune"] / medians["loader"]
    arguments.output.write_text(
        json.dumps(
            {
                "environment": environment("cpu"),
                "arguments": {k: str(v) for k, v in vars(arguments).items() if k != "output"},
                "images_per_second": rates,
                "ratio": ratio,
                "cache_seconds": building,
            },
            indent=1,
        )
        + "\n"
    )
    Console().print(
        f"images per second: DataLoader {medians['loader']:.0f}, finetune {medians['finetune']:.0f}, "
        f"ratio {ratio:.2f}; "
        f"the cache took {building:.1f} s"
    )


if __name__ == "__main__":
    main()
