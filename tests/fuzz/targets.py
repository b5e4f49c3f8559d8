"""What takes bytes of any origin: here from hypothesis, elsewhere from a fuzzer that looks at coverage.

Each returns when all is well, and raises when a promise is broken.
"""

from __future__ import annotations

from collections.abc import Iterator

from rapid.errors import WireError
from rapid.overlay.member import Endpoint
from rapid.proto.codec import decode, encode
from rapid.proto.frames import FrameReader, Held
from rapid.proto.values import REASONS
from rapid.protocol.messages import Message, Refounded, Snapshot

from .town import Town

SPEAKER = Endpoint("10.0.0.1", 7001)
FRAME_LIMIT = 1 << 16
MESSAGE_LIMIT = 1 << 18
HEADER = 4
"""Bytes before each piece of a script: who speaks, after which pause, and the length of what is said."""


def codec(data: bytes) -> None:
    """These bytes as one message, and as the frames of a stream."""
    if (message := _read(data)) is not None:
        _returns(message)
    held = Held(MESSAGE_LIMIT)
    reader = FrameReader(FRAME_LIMIT, MESSAGE_LIMIT, held)
    try:
        for _, _, frame in pieces(data):
            for message in reader.messages(frame, _refused):
                _returns(message)
    except WireError as error:
        _refused(error)
    assert held.size <= MESSAGE_LIMIT
    reader.close()
    assert held.size == 0


def node(data: bytes) -> None:
    """These bytes as a script: messages to one member of a small cluster, or to one that is about to join.

    Where nothing is said, something happens to the cluster.
    """
    town = Town()
    for speaker, pause, encoded in pieces(data):
        if not encoded:
            town.happen(speaker, pause)
        elif (message := _read(encoded)) is not None:
            town.hear(speaker, pause, message)
    town.check(told=len(data))


def pieces(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The pieces of a script; the last may be cut short."""
    at = 0
    while at + HEADER <= len(data):
        speaker, pause = data[at], data[at + 1]
        end = at + HEADER + int.from_bytes(data[at + 2 : at + HEADER], "big")
        yield speaker, pause, data[at + HEADER : end]
        at = end


def piece(speaker: int, pause: int, said: bytes) -> bytes:
    """One piece of a script."""
    return bytes([speaker, pause]) + len(said).to_bytes(2, "big") + said


def _read(data: bytes) -> Message | None:
    try:
        return decode(data, SPEAKER)
    except WireError as error:
        _refused(error)
        return None


def _refused(error: WireError) -> None:
    assert error.reason in REASONS


def _returns(message: Message) -> None:
    """What was read can be said, and is read again as the same."""
    again = decode(encode(message), message.sender)
    if isinstance(message, Snapshot | Refounded):
        assert type(again) is type(message)
        assert again.configuration.digest == message.configuration.digest
        assert again.formerly == message.formerly
    else:
        assert again == message
