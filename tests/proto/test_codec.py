"""The wire format: lossless for every message, and closed to everything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.consensus.facts import ROUND_LIMIT, Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import Alert, Status
from rapid.errors import WireError
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import rapid_pb2 as pb
from rapid.proto.codec import Encoder, decode
from rapid.proto.frames import FRAME_OVERHEAD, FrameReader, FrameWriter
from rapid.proto.values import REASONS, VERSION_LIMIT, VOTERS_LIMIT
from rapid.protocol.messages import (
    Admitted,
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    JoinReply,
    JoinRequest,
    Leaving,
    Message,
    ObserveRequest,
    Probe,
    ProbeAck,
    Refounded,
    Restarted,
    Snapshot,
    Standing,
)

ME = Endpoint("10.0.0.1", 7400)
LIMIT = 1 << 20
CLUSTER = ClusterId(b"c" * 16)
NODE = NodeId(b"n" * 16)

raw_ids = st.binary(min_size=16, max_size=16)
node_ids = raw_ids.map(NodeId)
cluster_ids = raw_ids.map(ClusterId)
digests = raw_ids.map(CutDigest)
versions = st.integers(0, VERSION_LIMIT - 1)
small = st.integers(0, (1 << 32) - 1)
words = st.integers(0, (1 << 64) - 1)
hosts = st.sampled_from(["127.0.0.1", "::1", "fe80::1", "node-7.example.org", "größe.example", "a" * 255])
endpoints = st.builds(Endpoint, hosts, st.integers(1, 65535))
metadata = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), st.text(max_size=8), max_size=3)
members = st.builds(Member, endpoints, node_ids, metadata)
ranks = st.builds(Rank, st.integers(0, ROUND_LIMIT - 1), st.integers(0, ROUND_LIMIT - 1))
bitmaps = st.integers(0, 1 << 200)
cuts = st.builds(
    Cut.of,
    st.lists(st.builds(Removal, endpoints, node_ids, st.booleans()), max_size=3),
    st.lists(members, max_size=3),
)
alerts = st.builds(Alert, endpoints, members, st.sampled_from(Status), small)


def several(items: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, max_size=3).map(tuple)


configurations = st.builds(
    Configuration.of,
    cluster_ids,
    versions,
    st.lists(members, min_size=1, max_size=6, unique_by=lambda member: member.endpoint),
    st.integers(1, 12),
)
MESSAGES = {
    Probe: st.builds(Probe, st.just(ME), node_ids, words, st.none() | cluster_ids, versions, words),
    ProbeAck: st.builds(ProbeAck, st.just(ME), node_ids, words, st.none() | cluster_ids, versions, words),
    JoinRequest: st.builds(
        JoinRequest, st.just(ME), node_ids, small, small, small, small, st.none() | cluster_ids
    ),
    JoinReply: st.builds(
        JoinReply,
        st.just(ME),
        st.sampled_from(Standing),
        st.none() | cluster_ids,
        versions,
        several(endpoints),
        st.text(max_size=20),
    ),
    ObserveRequest: st.builds(ObserveRequest, st.just(ME), members, cluster_ids, versions),
    Admitted: st.builds(Admitted, st.just(ME), cluster_ids, versions),
    Restarted: st.builds(Restarted, st.just(ME), node_ids),
    Leaving: st.builds(Leaving, st.just(ME), node_ids, cluster_ids, versions),
    Facts: st.builds(
        Facts,
        st.just(ME),
        cluster_ids,
        versions,
        several(alerts),
        several(cuts),
        several(st.builds(Prepare, ranks)),
        several(st.builds(Promise, ranks, ranks, st.none() | digests, bitmaps)),
        several(st.builds(Accept, ranks, digests)),
        several(st.builds(Vote, ranks, digests, bitmaps)),
        st.booleans(),
    ),
    Decided: st.builds(Decided, st.just(ME), cluster_ids, versions, digests, st.none() | cuts),
    ConfigurationRequest: st.builds(
        ConfigurationRequest, st.just(ME), cluster_ids, st.none() | versions, node_ids
    ),
    Cuts: st.builds(Cuts, st.just(ME), cluster_ids, versions, several(cuts)),
}
"""All but those that carry a configuration, which is compared by its contents."""


def test_every_message_has_a_strategy() -> None:
    assert {*MESSAGES, Snapshot, Refounded} == set(Message.__args__)


@given(st.one_of(*MESSAGES.values()))
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(Encoder().encode(message), ME) == message


@given(configurations)
def test_a_snapshot_comes_back_with_its_rings(configuration: Configuration) -> None:
    message = decode(Encoder().encode(Snapshot(ME, configuration)), ME)
    assert isinstance(message, Snapshot)
    copy = message.configuration
    assert copy.digest == configuration.digest
    assert copy.members == configuration.members
    assert [ring.endpoints for ring in copy.rings] == [ring.endpoints for ring in configuration.rings]


@given(configurations)
def test_a_refounding_comes_back(configuration: Configuration) -> None:
    message = decode(Encoder().encode(Refounded(ME, CLUSTER, 7, configuration)), ME)
    assert isinstance(message, Refounded)
    assert (message.cluster_id, message.version) == (CLUSTER, 7)
    assert message.configuration.digest == configuration.digest


def test_a_cut_comes_back_with_its_digest() -> None:
    cut = Cut.of([Removal(ME, NODE, left=True)], [Member(Endpoint("b", 2), NODE, {"role": "cache"})])
    message = decode(Encoder().encode(Cuts(ME, CLUSTER, 3, (cut,))), ME)
    assert isinstance(message, Cuts)
    assert message.cuts[0].digest == cut.digest


def test_a_probe_and_its_answer_are_small() -> None:
    writer = FrameWriter(ME, LIMIT)
    for message in (
        Probe(ME, NODE, 100_000, CLUSTER, 1000, (1 << 64) - 1),
        ProbeAck(ME, NODE, 100_000, CLUSTER, 1000, (1 << 64) - 1),
    ):
        encoded = Encoder().encode(message)
        list(writer.frames(deque([encoded])))  # the first frame names the sender
        [frame] = writer.frames(deque([encoded]))
        assert len(frame) < 60


def test_one_configuration_is_encoded_once_for_many() -> None:
    configuration = Configuration.of(CLUSTER, 1, [Member(ME, NODE)], 10)
    encoder = Encoder()
    first = encoder.encode(Snapshot(ME, configuration))
    assert encoder.encode(Restarted(ME, NODE)) != first
    assert encoder.encode(Snapshot(ME, configuration)) is first


def refusal(read: Callable[[], object]) -> str | None:
    """The reason of the WireError, if there is one; nothing else may be raised."""
    try:
        read()
    except WireError as error:
        return error.reason
    return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    assert refusal(lambda: decode(data, ME)) in {None, *REASONS}


@given(st.one_of(*MESSAGES.values()), st.data())
def test_a_damaged_message_is_a_message_or_a_wire_error(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(Encoder().encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    assert refusal(lambda: decode(bytes(damaged), ME)) in {None, *REASONS}


GOOD: dict[str, Any] = {"endpoint": pb.Endpoint(host="b", port=7), "node_id": bytes(NODE)}


def probe(**fields: Any) -> pb.Message:
    return pb.Message(probe=pb.Probe(**{"target": NODE, "cluster_id": CLUSTER, **fields}))


def alert(**fields: Any) -> pb.Message:
    good = {"observer": GOOD["endpoint"], "subject": pb.Member(**GOOD), "status": 1, "rings": 1}
    return pb.Message(facts=pb.Facts(cluster_id=CLUSTER, alerts=[pb.Alert(**{**good, **fields})]))


def vote(**fields: Any) -> pb.Message:
    good = {"rank": pb.Rank(round=1), "digest": b"d" * 16, "voters": b"\1"}
    return pb.Message(facts=pb.Facts(cluster_id=CLUSTER, votes=[pb.Vote(**{**good, **fields})]))


def snapshot(**fields: Any) -> pb.Message:
    encoded = Encoder().encode(Snapshot(ME, Configuration.of(CLUSTER, 1, [Member(ME, NODE)], 10)))
    message = pb.Message.FromString(encoded)
    changed = pb.Snapshot(**fields)
    for field in fields:
        message.snapshot.ClearField(field)
    message.snapshot.MergeFrom(changed)
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (pb.Message(), "message"),
        (probe(target=b"short"), "identifier"),
        (probe(target=b""), "identifier"),
        (probe(cluster_id=b"x" * 17), "identifier"),
        (probe(version=VERSION_LIMIT), "number"),
        (alert(observer=pb.Endpoint(host="b", port=0)), "endpoint"),
        (alert(observer=pb.Endpoint(host="b", port=65536)), "endpoint"),
        (alert(observer=pb.Endpoint(host="", port=7)), "endpoint"),
        (alert(observer=pb.Endpoint(host="b" * 256, port=7)), "endpoint"),
        (alert(observer=pb.Endpoint(host="b\0", port=7)), "endpoint"),
        (alert(observer=pb.Endpoint(host="[::1]", port=7)), "endpoint"),
        (alert(status=0), "number"),
        (alert(status=9), "number"),
        (alert(subject=pb.Member(**GOOD, metadata={"k": "v" * 16384})), "metadata"),
        (vote(rank=pb.Rank(round=ROUND_LIMIT)), "number"),
        (vote(rank=pb.Rank(round=1, coordinator=ROUND_LIMIT)), "number"),
        (vote(digest=b""), "identifier"),
        (vote(voters=b"\1" * (VOTERS_LIMIT + 1)), "number"),
        (pb.Message(join_reply=pb.JoinReply(standing=77)), "number"),
        (pb.Message(join_reply=pb.JoinReply(standing=1, detail="x" * 2000)), "count"),
        (pb.Message(join_reply=pb.JoinReply(standing=1, observers=[GOOD["endpoint"]] * 33)), "count"),
        (snapshot(k=0), "number"),
        (snapshot(k=33), "number"),
        (snapshot(version=2), "configuration"),
        (snapshot(members=[]), "configuration"),
        (snapshot(members=[pb.Member(**GOOD), pb.Member(**GOOD)]), "configuration"),
    ],
)
def test_what_does_not_fit_is_rejected_with_its_reason(message: pb.Message, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(message.SerializeToString(), ME)
    assert caught.value.reason == reason


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


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_are_frames_or_a_wire_error(frames: list[bytes]) -> None:
    reader = FrameReader(LIMIT)

    def read() -> None:
        for data in frames:
            reader.messages(data, lambda error: None)

    assert refusal(read) in {None, *REASONS}
