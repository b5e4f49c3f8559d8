"""What this machine has too few of: descriptors, address families, turns to open a stream."""

from __future__ import annotations

import asyncio
import errno
import socket
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from rapid.overlay.member import Endpoint
from rapid.runtime import capacity as capacity_module
from rapid.runtime import streams, transport
from rapid.runtime.capacity import INBOUND, LEAST, OUTBOUND, Openings, capacity, descriptor_limit

from .reactor_loop import on_reactor, until
from .test_transport import Peer, peer

NOWHERE = Endpoint("127.0.0.1", 1)


@pytest.mark.parametrize("descriptors", [1, 32, 64, 96, 128, 256, 1024, 4096, 1 << 20])
def test_connections_leave_descriptors_for_the_process(descriptors: int) -> None:
    found = capacity(descriptors)
    assert LEAST <= found.inbound < found.connections
    assert found.inbound <= INBOUND
    assert LEAST <= found.outbound <= OUTBOUND
    if descriptors >= 96:
        assert found.connections + found.outbound <= descriptors - max(48, descriptors // 4) + 2


def test_the_limit_of_the_process_is_what_counts() -> None:
    assert capacity() == capacity(descriptor_limit())


class Sockets:
    """A module ``socket`` in which none can be made."""

    def __init__(self, error: int) -> None:
        self.error: int | None = error
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def socket(self, *arguments: Any) -> Any:
        self.asked += 1
        if self.error is not None:
            raise OSError(self.error, "no socket can be made")
        return socket.socket(*arguments)


def failed(one: Peer, count: int) -> Any:
    return lambda: len(one.failures) >= count


@on_reactor
async def test_a_stream_fails_when_there_is_no_descriptor_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "socket", sockets := Sockets(errno.EMFILE))
    with capture_logs() as logs:
        async with peer() as b, peer() as a:
            async with peer() as gone:
                address = gone.me
            a.say(address)
            await until(failed(a, 1))
            for count in (2, 3, 4):
                a.say(address)
                await until(failed(a, count))
            assert a.failures == [(address, True), *[(address, False)] * 3], "nobody has refused anything"
            assert sockets.asked == a.stats[transport.EXHAUSTED] == 3
            assert a.stats["streams failed"] == 4
            sockets.error = None
            async with peer(address) as back:
                a.say(address)
                await until(lambda: back.messages)
            sockets.error = errno.EMFILE
            await until(failed(a, 5))
            a.say(address)
            await until(failed(a, 6))
            a.say(b.me)
            await until(lambda: b.messages)
    events = [entry["event"] for entry in logs if entry["event"] == transport.EXHAUSTED]
    assert len(events) == 2, "once, and once more after it was over"


@on_reactor
async def test_a_stream_fails_where_there_is_no_such_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "socket", Sockets(errno.EAFNOSUPPORT))
    async with peer() as a:
        there = Endpoint("::1", 1)
        for count in (1, 2, 3):
            a.say(there)
            await until(failed(a, count))
        assert a.failures[1:] == [(there, False)] * 2
        assert "no socket can be made" in str(a.transport.trouble(there))
        assert a.stats[transport.EXHAUSTED] == 0


@on_reactor
async def test_a_channel_that_cannot_be_used_fails_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    def stream_stream(_: str) -> Any:
        raise grpc.aio.UsageError("Channel is closed.")

    async def close() -> None:
        return

    async with peer() as a, peer() as b:
        broken = SimpleNamespace(stream_stream=stream_stream, close=close)
        monkeypatch.setattr(a.transport, "dial", lambda *_: broken)
        a.say(b.me)
        await until(failed(a, 1))
        monkeypatch.undo()
        a.say(b.me)
        await until(lambda: b.messages)
        assert a.failures == [(b.me, False)]


PROGRAM = """
import asyncio, logging, os, resource, sys
import rapid

logging.basicConfig()

async def until(condition):
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)

async def main():
    settings = rapid.Settings.local(quorum_timeout=600)
    members = []
    for _ in range(3):
        seeds = [members[0].endpoint] if members else []
        members.append(rapid.Cluster("127.0.0.1:0", seeds=seeds, settings=settings))
        await members[-1].start()
    a, b, c = members
    await a.wait_for(3, timeout=10)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
    held = []
    gone = c.endpoint
    await c.close()
    async def fill():
        while True:
            try:
                held.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                await asyncio.sleep(0.01)
    filling = asyncio.create_task(fill())
    await until(lambda: a.stats["out of file descriptors"] or b.stats["out of file descriptors"])
    filling.cancel()
    for descriptor in held:
        os.close(descriptor)
    d = rapid.Cluster("127.0.0.1:0", seeds=[a.endpoint], settings=settings)
    await d.start()
    await until(lambda: a.view == b.view == d.view)
    print("recovered", d.view.size)
    for member in (d, b, a):
        await member.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_process_that_is_out_of_descriptors_says_so_and_recovers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "recovered" in done.stdout
    assert "never retrieved" not in done.stderr
    assert "Traceback" not in done.stderr
    assert 1 <= (done.stderr + done.stdout).count(transport.EXHAUSTED) <= 3, "once for each member"


# turns


def full(turns: asyncio.Semaphore) -> bool:
    return turns.locked()


async def test_strangers_do_not_keep_out_those_that_were_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_module, "STRANGERS", 2)
    stats = Counter[str]()
    openings = Openings(stats)
    known = Endpoint("10.0.0.1", 1)
    openings.opened(known)
    for port in (1, 2):
        await openings.to(Endpoint("10.0.0.2", port)).acquire()
    assert full(openings.to(Endpoint("10.0.0.2", 3)))
    assert stats["streams that waited to open"] == 1
    assert not full(openings.to(known))


async def test_only_the_last_that_were_reached_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_module, "REMEMBERED", 2)
    openings = Openings(Counter())
    one, two, three = (Endpoint("10.0.0.1", port) for port in (1, 2, 3))
    for endpoint in (one, two, one, three):
        openings.opened(endpoint)
    strangers = openings.to(NOWHERE)
    assert [openings.to(endpoint) is strangers for endpoint in (one, two, three)] == [False, True, False]


@on_reactor
async def test_only_so_many_streams_are_being_opened_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_module, "STRANGERS", 2)
    monkeypatch.setattr(streams, "DIAL", 0.3)
    hung = asyncio.Event()
    met = 0

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        await hung.wait()
        writer.close()

    servers = [await asyncio.start_server(accept, "127.0.0.1", 0) for _ in range(4)]
    async with peer() as a, peer() as b:
        mute = [Endpoint(*server.sockets[0].getsockname()) for server in servers]
        for to in mute:
            a.say(to)
        a.say(b.me)
        await until(lambda: met == 2)
        assert not b.messages
        assert a.stats["streams that waited to open"] == 3
        await until(lambda: b.messages)
        await until(failed(a, 4))
        assert sorted(a.failures) == sorted((to, False) for to in mute)
    hung.set()
    for server in servers:
        server.close()
