"""The wire format of messages: lossless for every one, and closed to everything else."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.consensus.facts import ROUND_LIMIT
from rapid.detection.alert import Alert, Ground, Status
from rapid.errors import WireError
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import rapid_pb2 as pb
from rapid.proto import values
from rapid.proto.codec import Encoder, decode, encode
from rapid.proto.frames import FrameWriter
from rapid.proto.pieces import Encoded
from rapid.proto.values import (
    MEMBERS_LIMIT,
    PROPOSALS_LIMIT,
    RANKS_LIMIT,
    REASONS,
    VERSION_LIMIT,
    VOTERS_LIMIT,
)
from rapid.protocol.catch_up import CUTS_LIMIT
from rapid.protocol.lineage import FORMERLY_LIMIT
from rapid.protocol.messages import (
    Cuts,
    Facts,
    Message,
    Probe,
    ProbeAck,
    Refounded,
    Restarted,
    Snapshot,
    Unreached,
)

from .strategies import ANY, ME, messages

LIMIT = 1 << 20
CLUSTER = ClusterId(b"c" * 16)
NODE = NodeId(b"n" * 16)

ALL = messages(ANY)
PLAIN = {kind: strategy for kind, strategy in ALL.items() if kind not in (Snapshot, Refounded)}
"""All but those that carry a configuration, which is compared by its contents."""


def test_every_message_has_a_strategy() -> None:
    assert set(ALL) == set(Message.__args__)


@given(st.one_of(*PLAIN.values()))
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode(encode(message), ME) == message


@given(ALL[Snapshot])
def test_a_snapshot_comes_back_with_its_rings(said: Snapshot) -> None:
    message = decode(encode(said), ME)
    assert isinstance(message, Snapshot)
    copy, configuration = message.configuration, said.configuration
    assert message.formerly == said.formerly
    assert copy.digest == configuration.digest
    assert copy.members == configuration.members
    assert [ring.endpoints for ring in copy.rings] == [ring.endpoints for ring in configuration.rings]


@given(ALL[Refounded])
def test_a_refounding_comes_back(said: Refounded) -> None:
    message = decode(encode(said), ME)
    assert isinstance(message, Refounded)
    assert (message.cluster_id, message.version) == (said.cluster_id, said.version)
    assert message.configuration.digest == said.configuration.digest
    assert message.configuration.k == said.configuration.k
    assert message.formerly == said.formerly


def test_a_cut_comes_back_with_its_digest() -> None:
    cut = Cut.of([Removal(ME, NODE, left=True)], [Member(Endpoint("b", 2), NODE, {"role": "cache"})])
    message = decode(encode(Cuts(ME, CLUSTER, 3, (cut,))), ME)
    assert isinstance(message, Cuts)
    assert message.cuts[0].digest == cut.digest


def test_a_probe_and_its_answer_are_small() -> None:
    writer = FrameWriter(ME, LIMIT)
    for message in (
        Probe(ME, NODE, 100_000, CLUSTER, 1000, (1 << 64) - 1),
        ProbeAck(ME, NODE, 100_000, CLUSTER, 1000, (1 << 64) - 1),
    ):
        encoded: Encoded = encode(message)
        list(writer.frames(deque([encoded])))  # the first frame names the sender
        [frame] = writer.frames(deque([encoded]))
        assert len(frame) < 60


def test_one_configuration_is_encoded_once_for_many() -> None:
    configuration = Configuration.of(CLUSTER, 1, [Member(ME, NODE)], 10)
    encoder = Encoder()
    first = encoder.encode(Snapshot(ME, configuration))
    assert encoder.encode(Restarted(ME, NODE)) != first
    assert encoder.encode(Snapshot(ME, configuration)) is first
    assert encoder.encode(Snapshot(ME, configuration, (CLUSTER,))) != first, "what it replaced is said, too"


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


@given(st.one_of(*ALL.values()), st.data())
def test_a_damaged_message_is_a_message_or_a_wire_error(message: Message, data: st.DataObject) -> None:
    damaged = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        if damaged:
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    assert refusal(lambda: decode(bytes(damaged), ME)) in {None, *REASONS}


GOOD: dict[str, Any] = {"endpoint": pb.Endpoint(host="b", port=7), "node_id": bytes(NODE)}


def probe(**fields: Any) -> pb.Message:
    return pb.Message(probe=pb.Probe(**{"target": NODE, "cluster_id": CLUSTER, **fields}))


def facts(**fields: Any) -> pb.Message:
    return pb.Message(facts=pb.Facts(cluster_id=CLUSTER, **fields))


def alert(**fields: Any) -> pb.Message:
    good = {"observer": GOOD["endpoint"], "subject": pb.Member(**GOOD), "status": 1, "rings": 1}
    return facts(alerts=[pb.Alert(**{**good, **fields})])


@pytest.mark.parametrize("number", [77, (1 << 32) - 1])
def test_a_ground_that_a_later_version_adds_is_none_here(number: int) -> None:
    message = decode(alert(ground=number).SerializeToString(), ME)
    assert isinstance(message, Facts)
    assert [fact.ground for fact in message.alerts] == [Ground.UNSTATED]
    unreached = pb.Unreached(joiner=GOOD["endpoint"], node_id=NODE, ground=number)
    message = decode(pb.Message(unreached=unreached).SerializeToString(), ME)
    assert isinstance(message, Unreached)
    assert message.ground is Ground.UNSTATED


def test_a_ground_takes_two_bytes_and_none_takes_none() -> None:
    said = Alert(ME, Member(ME, NODE), Status.DOWN, 1)
    sizes = [values.alert(said._replace(ground=ground)).ByteSize() for ground in Ground]
    assert [size - sizes[0] for size in sizes] == [0, *[2] * (len(Ground) - 1)]


def vote(**fields: Any) -> pb.Message:
    good = {"rank": pb.Rank(round=1), "digest": b"d" * 16, "voters": b"\1"}
    return facts(votes=[pb.Vote(**{**good, **fields})])


def snapshot_of(configuration: Configuration) -> pb.Message:
    return pb.Message.FromString(encode(Snapshot(ME, configuration)))


def snapshot(**fields: Any) -> pb.Message:
    message = snapshot_of(Configuration.of(CLUSTER, 1, [Member(ME, NODE)], 10))
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
        (probe(cluster_name="a\nb"), "text"),
        (probe(cluster_name="n" * 256), "text"),
        (probe(cluster_name="\N{SNOWMAN}" * 86), "text"),
        (alert(observer=pb.Endpoint(host="b", port=0)), "endpoint"),
        (alert(observer=pb.Endpoint(host="b", port=65536)), "endpoint"),
        (alert(observer=pb.Endpoint(host="", port=7)), "endpoint"),
        (alert(observer=pb.Endpoint(host="b" * 256, port=7)), "endpoint"),
        (alert(observer=pb.Endpoint(host="b\0", port=7)), "endpoint"),
        (alert(observer=pb.Endpoint(host="[::1]", port=7)), "endpoint"),
        (alert(status=0), "number"),
        (alert(status=9), "number"),
        (alert(rings=0), "number"),
        (alert(subject=pb.Member(**GOOD, metadata={"k": "v" * 16384})), "metadata"),
        (vote(rank=pb.Rank(round=ROUND_LIMIT)), "number"),
        (vote(rank=pb.Rank(round=1, coordinator=MEMBERS_LIMIT)), "number"),
        (vote(digest=b""), "identifier"),
        (vote(voters=b"\1" * (VOTERS_LIMIT + 1)), "number"),
        (pb.Message(join_reply=pb.JoinReply(standing=77)), "number"),
        (pb.Message(join_reply=pb.JoinReply(standing=1, detail="x" * 2000)), "count"),
        (pb.Message(join_reply=pb.JoinReply(standing=1, observers=[GOOD["endpoint"]] * 33)), "count"),
        (pb.Message(join_reply=pb.JoinReply(standing=1, detail="a\nb")), "text"),
        (pb.Message(join_reply=pb.JoinReply(standing=1, detail="\x1b[2J")), "text"),
        (facts(prepares=[pb.Prepare()] * (RANKS_LIMIT + 1)), "count"),
        (facts(accepts=[pb.Accept()] * (RANKS_LIMIT + 1)), "count"),
        (facts(proposals=[pb.Cut()] * (PROPOSALS_LIMIT + 1)), "count"),
        (pb.Message(cuts=pb.Cuts(cluster_id=CLUSTER, cuts=[pb.Cut()] * (CUTS_LIMIT + 1))), "count"),
        (snapshot(k=0), "number"),
        (snapshot(k=33), "number"),
        (snapshot(version=2), "configuration"),
        (snapshot_of(Configuration.of(CLUSTER, 0, [Member(ME, NODE)], 10)), "configuration"),
        (snapshot(digest=b"d" * 16), "configuration"),
        (snapshot(digest=b"short"), "identifier"),
        (snapshot(members=[]), "configuration"),
        (snapshot(formerly=[CLUSTER] * (FORMERLY_LIMIT + 1)), "count"),
        (snapshot(formerly=[b"short"]), "identifier"),
        (snapshot(members=[pb.Member(**GOOD), pb.Member(**GOOD)]), "configuration"),
    ],
)
def test_what_does_not_fit_is_rejected_with_its_reason(message: pb.Message, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        decode(message.SerializeToString(), ME)
    assert caught.value.reason == reason


WITH_A_VERSION = (
    "probe", "probe_ack", "join_reply", "observe_request", "admitted", "leaving", "facts", "decided",
    "configuration_request", "cuts", "snapshot", "refounded",
)  # fmt: skip


@pytest.mark.parametrize("kind", WITH_A_VERSION)
@given(data=st.data())
def test_no_version_is_read_that_has_no_successor(kind: str, data: st.DataObject) -> None:
    by_name = {"".join(part.title() for part in kind.split("_")): kind for kind in WITH_A_VERSION}
    of_that_kind = next(strategy for type_, strategy in ALL.items() if by_name.get(type_.__name__) == kind)
    raw = pb.Message.FromString(encode(data.draw(of_that_kind)))
    field = "have" if kind == "configuration_request" else "version"
    setattr(getattr(raw, kind), field, data.draw(st.integers(VERSION_LIMIT, (1 << 64) - 1)))
    with pytest.raises(WireError) as caught:
        decode(raw.SerializeToString(), ME)
    assert caught.value.reason == "number"


def test_each_version_that_is_read_has_a_successor_that_can_be_said() -> None:
    last = Configuration.of(CLUSTER, VERSION_LIMIT - 1, [Member(ME, NODE)], 10)
    after = last.apply(Cut.of((), [Member(Endpoint("b", 2), NODE)]))
    assert pb.Message.FromString(encode(Snapshot(ME, after))).snapshot.version == VERSION_LIMIT
