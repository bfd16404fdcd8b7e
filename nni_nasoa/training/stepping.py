"""Training steps: which images, mixed how, forward, backward, and the optimiser."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nni_nasoa.data.augment import cutmix, mixup
from nni_nasoa.device.out_of_memory import is_out_of_memory
from nni_nasoa.device.precision import autocast, precision

from .class_balance import shifted
from .distributed import Alone, Together
from .errors import FineTuneError
from .inputs import Inputs
from .optimizers import Optimizer
from .regime import FineTuneRegime
from .supervised import endless
from .trainable import Trainable

if TYPE_CHECKING:
    from .data_parallel import DataParallel

# What processes tell each other in each step: the worst of it counts.
IN_TIME, LATE, FULL = 0, 1, 2


class Stepper:
    """Takes training steps of one process.

    Parameters
    ----------
    module, classes
        What gives logits of so many classes for inputs; what of it requires gradients is trained.
    inputs
        The inputs from this process's images.
    regime, group
        How to fine-tune, and the processes of the run. The regime's batch is that of all of them together.
    seed
        What the order of images and their mixing follow from.
    head_only
        The head, where `module` is no more than that: its gradients need no autograd.
    scaler
        Scales the loss, so that gradients in half precision do not vanish; None is as the device needs it.
    offsets
        What is added to the logits, see `class_balance.logit_offsets`.
    """

    def __init__(
        self,
        module: nn.Module,
        classes: int,
        inputs: Inputs,
        regime: FineTuneRegime,
        group: Alone | Together,
        seed: int,
        head_only: nn.Linear | None = None,
        scaler: torch.amp.GradScaler | None = None,
        offsets: Tensor | None = None,
    ) -> None:
        self.module, self.classes, self.inputs = module, classes, inputs
        self.regime, self.group = regime, group
        self._head, self._offsets = head_only, offsets
        self._parallel: DataParallel | None = None
        self.device = inputs.labels.device
        self.batch = batch_of_process(regime, inputs, group)
        self.rate_scale, self.go_on = 1.0, True
        self.steps, self.images = 0, 0
        rates = (
            module.relative_rates(regime.layer_decay)
            if regime.layer_decay < 1 and isinstance(module, Trainable)
            else None
        )
        self.optimizer = Optimizer(
            regime.optimizer, module.parameters(), regime.weight_decay, relative_rates=rates
        )
        if scaler is None and precision(self.device) == torch.float16:
            scaler = torch.amp.GradScaler("cuda")
        self._scaler = scaler
        self._mixing = random.Random(seed)
        generator = torch.Generator().manual_seed(seed + group.rank)
        self._indices = endless(lambda: self.batch, lambda: torch.randperm(len(inputs), generator=generator))

    def overlap(self, seconds: float) -> None:
        """Have gradients averaged over the processes while others are computed, if that pays.

        `seconds` are those that the run has left.

        All processes have to call it, before the first step and after each one in which memory was full.
        """
        if self.group.size == 1 or self._head is not None:
            return
        from .data_parallel import DataParallel, pays  # late: one process does without

        if self.group.from_first([float(pays(seconds))])[0]:
            self._parallel = DataParallel(self.module)

    def step(self, cheap: bool, in_time: Callable[[], bool] = lambda: True) -> Tensor | None:
        """Take a step at the optimiser's learning rate.

        Returns the loss, on the device, or None where a process's memory was full. With `cheap`, no features
        of frozen stages are computed: images take part whose features are kept. Afterwards `go_on` says
        whether all processes are in time for more steps.
        """
        loss = None
        try:
            if self._parallel is not None:
                self._parallel.begin()
            loss = self.gradients(cheap)
        except RuntimeError as error:
            # It is let go of here, and with it the tensors of the step that failed.
            if not is_out_of_memory(error):
                raise
        if self._parallel is not None:
            self._parallel.settle(failed=loss is None)
        news = self.group.most(FULL if loss is None else IN_TIME if in_time() else LATE)
        self.go_on = news == IN_TIME
        if news == FULL:
            self._parallel = None  # with its buckets, some of which may be missing
            self.optimizer.zero_grad()
            return None
        self._average()
        scaler = None if self._head is not None else self._scaler
        if self.regime.clip_grad:
            if scaler is not None:
                scaler.unscale_(self.optimizer)  # type: ignore[arg-type]  # as below
            nn.utils.clip_grad_norm_(self.optimizer.parameters(), self.regime.clip_grad)
        if scaler is None:
            self.optimizer.step()
        else:
            scaler.step(self.optimizer)  # type: ignore[arg-type]  # param_groups and step will do
            scaler.update()
        self.optimizer.zero_grad()
        self.steps += 1
        self.images += self.batch * self.group.size
        return loss

    def _average(self) -> None:
        if self._parallel is not None and self._parallel.complete:
            self._parallel.average()
            return
        self._parallel = None
        self.group.average([p.grad for p in self.optimizer.parameters() if p.grad is not None])

    def gradients(self, cheap: bool) -> Tensor:
        """Compute this process's gradients of the next batch; the loss."""
        indices = next(self._indices)
        if cheap:
            indices = self.inputs.cheap(indices)
        inputs = self.inputs.training(indices, renew=not cheap)
        targets = self._targets(self.inputs.labels[indices.to(self.device)])
        inputs, targets = self._mixed(inputs, targets)
        if self._head is not None:
            return head_gradients(self._head, inputs, targets, self._offsets)
        # Kept features have another order than fresh ones, for which a compiled module would be compiled
        # again.
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with autocast(self.device):
            logits = (self._parallel or self.module)(inputs)
        loss = F.cross_entropy(shifted(logits.float(), self._offsets), targets)
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()
        return loss.detach()

    def _mixed(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A batch by mixup or cutmix, as the regime has it; features, which a run may be cut to, by mixup."""
        ways = [(mixup, self.regime.mixup), (cutmix, 0.0 if self.inputs.frozen else self.regime.cutmix)]
        given = [(mix, alpha) for mix, alpha in ways if alpha]
        if not given:
            return inputs, targets
        mix, alpha = given[0] if len(given) == 1 else self._mixing.choice(given)
        share = self._mixing.betavariate(alpha, alpha)
        return mix(inputs, targets, share, self.inputs.images.generator)

    def _targets(self, labels: Tensor) -> Tensor:
        """Smoothed probabilities (n, classes) of labels (n,)."""
        smoothing, classes = self.regime.label_smoothing, self.classes
        return torch.full((len(labels), classes), smoothing / classes, device=self.device).scatter_(
            1, labels[:, None], 1 - smoothing + smoothing / classes
        )

    def halve_batch(self) -> int:
        """Go on with half the batch and half the learning rate, in all processes.

        Returns the images of a step over all processes.

        Raises
        ------
        FineTuneError
            The batch cannot be halved.
        """
        if self.batch < 4:
            raise FineTuneError(
                f"out of memory at {self.batch} images a step and process, the fewest that can be; "
                "give a smaller input size or model"
            )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.rate_scale *= (self.batch // 2) / self.batch
        self.batch //= 2
        return self.batch * self.group.size


@torch.no_grad()
def head_gradients(
    head: nn.Linear, features: Tensor, targets: Tensor, offsets: Tensor | None = None
) -> Tensor:
    """Cross-entropy of a linear head, whose gradients are set.

    Autograd's bookkeeping would take most of the time of a step on features that are kept.

    Parameters
    ----------
    features, targets
        (n, width), and probabilities (n, classes).
    offsets
        What is added to the logits, (classes,), see `class_balance.logit_offsets`.
    """
    features = features.float()
    # Where the caller has autocast on, products come in half precision.
    logits = F.linear(features, head.weight, head.bias).float()
    log_probabilities = shifted(logits, offsets).log_softmax(1)
    errors = log_probabilities.exp().sub_(targets).div_(len(features))
    head.weight.grad = (errors.T @ features).float()
    if head.bias is not None:
        head.bias.grad = errors.sum(0)
    return -(targets * log_probabilities).sum() / len(features)


def batch_of_process(regime: FineTuneRegime, inputs: Inputs, group: Alone | Together) -> int:
    """Images a step of each process: at most as many as the poorest has, at least two, for BatchNorm."""
    return max(2, -int(group.most(-min(regime.batch_size // group.size, len(inputs)))))
