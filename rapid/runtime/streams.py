"""One stream of frames, from either end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rapid.errors import IdentityError, WireError
from rapid.overlay.member import Endpoint
from rapid.proto.frames import MESSAGE_LIMIT, FrameReader, FrameWriter, is_taken
from rapid.proto.pieces import Encoded
from rapid.runtime.fork_support import grpc
from rapid.runtime.handshake import handshake_trouble
from rapid.runtime.patience import Patience
from rapid.runtime.resolver import explained

if TYPE_CHECKING:
    from rapid.runtime.transport import Transport

METHOD = "/rapid.v1.Membership/Exchange"
RECEIVE_SLACK = 1024
"""Bytes above the limit of a frame that gRPC takes, for us to count and refuse; beyond, it refuses."""
GREETING = (("rapid", "1"),)
"""The initial metadata by which a member tells that the stream to it is open."""
WRITE_TIMEOUT = 10.0
"""Seconds that a peer may leave a frame unread before its stream is given up."""
STALLED = 20.0
"""Seconds that the rest of a message that came in part may take to go on, before its stream is given up."""
UNFINISHED = 120.0
"""Seconds that all of it may take: what comes drop by drop is held no longer than that."""
LIGHT = 8 * 1024
"""Bytes of a frame that is read at once; one above is read in steps, and one such frame at a time."""
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
_SILENT = ("timeout", "timed out", "unreachable", "no route", "keepalive", "ping", "deadline")


class Stream:
    """A bounded queue of encoded messages, and a writer that runs only while there are some."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._queue: deque[Encoded] = deque()
        self._reader = FrameReader(
            transport.settings.message_limit, held=transport.held, refusal=transport.refused
        )
        self._writer = FrameWriter(transport.me, transport.settings.message_limit)
        self._sender: Endpoint | None = None
        self._unread = Patience(WRITE_TIMEOUT)
        self.writing: asyncio.Task[None] | None = None
        self.closed = False
        self.last_put = 0.0

    def put(self, message: Encoded) -> None:
        """Queue an encoded message; when the queue is full the oldest is dropped and counted.

        A message so large that the peer would end the stream for it is dropped itself.
        """
        self.last_put = asyncio.get_running_loop().time()
        if not is_taken(message):
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
        stalled = _Stalled()
        try:
            while True:
                if self._reader.unfinished:
                    async with stalled.limit():
                        frame = await call.read()
                else:
                    stalled.over()
                    frame = await call.read()
                if frame is grpc.aio.EOF:
                    return
                await self._take(frame)
        except TimeoutError:
            self._transport.stats["malformed:stalled"] += 1
            raise
        finally:
            self._reader.close()

    async def _take(self, frame: bytes) -> None:
        steps = self._transport.deliver(self._reader, frame, self)
        if steps is None:
            return
        # one step at a time, of whichever stream: between two of them all that is light gets its turn
        async with self._transport.heavy:
            for _ in steps:
                await asyncio.sleep(0)

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


