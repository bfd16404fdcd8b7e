"""What one writes by hand to fine-tune on a folder of images: ImageFolder, DataLoader, SGD, a cosine.

Its number of steps is tuned beforehand, by timing, so that it fills the budget; that does not count.

    python plain_folder_loop.py FOLDER lite0 SECONDS

prints a JSON line: the accuracy on FOLDER/test, the seconds that training took, and in how many steps.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from nni_nasoa.device.precision import mixed_precision
from nni_nasoa.zoo import create_model, get

BATCH, RATE, DECAY = 32, 0.01, 1e-4
TIMED, WARM = 5, 2  # steps
WORKERS = 2


def plain_run(folder: Path, model: str, seconds: float, device: torch.device, workers: int) -> dict[str, Any]:
    """Fine-tune on folder/train for about so many seconds; accuracy on folder/test, and what it took."""
    Image.MAX_IMAGE_PIXELS = None  # some drawings are very large
    info = get(model)
    size = info.input_size or 224
    usual = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(info.mean, info.std)]
    varied = v2.Compose([v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(), *usual])
    whole = v2.Compose([v2.Resize(size), v2.CenterCrop(size), *usual])
    train, test = ImageFolder(folder / "train", varied), ImageFolder(folder / "test", whole)
    batch = min(BATCH, len(train))
    loader = torch.utils.data.DataLoader(train, batch, shuffle=True, drop_last=True, num_workers=workers)
    tuned = _run(_network(model, train, device), loader, WARM + TIMED, device)
    steps = max(1, int(seconds / tuned))
    network = _network(model, train, device)
    begin = time.monotonic()
    _run(network, loader, steps, device)
    taken = time.monotonic() - begin
    right = 0
    with torch.inference_mode():
        network.eval()
        for images, labels in torch.utils.data.DataLoader(test, batch, num_workers=workers):
            right += int((network(images.to(device)).argmax(1).cpu() == labels).sum())
    return {"accuracy": right / len(test), "seconds": round(taken, 2), "steps": steps}


def _network(model: str, train: ImageFolder, device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    return create_model(model, num_classes=len(train.classes), weights="default").to(device)


def _run(network: nn.Module, loader: Any, steps: int, device: torch.device) -> float:
    """Take so many steps; the seconds that one took, the first ones left out where there are others."""
    optimizer = torch.optim.SGD(network.parameters(), RATE, 0.9, weight_decay=DECAY, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    kind = mixed_precision(device)
    network.train()
    begin, counted = time.monotonic(), 0
    for step, (images, labels) in enumerate(chain.from_iterable(repeat(loader)), start=1):
        with torch.autocast(device.type, kind, enabled=kind is not None):
            loss = nn.functional.cross_entropy(network(images.to(device)), labels.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        loss.item()  # waits for the device
        counted += 1
        if step == WARM < steps:
            begin, counted = time.monotonic(), 0
        if step == steps:
            return (time.monotonic() - begin) / counted
    raise RuntimeError("no images to train on")


if __name__ == "__main__":
    place, name, wanted = sys.argv[1:]
    print(json.dumps(plain_run(Path(place), name, float(wanted), torch.device("cpu"), WORKERS)))
