"""One stream of frames, from either end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

from rapid.errors import IdentityError, WireError
from rapid.overlay.member import Endpoint
from rapid.proto.frames import MESSAGE_LIMIT, FrameReader, FrameWriter
from rapid.runtime.credentials import described, handshake_trouble, presented
from rapid.runtime.fork_support import grpc
from rapid.runtime.patience import Patience
from rapid.runtime.tls import covers, name_of

if TYPE_CHECKING:
    from rapid.runtime.transport import Transport

METHOD = "/rapid.v1.Membership/Exchange"
RECEIVE_SLACK = 2
"""How far above the limit of a frame gRPC takes one, for us to count and refuse; beyond, it refuses."""
GREETING = (("rapid", "1"),)
"""The initial metadata by which a member tells that the stream to it is open."""
WRITE_TIMEOUT = 10.0
"""Seconds that a peer may leave a frame unread before its stream is given up."""
STALLED = 20.0
"""Seconds that the rest of a message that came in part may take to go on, before its stream is given up."""
QUEUE_ROOM = 2 * MESSAGE_LIMIT
"""Bytes that may wait for one peer; beyond it the oldest is dropped, as beyond the queue's limit."""
DIAL = 5.0
"""Seconds that opening a stream may take: giving up sooner turns a busy machine into a busier one."""
DIAL_BUSY = 20.0
"""The same, where the last try came to nothing though somebody listens: to begin again takes that longer."""
KNOCK = 1.0
"""Seconds that a plain connection is tried first to a peer whose last stream failed."""
REOPEN = 0.05
"""Seconds between a failure of a peer's stream and the next try, so that no failure spins."""
LARGE = 64 * 1024
"""Bytes from which a message is looked at for that."""
KEEPALIVE = 5.0
"""Seconds of silence after which the connection is pinged: a healed link is not left to TCP's timers."""

_ENDED = (grpc.aio.AioRpcError, grpc.aio.UsageError, grpc.aio.InternalError, asyncio.InvalidStateError)
_GONE = ("refused", "reset by peer", "socket closed", "broken pipe")
_SILENT = ("timeout", "timed out", "unreachable", "no route", "keepalive", "ping", "deadline")


def target(endpoint: Endpoint) -> str:
    """How gRPC names the endpoint; addresses bypass its resolver."""
    try:
        version = ipaddress.ip_address(endpoint.host).version
    except ValueError:
        return f"dns:{endpoint}"
    return f"ipv{version}:{endpoint}"


