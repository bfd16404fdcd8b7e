"""The type that a device computes in, and the faster one of two."""

from __future__ import annotations

import time

import torch

from nni_nasoa.device.precision import computes_bfloat16, faster_type


def test_the_type_of_forward_passes_is_the_faster_one_and_is_found_in_time():
    """What is slow in one type, or altogether, is told by its first passes."""
    device = torch.device("cpu")

    def passes(seconds_in, calls):
        def forward():
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
            calls.append(dtype)
            time.sleep(seconds_in[dtype])

        return forward

    for faster, other in ((torch.bfloat16, None), (None, torch.bfloat16)):
        found = faster_type(device, passes({faster: 0.001, other: 0.03}, []))
        assert found == (faster if computes_bfloat16(device) else None)
        # With no time to find out, it is what another network told.
        calls = []
        assert faster_type(device, passes({torch.bfloat16: 0.001, None: 0.05}, calls), seconds=0.1) == found
        assert len(calls) == computes_bfloat16(device)
    assert faster_type(device, passes({torch.bfloat16: 0.001, None: 0.03}, calls), seconds=0.15) == (
        torch.bfloat16 if computes_bfloat16(device) else None
    )
