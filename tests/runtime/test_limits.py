"""What peers may make the transport hold, and what becomes of those that want more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import frames
from rapid.proto.codec import Encoder
from rapid.proto.frames import AT_ONCE_COUNT, FrameWriter
from rapid.proto.pieces import Encoded
from rapid.protocol.messages import Header, Restarted, Snapshot
from rapid.runtime import streams, transport
from rapid.runtime.capacity import capacity
from rapid.runtime.resolver import target
from rapid.runtime.streams import METHOD
from rapid.settings import Settings

from .reactor_loop import on_reactor, until
from .test_transport import Peer, peer

NODE = NodeId(b"n" * 16)


@asynccontextmanager
async def exchange(to: Endpoint) -> AsyncIterator[Any]:
    """A raw stream to this transport, on a connection of its own."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(target([to.host], to.port), options=options) as channel:
        call = channel.stream_stream(METHOD)()
        yield call
        call.cancel()  # before grpcio 1.80 the server hears nothing of a channel that is closed


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


PARTS = list(
    FrameWriter(Endpoint("10.0.0.1", 1), 65536).frames(
        deque([Encoder(600).encode(Snapshot(Endpoint("10.0.0.1", 1), crowd(20)))])
    )
)
"""The frames of a message in pieces."""
PART = PARTS[0]


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
            await until(lambda: b.transport.held.size)
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
            await until(lambda: b.transport.held.size)
            await call.done_writing()
            assert await ended(call) is grpc.StatusCode.OK
        await until(lambda: b.transport.held.size == 0)


@on_reactor
async def test_peers_share_the_room_for_what_is_unfinished() -> None:
    async with peer() as b, exchange(b.me) as one, exchange(b.me) as other:
        await one.write(PART)
        await until(lambda: b.transport.held.size)
        b.transport.held._limit = held = b.transport.held.size
        for part in PARTS:
            await other.write(part)
        await until(lambda: b.stats["malformed:room"])
        assert b.transport.held.size == held
        await one.done_writing()
        assert await ended(one) is grpc.StatusCode.OK
        b.transport.held._limit = 1 << 20
        for part in PARTS:
            await other.write(part)
        await until(lambda: b.messages)
        assert b.transport.held.size == 0


def limited(monkeypatch: pytest.MonkeyPatch, **fields: int) -> None:
    """Transports made from here on have these capacities."""
    few = capacity()._replace(**fields)
    monkeypatch.setattr(transport, "capacity", lambda: few)


@on_reactor
async def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, inbound=2)
    with capture_logs() as logs:
        async with peer() as b:
            async with exchange(b.me), exchange(b.me):
                await until(lambda: len(b.transport._inbound) == 2)
                for _ in range(2):
                    async with exchange(b.me) as third:
                        assert await ended(third) is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert b.stats["rejected:stream"] == 2
            await until(lambda: not b.transport._inbound)
            async with peer() as a:
                a.say(b.me)
                await until(lambda: b.messages)
    assert [entry["event"] for entry in logs].count(transport.CROWDED) == 1


@on_reactor
async def test_a_stream_that_is_quiet_gives_way_to_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who fills all places must go on speaking, or members take them."""
    limited(monkeypatch, inbound=3)
    monkeypatch.setattr(transport, "SPARED", 0.0)
    async with peer() as b, peer() as a, peer() as c:
        async with exchange(b.me) as first, exchange(b.me) as second:
            await until(lambda: len(b.transport._inbound) == 2)
            a.say(b.me)
            await until(lambda: b.messages)
            quietest = min(b.transport._inbound, key=lambda one: one.last_heard)
            c.say(b.me)
            await until(lambda: len(b.messages) == 2)
            assert b.stats["streams ended for others"] == 1
            await until(lambda: quietest.closed)
            await until(lambda: first.done() or second.done())
            for call in (first, second):
                assert not call.done() or await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert not (first.done() and second.done())
        assert not a.failures


@on_reactor
async def test_who_had_to_give_way_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that closes a stream on purpose is there, and its observers must not find it faulty."""
    limited(monkeypatch, inbound=1)
    monkeypatch.setattr(transport, "SPARED", 0.0)
    async with peer() as b, peer() as a, peer() as c:
        a.say(b.me)
        await until(lambda: b.messages)
        c.say(b.me)
        await until(lambda: a.failures)
        assert a.failures == [(b.me, False)]


@on_reactor
async def test_a_stream_without_a_frame_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST", 0.1)
    async with peer() as a, peer() as b:
        a.say(b.me)
        async with exchange(b.me) as mute:
            assert await ended(mute) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert b.stats["streams ended for silence"] == 1
        await until(lambda: len(b.transport._inbound) == 1)  # who has spoken may stay


@on_reactor
async def test_a_stream_that_went_quiet_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "QUIET", 0.1)
    monkeypatch.setattr(transport, "IDLE", 0.1)
    async with peer() as b, exchange(b.me) as call:
        await call.write(encoded_frame())
        await until(lambda: b.messages)
        assert await ended(call) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert b.stats["streams ended for silence"] == 1


