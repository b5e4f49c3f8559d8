"""Who may tell an agent what to do: the admin endpoint has no users, but it has neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from hmac import compare_digest

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from rapid.agent.address import is_loopback
from rapid.errors import EndpointError
from rapid.overlay.member import Endpoint


@dataclass(frozen=True)
class Guard:
    """Refuses what no operator has asked for.

    On a loopback address only requests that name one as their host are answered, so that no page of
    another site reaches it by a name of its own. Commands must say that they are JSON, which a page of
    another site cannot without being asked first. Elsewhere commands need the token.
    """

    loopback: bool
    token: str | None = None

    def stranger(self, request: Request) -> str | None:
        """Why a request is not answered at all; None when it is."""
        host = request.headers.get("host", "")
        if not self.loopback or _is_here(host):
            return None
        return f"this agent answers on loopback only, and the request is for {host!r}: use 127.0.0.1"

    def problem(self, request: Request) -> tuple[int, str] | None:
        """The status and reason with which a command is refused; None when it is not."""
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return 415, "a command must have the content type application/json"
        if self.token is not None:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not compare_digest(given.encode(), self.token.encode()):
                return 401, "the command needs the agent's admin_token; give it as RAPID_ADMIN_TOKEN"
        elif not self.loopback:
            return 403, (
                "this agent takes no commands, since it can be reached from elsewhere and has no"
                " admin_token; ask it on a loopback address, or end it with SIGTERM"
            )
        return None


BODY = 64 * 1024
"""Bytes of a body, which nothing here reads."""


class Guarded:
    """An application that strangers get no answer from, and that takes no large bodies."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (reason := self._guard.stranger(Request(scope))) is not None:
            await JSONResponse({"error": reason}, 421)(scope, receive, send)
            return
        if scope["type"] == "http" and (reason := _too_large(Request(scope))) is not None:
            answer = JSONResponse({"error": reason}, 413, {"Connection": "close"})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _too_large(request: Request) -> str | None:
    length = request.headers.get("content-length", "0")
    known = length.isascii() and length.isdigit() and len(length) < 10
    if "transfer-encoding" in request.headers or not known or int(length) > BODY:
        return f"no request here needs a body, and none may be of more than {BODY} bytes"
    return None


def _is_here(host: str) -> bool:
    if is_loopback(host.removeprefix("[").removesuffix("]")):
        return True
    try:
        return is_loopback(Endpoint.parse(host).host)
    except EndpointError:
        return False
