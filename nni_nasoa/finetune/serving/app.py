"""Which request gets which answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response

from nni_nasoa import __version__
from nni_nasoa.finetune.classifier import BATCH, Classifier
from nni_nasoa.finetune.image_inputs import UnreadableImage
from nni_nasoa.finetune.predicted_image import PredictedImage
from nni_nasoa.messages import readable
from nni_nasoa.values import one_line, reason

from .guard import Guard
from .page import content_security_policy, page
from .queue import PredictionQueue
from .uploads import Limits, Refused, Upload, body_of, uploads_of

AT_ONCE = BATCH  # Requests whose bodies are in memory at a time; the others wait unread.


def app_of(
    classifier: Classifier,
    queue: PredictionQueue,
    limits: Limits,
    *,
    local: bool,
    allowed_hosts: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> FastAPI:
    """The application of a classifier.

    Parameters
    ----------
    queue
        Predicts by the classifier.
    limits
        Of a request.
    local, allowed_hosts
        As `Guard` takes them.
    tell
        Is told in a line what fails on the side of the server.
    """
    # The pages of documentation that FastAPI makes load scripts from other servers.
    app = FastAPI(title="nasoa serve", openapi_url=None)
    app.add_middleware(Guard, local=local, allowed=allowed_hosts)
    _answer_errors_in_a_line(app, tell)
    places = asyncio.Semaphore(AT_ONCE)
    text = page(classifier, limits)
    policy = {"content-security-policy": content_security_policy(text)}

    @app.get("/")
    async def show_page() -> Response:
        return HTMLResponse(text, headers=policy)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        about = classifier.about
        return {
            "status": "ok",
            "id": about.get("id"),
            "model": about["model"],
            "classes": len(classifier.classes),
            "version": __version__,
        }

    @app.post("/predict")
    async def predict(
        request: Request,
        top_k: Annotated[int, Query(ge=1)] = 3,
        reject_below: Annotated[float, Query(ge=0, le=1)] = 0.0,
    ) -> Response:
        async with places:
            body = await body_of(request, limits.body_bytes)
            kind = request.headers.get("content-type", "")
            uploads = await asyncio.to_thread(uploads_of, body, kind, limits)
            rows = await asyncio.gather(*map(asyncio.wrap_future, queue.put(uploads)))
        found = [
            PredictedImage.of(upload.name, _named(row, upload), classifier, top_k, reject_below)
            for upload, row in zip(uploads, rows)
        ]
        return JSONResponse([one.to_json() for one in found], _status(uploads, found))

    return app


def _named(row: Any, upload: Upload) -> Any:
    """What is predicted of an upload, where its error names it as the client does."""
    return UnreadableImage(readable(upload.name), row.why) if isinstance(row, UnreadableImage) else row


def _status(uploads: list[Upload], found: list[PredictedImage]) -> int:
    """200, but where an image cannot be taken, as `nasoa predict` ends with 1 then."""
    if any(upload.too_large for upload in uploads):
        return 413
    return 422 if any(one.error is not None for one in found) else 200


def _answer_errors_in_a_line(app: FastAPI, tell: Callable[[str], None]) -> None:
    """Answer whatever goes wrong by a status and `{"error": LINE}`."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return JSONResponse({"error": error.why}, error.status)

    @app.exception_handler(RequestValidationError)
    async def not_valid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return JSONResponse({"error": one_line(f"{first['loc'][-1]}: {first['msg']}")}, 422)

    @app.exception_handler(404)
    async def not_found(request: Request, _: Exception) -> Response:
        why = f"{readable(request.url.path)}: nothing here; there are /, /health and /predict"
        return JSONResponse({"error": one_line(why)}, 404)

    @app.exception_handler(405)
    async def not_so(request: Request, _: Exception) -> Response:
        how = "POST" if request.url.path == "/predict" else "GET"
        return JSONResponse({"error": f"{request.method}: send {how}"}, 405, {"allow": how})

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:
        tell(one_line(f"{type(error).__name__}: {error}"))
        return JSONResponse({"error": f"the server could not do it ({reason(error)})"}, 500)
