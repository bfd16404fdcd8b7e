"""SGD and AdamW by torch's functional forms.

Their classes import torch._dynamo, which takes longer than a short run has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

MOMENTUM = 0.9
BETAS, EPS = (0.9, 0.999), 1e-8


class Optimizer:
    """Steps parameters by their gradients, at the `learning_rate` that it is set to.

    Parameters
    ----------
    kind
        "sgd" or "adamw".
    parameters
        What to step; those that need no gradients are left out.
    weight_decay
        The decay of weights; biases and normalisation (one axis) are not decayed, unless `decay_all` says so.
        As the kind has it: added to the gradient by SGD, decoupled in AdamW.
    relative_rates
        Of some parameters: their rate as a share of `learning_rate`.
    momentum, nesterov
        What SGD remembers of its steps, and in which way.
    """

    def __init__(
        self,
        kind: str,
        parameters: Iterable[Parameter],
        weight_decay: float,
        *,
        relative_rates: Mapping[Parameter, float] | None = None,
        momentum: float = MOMENTUM,
        nesterov: bool = True,
        decay_all: bool = False,
    ) -> None:
        self.kind, self.learning_rate = kind, 0.0
        self.momentum, self.nesterov = momentum, nesterov
        trained = [p for p in parameters if p.requires_grad]
        groups: dict[tuple[float, bool], list[Parameter]] = {}
        for p in trained:
            rate = (relative_rates or {}).get(p, 1.0)
            groups.setdefault((rate, not (decay_all or p.ndim > 1)), []).append(p)
        self.param_groups: list[dict[str, Any]] = [
            {"params": groups[rate, spared], "weight_decay": 0.0 if spared else weight_decay, "rate": rate}
            for rate, spared in sorted(groups)
        ]
        self.reset()

    def reset(self) -> None:
        """Forget momenta."""
        for group in self.param_groups:
            params = group["params"]
            group["momenta"] = (
                [None] * len(params) if self.kind == "sgd" else [torch.zeros_like(p) for p in params]
            )
            if self.kind == "adamw":
                group["squares"] = [torch.zeros_like(p) for p in params]
                group["steps"] = [torch.zeros(()) for _ in params]

    def parameters(self) -> Iterator[Parameter]:
        """The parameters that are trained."""
        return (p for group in self.param_groups for p in group["params"])

    def zero_grad(self) -> None:
        """Drop gradients."""
        for p in self.parameters():
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take a step."""
        for group in self.param_groups:
            with_gradient = [i for i, p in enumerate(group["params"]) if p.grad is not None]
            params = [group["params"][i] for i in with_gradient]
            if params:
                (self._sgd if self.kind == "sgd" else self._adamw)(
                    group, with_gradient, params, [p.grad for p in params]
                )

    def _sgd(self, group: dict, where: list[int], params: list[Tensor], grads: list[Tensor]) -> None:
        momenta = [group["momenta"][i] for i in where]
        sgd(
            params,
            grads,
            momenta,
            foreach=True,
            weight_decay=group["weight_decay"],
            momentum=self.momentum,
            lr=self.learning_rate * group["rate"],
            dampening=0,
            nesterov=self.nesterov,
            maximize=False,
        )
        for i, momentum in zip(where, momenta):
            group["momenta"][i] = momentum  # made at the first step

    def _adamw(self, group: dict, where: list[int], params: list[Tensor], grads: list[Tensor]) -> None:
        momenta, squares, steps = ([group[key][i] for i in where] for key in ("momenta", "squares", "steps"))
        adamw(
            params,
            grads,
            momenta,
            squares,
            [],
            steps,
            foreach=True,
            amsgrad=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=self.learning_rate * group["rate"],
            weight_decay=group["weight_decay"],
            eps=EPS,
            maximize=False,
        )
