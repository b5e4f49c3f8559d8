"""The connections of the admin endpoint: how many there are, and how long a client may keep one waiting."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

REQUEST_WITHIN = 5.0
"""Seconds for a whole request to come, once the connection is there or the next one may begin."""
IDLE = 5
"""Whole seconds that a connection may wait for its next request to begin."""
TAKEN_WITHIN = 10.0
"""Seconds within which a client must take some of an answer that waits for it."""
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: 45\r\n\r\n" + b'{"error": "too many connections; try again"}\n'
)


class Limited(uvicorn.Config):
    """With how many connections there may be, and a count of those that were ended."""

    def __init__(self, application: Any, most: int, counts: Counter[str], **rest: Any) -> None:
        super().__init__(application, http=Connection, **rest)
        self.most = most
        self.counts = counts


class Connection(H11Protocol):
    """One connection. Ended without a word where its client lets it wait too long.

    When there are too many, the one that has let us wait longest for its request gives way to a new
    one, so that clients who send nothing keep nobody out; where all are being answered, the new one
    is refused.
    """

    def __init__(
        self,
        config: Limited,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limited = config
        self._ended = False
        self._waits: asyncio.TimerHandle | None = None
        """Runs while there is no whole request to answer."""
        self._look: asyncio.TimerHandle | None = None
        self._paused = False
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn
        super().connection_made(transport)
        others = [one for one in self.connections if isinstance(one, Connection) and not one._ended]
        if len(others) > self._limited.most:
            idle = [one for one in others if one._waits is not None]
            if not idle:
                self._limited.counts["admin connections refused"] += 1
                self._ended = True
                transport.write(REFUSAL)
                transport.close()
                return
            min(idle, key=_since).drop()
        self._wait(REQUEST_WITHIN)
        self._look = self.loop.call_later(TAKEN_WITHIN, self._looked)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        self._wait(IDLE + REQUEST_WITHIN)
        super().on_response_complete()
        # the next request may be there already
        if not self.cycle.response_complete:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._stop_waiting()
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._paused = True
        super().pause_writing()

    def resume_writing(self) -> None:
        self._paused = False
        super().resume_writing()

    def drop(self) -> None:
        """End it: its client had its time."""
        if not self._ended:
            self._limited.counts["admin connections dropped"] += 1
            self._end()

    def _end(self) -> None:
        # to close it would wait until the client has taken what there is
        self._ended = True
        self._stop_waiting()
        self.transport.abort()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._waits = self.loop.call_later(seconds, self.drop)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _looked(self) -> None:
        """Whether the client has taken any of what waits for it, where that can tell."""
        unsent = self.transport.get_write_buffer_size()
        no_more_is_added = self._paused or self.transport.is_closing()
        if no_more_is_added and unsent >= self._unsent > 0:
            self.drop()
            return
        self._unsent = unsent
        self._look = self.loop.call_later(TAKEN_WITHIN, self._looked)


def _since(one: Connection) -> float:
    assert one._waits is not None, "it lets us wait"
    return one._waits.when()
