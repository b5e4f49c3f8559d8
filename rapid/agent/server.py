"""An ASGI application on a port, for as long as a block lasts, on the event loop of the caller."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from rapid.agent.connections import IDLE, Limited
from rapid.errors import BindError
from rapid.overlay.member import Endpoint

GRACE = 2
"""Whole seconds that answers which have begun may take to end."""
CONNECTIONS = 64
"""The most there may be at once."""
SHARE = 4
"""At most one in so many of the descriptors that the process may have is a connection's."""
BACKLOG = 16
"""Connections that wait to be accepted, and that are accepted at once."""
HEAD = 16 * 1024
"""Bytes of the headers of a request."""
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the agent's."""
        yield


def bound(endpoint: Endpoint) -> socket.socket:
    """A socket that listens. Raises :class:`BindError`."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        return socket.create_server(endpoint, family=family, backlog=BACKLOG)
    except OSError as problem:
        known = problem.errno is not None and not isinstance(problem, socket.gaierror)
        reason = os.strerror(problem.errno or 0) if known else problem.strerror
        raise BindError(f"cannot listen on {endpoint} for the admin endpoint: {reason}") from problem


@asynccontextmanager
async def serving(
    application: ASGIApp, listening: socket.socket, counts: Counter[str], most: int | None = None
) -> AsyncIterator[Endpoint]:
    """Serve on the socket, and close it at the end; gives where that is.

    ``most`` connections at once; by default ``CONNECTIONS``, fewer where the process may have few
    descriptors. ``counts``: how many were refused or dropped, and how often none could be accepted.
    """
    host, port = listening.getsockname()[:2]
    server = _Server(
        Limited(
            application,
            most_connections() if most is None else most,
            counts,
            log_config=None,
            # what a client does wrong is no news for the log
            log_level="error",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            backlog=BACKLOG,
            h11_max_incomplete_event_size=HEAD,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=GRACE,
        )
    )
    with _quiet_when_exhausted(listening.fileno(), counts):
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield Endpoint(host, port)
        finally:
            server.should_exit = True
            await task


def most_connections() -> int:
    """How many connections leave enough descriptors for the member itself."""
    try:
        import resource
    except ImportError:  # where there is no such limit
        return CONNECTIONS
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if limit == resource.RLIM_INFINITY else max(2, min(CONNECTIONS, limit // SHARE))


@contextmanager
def _quiet_when_exhausted(descriptor: int, counts: Counter[str]) -> Iterator[None]:
    """Say once, and count, that there is no descriptor for a connection: the event loop says it without end.

    It tries again each second.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def heard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        problem, where = context.get("exception"), context.get("socket")
        ours = where is not None and where.fileno() == descriptor
        if ours and isinstance(problem, OSError) and problem.errno in EXHAUSTED:
            counts["admin connections not accepted"] += 1
            if counts["admin connections not accepted"] == 1:
                print(f"rapid agent: the admin endpoint accepts no one: {problem.strerror}", file=sys.stderr)
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(heard)
    try:
        yield
    finally:
        loop.set_exception_handler(before)
