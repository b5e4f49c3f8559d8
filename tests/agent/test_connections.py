"""Clients of the admin endpoint who send nothing, take nothing, or are too many: they keep nobody out."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from rapid import Endpoint
from rapid.agent import admin as admin_module
from rapid.agent import connections
from rapid.agent.server import bound, most_connections, serving

from .stub import Stub, member
from .test_admin import JSON, Stream, get, post

HALF = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
WHOLE = HALF + b"\r\n"


class Client:
    """A connection whose every byte the test sends and takes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def ended(self) -> bytes:
        """What comes until the other end is closed."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""

    async def answer(self) -> tuple[int, bytes]:
        """The status and the body of the next answer."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)


@asynccontextmanager
async def clients(where: Endpoint, count: int, data: bytes = b"") -> AsyncIterator[list[Client]]:
    """So many connections, one after the other, each of which has sent this."""
    made = []
    try:
        for _ in range(count):
            made.append(Client(*await asyncio.open_connection(where.host, where.port)))
            made[-1].send(data)
        yield made
    finally:
        for client in made:
            client.writer.close()


@pytest.fixture
def stub() -> Stub:
    stub = Stub()
    stub.stats.clear()
    stub.change([member(0)])
    return stub


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - a count has no event
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("data", [b"", HALF, b"POST /leave HTTP/1.1\r\nHost: localhost\r\nContent-Le"])
async def test_a_request_that_does_not_come_is_not_waited_for(
    data: bytes, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_WITHIN", 0.05)
    async with stub.serving() as where, clients(where, 3, data) as some:
        assert [await client.ended() for client in some] == [b""] * 3
        assert stub.stats["admin connections dropped"] == 3
        assert (await get(where, "/livez"))[0] == 200


async def test_a_request_that_comes_byte_by_byte_is_not_waited_for(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_WITHIN", 0.1)
    async with stub.serving() as where, clients(where, 1, HALF) as [client]:
        while not client.reader.at_eof():
            client.send(b"a")
            await asyncio.sleep(0.01)
    assert stub.stats["admin connections dropped"] == 1


async def test_the_request_after_one_that_was_answered_is_not_waited_for_either(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE", 0.05)
    monkeypatch.setattr(connections, "REQUEST_WITHIN", 0.05)
    async with stub.serving() as where, clients(where, 1, WHOLE + HALF) as [client]:
        assert (await client.answer())[0] == 200
        assert await client.ended() == b""
    assert stub.stats["admin connections dropped"] == 1


async def test_requests_in_one_packet_are_all_answered(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stub.serving() as where, clients(where, 1, WHOLE * 3) as [client]:
        assert [(await client.answer())[0] for _ in range(3)] == [200] * 3
    assert stub.stats == {}


async def test_half_requests_keep_nobody_out(stub: Stub) -> None:
    async with stub.serving(most=4) as where, clients(where, 20, HALF) as some:
        # who has waited longest gives way
        assert [await client.ended() for client in some[:16]] == [b""] * 16
        assert (await get(where, "/livez"))[0] == 200
        assert stub.stats["admin connections dropped"] == 17
        some[-1].send(b"\r\n")
        assert (await some[-1].answer())[0] == 200


async def test_where_all_are_answered_one_more_is_refused(stub: Stub) -> None:
    async with stub.serving(most=2) as where:
        streams = [Stream(where), Stream(where)]
        assert [await stream.next() for stream in streams] != [None, None]
        async with clients(where, 3) as some:
            for client in some:
                said = await client.ended()
                head, _, body = said.partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 503 ")
                assert f"content-length: {len(body)}".encode() in head
                assert json.loads(body) == {"error": "too many connections; try again"}
        assert stub.stats["admin connections refused"] == 3
        stub.change([member(1)])
        assert await streams[0].next() is not None
        for stream in streams:
            stream.close()


async def test_streams_of_events_leave_room_for_others(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "STREAMS", 2)
    async with stub.serving() as where:
        streams = [Stream(where), Stream(where)]
        for stream in streams:
            assert await stream.next() is not None
        status, answer = await get(where, "/events")
        assert (status, answer["error"]) == (
            503, "2 streams of events are open already; end one, or try again"
        )  # fmt: skip
        assert (await get(where, "/livez"))[0] == 200
        streams.pop().close()
        again = Stream(where)
        stub.change([member(1)])
        while await again.next() is None:
            again.close()
            again = Stream(where)
        again.close()
        streams.pop().close()


async def test_an_answer_that_is_not_taken_is_not_kept(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "TAKEN_WITHIN", 0.05)
    large = member(1, metadata={str(number): "x" * 100 for number in range(100)})
    stub.change([large, *(member(number, metadata=large.metadata) for number in range(2, 1000))])
    async with stub.serving() as where, clients(where, 2, WHOLE.replace(b"livez", b"members")) as some:
        await until(lambda: stub.stats["admin connections dropped"] == 2)
        assert [len(await client.ended()) > 0 for client in some] == [True, True]
        # who takes it gets all of it
        status, answer = await get(where, "/members")
        assert (status, answer["size"]) == (200, 1000)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a: " + b"b" * 20_000, b"400"),
        (b"GET /" + b"a" * 20_000, b"400"),
        (b"\x16\x03\x01\r\n\r\n", b"400"),
    ],
    ids=["long headers", "long line", "noise"],
)
async def test_a_request_without_an_end_is_refused(
    request_: bytes, status: bytes, stub: Stub, capfd: pytest.CaptureFixture[str]
) -> None:
    async with stub.serving() as where, clients(where, 1, request_) as [client]:
        assert (await client.ended()).startswith(b"HTTP/1.1 " + status)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": "70000"}, 413),
        ({"Content-Length": "9" * 15}, 413),
        ({"Transfer-Encoding": "chunked"}, 413),
        ({"Content-Length": "0"}, 200),
    ],
)
async def test_no_request_may_have_a_large_body(headers: dict[str, str], status: int, stub: Stub) -> None:
    async with stub.serving() as where:
        assert (await post(where, "/leave", {**JSON, **headers}))[0] == status
    assert stub.commands == ["leave"] * (status == 200)


