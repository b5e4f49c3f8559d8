"""Frames: what a stream carries. Many messages in one, or one large message in many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError

from rapid.errors import WireError
from rapid.overlay.member import Endpoint
from rapid.proto import rapid_pb2 as pb
from rapid.proto import values
from rapid.proto.codec import decode
from rapid.proto.values import CHUNK, COUNT, FRAME, ROOM, SENDER, SIZE
from rapid.protocol.messages import Message

MESSAGE_LIMIT = 64 * 1024 * 1024
"""Bytes of one message, put together from its chunks. Parsed, they may take some thirty times as many."""
HELD_LIMIT = 2 * MESSAGE_LIMIT
"""Bytes of unfinished messages of all streams that share a :class:`Held`."""
BATCH_LIMIT = 4096
"""Messages in one frame."""

FRAME_OVERHEAD = 2048
"""What a frame adds at most to its messages: the sender, and the size of a chunk."""
_ITEM_OVERHEAD = 6


class FrameWriter:
    """One direction of one stream: packs encoded messages into frames of at most ``limit`` bytes.

    A message above ``MESSAGE_LIMIT`` would end the stream: its reader takes none.
    """

    def __init__(self, sender: Endpoint, limit: int) -> None:
        self._sender: Endpoint | None = sender
        self._limit = limit - FRAME_OVERHEAD

    def frames(self, queue: deque[bytes]) -> Iterator[bytes]:
        """Empty the queue, also of what is added meanwhile; each frame is yielded as it is made."""
        while queue:
            if len(queue[0]) > self._limit:
                yield from self._chunks(queue.popleft())
                continue
            batch: list[bytes] = []
            room = self._limit
            while queue and len(queue[0]) <= room and len(batch) < BATCH_LIMIT:
                batch.append(queue.popleft())
                room -= len(batch[-1]) + _ITEM_OVERHEAD
            yield self._frame(messages=batch)

    def _chunks(self, message: bytes) -> Iterator[bytes]:
        for start in range(0, len(message), self._limit):
            part = message[start : start + self._limit]
            yield self._frame(chunk=pb.Chunk(size=0 if start else len(message), part=part))

    def _frame(self, *, messages: list[bytes] | None = None, chunk: pb.Chunk | None = None) -> bytes:
        frame = pb.Frame(messages=messages, chunk=chunk)
        if self._sender is not None:
            frame.sender.CopyFrom(values.endpoint(self._sender))
            self._sender = None
        return frame.SerializeToString()


class Held:
    """The bytes of unfinished messages, of any number of streams together."""

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


class FrameReader:
    """The other end of a :class:`FrameWriter`. Readers that share ``held`` share its limit.

    :meth:`close` it, or what it holds of an unfinished message stays counted.
    """

    def __init__(
        self, frame_limit: int, message_limit: int = MESSAGE_LIMIT, held: Held | None = None
    ) -> None:
        self.sender: Endpoint | None = None
        self._frame_limit = frame_limit
        self._message_limit = message_limit
        self._held = held or Held()
        self._partial = bytearray()
        self._expected = 0

    @property
    def unfinished(self) -> bool:
        """Whether the rest of a message is still to come."""
        return self._expected > 0

    def messages(self, data: bytes, rejected: Callable[[WireError], None]) -> list[Message]:
        """The messages that this frame completes.

        A malformed message is given to ``rejected`` and left out. Raises :class:`WireError` when
        the frame itself is malformed: the stream has lost its meaning and must be closed.
        """
        if len(data) > self._frame_limit:
            raise WireError(SIZE)
        frame = pb.Frame()
        try:
            frame.ParseFromString(data)
        except DecodeError as error:
            raise WireError(FRAME) from error
        sender = values.read_endpoint(frame.sender) if frame.HasField("sender") else self.sender
        if sender is None or (self.unfinished and sender != self.sender):
            raise WireError(SENDER)
        if len(frame.messages) > BATCH_LIMIT:
            raise WireError(COUNT)
        self.sender = sender
        encoded = list(frame.messages)
        if frame.HasField("chunk") and (whole := self._assembled(frame.chunk)) is not None:
            encoded.append(whole)
        messages = []
        for item in encoded:
            try:
                messages.append(decode(item, sender))
            except WireError as error:
                rejected(error)
        return messages

    def close(self) -> None:
        """Forget the message that will not be finished."""
        self._held.give(len(self._partial))
        self._partial, self._expected = bytearray(), 0

    def _assembled(self, chunk: pb.Chunk) -> bytes | None:
        if chunk.size:
            if self._expected or chunk.size > self._message_limit:
                raise WireError(CHUNK)
            self._expected = chunk.size
        part = chunk.part
        if not part or len(self._partial) + len(part) > self._expected:
            raise WireError(CHUNK)
        if not self._held.take(len(part)):
            raise WireError(ROOM)
        self._partial += part
        if len(self._partial) < self._expected:
            return None
        whole = bytes(self._partial)
        self.close()
        return whole
