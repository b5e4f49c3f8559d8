"""What peers may make the transport hold, and what becomes of those that want more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import grpc
import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import rapid_pb2 as pb
from rapid.proto.codec import Encoder
from rapid.protocol.messages import Restarted, Snapshot
from rapid.runtime import streams, transport
from rapid.runtime.streams import METHOD, target

from .reactor_loop import on_reactor, until
from .test_transport import Peer, peer

NODE = NodeId(b"n" * 16)
PART = pb.Frame(
    sender=pb.Endpoint(host="10.0.0.1", port=1), chunk=pb.Chunk(size=1000, part=b"x" * 400)
).SerializeToString()


@asynccontextmanager
async def exchange(to: Endpoint) -> AsyncIterator[Any]:
    """A raw stream to this transport."""
    async with grpc.aio.insecure_channel(target(to), options=[("grpc.enable_http_proxy", 0)]) as channel:
        yield channel.stream_stream(METHOD)()


async def ended(call: Any) -> grpc.StatusCode:
    """How the server ends the stream."""
    with suppress(grpc.aio.AioRpcError):
        while await call.read() is not grpc.aio.EOF:
            continue
    status: grpc.StatusCode = await call.code()
    return status


def crowd(size: int) -> Configuration:
    members = [Member(Endpoint(f"host-{n}", 7400), NODE) for n in range(size)]
    return Configuration.of(ClusterId(b"c" * 16), 1, members, 1)


def heard(count: int, *peers: Peer) -> bool:
    return sum(len(one.messages) for one in peers) == count


def failed(count: int, one: Peer) -> bool:
    return len(one.failures) == count


@on_reactor
async def test_a_message_that_is_never_finished_ends_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED", 0.2)
    async with peer() as b:
        async with exchange(b.me) as call:
            await call.write(PART)
            await until(lambda: b.transport.held.size == 400)
            assert await ended(call) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert b.stats["malformed:stalled"] == 1
        assert b.transport.held.size == 0
        await until(lambda: not b.transport._inbound)


@on_reactor
async def test_who_says_nothing_between_messages_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED", 0.0)
    async with peer() as a, peer(echo=True) as b:
        for count in (1, 2):
            a.say(b.me)
            await until(partial(heard, count, a))
        assert b.stats["streams accepted"] == 1


@on_reactor
async def test_an_answer_that_is_never_finished_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED", 0.2)
    over = asyncio.Event()

    async def half(_: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.send_initial_metadata(streams.GREETING)
        await context.write(PART)
        await over.wait()

    handler = grpc.stream_stream_rpc_method_handler(half)
    server = grpc.aio.server(
        handlers=[grpc.method_handlers_generic_handler("rapid.v1.Membership", {"Exchange": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with peer() as a:
        slow = Endpoint("127.0.0.1", port)
        a.say(slow)
        await until(lambda: a.failures)
        assert a.failures == [(slow, False)]
        assert a.transport.trouble(slow) == "the rest of a message did not come"
        assert a.stats["malformed:stalled"] == 1
        assert a.transport.held.size == 0
    over.set()
    await server.stop(0)


@on_reactor
async def test_what_a_peer_leaves_unfinished_goes_with_its_stream() -> None:
    async with peer() as b:
        async with exchange(b.me) as call:
            await call.write(PART)
            await until(lambda: b.transport.held.size == 400)
            await call.done_writing()
            assert await ended(call) is grpc.StatusCode.OK
        await until(lambda: b.transport.held.size == 0)


@on_reactor
async def test_peers_share_the_room_for_what_is_unfinished() -> None:
    async with peer() as b:
        b.transport.held._limit = 500
        async with exchange(b.me) as one, exchange(b.me) as other:
            await one.write(PART)
            await until(lambda: b.transport.held.size == 400)
            await other.write(PART)
            assert await ended(other) is grpc.StatusCode.INVALID_ARGUMENT
            assert b.stats["malformed:room"] == 1
            assert b.transport.held.size == 400


@on_reactor
async def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STREAMS_LIMIT", 2)
    async with peer() as b:
        async with exchange(b.me), exchange(b.me):
            await until(lambda: len(b.transport._inbound) == 2)
            async with exchange(b.me) as third:
                assert await ended(third) is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert b.stats["rejected:stream"] == 1
        await until(lambda: not b.transport._inbound)
        async with peer() as a:
            a.say(b.me)
            await until(lambda: b.messages)


@on_reactor
async def test_the_stream_that_was_not_used_the_longest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "STREAMS_LIMIT", 2)
    async with peer() as a, peer() as b, peer() as c, peer() as d:
        for number, to in enumerate((b, c, b, d), start=1):
            a.say(to.me)
            await until(partial(heard, number, b, c, d))
        assert list(a.transport._outbound) == [b.me, d.me]
        assert a.stats["streams closed for others"] == 1
        assert not a.failures
        await until(lambda: not c.transport._inbound)


@on_reactor
async def test_failures_of_many_peers_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FAILURES_LIMIT", 2)
    nobody = []
    for _ in range(3):
        async with peer() as gone:
            nobody.append(gone.me)
    async with peer() as a:
        for number, to in enumerate(nobody, start=1):
            a.say(to)
            await until(partial(failed, number, a))
        assert [a.transport.trouble(to) is None for to in nobody] == [True, False, False]


@on_reactor
async def test_a_message_that_no_peer_would_take_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MESSAGE_LIMIT", 1000)
    async with peer() as a, peer() as b:
        a.transport.send(b.me, Snapshot(a.me, crowd(100)))
        a.say(b.me)
        await until(lambda: b.messages)
        assert b.messages == [Restarted(a.me, NODE)]
        assert a.stats["dropped:size"] == 1
        assert not a.failures


@on_reactor
async def test_large_messages_wait_only_up_to_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = [Snapshot(Endpoint("127.0.0.1", 1), crowd(4000)) for _ in range(3)]
    size = len(Encoder().encode(large[0]))
    monkeypatch.setattr(streams, "QUEUE_ROOM", 2 * size)
    assert size > streams.LARGE
    async with peer() as a, peer() as b:
        a.say(b.me)
        for message in large:
            a.transport.send(b.me, message)
        await until(lambda: len(b.messages) == 2)
        assert all(isinstance(message, Snapshot) for message in b.messages)
        assert a.stats["dropped:queue"] == 2
