"""Liveness and readiness of a member, as functions and as a small ASGI application. Needs no extra."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Literal

from rapid.integrations.standing import AnyCluster, standing
from rapid.overlay.member import Endpoint
from rapid.standing import Standing

Body = dict[str, str | int | bool]
"""``state`` (see :class:`rapid.standing.State`), ``live``, ``ready`` and, once there is a view: the member's
``endpoint``, and the view's ``cluster_id``, ``version`` and ``size``."""
Answer = tuple[int, Body]
"""An HTTP status, 200 for yes or 503 for no, and the object to go with it."""
Question = Literal["live", "ready"]
"""What is asked."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OK, UNAVAILABLE = 200, 503


def ready(cluster: AnyCluster) -> Answer:
    """Whether to send work here: 200 while the member is in a view and the quorum is not lost.

    So it is 503 while it joins, when the quorum is lost, between an eviction and the first view after
    it, while it goes over to another cluster, and from the beginning of :meth:`rapid.Cluster.leave`.
    Any thread; it never blocks. :class:`rapid.StateError` after a fork.
    """
    return _ask("ready", cluster)


def live(cluster: AnyCluster) -> Answer:
    """Whether to let the process run: 503 when the member has ended, for whatever reason, else 200.

    A member that is joining, cut off or evicted is live: a restart would not bring it in sooner, and
    restarts of a minority's members would make the loss of the quorum last.
    Any thread; it never blocks. :class:`rapid.StateError` after a fork.
    """
    return _ask("live", cluster)


def answer(question: Question, standing: Standing, endpoint: Endpoint | None) -> Answer:
    """What :func:`live` or :func:`ready` gives for a member that stands so.

    ``endpoint``: what the member is known by; None where that is not known yet.
    """
    state, view = standing.state, standing.view
    body: Body = {"state": state.value, "live": state.is_live, "ready": state.is_ready}
    if endpoint is not None:
        body["endpoint"] = str(endpoint)
    if view is not None:
        body |= {"cluster_id": view.cluster_id, "version": view.version, "size": view.size}
    return OK if body[question] else UNAVAILABLE, body


class Health:
    """An ASGI application: ``/livez`` answers as :func:`live` does, ``/readyz`` as :func:`ready`.

    Serve it alone, or mount it: the paths are below where it is mounted. Both answer GET and HEAD with
    a JSON object, 405 other methods; there is nothing else (404).
    """

    def __init__(self, cluster: AnyCluster) -> None:
        self._answers = {"/livez": lambda: live(cluster), "/readyz": lambda: ready(cluster)}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _no_lifespan(receive, send)
        elif scope["type"] == "http":
            await self._respond(scope, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})

    async def _respond(self, scope: MutableMapping[str, Any], send: Send) -> None:
        path, root = str(scope["path"]), str(scope.get("root_path", ""))
        # a server's path includes where the application is mounted
        answer = self._answers.get(path.removeprefix(root) if path.startswith(f"{root}/") else path)
        content: dict[str, Any]
        if answer is None:
            status, content = 404, {"error": f"there are {' and '.join(self._answers)}"}
        elif scope["method"] not in ("GET", "HEAD"):
            status, content = 405, {"error": "GET or HEAD"}
        else:
            status, content = answer()
        body = json.dumps(content).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _no_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _ask(question: Question, cluster: AnyCluster) -> Answer:
    now = standing(cluster)
    return answer(question, now, None if now.view is None else cluster.endpoint)
