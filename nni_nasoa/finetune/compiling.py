"""torch.compile for what is trained, where there is time for that."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from nni_nasoa.device.interruption import TimeIsUp, at_most
from nni_nasoa.device.out_of_memory import is_out_of_memory
from nni_nasoa.training.stepping import Stepper
from nni_nasoa.values import reason

from .context import RunContext

COMPILING_SHARE = 0.4  # The part of the time that is left that compiling may take.


def compiled_in_time(stepper: Stepper, module: nn.Module, context: RunContext) -> str:
    """Have a stepper train through torch.compile, if that works in a share of the time; else a line says why.

    It is so in all processes, or in none. Compiling happens as the first gradients are computed; of the steps
    that follow, none has to wait for it.
    """
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    clock, failure = context.clock, ""
    seconds, begin = COMPILING_SHARE * clock.remaining, clock.now()
    module.train()
    try:
        with at_most(seconds, context.interruption):
            stepper.module = cast(nn.Module, torch.compile(module))
            stepper.gradients(cheap=False)
    except TimeIsUp:
        failure = f"torch.compile was not done after {clock.now() - begin:.1f} s: trained without it"
    except Exception as error:  # a compiler can fail in any way
        if not is_out_of_memory(error):  # else the first step fails, too, and halves the batch
            failure = f"torch.compile failed ({reason(error)}): trained without it"
    finally:
        stepper.optimizer.zero_grad()
        for buffer, before in buffers:
            buffer.copy_(before)
    if context.group.most(bool(failure)):
        stepper.module = module
        return failure or "torch.compile failed in another process: trained without it"
    return ""
