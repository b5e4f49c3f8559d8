"""A client of the store: it finds the server that serialises, and asks again until it knows."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from examples.datastore.serialiser import Conflict
from examples.datastore.storage import Value
from examples.datastore.wire import Channel, Message, Unreachable

PATIENCE = 1.0
"""Seconds after which the next server is asked."""
PAUSE = 0.02
"""Seconds before it asks again where nobody serialised."""


class Client:
    """One transaction at a time. Cancel a call, as by asyncio.timeout(), to give it up."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = itertools.cycle(servers)
        self._channel = Channel(next(self._servers))
        self._name = uuid.uuid4().hex
        self._numbers = itertools.count()

    async def read(self, *keys: str) -> dict[str, Value]:
        """What some server that can be reached has: agreed on, and maybe not the newest.

        A transaction that names the versions fails when they are not the newest.
        """
        while True:
            try:
                reply = await self._channel.ask({"do": "read", "keys": keys}, PATIENCE)
            except Unreachable:
                await self._turn(None)
                continue
            return {key: Value(*value) for key, value in reply["values"].items()}

    async def transact(self, writes: Mapping[str, Any], reads: Mapping[str, int] | None = None) -> int:
        """Write all of these, at once, or nothing; returns the transaction's place in the order.

        ``reads`` are versions that must be the newest still; Conflict when they are not. Done once,
        however often it had to be asked for; when it is cancelled, once or not at all.
        """
        request = {
            "do": "transact", "client": self._name, "number": next(self._numbers), "reads": dict(reads or {}),
            "writes": dict(writes),
        }  # fmt: skip
        while True:
            reply = await self._ask(request)
            match reply:
                case {"place": int(place)}:
                    return place
                case {"conflict": key}:
                    raise Conflict(key)
                case {"leader": leader}:
                    await self._turn(leader)
                    await asyncio.sleep(PAUSE)

    def close(self) -> None:
        """Drop the connection."""
        self._channel.close()

    async def _ask(self, request: Message) -> Message:
        try:
            return await self._channel.ask(request, PATIENCE)
        except Unreachable:
            return {"leader": None}

    async def _turn(self, leader: str | None) -> None:
        """To the one that is said to serialise; where it said so of itself and did not, to the next."""
        if leader == self._channel.address:
            leader = None
        self._channel.close()
        self._channel = Channel(leader or next(self._servers))
