"""A resolver of names for tests."""

from __future__ import annotations

import asyncio
import socket
from typing import Any


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