class _Stalled:
    """The time that an unfinished message may take."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until: float | None = None

    def limit(self) -> asyncio.Timeout:
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + UNFINISHED
        return asyncio.timeout_at(min(now + STALLED, self._until))

    def over(self) -> None:
        self._until = None


class InboundStream(Stream):
    """A stream that a peer has opened to us; the token to reply with."""

    def __init__(self, transport: Transport, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        super().__init__(transport)
        self._context = context
        self._running: asyncio.Task[Any] | None = None
        self._verdict: tuple[grpc.StatusCode, str] | None = None
        self.heard = False
        """Whether a whole frame came."""
        self.last_heard = asyncio.get_running_loop().time()

    def end(self, why: str) -> None:
        """Have :meth:`run` end the stream; the peer is told why, and that this process is there."""
        if self._running is not None and self._verdict is None:
            self._verdict = grpc.StatusCode.RESOURCE_EXHAUSTED, why
            self._running.cancel()

    async def _take(self, frame: bytes) -> None:
        self.heard = True
        self.last_heard = asyncio.get_running_loop().time()
        await super()._take(frame)

    async def run(self) -> None:
        """Receive until the peer ends the stream or sends what is no frame."""
        context = self._context
        self._running = asyncio.current_task()
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
        except asyncio.CancelledError:
            if self._verdict is None or self._running is None or self._running.uncancel():
                raise
            await context.abort(*self._verdict)
        finally:
            self._end()
            if self.writing is not None:
                self.writing.cancel()

    def _vouch(self, sender: Endpoint) -> None:
        # what TLS takes is loaded by those who use it
        from rapid.runtime.credentials import described, presented
        from rapid.runtime.tls import covers

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
        # whoever still knows the call keeps the connection open, though its channel is closed; a task that
        # was cancelled knows all that its frames did
        self._call = self._reading = None
        if self._channel is not None:
            self._transport.spawn(self._channel.close())
            self._channel = None

    def _vouch(self, sender: Endpoint) -> None:
        from rapid.runtime.tls import name_of

        # its certificate names whom we dialled; gRPC tells no more of it
        if name_of(sender.host) != name_of(self.endpoint.host):
            raise IdentityError(
                f"it answers as {sender}, which verify_address does not allow; call it by that name"
            )

    async def _write(self) -> None:
        try:
            if not self._open:
                async with self._transport.openings.to(self.endpoint):
                    await self._connect()
            await self._write_queue(self._call)
        except TimeoutError:
            self._fail(None, "no answer in time")
        except ConnectionRefusedError:
            self._fail(grpc.StatusCode.UNAVAILABLE, "connection refused")
        except (OSError, UnicodeError) as error:
            self._fail_locally(error)
        except _ENDED:
            await self._fail_as_ended()
        finally:
            self.writing = None

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        settings = self._transport.settings
        patience = max(DIAL, settings.probe_interval)
        if self._failed_at is not None and (pause := self._failed_at + REOPEN - loop.time()) > 0:
            await asyncio.sleep(pause)
        addresses = await self._addresses(patience)
        if self._failed_at is not None and await _listens(addresses, self.endpoint.port):
            patience = max(DIAL_BUSY, patience)
        self._channel = self._transport.dial(
            self.endpoint,
            addresses,
            [
                # a fresh channel dials at once instead of inheriting another one's backoff
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.enable_http_proxy", 0),
                ("grpc.max_receive_message_length", RECEIVE_SLACK + settings.message_limit),
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
        self._transport.stream_opened(self.endpoint)
        self._reading = self._transport.spawn(self._read())

    async def _addresses(self, patience: float) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(patience):
                addresses = await self._transport.resolver.addresses(self.endpoint.host)
        except TimeoutError:
            raise UnresolvedError(f"its name was not resolved within {patience:g} s") from None
        except (OSError, UnicodeError) as error:
            if _out_of_descriptors(error):
                raise
            raise UnresolvedError(explained(error)) from error
        if not addresses:
            raise UnresolvedError("its name does not resolve: it has no address")
        return addresses

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
        if self._call is None or not self._call.done():
            self._fail(None, "the stream broke")
            return
        self._fail(await self._call.code(), str(await self._call.details() or ""))

    def _fail_locally(self, error: OSError | UnicodeError) -> None:
        """This machine could not even try."""
        if _out_of_descriptors(error):
            self._transport.out_of_descriptors()
        self._fail(None, str(getattr(error, "strerror", None) or error))

    def _fail(self, code: grpc.StatusCode | None, details: str) -> None:
        if self.closed:
            return
        text = details.lower()
        trouble = None
        if code is grpc.StatusCode.UNAVAILABLE and not self._open:
            secure = self._transport.tls is not None
            trouble = handshake_trouble(details, secure=secure)
            # cut off it is also by a living process: one that has too many connections, or over TLS does not
            # like the certificate
            refused = "refused" in text
            if secure and trouble:
                self._transport.stats["handshakes failed"] += 1
            if "too many open files" in text:
                self._transport.out_of_descriptors()
        elif code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK, grpc.StatusCode.CANCELLED):
            refused = not any(word in text for word in _SILENT)
        else:
            refused = False
        self.close()
        self._transport.stream_failed(self, refused, trouble or _explained(details))


class UnresolvedError(OSError):
    """A name has no address, or none was found in time."""


async def _listens(addresses: Sequence[str], port: int) -> bool:
    """Whether somebody does for certain. ConnectionRefusedError when nobody does.

    OSError when this machine cannot make a socket. To find out by gRPC takes twice the CPU.
    """
    refused = 0
    with contextlib.suppress(TimeoutError):  # gRPC has its own patience, and words
        async with asyncio.timeout(KNOCK):
            for address in addresses:
                try:
                    if await _connects(address, port):
                        return True
                except ConnectionRefusedError:
                    refused += 1
    if refused == len(addresses):
        raise ConnectionRefusedError
    return False


async def _connects(address: str, port: int) -> bool:
    """Whether a plain connection opens. ConnectionRefusedError; OSError when there cannot be a socket."""
    family = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_STREAM) as knock:
        knock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(knock, (address, port))
        except ConnectionRefusedError:
            raise
        except OSError:
            return False
    return True


def _out_of_descriptors(error: OSError | UnicodeError) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def _explained(details: str) -> str:
    """What people are told of a failure."""
    if "execute_batch" in details:
        # a write that met the end of the stream hides from grpc.aio what it ended with
        return "the stream broke"
    return "connection refused" if "onnection refused" in details else details or "closed by the peer"
