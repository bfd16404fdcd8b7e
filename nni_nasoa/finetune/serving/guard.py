"""Who may ask: nobody from the page of another site, though a browser on this machine reaches the server.

A page that somebody visits can have the browser send requests to 127.0.0.1. It names itself in the header
Origin then; and where it has its own name lead to 127.0.0.1 (DNS rebinding), in the header Host.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse

from nni_nasoa.values import shown

HEADERS = {
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """Refuses such requests, before anything of them is read, and gives all answers careful headers.

    Parameters
    ----------
    app
        The ASGI application that answers the others.
    local
        Whether the server is for this machine alone: the Host has to be localhost or a loopback address.
    allowed
        Further names that it may be asked by, as those of a reverse proxy are.
    """

    def __init__(self, app: Any, local: bool, allowed: Collection[str] = ()) -> None:
        self._app, self._local = app, local
        self._allowed = {name.lower() for name in allowed}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, by ASGI."""

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        app = self._app
        if scope["type"] == "http" and (why := self._refusal(Request(scope))) is not None:
            app = JSONResponse({"error": why}, 403)
        await app(scope, receive, with_headers)

    def _refusal(self, request: Request) -> str | None:
        """Why a request gets no answer; None where it gets one."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self._is_own(_name(host)):
            return f"Host: {shown(host)} is not a name of this server"
        if origin is not None and not self._is_same(origin, host):
            return f"Origin: {shown(origin)} is another site, whose pages may not ask this server"
        if (
            request.headers.get("sec-fetch-site") == "cross-site"
            and request.headers.get("sec-fetch-mode") != "navigate"  # a link that leads to the page
        ):
            return "Sec-Fetch-Site: pages of other sites may not ask this server"
        return None

    def _is_own(self, name: str) -> bool:
        if name in self._allowed or (not self._local and not self._allowed):
            return True
        try:
            return name == "localhost" or ip_address(name).is_loopback
        except ValueError:
            return False

    def _is_same(self, origin: str, host: str) -> bool:
        own = origin.lower().partition("://")[2] == host.lower()
        return own or _name(origin.partition("://")[2]) in self._allowed


def _name(host: str) -> str:
    """The name or the address in a Host header, without its port; empty where there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
