"""Two real transports on loopback, and what else may knock at the port."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

from rapid.errors import BindError
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import rapid_pb2 as pb
from rapid.protocol.messages import Message, Restarted, Snapshot
from rapid.runtime import streams, transport
from rapid.runtime.resolver import target
from rapid.runtime.streams import METHOD
from rapid.runtime.tls import TLS
from rapid.runtime.transport import Transport
from rapid.settings import Settings

from .reactor_loop import on_reactor, until

NODE = NodeId(b"n" * 16)
ANY = Endpoint("127.0.0.1", 0)
DESCRIPTORS = Path("/proc/self/fd")


class Peer:
    """A transport that writes down what it is told."""

    def __init__(
        self, settings: Settings | None = None, *, echo: bool = False, tls: TLS | None = None
    ) -> None:
        self.stats: Counter[str] = Counter()
        self.messages: list[Message] = []
        self.batches: list[int] = []
        self.failures: list[tuple[Endpoint, bool]] = []
        self.transport = Transport(settings or Settings.lan(), self._received, self._failed, self.stats, tls)
        self.echo = echo

    def _received(self, messages: list[Message], token: Hashable) -> None:
        self.messages += messages
        self.batches.append(len(messages))
        if self.echo:
            for message in messages:
                assert isinstance(message, Restarted)
                self.transport.reply(token, Restarted(self.transport.me, NODE))

    def _failed(self, endpoint: Endpoint, refused: bool) -> None:
        self.failures.append((endpoint, refused))

    @property
    def me(self) -> Endpoint:
        return self.transport.me

    def say(self, to: Endpoint, times: int = 1) -> None:
        for _ in range(times):
            self.transport.send(to, Restarted(self.me, NODE))


def open_descriptors() -> int:
    return len(list(DESCRIPTORS.iterdir()))


@asynccontextmanager
async def peer(
    listen: Endpoint = ANY, settings: Settings | None = None, *, echo: bool = False, tls: TLS | None = None
) -> AsyncIterator[Peer]:
    made = Peer(settings, echo=echo, tls=tls)
    await made.transport.serve(await made.transport.bind(listen))
    try:
        yield made
    finally:
        await made.transport.close()


@on_reactor
async def test_messages_arrive_and_replies_come_back_the_same_way() -> None:
    async with peer() as a, peer(echo=True) as b:
        a.say(b.me, 3)
        await until(lambda: len(a.messages) == 3)
        assert b.messages == [Restarted(a.me, NODE)] * 3
        assert b.batches == [3], "what is queued together travels together"
        assert a.messages == [Restarted(b.me, NODE)] * 3
        assert b.stats["messages received"] == 3
        assert not a.failures


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="the descriptors of a process cannot be listed here")
@on_reactor
async def test_a_closed_transport_keeps_no_connection_in_a_process_that_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not until the garbage collector comes by, and not until the peer closes it."""
    monkeypatch.setattr(transport, "UNUSED", 600.0)
    gc.disable()
    try:
        async with peer() as a, peer(echo=True) as b:
            before = open_descriptors()
            async with peer() as gone:
                gone.say(b.me)
                b.say(gone.me)
                a.say(gone.me)
                await until(lambda: len(gone.messages) == 3)
            await until(lambda: open_descriptors() <= before)
            assert gone.transport.me, "somebody still has it, as an application has its closed member"
    finally:
        gc.enable()


@on_reactor
async def test_a_refused_port_is_reported_as_refused() -> None:
    async with peer() as gone:
        nobody = gone.me
    async with peer() as a:
        a.say(nobody, 2)
        await until(lambda: a.failures)
        assert a.failures == [(nobody, True)]
        assert a.stats["dropped:stream"] == 2
        assert a.transport.trouble(nobody) == "connection refused"


@on_reactor
async def test_a_name_that_does_not_resolve_is_no_refusal() -> None:
    async with peer() as a:
        nowhere = Endpoint("no-such-host.invalid", 7400)
        a.say(nowhere)
        await until(lambda: a.failures)
        assert a.failures == [(nowhere, False)]
        assert "does not resolve" in str(a.transport.trouble(nowhere))


@on_reactor
async def test_a_peer_that_accepts_and_says_nothing_is_silent() -> None:
    hung = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hung.wait()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    mute = Endpoint(*server.sockets[0].getsockname())
    async with peer(settings=Settings.local()) as a:
        a.say(mute)
        await until(lambda: a.failures)
        assert a.failures == [(mute, False)]
    hung.set()
    server.close()


