"""Requests and answers over TCP: JSON objects, one a line, any number at once on a connection."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Message = dict[str, Any]
Answer = Callable[[Message], Awaitable[Message]]

_LINE_LIMIT = 64 * 1024 * 1024
"""Bytes: one line may hold what a server has missed."""


class Unreachable(Exception):
    """No answer has come. What was asked for may have been done all the same."""


@asynccontextmanager
async def serving(address: str, answer: Answer) -> AsyncIterator[None]:
    """Answer whoever connects, each request by a task of its own. OSError when the address is taken."""
    host, _, port = address.rpartition(":")
    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def respond(request: Message) -> None:
            reply = await answer(request)
            writer.write(_line({**reply, "id": request["id"]}))

        talk = asyncio.current_task()
        assert talk is not None, "the server makes one for each connection"
        talks[talk] = writer
        try:
            async with asyncio.TaskGroup() as tasks:
                async for line in reader:
                    tasks.create_task(respond(json.loads(line)))
                # nobody reads an answer any more
                raise ConnectionResetError
        except* (ConnectionError, ValueError):
            pass  # whoever is gone, or does not speak like this, asks again or does not
        finally:
            del talks[talk]
            writer.close()

    server = await asyncio.start_server(converse, host, int(port), limit=_LINE_LIMIT)
    try:
        yield
    finally:
        server.close()
        ending = list(talks)
        for writer in talks.values():
            writer.close()
        # each reads to the end, which is there now
        await asyncio.gather(*ending)


class Channel:
    """Asks one server, over a connection that is made when it is needed, and anew after a failure."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, request: Message, within: float) -> Message:
        """The answer; Unreachable after ``within`` seconds, and when the connection fails."""
        number = next(self._numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(within):
                writer = await self._connected()
                writer.write(_line({**request, "id": number}))
                return await answer
        except OSError as problem:
            # a connection on which nothing comes is worth nothing, so the next try makes another
            self._waiting.pop(number, None)
            self.close()
            raise Unreachable(f"{self.address}: {str(problem) or 'no answer'}") from problem
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Drop the connection, and whatever waits for answers on it."""
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        self._writer = self._reading = None
        self._fail()

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                host, _, port = self.address.rpartition(":")
                reader, self._writer = await asyncio.open_connection(host, int(port), limit=_LINE_LIMIT)
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async for line in reader:
                reply: Message = json.loads(line)
                answer = self._waiting.get(reply.pop("id"))
                if answer is not None and not answer.done():
                    answer.set_result(reply)
        except OSError:
            pass  # told to those who wait
        if self._writer is writer:
            writer.close()
            self._writer = self._reading = None
            self._fail()

    def _fail(self) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the connection has ended"))


def _line(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
