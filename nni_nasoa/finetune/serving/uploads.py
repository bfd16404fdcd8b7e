"""Images as they come in requests: as a form or as the body itself, and no more than is allowed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request
from python_multipart import create_form_parser
from python_multipart.exceptions import FormParserError

from nni_nasoa.data.opening import open_bytes
from nni_nasoa.messages import readable
from nni_nasoa.values import check_fields, reason, whole

if TYPE_CHECKING:
    from PIL import Image
    from python_multipart.multipart import File

FORM = "multipart/form-data"
BODY = "request body"  # what an image is called that comes without a name
# A body may stall, and take in all; a client that says no more would else keep its place for ever.
STALLED_SECONDS, BODY_SECONDS = 10.0, 120.0
# Of a body that is too large, so much is still read, as most clients listen only when all is sent.
READ_BEYOND = 2**26
DRAWN_BY_PROGRAMS = ("EPS",)  # Pillow starts Ghostscript for it, which is not for what strangers send


class Refused(Exception):  # noqa: N818  # it is an answer
    """A request that is answered by a status and a line."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


@dataclass(frozen=True)
class Limits:
    """How much a request may bring.

    Parameters
    ----------
    body_bytes
        Of all its images together, as they are sent.
    pixels
        Of an image, width × height.
    images
        How many.
    """

    body_bytes: int = 32 * 2**20
    pixels: int = 50_000_000
    images: int = 100

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("body_bytes", "pixels", "images"), whole(1)))


@dataclass
class Upload:
    """An image of a request, which opens itself where it is read; see `Classifier.stream`.

    Parameters
    ----------
    name
        As the client calls it.
    content
        The file.
    most_pixels
        Width × height that it may have.
    too_large
        Whether it was found to have more.
    """

    name: str
    content: bytes = field(repr=False)
    most_pixels: int
    too_large: bool = False

    def __call__(self) -> Image.Image:
        """Open it; no pixel is decoded before its size is known."""
        from PIL.Image import DecompressionBombError

        if not self.content:
            raise OSError("the file is empty")
        try:
            image = open_bytes(self.content)
        except DecompressionBombError:
            self.too_large = True
            raise
        if image.format in DRAWN_BY_PROGRAMS:
            raise OSError(f"{image.format} is not taken")
        if image.width * image.height > self.most_pixels:
            self.too_large = True
            raise OSError(f"{image.width} × {image.height} pixels, where {self.most_pixels:,} are allowed")
        return image


async def body_of(
    request: Request, most: int, *, stalled: float = STALLED_SECONDS, seconds: float = BODY_SECONDS
) -> bytes:
    """The body of a request.

    Parameters
    ----------
    most
        Bytes that it may have.
    stalled, seconds
        That may go by without any of it, and until all of it is there.

    Raises
    ------
    Refused
        It is larger, or did not come in time.
    """
    begin = time.monotonic()
    body, size = bytearray(), _declared(request)
    too_large = Refused(413, f"the request is too large: {most / 2**20:.3g} MiB are allowed")
    if size > most and (size > most + READ_BEYOND or "expect" in request.headers):
        raise too_large
    size = 0
    more = True
    while more:
        left = min(stalled, begin + seconds - time.monotonic())
        try:
            message = await asyncio.wait_for(request.receive(), left)
        except asyncio.TimeoutError:
            raise Refused(408, "the request did not come in time") from None
        if message["type"] == "http.disconnect":
            raise Refused(400, "the request was broken off")
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size <= most:
            body += chunk
        elif size > most + READ_BEYOND:
            break
    if size > most:
        raise too_large
    return bytes(body)


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


def uploads_of(body: bytes, content_type: str, limits: Limits) -> list[Upload]:
    """The images in a body.

    Raises
    ------
    Refused
        There is none, there are too many, or it is no form, where it says that it is one.
    """
    if not body:
        raise Refused(400, "no image: send one as the request body, or some as files of a form")
    if content_type.partition(";")[0].strip().lower() != FORM:
        return [Upload(BODY, body, limits.pixels)]
    uploads: list[Upload] = []

    def take(file: File) -> None:
        if len(uploads) == limits.images:
            raise Refused(413, f"too many images: {limits.images} are allowed in a request")
        file.file_object.seek(0)
        name = (file.file_name or b"").decode("utf-8", "replace") or f"image {len(uploads) + 1}"
        uploads.append(Upload(name, file.file_object.read(), limits.pixels))
        file.close()

    try:
        parser = create_form_parser({"Content-Type": content_type.encode("latin-1")}, None, take)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refused(400, f"the form cannot be read ({readable(reason(error))})") from None
    if not uploads:
        raise Refused(400, "no image: the form has no file in it")
    return uploads
