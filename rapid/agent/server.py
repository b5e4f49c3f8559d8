"""An ASGI application on a port, for as long as a block lasts, on the event loop of the caller."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from rapid.errors import BindError
from rapid.overlay.member import Endpoint

GRACE = 2
"""Whole seconds that answers which have begun may take to end."""


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the agent's."""
        yield


def bound(endpoint: Endpoint) -> socket.socket:
    """A socket that listens. Raises :class:`BindError`."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        return socket.create_server(endpoint, family=family, backlog=128)
    except OSError as problem:
        known = problem.errno is not None and not isinstance(problem, socket.gaierror)
        reason = os.strerror(problem.errno or 0) if known else problem.strerror
        raise BindError(f"cannot listen on {endpoint} for the admin endpoint: {reason}") from problem


@asynccontextmanager
async def serving(application: ASGIApp, listening: socket.socket) -> AsyncIterator[Endpoint]:
    """Serve on the socket, and close it at the end; gives where that is."""
    host, port = listening.getsockname()[:2]
    server = _Server(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="h11",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
    )
    task = asyncio.create_task(server.serve([listening]))
    try:
        yield Endpoint(host, port)
    finally:
        server.should_exit = True
        await task
