"""A head that sees what every stage of a network gives, not the last one alone.

The last features of a pretrained network say what its own classes need. What tells a user's classes apart may
stand earlier: colours, textures, strokes. So mean, maximum and deviation of every stage's output over the
image stand beside the last features, at no cost but a wider head ("Head2Toe", Evci et al., ICML 2022, arXiv
2201.03529, chooses among such features; here they are all kept, with less weight). Roots of the features, in
place of themselves, keep few large ones from drowning the others (Perronnin et al., ECCV 2010).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from nni_nasoa.device.threads import one_thread

from .staged import Staged

EPS = 0.01  # bends the root at 0, where its slope would be infinite
EARLIER_WEIGHT = 0.7  # of all features of earlier stages together, where the last ones have 1
LEAST_VARIANCE = 0.05  # of all features, as a part of their mean square: one image's do not vary
TYPICAL_IMAGES = 20  # The mean of all variances counts as much as so many images.
NORM = 100.0  # squared norm of scaled last features, on average: rates of SGD that are usual suit it


class PooledStages(Staged):
    """A staged view whose head is on the pooled outputs of all stages.

    Its stages are those of another view. What passes from a frozen stage to the next one is flat, (n, width):
    what was pooled so far, then the stage's output.

    Parameters
    ----------
    view
        The view whose stages these are; its head is left out.
    classes
        Outputs of the head.
    size
        Height and width of images to find out with how wide the outputs are, in pixels.

    Attributes
    ----------
    shift, scale
        (features,) buffers: what is subtracted from the roots of pooled outputs, and what they are multiplied
        by. 0 and 1 until `scale_to` is called.
    mirrored
        Whether features, in eval mode, are the mean of those of an image and of its mirror image. Kept in the
        state_dict.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, view: Staged, classes: int, size: int) -> None:
        device = next(view.parameters()).device
        super().__init__(view.stages, view.head, view.mean, view.std, view.input_size)
        self.mirrored = False
        self._shapes: dict[int, torch.Size] = {}  # of what each stage gives, where it was the last one run
        self._earlier: dict[int, int] = {}  # how wide is what was pooled before that
        mode = self.training
        self.eval()
        with torch.no_grad(), one_thread():
            blank = torch.zeros(1, 3, size, size, device=device)
            parts = self._pooled(blank.contiguous(memory_format=torch.channels_last))
        self.train(mode)
        self.last = parts[-1].shape[1]
        width = sum(part.shape[1] for part in parts)
        self.head = _ExactLinear(width, classes, device=device)
        self.register_buffer("shift", torch.zeros(width, device=device))
        self.register_buffer("scale", torch.ones(width, device=device))

    def forward_stages(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """As `Staged.forward_stages`; with all stages run, (n, features), scaled."""
        stop = len(self.stages) if stop is None else min(stop, len(self.stages))
        if stop <= start:
            return x
        if self.mirrored and not self.training and start == 0 and stop == len(self.stages):
            return (self._run(x, start, stop) + self._run(x.flip(3), start, stop)) / 2
        return self._run(x, start, stop)

    def _run(self, x: Tensor, start: int, stop: int) -> Tensor:
        pooled: list[Tensor] = []
        if start:
            width = self._earlier[start]
            pooled = [x[:, :width]]
            x = x[:, width:].unflatten(1, self._shapes[start])
            if x.ndim == 4:
                x = x.contiguous(memory_format=torch.channels_last)
        for stage in self.stages[start:stop]:
            x = stage(x)
            if stage is not self.stages[-1]:
                pooled.append(_pool(x))
        if stop == len(self.stages):
            return (torch.cat([*pooled, _rooted(x.flatten(1))], 1) - self.shift) * self.scale
        before = torch.cat(pooled, 1)
        self._shapes[stop], self._earlier[stop] = x.shape[1:], before.shape[1]
        return torch.cat([before, x.flatten(1)], 1)

    def _pooled(self, x: Tensor) -> list[Tensor]:
        parts = []
        for stage in self.stages:
            x = stage(x)
            parts.append(_pool(x) if stage is not self.stages[-1] else x.flatten(1))
        return parts

    @torch.no_grad()
    def scale_to(self, features: Tensor) -> Tensor:
        """Scale features to about equal deviations, those of all earlier stages together to a lower weight.

        What few images say of a feature's variance is little: it is drawn towards the mean of all features'.

        Parameters
        ----------
        features
            (n, features) as the present scaling gives them.

        Returns
        -------
        The same features, as the new scaling gives them.
        """
        raw = features / self.scale + self.shift
        variance, mean = torch.var_mean(raw, 0, correction=0)
        earlier = len(mean) - self.last
        for part, norm in ((slice(earlier), EARLIER_WEIGHT**2 * NORM), (slice(earlier, None), NORM)):
            own = variance[part]
            of_all = torch.maximum(own.mean(), LEAST_VARIANCE * raw[:, part].square().mean())
            typical = (len(raw) * own + TYPICAL_IMAGES * of_all) / (len(raw) + TYPICAL_IMAGES)
            self.scale[part] = (norm / max(1, len(own)) / typical.clamp(min=1e-12)).sqrt()
        self.shift.copy_(mean)
        return (raw - self.shift) * self.scale

    def get_extra_state(self) -> Tensor:
        """Whether features are those of mirrored images, too."""
        return torch.tensor(self.mirrored)

    def set_extra_state(self, state: Any) -> None:
        """The inverse of `get_extra_state`."""
        self.mirrored = bool(state)


class _ExactLinear(nn.Linear):
    """A linear layer in float32, whatever type the stages before it are computed in."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def _pool(x: Tensor) -> Tensor:
    """Mean, maximum and deviation over an image: (n, 3 channels)."""
    if x.ndim == 2:
        return _rooted(x)
    if x.ndim == 3:  # tokens, (n, places, channels)
        x = x[:, :, None]
    elif not (x.ndim == 4 and x.shape[1] == x.shape[2] != x.shape[3]):  # else (n, height, width, channels)
        x = x.flatten(3).movedim(1, -1).flatten(2, -2)
    height, width, channels = x.shape[1:]
    # Rows are reduced first, as vectors: on a processor that is several times as fast as both at once.
    rows, by_row = x.flatten(2).float(), (width, channels)
    mean, square = (of.sum(1).unflatten(1, by_row).sum(1) / (height * width) for of in (rows, rows * rows))
    most = rows.amax(1).unflatten(1, by_row).amax(1)
    deviation = (square - mean * mean).clamp(min=0).add(1e-6).sqrt()
    return torch.cat([_rooted(part) for part in (mean, most, deviation)], 1)


def _rooted(x: Tensor) -> Tensor:
    """The root of each number, with its sign."""
    x = x.float()
    return x.sign() * ((x.abs() + EPS).sqrt() - EPS**0.5)
