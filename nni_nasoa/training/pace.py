"""How fast a network is on a device: the forward pass, in the type that is faster there."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from nni_nasoa.device.precision import autocast, faster_type
from nni_nasoa.device.settings import synchronize
from nni_nasoa.zoo.staged import Staged

IMAGES, SECONDS = 8, 1.0  # that are passed at a time; that finding the faster type may take at most, about
FRESH_SECONDS = 600.0  # How long a pace holds: by then others may use the device, or no longer.


@dataclass(frozen=True)
class Pace:
    """Seconds of a forward pass.

    Parameters
    ----------
    seconds, size
        For an image of this height and width, in pixels.
    measured
        When, by time.monotonic().
    """

    seconds: float
    size: int
    measured: float

    def at(self, size: int) -> float:
        """The seconds for an image of another size, as pixels go."""
        return self.seconds * (size / self.size) ** 2


_known: dict[tuple[str, str], Pace] = {}


def known_pace(model: str, device: torch.device) -> Pace | None:
    """What `measured_pace` has found in this process not long ago; None where it has not."""
    pace = _known.get((model, device.type))
    return None if pace is None or time.monotonic() - pace.measured > FRESH_SECONDS else pace


@torch.no_grad()
def measured_pace(
    model: str, view: Staged, size: int, device: torch.device, *, seconds: float = SECONDS
) -> Pace:
    """The pace of a network, by black images; measured in about a second, and known for a while.

    Parameters
    ----------
    model
        By whose name it is known from then on.
    view
        The network. It is moved to the device, in eval mode.
    size
        Height and width of the images, in pixels.
    seconds
        That finding out in which type it is faster may take.
    """
    if (known := known_pace(model, device)) is not None:
        return known
    view.to(device).to(memory_format=torch.channels_last).eval()
    images = torch.zeros(IMAGES, 3, size, size, device=device).to(memory_format=torch.channels_last)

    def forward() -> None:
        view.forward_stages(images)
        synchronize(device)

    dtype = faster_type(device, forward, seconds=min(SECONDS, seconds))
    with autocast(device, dtype):
        forward()
        begin = time.perf_counter()
        forward()
    found = Pace((time.perf_counter() - begin) / IMAGES, size, time.monotonic())
    _known[model, device.type] = found
    return found
