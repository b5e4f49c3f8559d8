"""The one server that puts transactions in an order, for as long as it leads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from examples.datastore.storage import Entry, Storage
from examples.datastore.wire import Channel, Message, Unreachable

ANSWER = 1.0
"""Seconds in which another server must answer; it is asked again then."""
PAUSE = 0.1
"""Seconds before one that cannot be reached is asked again."""
BATCH = 512
"""Entries that are sent at once."""


class Deposed(Exception):
    """There is a serialiser of a higher term, or this one has ended; what became of it is not known."""


class Conflict(Exception):
    """What the transaction has read has been written since. Nothing has changed."""


class Serialiser:
    """One term. A majority of ``others`` and of this server itself must have an entry for it to be agreed on.

    So one server that this one cannot reach is not waited for.
    """

    def __init__(self, term: int, storage: Storage, others: Mapping[str, Channel]) -> None:
        self.term = term
        self.is_ready = False
        self._storage = storage
        self._others = others
        self._majority = (len(others) + 1) // 2 + 1
        self._held = dict.fromkeys(others, 0)
        """How many entries each other server is known to have."""
        self._written: dict[str, int] = {}
        """Where in the log each key was written last, agreed on or not."""
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._asked: dict[tuple[str, int], int] = {}
        """The places of those that wait."""
        self._changed = asyncio.Event()
        self._began = 0
        """The place of the term's first entry."""

    async def run(self) -> None:
        """Serialise until cancelled; returns when there is a higher term."""
        try:
            await self._recover()
            async with asyncio.TaskGroup() as tasks:
                for name in self._others:
                    tasks.create_task(self._replicate(name))
        except* Deposed:
            pass  # as the caller will hear from the views
        finally:
            self.is_ready = False
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(Deposed())
                    waiting.exception()  # nobody may be left to hear of it

    async def transact(
        self, client: str, number: int, reads: Mapping[str, int], writes: dict[str, Any]
    ) -> int:
        """The transaction's place in the order, once it is agreed on.

        ``reads`` are the versions of what it has read. Of one ``client`` each ``number`` is done once,
        however often it is asked for. Raises Conflict, and Deposed.
        """
        if not self.is_ready:
            raise Deposed
        last, place = self._storage.done.get(client, (-1, 0))
        if number <= last:
            return place
        if (client, number) not in self._asked:
            for key, version in reads.items():
                if self._written.get(key, 0) != version:
                    raise Conflict(key)
            place = self._append(Entry(self.term, client, number, writes))
            self._asked[client, number] = place
            self._waiting[place] = asyncio.get_running_loop().create_future()
            self._count()
        # a client that gives up must not take the answer from one that asks again
        return await asyncio.shield(self._waiting[self._asked[client, number]])

    async def _recover(self) -> None:
        """Have all that may be agreed on already, from a majority that promises to hear no older term."""
        storage = self._storage
        if not storage.promise(self.term):
            raise Deposed
        while True:
            if await self._fetch(await self._promised()):
                break
            await asyncio.sleep(PAUSE)
        for place, entry in enumerate(storage.log, 1):
            self._written.update(dict.fromkeys(entry.writes, place))
        # entries of older terms are agreed on only with one of this term behind them
        self._began = self._append(Entry(self.term, "", self.term, {}))
        self._count()

    async def _promised(self) -> dict[str, tuple[int, int]]:
        """What those have who promise, as soon as they are a majority with this server."""
        promised: dict[str, tuple[int, int]] = {}
        enough = asyncio.Event()

        async def ask(name: str) -> None:
            while True:
                if (reply := await self._ask(name, {"do": "promise", "term": self.term})) is not None:
                    break
                await asyncio.sleep(PAUSE)
            promised[name] = tuple(reply["newest"])
            if len(promised) + 1 >= self._majority:
                enough.set()

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(ask(name)) for name in self._others]
            await enough.wait() if self._others else None
            for task in asking:
                task.cancel()
        return promised

    async def _fetch(self, promised: Mapping[str, tuple[int, int]]) -> bool:
        """Take the log of the one that has most; False when it does not answer."""
        best = max(promised, key=lambda name: promised[name], default=None)
        if best is None or promised[best] <= self._storage.newest:
            return True
        start = self._storage.agreed
        reply = await self._ask(best, {"do": "fetch", "term": self.term, "start": start})
        if reply is None:
            return False
        self._storage.adopt(start, [Entry(*entry) for entry in reply["entries"]])
        return True

    async def _ask(self, name: str, request: Message) -> Message | None:
        try:
            reply = await self._others[name].ask(request, ANSWER)
        except Unreachable:
            return None
        self._check(reply["term"])
        return reply

    def _check(self, term: int = 0) -> None:
        """Deposed, where a term is higher than this one: the log here belongs to another then."""
        if max(term, self._storage.term) > self.term:
            raise Deposed

    def _append(self, entry: Entry) -> int:
        self._check()
        self._storage.log.append(entry)
        place = len(self._storage.log)
        self._written.update(dict.fromkeys(entry.writes, place))
        self._tell()
        return place

    async def _replicate(self, name: str) -> None:
        storage = self._storage
        start, told = len(storage.log), -1
        while True:
            while start == len(storage.log) and told == storage.agreed:
                await self._changed.wait()
            self._check()
            entries, agreed = storage.log[start : start + BATCH], storage.agreed
            before = storage.log[start - 1].term if start else 0
            reply = await self._ask(
                name,
                {"do": "append", "term": self.term, "start": start, "before": before, "entries": entries,
                 "agreed": agreed},
            )  # fmt: skip
            if reply is None:
                await asyncio.sleep(PAUSE)
            elif reply["done"]:
                start += len(entries)
                told = min(agreed, start)
                self._held[name] = start
                self._count()
            else:
                start = reply["agreed"]

    def _count(self) -> None:
        """Agree on what a majority holds, and tell those who wait."""
        storage = self._storage
        if storage.term > self.term:
            return
        held = sorted([len(storage.log), *self._held.values()], reverse=True)[self._majority - 1]
        if held <= storage.agreed or storage.log[held - 1].term != self.term:
            return
        for place in range(storage.agreed + 1, held + 1):
            entry = storage.log[place - 1]
            self._asked.pop((entry.client, entry.number), None)
            waiting = self._waiting.pop(place, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(place)
        storage.agree(held)
        # before, a transaction of an older term might be in the log and not yet known as done
        self.is_ready |= held >= self._began
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
