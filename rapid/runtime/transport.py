"""gRPC between members: one long-lived stream to a peer, frames that carry whole batches."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rapid.errors import BindError, IdentityError, WireError
from rapid.log import log
from rapid.overlay.member import Endpoint
from rapid.proto import rapid_pb2 as pb
from rapid.proto.codec import Encoder
from rapid.proto.frames import FRAME_OVERHEAD, FrameReader, Held, accept_all
from rapid.protocol.messages import Header, Message
from rapid.runtime.capacity import Capacity, Openings, capacity
from rapid.runtime.fork_support import grpc, let_children_end, require_usable, warn_at_fork
from rapid.runtime.pure_protobuf import warn_of_pure_protobuf
from rapid.runtime.resolver import Resolver, is_address, target
from rapid.runtime.streams import LIGHT, METHOD, RECEIVE_SLACK, InboundStream, OutboundStream, Stream
from rapid.settings import Settings

if TYPE_CHECKING:
    from rapid.runtime.credentials import Credentials
    from rapid.runtime.tls import TLS

IDLE = 60.0
"""Seconds without a send after which the stream to a peer is closed."""
HANDSHAKE = 20.0
"""Seconds that who connects has until HTTP/2 is spoken; then the connection is closed."""
UNUSED = 5.0
"""Seconds after which a connection from a peer that has no stream is closed; it may take twice as long."""
FIRST = 10.0
"""Seconds that a peer that has opened a stream may take for the first frame."""
QUIET = 2 * IDLE
"""Seconds without a frame after which a stream from a peer is ended: a peer ends it itself by then."""
SPARED = 15.0
"""Seconds without a frame within which a stream from a peer does not have to give way to a new one."""
FAILURES_LIMIT = 4096
"""Peers of which it is known why the last stream to them failed."""
DEPARTURE = 0.25
"""Seconds that what is queued may take to leave at :meth:`Transport.close`."""

PLAINTEXT = "listening without TLS"
"""The event in the log when others than this machine may read and send."""

EXHAUSTED = "out of file descriptors"
"""The event in the log, and in the counters, when no socket can be made."""
CROWDED = "too many streams from peers"
"""The event in the log when some of them are ended, or new ones refused."""
UNREAD = "messages refused unread"
"""Large messages that the node has no use for; their pieces are skipped."""

IN_USE = (errno.EADDRINUSE, errno.EACCES)
"""Why an address cannot be taken; the latter is what Windows may say, elsewhere it is the port's number."""

IMPOSTOR = "rejected:certificate does not name sender"


Received = Callable[[list[Message], Hashable], None]
Failed = Callable[[Endpoint, bool], None]


