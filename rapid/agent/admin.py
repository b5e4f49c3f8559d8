"""The admin endpoint: what can be asked of an agent, and told, over HTTP."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from rapid.agent.events import Events
from rapid.agent.guard import Guard, Guarded
from rapid.agent.record import VIEWS, Record
from rapid.agent.reports import Report, as_report, now
from rapid.errors import EndpointError, LeaveTimeout, QuorumError, StateError
from rapid.integrations.health import Question, answer
from rapid.overlay.member import Endpoint, NodeId
from rapid.standing import Standing
from rapid.view import View, ViewChange

SILENCE = 15.0
"""Seconds after which the stream of events says that it is still there."""
STREAMS = 16
"""Streams of events that may be open at once."""
Exposition = Callable[[], tuple[bytes, str]]
"""Metrics in a format of their own, and its content type."""

_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline';"
    " style-src 'unsafe-inline'"
)


class Operated(Protocol):
    """The member behind the endpoint."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def node_id(self) -> NodeId: ...
    @property
    def stats(self) -> Counter[str]: ...

    async def leave(self) -> None: ...
    async def force_new_cluster(self) -> View: ...


class Admin:
    """The answers about one member, from its record and its events. It changes nothing but by a command."""

    def __init__(
        self,
        member: Operated,
        record: Record,
        events: Events,
        guard: Guard,
        exposition: Exposition | None = None,
    ) -> None:
        self._member = member
        self._record = record
        self._events = events
        self._guard = guard
        self._exposition = exposition
        self._streams = 0
        """Streams of events that are open."""
        self._run = secrets.token_hex(4)
        """Distinguishes the numbers of this process's events from those of another one's."""

    def application(self) -> Starlette:
        """The ASGI application. Every error is an object with ``error``."""
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/members", self.members),
                Route("/view", self.view),
                Route("/views", self.views),
                Route("/alerts", self.alerts),
                Route("/why", self.why),
                Route("/events", self.events),
                Route("/counters", self.counters),
                Route("/metrics", self.metrics),
                Route("/livez", self.live),
                Route("/readyz", self.ready),
                Route("/leave", self.leave, methods=["POST"]),
                Route("/force-new-cluster", self.force_new_cluster, methods=["POST"]),
            ],
            middleware=[Middleware(Guarded, guard=self._guard)],
            exception_handlers={404: _no_such, 405: _no_such},
        )

    async def page(self, request: Request) -> Response:
        try:
            text = (files("rapid.agent") / "page.html").read_text(encoding="utf-8")
        except OSError as missing:
            return _failed(
                500, f"the page cannot be read: {missing}; a program that was built of this package needs "
                "its files, with PyInstaller by --collect-data rapid",
            )  # fmt: skip
        return HTMLResponse(
            text, headers={"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        )

    async def members(self, request: Request) -> Response:
        view = self._record.view
        if view is None:
            return _failed(503, f"there is no view yet: this process is {self._record.state}")
        return JSONResponse(_as_members(view))

    async def view(self, request: Request) -> Response:
        view, record = self._record.view, self._record
        shown = {} if view is None else _as_members(view)
        return JSONResponse({**self._self(), **shown, "rings": record.rings, "alerts": record.alerts})

    async def views(self, request: Request) -> Response:
        return JSONResponse({"limit": VIEWS, "changes": list(self._record.changes)})

    async def alerts(self, request: Request) -> Response:
        return JSONResponse({"alerts": self._record.alerts})

    async def why(self, request: Request) -> Response:
        try:
            endpoint = Endpoint.parse(request.query_params.get("endpoint", ""))
        except EndpointError as problem:
            return _failed(400, str(problem))
        found = self._record.why(endpoint)
        if found["member"] is None and not found["removals"] and not found["alerts"]:
            return _failed(
                404,
                f"{endpoint} is no member, and nothing is remembered of its removal here: it was none since"
                " this process joined, or that is too long ago",
            )
        return JSONResponse(found)

    async def counters(self, request: Request) -> Response:
        return JSONResponse(dict(sorted(self._member.stats.items())))

    async def metrics(self, request: Request) -> Response:
        if self._exposition is None:
            return await self.counters(request)
        content, media_type = await asyncio.to_thread(self._exposition)
        return Response(content, media_type=media_type)

    async def live(self, request: Request) -> Response:
        return self._answer("live")

    async def ready(self, request: Request) -> Response:
        return self._answer("ready")

    async def events(self, request: Request) -> Response:
        if self._streams >= STREAMS:
            return _failed(503, f"{STREAMS} streams of events are open already; end one, or try again")
        run, _, number = request.headers.get("last-event-id", "").partition("-")
        known = run == self._run and number.isascii() and number.isdigit() and len(number) < 16
        after = int(number) if known and self._events.holds(int(number)) else None
        return _EventStream(self, self._stream(after))

    async def leave(self, request: Request) -> Response:
        if (problem := self._guard.problem(request)) is not None:
            return _failed(*problem)
        try:
            await self._member.leave()
        except LeaveTimeout as timeout:
            return _failed(504, str(timeout))
        except StateError as problem_of_state:
            return _failed(409, str(problem_of_state))
        return JSONResponse({"left": True})

    async def force_new_cluster(self, request: Request) -> Response:
        if (problem := self._guard.problem(request)) is not None:
            return _failed(*problem)
        try:
            view = await self._member.force_new_cluster()
        except (QuorumError, StateError) as refusal:
            return _failed(409, str(refusal))
        return JSONResponse(_as_members(view))

    async def _stream(self, after: int | None) -> AsyncIterator[str]:
        """Server-sent events: to who is new, the agent and its view as it is; then what happens."""
        if after is None:
            after = self._events.last
            for report in self._beginning():
                yield self._event(after, report)
        async for number, news in self._events.follow(after, SILENCE):
            yield ": still here\n\n" if news is None else self._event(number, news)

    def _beginning(self) -> list[Report]:
        view = self._record.view
        if view is None:
            return [now("agent", **self._self(), version=None)]
        told = as_report(ViewChange(view, view.members, ()))
        return [now("agent", **self._self(), version=view.version), told]

    def _event(self, number: int, report: Report) -> str:
        return f"id: {self._run}-{number}\ndata: {json.dumps(report)}\n\n"

    def _answer(self, question: Question) -> JSONResponse:
        state, view = self._record.state, self._record.view
        endpoint = None if view is None else self._member.endpoint
        status, body = answer(question, Standing(state, view), endpoint)
        return JSONResponse(body, status)

    def _self(self) -> dict[str, Any]:
        who: dict[str, Any]
        try:
            who = {"endpoint": str(self._member.endpoint), "node_id": str(self._member.node_id)}
        except StateError:
            # it does not listen yet
            who = {"endpoint": None, "node_id": None}
        return {**who, "state": self._record.state}


class _EventStream(StreamingResponse):
    """Counts as one for as long as it lasts."""

    def __init__(self, admin: Admin, events: AsyncIterator[str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._admin = admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._admin._streams += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._admin._streams -= 1


def _as_members(view: View) -> dict[str, Any]:
    return {
        "cluster_id": view.cluster_id,
        "version": view.version,
        "digest": view.digest,
        "size": view.size,
        "members": [
            {"endpoint": str(m.endpoint), "node_id": str(m.node_id), "metadata": dict(m.metadata)}
            for m in view.members
        ],
    }


def _failed(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"error": problem}, status)


async def _no_such(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    return _failed(status, f"there is no {request.method} {request.url.path} here")