@on_reactor
async def test_a_peer_that_listens_and_is_busy_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a machine with too much to do would do it all again, and no stream would ever open."""
    monkeypatch.setattr(streams, "DIAL", 0.2)
    async with peer() as b, peer(settings=Settings.local()) as a:
        too_late = 5 * max(streams.DIAL, a.transport.settings.probe_interval)
        pipes: set[asyncio.Task[None]] = set()

        async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while data := await reader.read(65536):
                    writer.write(data)
            writer.close()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(too_late)
            there, back = await asyncio.open_connection(*b.me)
            for way in (pipe(reader, back), pipe(there, writer)):
                pipes.add(asyncio.create_task(way))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        busy = Endpoint(*server.sockets[0].getsockname())
        a.say(busy)
        await until(lambda: a.failures)
        assert not b.messages
        a.say(busy)
        await until(lambda: b.messages)
        assert a.failures == [(busy, False)]
        server.close()
    await asyncio.wait(pipes)


@on_reactor
async def test_a_port_in_use_is_a_clear_error() -> None:
    async with peer() as a:
        with pytest.raises(BindError, match=f"cannot listen on {a.me}.*in use"):
            await Peer().transport.bind(a.me)


@on_reactor
async def test_a_foreign_address_is_a_clear_error() -> None:
    with pytest.raises(BindError, match=r"cannot listen on 203\.0\.113\.1:7400"):
        await Peer().transport.bind(Endpoint("203.0.113.1", 7400))


@on_reactor
async def test_a_restart_on_the_same_address_is_reached() -> None:
    async with peer() as a:
        async with peer() as first:
            address = first.me
            a.say(address)
            await until(lambda: first.messages)
        await until(lambda: a.failures)
        assert a.failures == [(address, True)]
        async with peer(address) as second:
            a.say(address)
            await until(lambda: second.messages)


@on_reactor
async def test_failures_do_not_spin() -> None:
    async with peer() as gone:
        nobody = gone.me
    async with peer() as a:
        # a node that sends again as soon as it hears of a failure
        again = a.transport._failed

        def insist(endpoint: Endpoint, refused: bool) -> None:
            again(endpoint, refused)
            a.say(endpoint)

        a.transport._failed = insist
        began = asyncio.get_running_loop().time()
        a.say(nobody)
        await until(lambda: len(a.failures) >= 5)
        assert asyncio.get_running_loop().time() - began >= 4 * streams.REOPEN
        a.transport._failed = again


@on_reactor
async def test_the_oldest_is_dropped_when_a_queue_is_full() -> None:
    async with peer(settings=Settings.lan(queue_limit=16)) as a, peer() as b:
        for n in range(20):
            a.transport.send(b.me, Restarted(a.me, NodeId(bytes([n]) * 16)))
        await until(lambda: b.messages)
        numbers = [message.node_id[0] for message in b.messages if isinstance(message, Restarted)]
        assert numbers == list(range(4, 20))
        assert a.stats["dropped:queue"] == 4


@on_reactor
async def test_a_message_above_the_frame_limit_arrives() -> None:
    settings = Settings.lan(message_limit=65536)
    crowd = [Member(Endpoint(f"host-{n}", 7400), NODE) for n in range(5000)]
    configuration = Configuration.of(ClusterId(b"c" * 16), 1, crowd, 10)
    async with peer(settings=settings) as a, peer(settings=settings) as b:
        a.transport.send(b.me, Snapshot(a.me, configuration))
        await until(lambda: b.messages)
        [message] = b.messages
        assert isinstance(message, Snapshot)
        assert message.configuration.digest == configuration.digest
        assert b.stats["frames received"] > 2


@on_reactor
async def test_a_reply_to_a_stream_that_is_gone_is_counted() -> None:
    tokens: list[Hashable] = []
    async with peer() as b:
        b.transport.received = lambda messages, token: tokens.append(token)
        async with peer() as a:
            a.say(b.me)
            await until(lambda: tokens)
        await until(lambda: not b.transport._inbound)
        b.transport.reply(tokens[0], Restarted(b.me, NODE))
        assert b.stats["dropped:reply"] == 1


@on_reactor
async def test_an_idle_stream_is_closed_and_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer() as a, peer() as b:
        a.say(b.me)
        await until(lambda: b.messages)
        assert a.transport._sweep is not None
        a.transport._sweep.cancel()
        monkeypatch.setattr(transport, "IDLE", -1.0)  # all that was sent is long ago
        a.transport._sweep_idle()
        monkeypatch.undo()
        assert not a.transport._outbound
        await until(lambda: not b.transport._inbound)
        a.say(b.me)
        await until(lambda: len(b.messages) == 2)
        assert not a.failures


@on_reactor
async def test_a_peer_that_stops_reading_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WRITE_TIMEOUT", 0.2)
    stuck = asyncio.Event()

    async def never_read(_: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        await context.send_initial_metadata(streams.GREETING)
        await stuck.wait()

    server = grpc.aio.server(
        handlers=[
            grpc.method_handlers_generic_handler(
                "rapid.v1.Membership", {"Exchange": grpc.stream_stream_rpc_method_handler(never_read)}
            )
        ]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    mute = Endpoint("127.0.0.1", port)
    crowd = [Member(Endpoint(f"host-{n}", 7400), NODE, {"k": "v" * 1000}) for n in range(5000)]
    large = Configuration.of(ClusterId(b"c" * 16), 1, crowd, 1)
    async with peer() as a:
        for _ in range(4):
            a.transport.send(mute, Snapshot(a.me, large))
        await until(lambda: a.failures)
        assert a.failures == [(mute, False)]
    stuck.set()
    await server.stop(0)


@on_reactor
async def test_a_peer_that_does_not_read_its_replies_loses_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "WRITE_TIMEOUT", 0.2)
    crowd = [Member(Endpoint(f"host-{n}", 7400), NODE, {"k": "v" * 1000}) for n in range(5000)]
    large = Configuration.of(ClusterId(b"c" * 16), 1, crowd, 1)
    async with peer() as b:

        def reply(messages: list[Message], token: Hashable) -> None:
            for _ in range(4):
                b.transport.reply(token, Snapshot(b.me, large))

        b.transport.received = reply
        channel = grpc.aio.insecure_channel(
            target([b.me.host], b.me.port), options=[("grpc.enable_http_proxy", 0)]
        )
        async with channel:
            exchange = channel.stream_stream(METHOD)()
            sender = pb.Endpoint(host="10.0.0.1", port=1)
            message = pb.Message(restarted=pb.Restarted(node_id=NODE)).SerializeToString()
            await exchange.write(pb.Frame(sender=sender, messages=[message]).SerializeToString())
            await until(lambda: any(stream.closed for stream in b.transport._inbound))
            # once it reads again, it finds that this is over
            with suppress(grpc.aio.AioRpcError):
                while await exchange.read() is not grpc.aio.EOF:
                    continue
            assert await exchange.code() is grpc.StatusCode.UNAVAILABLE
            await until(lambda: not b.transport._inbound)


async def call(to: Endpoint, method: str, *frames: bytes) -> grpc.StatusCode:
    """How the server ends a stream of these raw frames."""
    async with grpc.aio.insecure_channel(
        target([to.host], to.port), options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        exchange = channel.stream_stream(method)()
        try:
            for frame in frames:
                await exchange.write(frame)
            await exchange.done_writing()
            while await exchange.read() is not grpc.aio.EOF:
                continue
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the status says how it has ended
        return await exchange.code()


@on_reactor
async def test_garbage_is_counted_and_the_server_goes_on() -> None:
    async with peer() as a, peer(settings=Settings.lan(message_limit=65536)) as b:
        sender = pb.Endpoint(host="10.0.0.1", port=1)
        assert await call(b.me, METHOD, b"\xff garbage") is grpc.StatusCode.INVALID_ARGUMENT
        assert (
            await call(b.me, METHOD, pb.Frame(messages=[b""]).SerializeToString())
            is grpc.StatusCode.INVALID_ARGUMENT
        )
        bad = pb.Frame(sender=sender, messages=[b"\xff", b""]).SerializeToString()
        assert await call(b.me, METHOD, bad) is grpc.StatusCode.OK
        assert await call(b.me, "/rapid.v1.Membership/Other", b"") is grpc.StatusCode.UNIMPLEMENTED
        assert await call(b.me, METHOD, b"x" * 65_600) is grpc.StatusCode.INVALID_ARGUMENT
        assert await call(b.me, METHOD, b"x" * 70_000) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert b.stats["malformed:frame"] == 1
        assert b.stats["malformed:sender"] == 1
        assert b.stats["malformed:message"] == 2
        assert b.stats["rejected:method"] == 1
        assert b.stats["malformed:size"] == 1
        a.say(b.me)
        await until(lambda: b.messages)


@on_reactor
async def test_garbage_on_the_raw_port_hurts_nobody() -> None:
    async with peer() as a, peer() as b:
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 4096, bytes(range(256)) * 64, b""):
            reader, writer = await asyncio.open_connection(*b.me)
            writer.write(noise)
            if not noise:
                writer.close()
            try:
                async with asyncio.timeout(2):
                    while await reader.read(4096):
                        continue
            except (ConnectionError, TimeoutError):
                pass  # cut off or left hanging: both are fine
            writer.close()
        a.say(b.me)
        await until(lambda: b.messages)


@on_reactor
async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HANDSHAKE", 0.2)
    async with peer() as b:
        reader, writer = await asyncio.open_connection(*b.me)
        async with asyncio.timeout(15):
            # the server greets first, in HTTP/2, and then hears nothing
            while await reader.read(4096):
                continue
        writer.close()


@on_reactor
async def test_ipv6() -> None:
    try:
        async with peer(Endpoint("::1", 0)) as b, peer() as a:
            a.say(b.me)
            await until(lambda: b.messages)
    except BindError:
        pytest.skip("this machine has no IPv6")


def test_targets() -> None:
    assert target(["::1"], 7400) == "ipv6:[::1]:7400"
    assert target(["10.0.0.1", "10.0.0.2"], 7400) == "ipv4:10.0.0.1:7400,10.0.0.2:7400"
    assert target(["fe80::1%2", "10.0.0.1"], 7400) == "ipv6:[fe80::1%252]:7400,[::ffff:10.0.0.1]:7400"