def encoded_frame() -> bytes:
    [frame] = FrameWriter(Endpoint("10.0.0.1", 1), 65536).frames(
        deque([Encoder().encode(Restarted(Endpoint("10.0.0.1", 1), NODE))])
    )
    return frame


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""What opens a connection of HTTP/2."""


async def closed(reader: asyncio.StreamReader) -> None:
    """The other end has closed the connection, in one way or another."""
    with suppress(ConnectionError):
        while await reader.read(4096):
            continue


@on_reactor
async def test_a_connection_without_a_stream_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "UNUSED", 1.0)
    async with peer() as a, peer() as b:
        a.say(b.me)
        reader, writer = await asyncio.open_connection(*b.me)
        writer.write(PREFACE)
        async with asyncio.timeout(15):
            await closed(reader)
        writer.close()
        a.say(b.me)
        await until(lambda: len(b.messages) == 2)
        assert not a.failures


@on_reactor
async def test_connections_are_limited_and_members_get_in_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limited(monkeypatch, connections=4)
    monkeypatch.setattr(transport, "UNUSED", 1.0)
    async with peer() as a, peer() as b:
        idle = []
        for _ in range(12):
            reader, writer = await asyncio.open_connection(*b.me)
            writer.write(PREFACE)
            idle.append((reader, writer))
        over = [asyncio.create_task(closed(reader)) for reader, _ in idle]
        await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)

        def insist() -> object:
            if not a.transport._outbound:
                a.say(b.me)
            return b.messages

        await until(insist)
        assert all(not refused for _, refused in a.failures), "it is there, if it has no room"
        async with asyncio.timeout(15):
            await asyncio.wait(over)
        for _, writer in idle:
            writer.close()


@on_reactor
async def test_the_stream_that_was_not_used_the_longest_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, outbound=2)
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
    monkeypatch.setattr(frames, "MESSAGE_LIMIT", 1000)
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


# what takes long to read


def refuse_all(header: Header) -> str | None:
    return f"a {header.kind.__name__} is not wanted"


@on_reactor
async def test_a_large_message_that_is_refused_is_counted_and_its_stream_goes_on() -> None:
    async with peer() as b:
        b.transport._refusal = refuse_all
        async with exchange(b.me) as call:
            for part in PARTS:
                await call.write(part)
            await call.write(encoded_frame())
            await until(lambda: b.messages)
        assert b.messages == [Restarted(Endpoint("10.0.0.1", 1), NODE)]
        assert b.stats[transport.UNREAD] == 1
        assert b.transport.held.size == 0


@on_reactor
async def test_what_comes_drop_by_drop_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "UNFINISHED", 0.2)
    async with peer() as b, exchange(b.me) as call:
        await call.write(PART)
        await until(lambda: b.transport.held.size)
        assert await ended(call) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert b.stats["malformed:stalled"] == 1
        assert b.transport.held.size == 0


@on_reactor
async def test_others_are_heard_while_a_large_message_is_read() -> None:
    large = Snapshot(Endpoint("10.0.0.1", 1), crowd(20_000))
    parts = list(FrameWriter(large.sender, 1 << 16).frames(deque([Encoder().encode(large)])))
    async with peer() as a, peer() as b:
        a.say(b.me)
        await until(lambda: b.messages)
        async with exchange(b.me) as call:
            await call.write(parts[0])
            await until(lambda: b.transport.held.size)
            a.say(b.me)
            for part in parts[1:]:
                await call.write(part)
            await until(lambda: len(b.messages) == 3)
        assert [type(message) for message in b.messages] == [Restarted, Restarted, Snapshot]


@on_reactor
async def test_many_messages_of_one_frame_are_handed_over_in_parts() -> None:
    queue = deque[Encoded]([Encoder().encode(Restarted(Endpoint("10.0.0.1", 1), NODE))] * 2000)
    [frame] = FrameWriter(Endpoint("10.0.0.1", 1), 1 << 16).frames(queue)
    async with peer() as b, exchange(b.me) as call:
        await call.write(frame)
        await until(lambda: len(b.messages) == 2000)
        assert max(b.batches) == AT_ONCE_COUNT


def http2(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


REQUEST = b"\x83\x86" + b"".join(
    literal(name, value)
    for name, value in (
        (b":path", METHOD.encode()),
        (b":authority", b"x"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
)


@on_reactor
async def test_a_frame_that_is_never_finished_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC holds what has come of it, and says nothing."""
    monkeypatch.setattr(transport, "FIRST", 0.2)
    async with peer() as b:
        _, writer = await asyncio.open_connection(*b.me)
        half = b"\0" + (5000).to_bytes(4, "big") + b"x" * 4000
        writer.write(PREFACE + http2(1, 4, 1, REQUEST) + http2(0, 0, 1, half))
        await until(lambda: b.stats["streams accepted"])
        await until(lambda: b.stats["streams ended for silence"])
        await until(lambda: not b.transport._inbound)
        writer.close()


@on_reactor
async def test_a_frame_above_the_limit_is_not_begun() -> None:
    async with peer(settings=Settings.lan(message_limit=65536)) as b:
        _, writer = await asyncio.open_connection(*b.me)
        half = b"\0" + (1 << 24).to_bytes(4, "big") + b"x" * 4000
        writer.write(PREFACE + http2(1, 4, 1, REQUEST) + http2(0, 0, 1, half))
        await until(lambda: b.stats["streams accepted"])
        await until(lambda: not b.transport._inbound)
        writer.close()


@on_reactor
async def test_a_connection_has_few_streams() -> None:
    async with peer() as b:
        reader, writer = await asyncio.open_connection(*b.me)
        writer.write(PREFACE + b"".join(http2(1, 4, 2 * n + 1, REQUEST) for n in range(8)))
        await until(lambda: len(b.transport._inbound) == 2)
        seen = b""
        while seen.count(http2(3, 0, 15)[3:9]) == 0:  # the last of them is reset
            seen += await reader.read(4096)
        assert len(b.transport._inbound) == 2
        writer.close()
