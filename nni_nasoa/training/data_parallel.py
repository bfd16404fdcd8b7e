"""Average gradients over processes while others are still being computed, with a way out of full memory.

torch's DistributedDataParallel (DDP) hands over the gradients of a backward pass bucket by bucket, in the
same order in all processes, and what is sent overlaps with what is computed. Were one process's memory full
in between, the others would wait for buckets that never come, so nobody could halve the batch and go on. Here
the buckets pass through a hook that counts them: a process that fails sends what it owes, as NaN, whereupon
all of them can tell each other how it went, and drop the step.
"""

from __future__ import annotations

import sys
import warnings

import torch
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

# DDP forms its buckets anew before the second step; then they are known, and whether memory suffices mostly
# is, too.
QUIET_STEPS = 2
BUCKET_MB = None  # As DDP has it.
# DDP imports torch._dynamo in so many seconds; what it saves is less than this share of the time.
LOADING_SECONDS, LOADING_SHARE = 3.0, 0.1


def pays(seconds: float) -> bool:
    """Whether a run that has so many seconds left gains by DDP, which may have to load torch._dynamo."""
    return "torch._dynamo" in sys.modules or LOADING_SHARE * seconds >= LOADING_SECONDS


class DataParallel:
    """A module in DDP; to be made, and used for the same steps, by all processes.

    Where a step fails in one of them, the instance is of no more use in any.

    Parameters
    ----------
    module
        What is trained; its parameters have the same values in all processes. Only those of its parameters
        that require gradients take part, and no buffers.
    """

    def __init__(self, module: nn.Module) -> None:
        self._buckets = _Buckets()
        self._steps = 0
        with warnings.catch_warnings():
            # What is to be used instead is not there before torch 2.13.
            warnings.filterwarnings("ignore", "`broadcast_buffers`", FutureWarning)
            self._ddp = DistributedDataParallel(
                module, broadcast_buffers=False, gradient_as_bucket_view=True, bucket_cap_mb=BUCKET_MB
            )
        # The hook refers to no DDP, whose end takes its hooks away.
        self._ddp.register_comm_hook(self._buckets, _Buckets.hand_over)

    def begin(self) -> None:
        """A step begins; before anything in it can fail."""
        self._steps += 1
        self._buckets.begin(quiet=self._steps <= QUIET_STEPS)
        # By all together: left to the second forward pass, one could fail before it. Torch has no public call
        # for it.
        self._ddp.reducer._rebuild_buckets()

    def __call__(self, inputs: Tensor) -> Tensor:
        """The module's output."""
        return self._ddp(inputs)

    def settle(self, failed: bool) -> None:
        """A step's gradients are computed, or that `failed` in this process.

        The others wait for nothing that comes before this.
        """
        self._buckets.settle(failed)

    @property
    def complete(self) -> bool:
        """Whether the last step, if it did not fail, had gradients of all parameters, as DDP relies on."""
        return self._buckets.complete

    def average(self) -> None:
        """Average the gradients of a step that did not fail in any process, as far as they are not yet."""
        self._buckets.average()


class _Buckets:
    """The buckets of one step after the other: flat tensors, of which the gradients are views.

    In quiet steps nothing is sent until all processes have said that they did not fail.
    """

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.sent: list[torch.futures.Future] = []
        self.complete, self._quiet = False, True

    def begin(self, quiet: bool) -> None:
        self.complete, self._quiet = False, quiet
        self.sent.clear()
        if quiet:
            self.buffers.clear()

    # DDP reads the types of its hook, but not where they are text.
    def hand_over(self, bucket):  # type: ignore[no-untyped-def]
        if self._quiet:
            self.buffers.append(bucket.buffer())
            future: torch.futures.Future[Tensor] = torch.futures.Future()
            future.set_result(bucket.buffer())
        else:
            future = allreduce_hook(None, bucket)  # type: ignore[arg-type]  # None stands for all processes
            self.sent.append(future)
        self.complete = bucket.is_last()
        return future

    def settle(self, failed: bool) -> None:
        if self._quiet:
            return
        for buffer in self.buffers[len(self.sent) :] if failed else ():
            # Where the gradients would lie: it takes no more memory.
            torch.distributed.all_reduce(buffer.fill_(torch.nan))
        for future in self.sent:  # DDP itself does so only after a step with all gradients
            future.wait()

    def average(self) -> None:
        for buffer in self.buffers if self._quiet else ():
            torch.distributed.all_reduce(buffer)
            buffer.div_(torch.distributed.get_world_size())
