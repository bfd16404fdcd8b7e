"""Bodies that come slowly, or not at all. Real ones, and limits, are in `test_app.py`."""

from __future__ import annotations

import asyncio

import pytest
from fastapi import Request

from nni_nasoa.finetune.serving.uploads import Limits, Refused, body_of
from nni_nasoa.values import InputError


def body(*parts, pause=0.0, ends=True, **options):
    """What is made of a body of these parts, which come after a pause each."""
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive():
        await asyncio.sleep(pause if messages else 60)
        return messages.pop(0)

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    return asyncio.run(body_of(request, 10, **options))


def test_a_body_is_put_together():
    assert body(b"ab", b"", b"cd", pause=0.01) == b"abcd"


@pytest.mark.parametrize(
    "options, status",
    [
        ({"ends": False, "stalled": 0.05}, 408),
        ({"pause": 0.04, "stalled": 0.5, "seconds": 0.1}, 408),
        ({"pause": 0.0}, 413),
    ],
)
def test_one_that_takes_too_long_or_is_too_large_is_refused(options, status):
    parts = [b"12345678"] * (8 if status == 413 else 1) + [b""] * 4
    with pytest.raises(Refused) as error:
        body(*parts, **options)
    assert error.value.status == status and "\n" not in error.value.why


def test_one_that_is_broken_off_is_refused():
    async def receive():
        return {"type": "http.disconnect"}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(Refused, match="broken off"):
        asyncio.run(body_of(request, 10))


@pytest.mark.parametrize("name", ["body_bytes", "pixels", "images"])
def test_limits_are_whole_numbers_above_0(name):
    with pytest.raises(InputError, match=f"{name}: 0 is not a whole number from 1"):
        Limits(**{name: 0})