class Stream:
    """A bounded queue of encoded messages, and a writer that runs only while there are some."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._queue: deque[bytes] = deque()
        self._reader = FrameReader(transport.settings.message_limit, held=transport.held)
        self._writer = FrameWriter(transport.me, transport.settings.message_limit)
        self._sender: Endpoint | None = None
        self._unread = Patience(WRITE_TIMEOUT)
        self.writing: asyncio.Task[None] | None = None
        self.closed = False
        self.last_put = 0.0

    def put(self, message: bytes) -> None:
        """Queue an encoded message; when the queue is full the oldest is dropped and counted.

        A message so large that the peer would end the stream for it is dropped itself.
        """
        self.last_put = asyncio.get_running_loop().time()
        if len(message) > MESSAGE_LIMIT:
            self._transport.stats["dropped:size"] += 1
            return
        queue = self._queue
        while len(queue) >= self._transport.settings.queue_limit or (
            len(message) > LARGE and queue and sum(map(len, queue)) + len(message) > QUEUE_ROOM
        ):
            queue.popleft()
            self._transport.stats["dropped:queue"] += 1
        queue.append(message)
        if self.writing is None:
            self.writing = self._transport.spawn(self._write())

    def identify(self, sender: Endpoint) -> None:
        """Raise :class:`IdentityError` when the certificate must bear the sender out and does not."""
        tls = self._transport.tls
        if tls is not None and tls.verify_address and sender != self._sender:
            self._vouch(sender)
        self._sender = sender

    def _vouch(self, sender: Endpoint) -> None:
        raise NotImplementedError

    async def _write(self) -> None:
        raise NotImplementedError

    async def _receive(self, call: Any) -> None:
        """Hand over each frame until the peer ends the stream.

        Raises :class:`WireError` or :class:`IdentityError` on what the peer may not send, TimeoutError when
        it stops in the middle of a message, or what gRPC raises when the stream broke.
        """
        try:
            while True:
                if self._reader.unfinished:
                    async with asyncio.timeout(STALLED):
                        frame = await call.read()
                else:
                    frame = await call.read()
                if frame is grpc.aio.EOF:
                    return
                self._transport.deliver(self._reader, frame, self)
        except TimeoutError:
            self._transport.stats["malformed:stalled"] += 1
            raise
        finally:
            self._reader.close()

    async def _write_queue(self, call: Any) -> None:
        """Write until the queue is empty. Raises TimeoutError, or what gRPC raises when it ended."""
        stats = self._transport.stats
        for frame in self._writer.frames(self._queue):
            stats["dropped:frame"] += 1  # until it is written
            with self._unread:
                await call.write(frame)
            stats["dropped:frame"] -= 1
            stats["frames sent"] += 1
            stats["bytes sent"] += len(frame)

    def _end(self) -> None:
        """Nothing is written any more; what still waits is counted."""
        self.closed = True
        self._unread.close()
        if self._queue:
            self._transport.stats["dropped:stream"] += len(self._queue)
            self._queue.clear()


class InboundStream(Stream):
    """A stream that a peer has opened to us; the token to reply with."""

    def __init__(self, transport: Transport, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        super().__init__(transport)
        self._context = context

    async def run(self) -> None:
        """Receive until the peer ends the stream or sends what is no frame."""
        context = self._context
        try:
            await context.send_initial_metadata(GREETING)
            await self._receive(context)
        except WireError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"malformed {error.reason}")
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the rest of a message did not come")
        except IdentityError as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
        except _ENDED:
            self._transport.stats["streams broken"] += 1
        finally:
            self._end()
            if self.writing is not None:
                self.writing.cancel()

    def _vouch(self, sender: Endpoint) -> None:
        names = presented(self._context)
        if not covers(names, sender.host):
            raise IdentityError(f"the certificate names {described(names)} and not the sender, {sender.host}")

    async def _write(self) -> None:
        try:
            await self._write_queue(self._context)
        except TimeoutError:
            self._end()
            # else a peer that comes to life again would speak and hear nothing; told once it has room
            with contextlib.suppress(grpc.aio.AbortError, *_ENDED):
                await self._context.abort(grpc.StatusCode.UNAVAILABLE, "replies are not read: timed out")
        except _ENDED:
            self._end()
        finally:
            self.writing = None


class OutboundStream(Stream):
    """Our stream to a peer, on a channel of its own. Opened by the first message.

    ``failed_at`` is when the last stream to this peer failed, if it is known of one.
    """

    def __init__(self, transport: Transport, endpoint: Endpoint, *, failed_at: float | None) -> None:
        super().__init__(transport)
        self.endpoint = endpoint
        self._failed_at = failed_at
        self._channel: grpc.aio.Channel | None = None
        self._call: Any = None  # grpc's call types are generic in ways that its stubs get wrong
        self._open = False
        self._reading: asyncio.Task[None] | None = None

    def close(self) -> None:
        """End the stream without a word to the transport."""
        if self.closed:
            return
        self._end()
        for task in (self.writing, self._reading):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        if self._channel is not None:
            self._transport.spawn(self._channel.close())

    def _vouch(self, sender: Endpoint) -> None:
        # its certificate names whom we dialled; gRPC tells no more of it
        if name_of(sender.host) != name_of(self.endpoint.host):
            raise IdentityError(
                f"it answers as {sender}, which verify_address does not allow; call it by that name"
            )

    async def _write(self) -> None:
        try:
            if not self._open:
                await self._connect()
            await self._write_queue(self._call)
        except TimeoutError:
            self._fail(None, "no answer in time")
        except ConnectionRefusedError:
            self._fail(grpc.StatusCode.UNAVAILABLE, "connection refused")
        except _ENDED:
            await self._fail_as_ended()
        finally:
            self.writing = None

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        settings = self._transport.settings
        patience = max(DIAL, settings.probe_interval)
        if self._failed_at is not None:
            if (pause := self._failed_at + REOPEN - loop.time()) > 0:
                await asyncio.sleep(pause)
            if await _listens(self.endpoint):
                patience = max(DIAL_BUSY, patience)
        self._channel = self._transport.dial(
            self.endpoint,
            [
                # a fresh channel dials at once instead of inheriting another one's backoff
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.max_receive_message_length", RECEIVE_SLACK * settings.message_limit),
                ("grpc.max_send_message_length", settings.message_limit),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", int(patience * 1000)),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.keepalive_time_ms", int(KEEPALIVE * 1000)),
                ("grpc.keepalive_timeout_ms", int(KEEPALIVE * 1000)),
                ("grpc.enable_retries", 0),
            ],
        )
        self._call = self._channel.stream_stream(METHOD)()
        async with asyncio.timeout(patience):
            greeting = await self._call.initial_metadata()
            if GREETING[0] not in tuple(greeting):
                # gRPC gives empty metadata, and the error after it, when there is no connection
                await self._call.code()
                raise grpc.aio.UsageError("the stream did not open")
        self._open = True
        self._reading = self._transport.spawn(self._read())

    async def _read(self) -> None:
        try:
            await self._receive(self._call)
        except WireError as error:
            self._fail(None, f"it sent a malformed {error.reason}")
        except TimeoutError:
            self._fail(None, "the rest of a message did not come")
        except IdentityError as error:
            self._fail(None, str(error))
        except _ENDED:
            await self._fail_as_ended()
        else:
            await self._fail_as_ended()

    async def _fail_as_ended(self) -> None:
        """Fail with the status that the stream has ended with."""
        if self.closed:
            return
        if not self._call.done():
            self._fail(None, "the stream broke")
            return
        self._fail(await self._call.code(), str(await self._call.details() or ""))

    def _fail(self, code: grpc.StatusCode | None, details: str) -> None:
        if self.closed:
            return
        text = details.lower()
        trouble = None
        if code is grpc.StatusCode.UNAVAILABLE and not self._open:
            secure = self._transport.tls is not None
            trouble = handshake_trouble(details, secure=secure)
            # over TLS a connection is also cut off by a living process that does not like the certificate
            refused = any(word in text for word in _GONE) and not (secure and trouble)
            if secure and trouble:
                self._transport.stats["handshakes failed"] += 1
        elif code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK, grpc.StatusCode.CANCELLED):
            refused = not any(word in text for word in _SILENT)
        else:
            refused = False
        self.close()
        self._transport.stream_failed(self, refused, trouble or _explained(details))


async def _listens(endpoint: Endpoint) -> bool:
    """Whether somebody does for certain. ConnectionRefusedError when nobody does.

    To find out by gRPC takes twice the CPU.
    """
    try:
        version = ipaddress.ip_address(endpoint.host).version
    except ValueError:
        return False  # names are gRPC's to resolve
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as knock:
        knock.setblocking(False)
        try:
            async with asyncio.timeout(KNOCK):
                await asyncio.get_running_loop().sock_connect(knock, tuple(endpoint))
        except ConnectionRefusedError:
            raise
        except OSError:  # silence among them: gRPC has its own patience, and words
            return False
    return True


def _explained(details: str) -> str:
    """What people are told of a failure."""
    if "resolv" in details:
        return "its name does not resolve"
    if "execute_batch" in details:
        # a write that met the end of the stream hides from grpc.aio what it ended with
        return "the stream broke"
    return "connection refused" if "onnection refused" in details else details or "closed by the peer"
