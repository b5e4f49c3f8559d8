"""One server: it stores, and while it is told to, it serialises as well."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from examples.datastore.serialiser import Conflict, Deposed, Serialiser
from examples.datastore.storage import Entry, Storage
from examples.datastore.wire import Channel, Message, serving


class Server:
    """Knows nothing of membership: someone else sets ``leader`` and calls :meth:`serialise`.

    ``servers`` are the addresses of all servers that store, this one's among them, the same everywhere:
    a majority of them is what agrees.
    """

    def __init__(self, address: str, servers: Sequence[str]) -> None:
        self.address = address
        self.storage = Storage()
        self.leader: str | None = None
        """The address of the server that serialises, as far as is known here: where clients are sent."""
        self._others = {other: Channel(other) for other in servers if other != address}
        self._serialiser: Serialiser | None = None
        self._life = AsyncExitStack()

    async def serialise(self, term: int) -> None:
        """Lead until cancelled; returns when a higher term is met. No two may ever lead in one term."""
        mine = self._serialiser = Serialiser(term, self.storage, self._others)
        try:
            await mine.run()
        finally:
            if self._serialiser is mine:  # else the next term has begun before this one was cleared away
                self._serialiser = None

    async def answer(self, request: Message) -> Message:
        """What a server or a client is told."""
        storage = self.storage
        match request:
            case {"do": "append", "term": term, "start": start, "before": before, "entries": entries,
                  "agreed": agreed}:  # fmt: skip
                done = storage.append(term, start, before, [Entry(*entry) for entry in entries], agreed)
                return {"done": done, "term": storage.term, "agreed": storage.agreed}
            case {"do": "promise", "term": term}:
                storage.promise(term)
                return {"term": storage.term, "newest": storage.newest}
            case {"do": "fetch", "start": start}:
                return {"term": storage.term, "entries": storage.log[start:]}
            case {"do": "read", "keys": keys}:
                return {"values": {key: storage.values.get(key, (0, None)) for key in keys}}
            case {"do": "transact"}:
                return await self._transact(request)
            case _:
                return {"leader": self.leader}

    async def _transact(self, request: Message) -> Message:
        if self._serialiser is None or not self._serialiser.is_ready:
            return {"leader": self.leader}
        try:
            place = await self._serialiser.transact(
                request["client"], request["number"], request["reads"], request["writes"]
            )
        except Conflict as conflict:
            return {"conflict": str(conflict)}
        except Deposed:
            return {"leader": self.leader}
        return {"place": place}

    async def __aenter__(self) -> Self:
        await self._life.enter_async_context(serving(self.address, self.answer))
        for channel in self._others.values():
            self._life.callback(channel.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._life.aclose()
