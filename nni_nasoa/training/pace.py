"""How fast a network is on a device: the forward pass, in the type that is faster there."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from nni_nasoa.device.precision import autocast, faster_type
from nni_nasoa.device.settings import synchronize
from nni_nasoa.zoo.staged import Staged

IMAGES, SECONDS = 8, 1.0  # that are passed at a time; that finding the faster type may take, about


@dataclass(frozen=True)
class Pace:
    """Seconds of a forward pass for an image of some size in pixels."""

    seconds: float
    size: int

    def at(self, size: int) -> float:
        """The seconds for an image of another size, as pixels go."""
        return self.seconds * (size / self.size) ** 2


_known: dict[tuple[str, str], Pace] = {}


def known_pace(model: str, device: torch.device) -> Pace | None:
    """What `measured_pace` has found in this process; None where nobody has asked."""
    return _known.get((model, device.type))


@torch.no_grad()
def measured_pace(model: str, view: Staged, size: int, device: torch.device) -> Pace:
    """The pace of a network, by black images; measured once in a process, in about a second.

    Parameters
    ----------
    model
        By whose name it is known from then on.
    view
        The network. It is moved to the device, in eval mode.
    size
        Height and width of the images, in pixels.
    """
    if (known := known_pace(model, device)) is not None:
        return known
    view.to(device).to(memory_format=torch.channels_last).eval()
    images = torch.zeros(IMAGES, 3, size, size, device=device).to(memory_format=torch.channels_last)

    def forward() -> None:
        view.forward_stages(images)
        synchronize(device)

    dtype = faster_type(device, forward, seconds=SECONDS)
    with autocast(device, dtype):
        forward()
        begin = time.perf_counter()
        forward()
    found = Pace((time.perf_counter() - begin) / IMAGES, size)
    return _known.setdefault((model, device.type), found)
