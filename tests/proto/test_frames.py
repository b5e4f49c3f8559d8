"""Frames: many messages in one, one message in many, and nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import pytest

from rapid.errors import WireError
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import rapid_pb2 as pb
from rapid.proto import work
from rapid.proto.codec import Encoder, encode
from rapid.proto.frames import (
    AT_ONCE_COUNT,
    AT_ONCE_SIZE,
    BATCH_LIMIT,
    FRAME_OVERHEAD,
    FrameReader,
    FrameWriter,
    Held,
)
from rapid.proto.pieces import Encoded, LargeMessage
from rapid.protocol.messages import Header, Message, Restarted, Snapshot

from .strategies import ME

LIMIT = 1 << 20
CLUSTER = ClusterId(b"c" * 16)
NODE = NodeId(b"n" * 16)
KIND = pb.Message.DESCRIPTOR.fields_by_name["snapshot"].number


def read_all(frames: Iterable[bytes], reader: FrameReader) -> list[Message]:
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


def test_frames_stay_below_the_limit_and_large_messages_go_in_pieces() -> None:
    limit = 65536
    crowd = [Member(Endpoint(f"host-{n}", 7400), NODE, {"k": "v" * 40 * (n % 50)}) for n in range(2000)]
    large = Snapshot(ME, Configuration.of(CLUSTER, 7, crowd, 3))
    little = [Restarted(ME, NodeId(bytes([n % 256]) * 16)) for n in range(5000)]
    encoder = Encoder(limit - FRAME_OVERHEAD)
    said: list[Message] = [*little, large, *little]
    queue = deque(map(encoder.encode, said))
    frames = list(FrameWriter(ME, limit).frames(queue))
    assert max(map(len, frames)) <= limit
    assert max(map(len, frames)) > limit - 4 * FRAME_OVERHEAD
    messages = read_all(frames, FrameReader(limit))
    assert messages[:5000] == messages[5001:] == little
    whole = messages[5000]
    assert isinstance(whole, Snapshot)
    assert whole.configuration.members == large.configuration.members


def test_what_is_too_large_for_a_frame_and_not_in_pieces_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be in pieces"):
        list(FrameWriter(ME, 65536).frames(deque([b"x" * 65536])))


def frame(**fields: Any) -> bytes:
    return pb.Frame(sender=pb.Endpoint(host="a", port=1), **fields).SerializeToString()


def header(**fields: Any) -> pb.Header:
    known = {"kind": KIND, "cluster_id": bytes(CLUSTER), "version": 1, "k": 3, "size": 10}
    return pb.Header(**{**known, **fields})


def first(part: bytes, *, last: bool = False, **fields: Any) -> bytes:
    return frame(chunk=pb.Chunk(header=header(**fields), part=part, last=last))


def further(part: bytes, *, last: bool = False) -> bytes:
    return frame(chunk=pb.Chunk(part=part, last=last))


def skipping(_: Header) -> str | None:
    return "not wanted"


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b"\xff garbage"], "frame"),
        ([b"x" * (LIMIT + 1)], "size"),
        ([pb.Frame(messages=[b""]).SerializeToString()], "sender"),
        ([pb.Frame(sender=pb.Endpoint(host="a")).SerializeToString()], "endpoint"),
        ([further(b"x")], "chunk"),
        ([first(b"x", size=101)], "chunk"),
        ([first(b"x", size=0)], "chunk"),
        ([first(b"")], "chunk"),
        ([first(b"x" * 11)], "chunk"),
        ([first(b"x"), first(b"x")], "chunk"),
        ([first(b"x" * 9), further(b"xx")], "chunk"),
        ([first(b"x", last=True), further(b"x")], "chunk"),
        ([frame(messages=[b""] * (BATCH_LIMIT + 1))], "count"),
        ([first(b"x"), pb.Frame(sender=pb.Endpoint(host="b", port=1)).SerializeToString()], "sender"),
    ],
)
def test_a_malformed_frame_ends_the_stream(frames: list[bytes], reason: str) -> None:
    reader = FrameReader(LIMIT, message_limit=100, refusal=skipping)
    with pytest.raises(WireError) as caught:
        read_all(frames, reader)
    assert caught.value.reason == reason


def test_a_malformed_message_costs_its_frame_nothing_else() -> None:
    rejected: list[WireError] = []
    good = Restarted(Endpoint("a", 1), NODE)
    mixed = frame(messages=[b"\xff", encode(good), b""])
    assert FrameReader(LIMIT).messages(mixed, rejected.append) == [good]
    assert [error.reason for error in rejected] == ["message", "message"]


def test_a_frame_takes_no_more_messages_than_its_reader() -> None:
    queue = deque[Encoded]([b"m"] * (2 * BATCH_LIMIT + 1))
    sizes = [len(pb.Frame.FromString(data).messages) for data in FrameWriter(ME, LIMIT).frames(queue)]
    assert sizes == [BATCH_LIMIT, BATCH_LIMIT, 1]


def test_the_sender_may_change_between_messages() -> None:
    reader = FrameReader(LIMIT)
    encoded = encode(Restarted(ME, NODE))
    for host in ("a", "b"):
        frame = pb.Frame(sender=pb.Endpoint(host=host, port=1), messages=[encoded]).SerializeToString()
        assert read_all([frame], reader) == [Restarted(Endpoint(host, 1), NODE)]


def test_the_sender_is_known_before_anything_is_read() -> None:
    rejected: list[WireError] = []
    reader = FrameReader(LIMIT)
    opened = reader.open(frame(messages=[b"\xff"]))
    assert reader.sender == Endpoint("a", 1)
    assert reader.decoded(opened.messages, rejected.append) == []
    assert rejected


def test_many_messages_are_read_in_steps() -> None:
    some = Restarted(Endpoint("a", 1), NODE)
    reader = FrameReader(LIMIT)
    steps = list(reader.steps(reader.open(frame(messages=[encode(some)] * 2000)), print))
    assert [message for step in steps for message in step] == [some] * 2000
    assert max(map(len, steps)) == AT_ONCE_COUNT


def test_long_messages_are_read_in_steps() -> None:
    crowd = Configuration.of(CLUSTER, 1, [Member(Endpoint(f"host-{n}", 7400), NODE) for n in range(100)], 3)
    encoded = encode(Snapshot(ME, crowd))
    reader = FrameReader(LIMIT)
    steps = list(reader.steps(reader.open(frame(messages=[encoded] * 20)), print))
    assert sum(map(len, steps)) == 20
    assert max(map(len, steps)) == AT_ONCE_SIZE // len(encoded)


# large messages


def crowd(size: int, **metadata: str) -> Snapshot:
    members = [Member(Endpoint(f"host-{n}", 7400), NODE, metadata) for n in range(size)]
    return Snapshot(Endpoint("a", 1), Configuration.of(CLUSTER, 1, members, 3))


def in_pieces(message: Message, limit: int = 4096) -> list[bytes]:
    """The frames of a large message."""
    encoded = Encoder(limit - FRAME_OVERHEAD).encode(message)
    assert isinstance(encoded, LargeMessage)
    return list(FrameWriter(message.sender, limit).frames(deque([encoded])))


def test_a_large_message_is_refused_before_any_of_it_is_read() -> None:
    asked: list[Header] = []

    def refuse(header: Header) -> str | None:
        asked.append(header)
        return "another cluster's" if len(asked) == 1 else None

    held = Held()
    reader = FrameReader(LIMIT, held=held, refusal=refuse)
    junk = [first(b"junk", size=20), further(b"more junk"), further(b"junk", last=True)]
    assert read_all(junk, reader) == []
    assert held.size == 0
    assert asked == [Header(Snapshot, Endpoint("a", 1), CLUSTER, 1, 3)]
    assert not reader.unfinished
    [message] = read_all(in_pieces(crowd(500)), reader)
    assert isinstance(message, Snapshot)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": 77}, "header"),
        ({"kind": 0}, "header"),
        ({"kind": pb.Message.DESCRIPTOR.fields_by_name["probe"].number}, "header"),
        ({"cluster_id": b""}, "identifier"),
        ({"version": 1 << 63}, "number"),
        ({"k": 0}, "number"),
        ({"k": 33}, "number"),
    ],
)
def test_a_header_that_cannot_be_is_counted_and_its_message_skipped(
    fields: dict[str, Any], reason: str
) -> None:
    rejected: list[WireError] = []
    reader = FrameReader(LIMIT)
    assert reader.messages(first(b"x", **fields), rejected.append) == []
    assert reader.messages(further(b"x", last=True), rejected.append) == []
    assert [error.reason for error in rejected] == [reason]
    assert len(read_all(in_pieces(crowd(500)), reader)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"k": 4},
        {"cluster_id": b"x" * 16},
        {"kind": pb.Message.DESCRIPTOR.fields_by_name["refounded"].number},
    ],
)
def test_a_message_that_is_not_what_its_header_says_is_malformed(change: dict[str, Any]) -> None:
    frames = list(map(pb.Frame.FromString, in_pieces(crowd(500))))
    frames[0].chunk.header.MergeFrom(pb.Header(**change))
    rejected: list[WireError] = []
    held = Held()
    reader = FrameReader(LIMIT, held=held)
    for changed in frames:
        assert reader.messages(changed.SerializeToString(), rejected.append) == []
    assert [error.reason for error in rejected] == ["header"]
    assert (held.size, reader.unfinished) == (0, False)


def test_a_malformed_piece_costs_its_message_only() -> None:
    frames = list(map(pb.Frame.FromString, in_pieces(crowd(500))))
    frames[1].chunk.part = b"\xff"
    rejected: list[WireError] = []
    reader = FrameReader(LIMIT)
    for changed in frames:
        assert reader.messages(changed.SerializeToString(), rejected.append) == []
    assert [error.reason for error in rejected] == ["message"]
    assert len(read_all(in_pieces(crowd(500)), reader)) == 1


def test_a_message_that_takes_too_much_memory_is_rejected_and_freed() -> None:
    """Its bytes are few: it is its entries of metadata that cost."""
    frames = in_pieces(crowd(200, **{f"k{n}": "" for n in range(50)}))
    rejected: list[WireError] = []
    held = Held()
    reader = FrameReader(LIMIT, held=held, memory_limit=1 << 20)
    assert sum(map(len, frames)) < 1 << 18
    for each in frames:
        assert reader.messages(each, rejected.append) == []
        assert held.size < 1 << 20
    assert [error.reason for error in rejected] == ["memory"]
    assert held.size == 0


def test_what_is_unfinished_is_limited_over_all_streams() -> None:
    begun, *rest = in_pieces(crowd(500))
    one, other = FrameReader(LIMIT, held=(held := Held(limit=100_000))), FrameReader(LIMIT, held=held)
    rejected: list[WireError] = []
    read_all([begun, rest[0]], one)
    before = held.size
    for each in (begun, *rest):
        other.messages(each, rejected.append)
    assert [error.reason for error in rejected] == ["room"]
    assert (held.size, one.unfinished, other.unfinished) == (before, True, False)
    one.close()
    assert (held.size, one.unfinished) == (0, False)


def test_what_is_finished_is_not_held_any_longer() -> None:
    held = Held()
    reader = FrameReader(LIMIT, held=held)
    *most, last = in_pieces(crowd(500))
    read_all(most, reader)
    assert held.size > 0
    assert len(read_all([last], reader)) == 1
    assert held.size == 0


@pytest.mark.parametrize(
    "message",
    [
        pb.Message(facts=pb.Facts(prepares=[pb.Prepare()] * (work.LIMIT + 1))),
        pb.Message(facts=pb.Facts(promises=[pb.Promise()] * 60_000)),
        pb.Message(facts=pb.Facts(alerts=[pb.Alert()] * 60_000)),
        pb.Message(facts=pb.Facts(proposals=[pb.Cut()] * 60_000)),
        pb.Message(facts=pb.Facts(proposals=[pb.Cut(joined=[pb.Member()] * 30_000)] * 2)),
        pb.Message(cuts=pb.Cuts(cuts=[pb.Cut(removed=[pb.Removal()] * 60_000)])),
        pb.Message(decided=pb.Decided(cut=pb.Cut(joined=[pb.Member()] * 60_000))),
        pb.Message(snapshot=pb.Snapshot(members=[pb.Member()] * 60_000)),
        pb.Message(refounded=pb.Refounded(configuration=pb.Snapshot(members=[pb.Member()] * 60_000))),
        pb.Message(join_reply=pb.JoinReply(observers=[pb.Endpoint()] * 60_000)),
        pb.Message(
            observe_request=pb.ObserveRequest(
                member=pb.Member(metadata={f"{n:x}": "" for n in range(work.LIMIT + 1)})
            )
        ),
    ],
)
def test_what_would_take_long_to_read_is_rejected_unread(message: pb.Message) -> None:
    data = message.SerializeToString()
    if len(data) <= work.UNMEASURED:
        data += b"\xfa\x07\xff\x7f" + b"x" * 16383  # a field that nobody knows
    rejected: list[WireError] = []
    assert FrameReader(LIMIT).messages(frame(messages=[data]), rejected.append) == []
    assert [error.reason for error in rejected] == ["work"]
