"""A resolver of names for tests, and which addresses there are."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest


class Names:
    """What names resolve to, in place of the machine's resolver."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.held: asyncio.Event | None = None
        """Until it is set nothing is answered."""

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if self.held is not None:
            await self.held.wait()
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(None, None, None, "", (address, port)) for address in self.addresses[host]]


def is_here(host: str) -> bool:
    """Whether a member can listen on this address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as trial:
            trial.bind((host, 0))
    except OSError:
        return False
    return True


loopbacks = pytest.mark.skipif(
    not is_here("127.0.0.4"), reason="this machine's loopback has but one address; on Linux it has many"
)