def test_few_descriptors_mean_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, most in ((128, 32), (1 << 20, 64), (resource.RLIM_INFINITY, 64), (4, 2)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert most_connections() == most


async def test_no_descriptor_for_a_connection_is_said_once_and_counted(
    stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    heard: list[str] = []
    loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
    listening = bound(Endpoint("127.0.0.1", 0))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("nobody gets in")

    async with serving(application, listening, counts):
        for _ in range(5):
            loop.call_exception_handler(
                {
                    "message": "socket.accept() out of system resource",
                    "exception": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
                    "socket": listening,
                }
            )
        # what is not about that goes where it went before
        loop.call_exception_handler({"message": "other"})
    loop.call_exception_handler({"message": "after"})
    assert heard == ["other", "after"]
    assert counts == {"admin connections not accepted": 5}
    said = capsys.readouterr().err
    assert said == "rapid agent: the admin endpoint accepts no one: Too many open files\n"


EXHAUSTED = """
import asyncio, resource, socket, sys
from collections import Counter
from rapid import Endpoint
from rapid.agent.server import bound, serving

async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
    served.set()

async def main():
    global served
    served = asyncio.Event()
    counts = Counter()
    async with serving(application, bound(Endpoint("127.0.0.1", 0)), counts, most=10_000) as where:
        await asyncio.sleep(0)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        print(where.port, flush=True)
        while not counts["admin connections not accepted"]:
            await asyncio.sleep(0.01)
        print("exhausted", flush=True)
        await served.wait()

asyncio.run(main())
"""


def test_running_out_of_descriptors_floods_nothing_and_passes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", EXHAUSTED],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    port = int(process.stdout.readline())
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
    assert process.stdout.readline() == b"exhausted\n"
    for one in held:
        one.close()
    with socket.create_connection(("127.0.0.1", port)) as again:
        again.sendall(WHOLE)
        assert again.recv(100).startswith(b"HTTP/1.1 204 ")
    complaints = process.communicate()[1]
    assert process.returncode == 0
    assert complaints == b"rapid agent: the admin endpoint accepts no one: Too many open files\n"
