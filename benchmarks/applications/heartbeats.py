"""What the store is compared with: each server sends heartbeats to all, and takes anybody's word for it.

Whoever has not heard another one for a while tells all that it is dead, and all believe it. A server that
hears of its own death denies it, under a higher incarnation; whoever first hears that tells all, too.
There is no agreement: each has its own opinion, and as a rule they are soon the same.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

from examples.datastore.server import Server

INTERVAL = 1.0
"""Seconds between heartbeats, as between Rapid's probes."""
TIMEOUT = 4.0
"""Seconds of silence; Rapid's judge takes as long for four failed probes."""
PAUSE = 0.05
"""Seconds before a serialiser that was deposed, but is still the first of the living, takes a new term."""

Word = dict[str, Any]


class Heartbeats:
    """What one server believes. No I/O: what is returned is to be sent to all others. Times in seconds."""

    def __init__(self, me: str, everyone: Sequence[str], now: float) -> None:
        self._me = me
        self._incarnations = dict.fromkeys(everyone, 0)
        self._heard = dict.fromkeys(everyone, now)
        self._dead: dict[str, int] = {}
        """Incarnations that are dead, as all lower ones of the same server."""

    @property
    def living(self) -> list[str]:
        """This server and all that it takes for alive, sorted."""
        return sorted(name for name in self._incarnations if not self._is_dead(name))

    def beat(self) -> Word:
        """The heartbeat that is due."""
        return {"alive": self._me, "incarnation": self._incarnations[self._me], "direct": True}

    def check(self, now: float) -> list[Word]:
        """Whom nothing has been heard of for too long is dead."""
        silent = [name for name in self.living if name != self._me and now - self._heard[name] > TIMEOUT]
        for name in silent:
            self._dead[name] = self._incarnations[name]
        return [{"dead": name, "incarnation": self._dead[name]} for name in silent]

    def receive(self, word: Word, now: float) -> list[Word]:
        """Take a word; what is to be told to all because of it."""
        match word:
            case {"dead": name, "incarnation": incarnation}:
                return self._died(name, incarnation)
            case {"alive": name, "incarnation": incarnation}:
                return self._lives(name, incarnation, now, direct="direct" in word)
        raise ValueError(f"{word} is no word of a server")

    def _died(self, name: str, incarnation: int) -> list[Word]:
        if name == self._me:
            if incarnation < self._incarnations[name]:
                return []
            self._incarnations[name] = incarnation + 1
            return [self.beat()]
        self._dead[name] = max(incarnation, self._dead.get(name, 0))
        return []

    def _lives(self, name: str, incarnation: int, now: float, *, direct: bool) -> list[Word]:
        if incarnation <= self._dead.get(name, -1):
            # it does not know
            return [{"dead": name, "incarnation": self._dead[name]}] if direct else []
        is_news = incarnation > self._incarnations[name]
        self._incarnations[name] = max(incarnation, self._incarnations[name])
        if direct or is_news:
            self._heard[name] = now
        return [{"alive": name, "incarnation": incarnation}] if is_news and direct else []

    def _is_dead(self, name: str) -> bool:
        return self._incarnations[name] <= self._dead.get(name, -1)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[Word], None]) -> None:
        self._received = received

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._received(json.loads(data))


async def follow(
    me: str, everyone: Sequence[str], data: dict[str, str], server: Server, told: Callable[[str], object]
) -> None:
    """Have the server lead while it is the first of the living, until cancelled.

    ``me`` and ``everyone`` are addresses for UDP, ``data`` maps them to those of the servers.
    """
    loop = asyncio.get_running_loop()
    detector = Heartbeats(me, everyone, loop.time())
    leading: asyncio.Task[None] | None = None

    def send(words: Sequence[Word]) -> None:
        for word in words:
            for other in everyone:
                if other != me:
                    host, _, port = other.rpartition(":")
                    transport.sendto(json.dumps(word).encode(), (host, int(port)))

    def received(word: Word) -> None:
        send(detector.receive(word, loop.time()))
        choose()

    def choose() -> None:
        nonlocal leading
        first = detector.living[0]
        if first == me and leading is None:
            leading = asyncio.create_task(lead())
        elif first != me and leading is not None:
            leading.cancel()
            leading = None
        if data[first] != server.leader:
            server.leader = data[first]
            told(data[first])

    async def lead() -> None:
        while True:
            # nobody agrees on terms here, so each takes its own numbers
            turn = server.storage.term // len(everyone) + 1
            await server.serialise(turn * len(everyone) + list(everyone).index(me))
            await asyncio.sleep(PAUSE)

    host, _, port = me.rpartition(":")
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Socket(received), local_addr=(host, int(port))
    )
    try:
        while True:
            send([detector.beat(), *detector.check(loop.time())])
            choose()
            if leading is not None and leading.done():
                leading.result()  # it ends only by an error
            await asyncio.sleep(INTERVAL)
    finally:
        transport.close()
        if leading is not None:
            leading.cancel()
