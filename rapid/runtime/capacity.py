"""How many connections and streams there may be: what the process's file descriptors allow."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from rapid.overlay.member import Endpoint

INBOUND = 640
"""Streams from peers at most, however many descriptors there are: gRPC holds a frame of each."""
OUTBOUND = 2048
"""Streams to peers at most."""
RESERVE = 48
"""Descriptors that are left to the rest of the process, at least; where there are many, a quarter of them."""
LEAST = 8
"""Streams in either direction that there may be anyhow."""
UNKNOWN = 1024
"""Descriptors where the system does not tell."""

STRANGERS = 32
"""Streams that are being opened at a time to endpoints that were never reached."""
REACHED = 128
"""The same to endpoints that were."""
REMEMBERED = 4096
"""Endpoints of which it is known that they were reached."""


class Capacity(NamedTuple):
    """Numbers for one member. A process of several shares its descriptors among them unequally."""

    inbound: int
    """Streams from peers."""
    connections: int
    """Connections from peers: some more, so that a new peer can be told that it must wait."""
    outbound: int
    """Streams to peers, each of them with a connection."""


def capacity(descriptors: int | None = None) -> Capacity:
    """What so many descriptors allow, by default the limit of this process at present."""
    if descriptors is None:
        descriptors = descriptor_limit()
    half = max(LEAST, (descriptors - max(RESERVE, descriptors // 4)) // 2)
    inbound = max(LEAST, min(INBOUND, half * 4 // 5))
    return Capacity(inbound, inbound + max(2, inbound // 4), min(OUTBOUND, half))


def descriptor_limit() -> int:
    """The file descriptors that this process may have at a time."""
    try:
        import resource
    except ModuleNotFoundError:  # Unix has it
        return UNKNOWN
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # what cannot be reached is no limit
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


class Openings:
    """Turns to open a stream. Endpoints that were never reached cannot keep out those that were."""

    def __init__(self, stats: Counter[str]) -> None:
        self._stats = stats
        self._strangers = asyncio.Semaphore(STRANGERS)
        self._reached = asyncio.Semaphore(REACHED)
        self._known: dict[Endpoint, None] = {}

    def to(self, endpoint: Endpoint) -> asyncio.Semaphore:
        """What must be held while a stream to this endpoint is opened."""
        turn = self._reached if endpoint in self._known else self._strangers
        if turn.locked():
            self._stats["streams that waited to open"] += 1
        return turn

    def opened(self, endpoint: Endpoint) -> None:
        """A stream to this endpoint is open."""
        self._known.pop(endpoint, None)
        if len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[endpoint] = None
