"""Frames: many messages in one, one message in many, and nothing else."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from rapid.errors import WireError
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import rapid_pb2 as pb
from rapid.proto.codec import Encoder
from rapid.proto.frames import BATCH_LIMIT, FRAME_OVERHEAD, FrameReader, FrameWriter, Held
from rapid.protocol.messages import Message, Restarted, Snapshot

from .strategies import ME

LIMIT = 1 << 20
CLUSTER = ClusterId(b"c" * 16)
NODE = NodeId(b"n" * 16)


def read_all(frames: list[bytes], reader: FrameReader) -> list[Message]:
    rejected: list[WireError] = []
    messages = [message for frame in frames for message in reader.messages(frame, rejected.append)]
    assert not rejected
    return messages


def test_a_queue_becomes_one_frame() -> None:
    sent = [Restarted(ME, NodeId(bytes([n]) * 16)) for n in range(50)]
    queue = deque(Encoder().encode(message) for message in sent)
    frames = list(FrameWriter(ME, LIMIT).frames(queue))
    assert len(frames) == 1
    assert read_all(frames, FrameReader(LIMIT)) == sent


def test_frames_stay_below_the_limit_and_large_messages_go_in_chunks() -> None:
    limit = 65536
    crowd = [Member(Endpoint(f"host-{n}", 7400), NODE, {"k": "v" * 40 * (n % 50)}) for n in range(2000)]
    large = Snapshot(ME, Configuration.of(CLUSTER, 7, crowd, 3))
    little = [Restarted(ME, NodeId(bytes([n % 256]) * 16)) for n in range(5000)]
    encoder = Encoder()
    said: list[Message] = [*little, large, *little]
    queue = deque(map(encoder.encode, said))
    frames = list(FrameWriter(ME, limit).frames(queue))
    assert max(map(len, frames)) <= limit
    assert max(map(len, frames)) > limit - 2 * FRAME_OVERHEAD
    messages = read_all(frames, FrameReader(LIMIT))
    assert messages[:5000] == messages[5001:] == little
    whole = messages[5000]
    assert isinstance(whole, Snapshot)
    assert whole.configuration.members == large.configuration.members


def frame(**fields: Any) -> bytes:
    return pb.Frame(sender=pb.Endpoint(host="a", port=1), **fields).SerializeToString()


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b"\xff garbage"], "frame"),
        ([b"x" * (LIMIT + 1)], "size"),
        ([pb.Frame(messages=[b""]).SerializeToString()], "sender"),
        ([pb.Frame(sender=pb.Endpoint(host="a")).SerializeToString()], "endpoint"),
        ([frame(chunk=pb.Chunk(part=b"x"))], "chunk"),
        ([frame(chunk=pb.Chunk(size=101, part=b"x"))], "chunk"),
        ([frame(chunk=pb.Chunk(size=10, part=b""))], "chunk"),
        ([frame(chunk=pb.Chunk(size=10, part=b"x" * 11))], "chunk"),
        ([frame(chunk=pb.Chunk(size=10, part=b"x"))] * 2, "chunk"),
        ([frame(chunk=pb.Chunk(size=10, part=b"x" * 9)), frame(chunk=pb.Chunk(part=b"xx"))], "chunk"),
        ([frame(messages=[b""] * (BATCH_LIMIT + 1))], "count"),
        (
            [
                frame(chunk=pb.Chunk(size=10, part=b"x")),
                pb.Frame(sender=pb.Endpoint(host="b", port=1)).SerializeToString(),
            ],
            "sender",
        ),
    ],
)
def test_a_malformed_frame_ends_the_stream(frames: list[bytes], reason: str) -> None:
    reader = FrameReader(LIMIT, message_limit=100)
    with pytest.raises(WireError) as caught:
        read_all(frames, reader)
    assert caught.value.reason == reason


def test_a_malformed_message_costs_its_frame_nothing_else() -> None:
    rejected: list[WireError] = []
    good = Restarted(Endpoint("a", 1), NODE)
    mixed = frame(messages=[b"\xff", Encoder().encode(good), b""])
    assert FrameReader(LIMIT).messages(mixed, rejected.append) == [good]
    assert [error.reason for error in rejected] == ["message", "message"]


def test_a_frame_takes_no_more_messages_than_its_reader() -> None:
    queue = deque([b"m"] * (2 * BATCH_LIMIT + 1))
    sizes = [len(pb.Frame.FromString(data).messages) for data in FrameWriter(ME, LIMIT).frames(queue)]
    assert sizes == [BATCH_LIMIT, BATCH_LIMIT, 1]


def test_the_sender_may_change_between_messages() -> None:
    reader = FrameReader(LIMIT)
    encoded = Encoder().encode(Restarted(ME, NODE))
    for host in ("a", "b"):
        frame = pb.Frame(sender=pb.Endpoint(host=host, port=1), messages=[encoded]).SerializeToString()
        assert read_all([frame], reader) == [Restarted(Endpoint(host, 1), NODE)]


def test_what_is_unfinished_is_limited_over_all_streams() -> None:
    held = Held(limit=15)
    one, other = FrameReader(LIMIT, held=held), FrameReader(LIMIT, held=held)
    part = frame(chunk=pb.Chunk(size=20, part=b"x" * 8))
    read_all([part], one)
    with pytest.raises(WireError) as caught:
        read_all([part], other)
    assert caught.value.reason == "room"
    other.close()
    assert (held.size, one.unfinished, other.unfinished) == (8, True, False)
    one.close()
    assert (held.size, one.unfinished) == (0, False)
    read_all([part], other)


def test_what_is_finished_is_not_held_any_longer() -> None:
    held = Held()
    message = Encoder().encode(Restarted(Endpoint("a", 1), NODE))
    parts = [
        frame(chunk=pb.Chunk(size=len(message), part=message[:5])),
        frame(chunk=pb.Chunk(part=message[5:])),
    ]
    assert read_all(parts, FrameReader(LIMIT, held=held)) == [Restarted(Endpoint("a", 1), NODE)]
    assert held.size == 0
