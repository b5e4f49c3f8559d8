"""Liveness and readiness of a member, as a function and as a small ASGI application. Needs no extra."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rapid.integrations.standing import AnyCluster, State, standing

Body = dict[str, str | int | bool]
"""``state``, ``live``, ``ready`` and, with a view: ``endpoint``, ``cluster_id``, ``version``, ``size``."""
Answer = tuple[int, Body]
"""An HTTP status, 200 or 503, and what goes with it."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

OK, UNAVAILABLE = 200, 503


def ready(cluster: AnyCluster) -> Answer:
    """200 when the member is in a view and the quorum is not lost.

    So it is 503 while it joins, when the quorum is lost, between an eviction and the first view after
    it, while it goes over to another cluster, and from the beginning of :meth:`rapid.Cluster.leave`.
    Any thread; it never blocks. :class:`rapid.StateError` after a fork.
    """
    body = _body(cluster)
    return OK if body["ready"] else UNAVAILABLE, body


def live(cluster: AnyCluster) -> Answer:
    """503 when the member has ended, for whatever reason, and only a new process brings it back.

    A member that is joining, cut off or evicted is live: a restart would not bring it in sooner, and
    restarts of a minority's members would make the loss of the quorum last. Otherwise as :func:`ready`.
    """
    body = _body(cluster)
    return OK if body["live"] else UNAVAILABLE, body


class Health:
    """An ASGI application: ``/livez`` says whether the member is live, ``/readyz`` whether it is ready.

    The paths are those below where it is mounted. Both answer GET and HEAD with a JSON object.
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


def _body(cluster: AnyCluster) -> Body:
    now = standing(cluster)
    body: Body = {
        "state": now.state.value,
        "live": now.state is not State.CLOSED,
        "ready": now.state is State.MEMBER,
    }
    if now.view is not None:
        body |= {
            "endpoint": str(cluster.endpoint),
            "cluster_id": now.view.cluster_id,
            "version": now.view.version,
            "size": now.view.size,
        }
    return body
