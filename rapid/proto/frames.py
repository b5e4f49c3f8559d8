"""Frames: what a stream carries. Many messages in one, or one large message in many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from rapid.errors import WireError
from rapid.overlay.member import Endpoint
from rapid.proto import rapid_pb2 as pb
from rapid.proto import values
from rapid.proto.assembly import Assembly, Steps, assembly, read_header
from rapid.proto.codec import FRAME_LIMIT, FRAME_OVERHEAD, UNREADABLE, decode
from rapid.proto.pieces import Encoded, LargeMessage
from rapid.proto.values import CHUNK, COUNT, FRAME, MEMORY, ROOM, SENDER, SIZE
from rapid.protocol.messages import Header, Message

__all__ = [
    "BATCH_LIMIT",
    "FACTS_LIMIT",
    "FRAME_LIMIT",
    "FRAME_OVERHEAD",
    "HELD_LIMIT",
    "MEMORY_LIMIT",
    "MESSAGE_LIMIT",
    "FrameReader",
    "FrameWriter",
    "Held",
    "accept_all",
    "is_taken",
]

MESSAGE_LIMIT = 16 * 1024 * 1024
"""Bytes of one message in all its pieces: 10,000 members with 1 KiB of metadata each are 12 MiB."""
FACTS_LIMIT = 4 * MESSAGE_LIMIT
"""The same of facts, of which nothing is kept until the rest has come."""
MEMORY_LIMIT = 64 * 1024 * 1024
"""Bytes of memory, about, that one message may take once it is read."""
HELD_LIMIT = MEMORY_LIMIT
"""The same of the unfinished messages of all streams that share a :class:`Held`."""
BATCH_LIMIT = 4096
"""Messages in one frame."""
AT_ONCE_SIZE = 16 * 1024
AT_ONCE_COUNT = 256
"""Bytes, and messages, of a frame that are read in one step, unless one message is more."""

_ITEM_OVERHEAD = 6
_FACTS = pb.Message.DESCRIPTOR.fields_by_name["facts"].number


class FrameWriter:
    """One direction of one stream: packs encoded messages into frames of at most ``limit`` bytes.

    A message above ``MESSAGE_LIMIT`` would end the stream: its reader takes none.
    """

    def __init__(self, sender: Endpoint, limit: int) -> None:
        self._sender: Endpoint | None = sender
        self._limit = limit - FRAME_OVERHEAD

    def frames(self, queue: deque[Encoded]) -> Iterator[bytes]:
        """Empty the queue, also of what is added meanwhile; each frame is yielded as it is made.

        Raises ValueError for a message that is too large for a frame and not in pieces.
        """
        while queue:
            first = queue[0]
            if isinstance(first, LargeMessage):
                queue.popleft()
                yield from self._chunks(first)
                continue
            batch: list[bytes] = []
            room = self._limit
            while queue and len(batch) < BATCH_LIMIT:
                encoded = queue[0]
                if isinstance(encoded, LargeMessage) or len(encoded) > room:
                    break
                batch.append(encoded)
                queue.popleft()
                room -= len(encoded) + _ITEM_OVERHEAD
            if not batch:
                raise ValueError(f"a message of {len(first)} bytes must be in pieces of {self._limit}")
            yield self._frame(messages=batch)

    def _chunks(self, message: LargeMessage) -> Iterator[bytes]:
        last = len(message.pieces) - 1
        for number, part in enumerate(message):
            header = None if number else message.header
            yield self._frame(chunk=pb.Chunk(header=header, part=part, last=number == last))

    def _frame(self, *, messages: list[bytes] | None = None, chunk: pb.Chunk | None = None) -> bytes:
        frame = pb.Frame(messages=messages, chunk=chunk)
        if self._sender is not None:
            frame.sender.CopyFrom(values.endpoint(self._sender))
            self._sender = None
        return frame.SerializeToString()


def is_taken(message: Encoded) -> bool:
    """Whether the reader takes a message of this size."""
    if isinstance(message, LargeMessage) and message.header.kind == _FACTS:
        return message.size <= FACTS_LIMIT
    return len(message) <= MESSAGE_LIMIT


class Held:
    """The memory of unfinished messages, of any number of streams together, in bytes."""

    __slots__ = ("_limit", "size")

    def __init__(self, limit: int = HELD_LIMIT) -> None:
        self._limit = limit
        self.size = 0

    def take(self, size: int) -> bool:
        """Hold so many more bytes; False, and nothing is held, when there would be too many."""
        if self.size + size > self._limit:
            return False
        self.size += size
        return True

    def give(self, size: int) -> None:
        """So many are not held any longer."""
        self.size -= size


def accept_all(_: Header) -> str | None:
    """No message is refused unread."""
    return None


class FrameReader:
    """The other end of a :class:`FrameWriter`. Readers that share ``held`` share its limit.

    ``refusal`` is asked about each large message before any of it is read or kept; of one that it gives
    a reason against all pieces are skipped. :meth:`close` it, or what it holds of an unfinished message
    stays counted.
    """

    def __init__(
        self,
        frame_limit: int,
        message_limit: int = MESSAGE_LIMIT,
        held: Held | None = None,
        refusal: Callable[[Header], str | None] = accept_all,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self.sender: Endpoint | None = None
        self._frame_limit = frame_limit
        self._message_limit = message_limit
        self._memory_limit = memory_limit
        self._held = held or Held()
        self._refusal = refusal
        self._assembly: Assembly | None = None
        """None while the pieces of an unfinished message are skipped, too."""
        self._charged = 0
        self._room = 0
        self.unfinished = False
        """Whether the rest of a message is still to come."""

    def messages(self, data: bytes, rejected: Callable[[WireError], None]) -> list[Message]:
        """The messages that this frame completes, all of them at once."""
        return [message for step in self.steps(self.open(data), rejected) for message in step]

    def open(self, data: bytes) -> pb.Frame:
        """A frame of which nothing is read yet but who its :attr:`sender` is.

        Raises :class:`WireError` when it is malformed: the stream has lost its meaning and must be closed.
        """
        if len(data) > self._frame_limit:
            raise WireError(SIZE)
        frame = pb.Frame()
        try:
            frame.ParseFromString(data)
        except UNREADABLE as error:
            raise WireError(FRAME) from error
        sender = values.read_endpoint(frame.sender) if frame.HasField("sender") else self.sender
        if sender is None or (self.unfinished and sender != self.sender):
            raise WireError(SENDER)
        if len(frame.messages) > BATCH_LIMIT:
            raise WireError(COUNT)
        self.sender = sender
        return frame

    def decoded(self, items: Iterable[bytes], rejected: Callable[[WireError], None]) -> list[Message]:
        """These messages of the frame that was opened last; a malformed one is given to ``rejected``."""
        assert self.sender is not None, "a frame of nobody is malformed"
        messages = []
        for item in items:
            try:
                messages.append(decode(item, self.sender))
            except WireError as error:
                rejected(error)
        return messages

    def steps(self, frame: pb.Frame, rejected: Callable[[WireError], None]) -> Steps:
        """Read an opened frame in steps, each of which takes a bounded time and gives what is complete.

        A malformed message is given to ``rejected`` and left out, as is one that takes too much memory.
        Raises :class:`WireError` when a piece belongs to no message: then the stream must be closed.
        """
        for batch in _batches(frame.messages):
            yield self.decoded(batch, rejected)
        if frame.HasField("chunk"):
            yield from self._add(frame.chunk, rejected)

    def close(self) -> None:
        """Forget the message that will not be finished."""
        self._drop()
        self.unfinished = False

    def _add(self, chunk: pb.Chunk, rejected: Callable[[WireError], None]) -> Steps:
        """Take one piece. What is wrong with the message, not with the frames, costs no more than it."""
        if chunk.HasField("header"):
            most = self._message_limit * (FACTS_LIMIT // MESSAGE_LIMIT if chunk.header.kind == _FACTS else 1)
            if self.unfinished or not 0 < chunk.header.size <= most:
                raise WireError(CHUNK)
            self._room = chunk.header.size
            self.unfinished = True
            self._begin(chunk.header, rejected)
        if not self.unfinished or not chunk.part or len(chunk.part) > self._room:
            raise WireError(CHUNK)
        self._room -= len(chunk.part)
        if self._assembly is not None:
            try:
                yield from self._grow(self._assembly, chunk)
            except WireError as error:
                rejected(error)
                self._drop()
        if chunk.last:
            self.close()

    def _begin(self, raw: pb.Header, rejected: Callable[[WireError], None]) -> None:
        assert self.sender is not None, "a frame of nobody is malformed"
        try:
            header = read_header(raw, self.sender)
        except WireError as error:
            rejected(error)
            return
        if self._refusal(header) is None:
            self._assembly = assembly(header)

    def _grow(self, growing: Assembly, chunk: pb.Chunk) -> Steps:
        yield from growing.add(chunk.part)
        grown = growing.memory - self._charged
        if growing.memory > self._memory_limit:
            raise WireError(MEMORY)
        if not self._held.take(grown):
            raise WireError(ROOM)
        self._charged += grown
        if chunk.last:
            yield from growing.finish()

    def _drop(self) -> None:
        self._held.give(self._charged)
        self._assembly, self._charged = None, 0


def _batches(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    room = AT_ONCE_SIZE
    for item in messages:
        if batch and (len(item) > room or len(batch) >= AT_ONCE_COUNT):
            yield batch
            batch, room = [], AT_ONCE_SIZE
        batch.append(item)
        room -= len(item)
    if batch:
        yield batch