class Transport:
    """Sends and receives messages on the event loop that it is used on.

    ``received(messages, token)`` is called with each frame's messages; the token is for
    :meth:`reply`. ``failed(endpoint, refused)`` is called when the stream to a peer could not be
    opened or broke; what was queued for the peer is dropped. ``refused``: its host said that nobody
    listens, or closed the connection; else it was silent, or another error. Everything dropped or
    rejected is counted in ``stats``.

    ``refusal(header)`` gives a reason against a large message before any of it is read, or None.

    With ``tls`` every connection is made with it, in both directions; there is no way back to
    plaintext, nor from plaintext to it.
    """

    def __init__(
        self,
        settings: Settings,
        received: Received,
        failed: Failed,
        stats: Counter[str],
        tls: TLS | None = None,
        refusal: Callable[[Header], str | None] = accept_all,
    ) -> None:
        self.settings = settings
        self.stats = stats
        self.held = Held()
        self.heavy = asyncio.Lock()
        """Held while a frame is read that takes long."""
        self.resolver = Resolver(stats)
        self.openings = Openings(stats)
        self._refusal = refusal
        self._capacity: Capacity = capacity()
        self._logged: set[str] = set()
        self.received = received
        self.tls = tls
        self._failed = failed
        self._credentials: Credentials | None = None
        self._encoder = Encoder(settings.message_limit - FRAME_OVERHEAD)
        self._server: grpc.aio.Server | None = None
        self._me: Endpoint | None = None
        self._outbound: dict[Endpoint, OutboundStream] = {}
        self._inbound: set[InboundStream] = set()
        self._failures: dict[Endpoint, tuple[float, str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def me(self) -> Endpoint:
        """Who the peers are told is speaking."""
        assert self._me is not None, "no stream exists before serve()"
        return self._me

    async def bind(self, listen: Endpoint) -> Endpoint:
        """Take the port; give the endpoint with the port taken.

        Raises :class:`BindError`, and :class:`TLSError` when the certificates are no good.
        """
        require_usable()
        if self.tls is not None:
            # it is loaded by those who use it
            from rapid.runtime.credentials import Credentials

            self._credentials = Credentials(self.tls, self.stats)
        await _try_bind(listen)
        let_children_end()
        warn_at_fork()
        warn_of_pure_protobuf()
        limit = self.settings.message_limit
        self._capacity = capacity()
        self._server = grpc.aio.server(
            handlers=[_Service(self)],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", RECEIVE_SLACK + limit),
                ("grpc.max_send_message_length", limit),
                # a peer needs one; while it is being closed, it may have opened the next
                ("grpc.max_concurrent_streams", 2),
                ("grpc.max_allowed_incoming_connections", self._capacity.connections),
                ("grpc.max_connection_idle_ms", int(UNUSED * 1000)),
                ("grpc.server_handshake_timeout_ms", int(HANDSHAKE * 1000)),
                ("grpc.http2.bdp_probe", 0),
                # peers ping when they have heard nothing for a while; that is no abuse
                ("grpc.http2.max_ping_strikes", 0),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.keepalive_timeout_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ],
        )
        try:
            if self._credentials is not None:
                port = self._server.add_secure_port(str(listen), self._credentials.server())
            else:
                port = self._server.add_insecure_port(str(listen))
        except RuntimeError as error:
            raise BindError(f"cannot listen on {listen}: {error}") from error
        if self.tls is None and not _is_loopback(listen.host):
            log.warning(PLAINTEXT, listen=str(listen), consequence="whoever reaches it can join and alert")
        return Endpoint(listen.host, port)

    async def serve(self, me: Endpoint) -> None:
        """Begin to receive, known to the peers as ``me``. Call :meth:`bind` first.

        Raises :class:`TLSError` when the certificate does not name the host of ``me``.
        """
        assert self._server is not None, "bind() comes first"
        if self._credentials is not None:
            self._credentials.speak_for(me.host)
        self._me = me
        await self._server.start()
        self._sweep_idle()

    def send(self, to: Endpoint, message: Message) -> None:
        """Queue a message for a peer; opens the stream when there is none."""
        if self._closed:
            self.stats["dropped:closed"] += 1
            return
        stream = self._outbound.pop(to, None)
        if stream is None:
            failed_at, _ = self._failures.get(to, (None, ""))
            stream = OutboundStream(self, to, failed_at=failed_at)
            if len(self._outbound) >= capacity().outbound:
                self.stats["streams closed for others"] += 1
                self._outbound.pop(next(iter(self._outbound))).close()
        self._outbound[to] = stream  # the last one now: they stand in the order of use
        stream.put(self._encoder.encode(message))

    def reply(self, token: Hashable, message: Message) -> None:
        """Queue a message for the stream that ``token`` was received with; counted when it is gone."""
        if not isinstance(token, Stream) or token.closed or self._closed:
            self.stats["dropped:reply"] += 1
            return
        token.put(self._encoder.encode(message))

    def trouble(self, endpoint: Endpoint) -> str | None:
        """Why the last stream to this peer failed; None when none did lately."""
        failure = self._failures.get(endpoint)
        return failure[1] if failure else None

    async def close(self) -> None:
        """Let what is queued leave, for a short while, then end every stream and free the port."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        streams = (*self._outbound.values(), *self._inbound)
        writing = [stream.writing for stream in streams if stream.writing is not None]
        if writing:
            await asyncio.wait(writing, timeout=DEPARTURE)
        for stream in list(self._outbound.values()):
            stream.close()
        self.resolver.close()
        if self._server is not None:
            await self._server.stop(0.05)
        while self._tasks:
            await asyncio.wait(self._tasks)

    # what the streams use

    def spawn(self, coroutine: asyncio._CoroutineLike[None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def dial(
        self, endpoint: Endpoint, addresses: Sequence[str], options: list[tuple[str, int]]
    ) -> grpc.aio.Channel:
        """A channel to a peer at these addresses, not connected yet."""
        at = target(addresses, endpoint.port)
        if self._credentials is None:
            return grpc.aio.insecure_channel(at, options=options)
        # what the certificate must name is what the peer is called, and not what that resolves to
        name = [] if is_address(endpoint.host) else [("grpc.ssl_target_name_override", endpoint.host)]
        return grpc.aio.secure_channel(
            at, self._credentials.channel(), options=[*options, *(self._credentials.options or name)]
        )

    def deliver(self, reader: FrameReader, data: bytes, stream: Stream) -> Iterator[None] | None:
        """Hand over the messages of a frame: at once if that is little work, else in the steps given.

        Raises :class:`WireError` or :class:`IdentityError`, as do the steps, when the stream must end.
        """
        self.stats["frames received"] += 1
        self.stats["bytes received"] += len(data)
        try:
            frame = reader.open(data)
            assert reader.sender is not None, "a frame of nobody is malformed"
            stream.identify(reader.sender)
        except (WireError, IdentityError) as error:
            self._count(error)
            raise
        if len(data) > LIGHT or frame.HasField("chunk"):
            return self._deliver_in_steps(reader, frame, stream)
        self._hand_over(reader.decoded(frame.messages, self._count), stream)
        return None

    def _deliver_in_steps(self, reader: FrameReader, frame: pb.Frame, stream: Stream) -> Iterator[None]:
        try:
            for messages in reader.steps(frame, self._count):
                self._hand_over(messages, stream)
                yield
        except WireError as error:
            self._count(error)
            raise

    def _hand_over(self, messages: list[Message], stream: Stream) -> None:
        if messages:
            self.stats["messages received"] += len(messages)
            if not self._closed:
                self.received(messages, stream)

    def _count(self, error: WireError | IdentityError) -> None:
        self.stats[IMPOSTOR if isinstance(error, IdentityError) else f"malformed:{error.reason}"] += 1

    def refused(self, header: Header) -> str | None:
        """Why a large message is not to be read, if it is not; counted."""
        reason = self._refusal(header)
        if reason is not None:
            self.stats[UNREAD] += 1
            log.debug(UNREAD, kind=header.kind.__name__, sender=str(header.sender), reason=reason)
        return reason

    def out_of_descriptors(self) -> None:
        """There was none left for a socket."""
        self.stats[EXHAUSTED] += 1
        if self._begins(EXHAUSTED):
            log.warning(EXHAUSTED, consequence="other members cannot be reached and may find this one faulty")

    def stream_opened(self, endpoint: Endpoint) -> None:
        """A stream to this peer is open."""
        self.openings.opened(endpoint)
        self._logged.discard(EXHAUSTED)

    def _begins(self, event: str) -> bool:
        """Whether it is to be warned of, which is done once until it is over."""
        if event in self._logged:
            return False
        self._logged.add(event)
        return True

    def stream_failed(self, stream: OutboundStream, refused: bool, reason: str) -> None:
        """The stream has closed itself on an error."""
        endpoint = stream.endpoint
        self.resolver.forget(endpoint.host)
        if self._outbound.get(endpoint) is stream:
            del self._outbound[endpoint]
        self.stats["streams failed"] += 1
        self._failures.pop(endpoint, None)
        self._failures[endpoint] = asyncio.get_running_loop().time(), reason
        if len(self._failures) > FAILURES_LIMIT:
            del self._failures[next(iter(self._failures))]
        log.debug("a stream to a peer failed", peer=str(endpoint), refused=refused, reason=reason)
        if not self._closed:
            self._failed(endpoint, refused)

    def inbound_opened(self, stream: InboundStream) -> bool:
        """Whether there is room for another stream; that which was quiet the longest may have to give way."""
        limit = self._capacity.inbound
        if len(self._inbound) >= limit:
            if self._begins(CROWDED):
                log.warning(CROWDED, limit=limit, consequence="those that are quiet are ended")
            quietest = min(self._inbound, key=lambda one: one.last_heard)
            if stream.last_heard - quietest.last_heard < SPARED:
                self.stats["rejected:stream"] += 1
                return False
            self.stats["streams ended for others"] += 1
            self._inbound.discard(quietest)
            quietest.end("its place is needed for others")
        self.stats["streams accepted"] += 1
        self._inbound.add(stream)
        return True

    def inbound_closed(self, stream: InboundStream) -> None:
        self._inbound.discard(stream)

    def _sweep_idle(self) -> None:
        loop = asyncio.get_running_loop()
        long_ago = loop.time() - IDLE
        for endpoint, stream in list(self._outbound.items()):
            if stream.last_put < long_ago:
                del self._outbound[endpoint]
                stream.close()
        for inbound in list(self._inbound):
            if inbound.last_heard < loop.time() - (QUIET if inbound.heard else FIRST):
                self.stats["streams ended for silence"] += 1
                inbound.end("nothing was received for long")
        if 2 * len(self._inbound) < self._capacity.inbound:
            self._logged.discard(CROWDED)
        self._failures = {to: failure for to, failure in self._failures.items() if failure[0] > long_ago}
        self._sweep = loop.call_later(min(IDLE / 4, FIRST / 2), self._sweep_idle)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def _try_bind(listen: Endpoint) -> None:
    """Take and free the address: gRPC does not say why it cannot, other than on standard error.

    A name may have several addresses. One of them must be this machine's, and none in use: gRPC is content
    with those that it gets, and the others would go on reaching whoever has the port there.
    """
    try:
        try:
            # no thread is needed, or left behind, for an address; nor, as bytes, any table of Unicode
            host = listen.host.encode() if listen.host.isascii() else listen.host
            found = socket.getaddrinfo(
                host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )
        except socket.gaierror:
            found = await asyncio.get_running_loop().getaddrinfo(*listen, type=socket.SOCK_STREAM)
        problems = [problem for at in found if (problem := _hindrance(*at)) is not None]
        in_use = [problem for problem in problems if problem.errno in IN_USE]
        if in_use or len(problems) == len(found):
            raise (in_use or problems)[0]
    except OSError as error:
        raise BindError(f"cannot listen on {listen}: {error.strerror or error}") from error


def _hindrance(family: int, kind: int, protocol: int, _: str, address: Any) -> OSError | None:
    """Why a socket cannot have this address alone."""
    # Windows lets others share a port with whoever has not asked for it alone. Elsewhere nobody shares one
    # that is listened on, and with this, as with gRPC, a connection that lingers is no hindrance.
    alone = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
    try:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, alone, 1)
            trial.bind(address)
    except OSError as problem:
        return problem
    return None


class _Service(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc is untyped
    """The one method there is; a call of any other is counted."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._handler = grpc.stream_stream_rpc_method_handler(self._exchange)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method == METHOD:
            return self._handler
        self._transport.stats["rejected:method"] += 1
        return None

    async def _exchange(self, _: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        stream = InboundStream(self._transport, context)
        if not self._transport.inbound_opened(stream):
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many streams")
        try:
            await stream.run()
        finally:
            self._transport.inbound_closed(stream)
