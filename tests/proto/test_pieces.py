"""Large messages in pieces: each is read by itself, and together they are the message again."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.consensus.facts import Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import Alert, Status
from rapid.errors import WireError
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto import rapid_pb2 as pb
from rapid.proto import work
from rapid.proto.codec import Encoder, encode
from rapid.proto.frames import FRAME_OVERHEAD, FrameReader, FrameWriter, Held
from rapid.proto.pieces import LargeMessage, divided
from rapid.protocol.messages import Cuts, Decided, Facts, Message, Refounded, Restarted, Snapshot

from .strategies import ANY, ME, messages

CLUSTER = ClusterId(b"c" * 16)
NODE = NodeId(b"n" * 16)
DIGEST = CutDigest(b"d" * 16)
LIMIT = 4096
KINDS = {kind: strategy for kind, strategy in messages(ANY).items() if kind in (Facts, Decided, Cuts)}
CONFIGURATIONS = {kind: strategy for kind, strategy in messages(ANY).items() if kind in (Snapshot, Refounded)}


def member(number: int, **metadata: str) -> Member:
    return Member(Endpoint(f"host-{number}", 7400), NODE, metadata)


def read(large: LargeMessage) -> list[Message]:
    """What comes of the pieces at the other end."""
    rejected: list[WireError] = []
    held = Held()
    reader = FrameReader(1 << 20, held=held)
    found = [
        message
        for frame in FrameWriter(ME, 1 << 20).frames(deque([large]))
        for message in reader.messages(frame, rejected.append)
    ]
    assert not rejected
    assert not reader.unfinished
    assert held.size == 0
    return found


def together(parts: list[Message]) -> Facts:
    """What several batches of facts say."""
    fields: dict[str, Any] = {
        name: tuple(fact for part in parts for fact in getattr(part, name))
        for name in ("alerts", "proposals", "prepares", "promises", "accepts", "votes")
    }
    facts = [part for part in parts if isinstance(part, Facts)]
    assert all(not part.complete for part in facts[:-1]), "only the last batch is the end of it"
    return Facts(ME, facts[0].cluster_id, facts[0].version, **fields, complete=facts[-1].complete)


@given(st.one_of(*KINDS.values()), st.integers(100, 2000))
def test_the_pieces_are_the_message_again(message: Message, limit: int) -> None:
    large = divided(message, 400 + limit)
    if large is None:
        return
    assert sum(map(len, large)) <= large.size == len(large)
    found = read(large)
    assert (together(found) if isinstance(message, Facts) else found[0]) == message
    assert isinstance(message, Facts) or len(found) == 1


@given(st.one_of(*CONFIGURATIONS.values()), st.integers(100, 2000))
def test_the_pieces_of_a_configuration_are_the_same_again(message: Snapshot | Refounded, limit: int) -> None:
    large = divided(message, 400 + limit)
    if large is None:
        return
    assert sum(map(len, large)) <= large.size
    [found] = read(large)
    assert isinstance(found, Snapshot | Refounded)
    assert type(found) is type(message)
    assert found.formerly == message.formerly
    copy, configuration = found.configuration, message.configuration
    assert copy.digest == configuration.digest
    assert copy.members == configuration.members
    assert [ring.endpoints for ring in copy.rings] == [ring.endpoints for ring in configuration.rings]
    assert [ring.keys for ring in copy.rings] == [ring.keys for ring in configuration.rings]


MANY = [member(number, role="x" * (number % 40)) for number in range(400)]
GONE = [Removal(Endpoint(f"gone-{number}", 1), NODE, left=number % 2 == 0) for number in range(400)]
LARGE = Cut.of(GONE, MANY)
RANKS = [Rank(number, number) for number in range(1, 200)]
EXAMPLES: list[Message] = [
    Snapshot(ME, Configuration.of(CLUSTER, 3, MANY, 5), (ClusterId(b"f" * 16),)),
    Refounded(ME, CLUSTER, 2, Configuration.of(ClusterId(b"n" * 16), 3, MANY, 5)),
    Decided(ME, CLUSTER, 2, LARGE.digest, LARGE),
    Cuts(ME, CLUSTER, 2, (Cut.of(), LARGE, Cut.of(GONE[:1]), LARGE, Cut.of())),
    Facts(
        ME,
        CLUSTER,
        2,
        tuple(Alert(ME, each, Status.UP, 1) for each in MANY),
        (LARGE, Cut.of(GONE[:2]), LARGE),
        tuple(map(Prepare, RANKS)),
        tuple(Promise(rank, rank, DIGEST, 1 << 2000) for rank in RANKS),
        tuple(Accept(rank, DIGEST) for rank in RANKS),
        tuple(Vote(rank, DIGEST, 1 << 2000) for rank in RANKS),
        complete=True,
    ),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_no_piece_is_above_the_limits(message: Message) -> None:
    large = Encoder(LIMIT).encode(message)
    assert isinstance(large, LargeMessage)
    parts = list(large)
    assert len(parts) >= 10
    assert max(map(len, parts)) <= LIMIT
    assert sum(map(len, parts)) <= large.size <= 2 * len(encode(message)) + LIMIT
    found = read(large)
    if isinstance(message, Facts):
        assert together(found) == message
    elif isinstance(message, Decided | Cuts):
        assert found == [message]
    else:
        assert len(found) == 1


@pytest.mark.parametrize("limit", [10_000, 126 * 1024, (1 << 20) + 1, 1 << 24])
def test_a_piece_is_no_more_work_than_is_done_at_once(limit: int) -> None:
    busy = [member(number, **{f"k{n}": "" for n in range(500)}) for number in range(50)]
    many = [member(number) for number in range(9000)]
    for joined in (busy, many):
        large = divided(Decided(ME, CLUSTER, 2, DIGEST, Cut.of((), joined)), limit)
        assert large is not None
        assert max(work.of(pb.Message.FromString(part)) for part in large) <= work.LIMIT
        assert max(map(len, large)) <= limit


def test_small_messages_stay_whole() -> None:
    for message in (
        Restarted(ME, NODE),
        Facts(ME, CLUSTER, 1),
        Snapshot(ME, Configuration.of(CLUSTER, 1, MANY, 5)),
        Decided(ME, CLUSTER, 1, DIGEST, None),
    ):
        assert Encoder().encode(message) == encode(message)


def test_a_piece_is_encoded_once() -> None:
    message = Snapshot(ME, Configuration.of(CLUSTER, 3, MANY, 5))
    encoder = Encoder(LIMIT)
    large = encoder.encode(message)
    assert isinstance(large, LargeMessage)
    assert encoder.encode(Snapshot(ME, message.configuration)) is large
    assert encoder.encode(Snapshot(ME, message.configuration, (CLUSTER,))) is not large
    assert [one is other for one, other in zip(large, large, strict=True)] == [True] * len(large.pieces)


def chunks(*parts: pb.Message, kind: str, k: int = 0) -> list[bytes]:
    number = pb.Message.DESCRIPTOR.fields_by_name[kind].number
    header = pb.Header(kind=number, cluster_id=CLUSTER, version=2, k=k, size=1 << 20)
    return [
        pb.Frame(
            sender=pb.Endpoint(host="a", port=1),
            chunk=pb.Chunk(
                header=None if at else header, part=part.SerializeToString(), last=at == len(parts) - 1
            ),
        ).SerializeToString()
        for at, part in enumerate(parts)
    ]


BEGUN = pb.Decided(cluster_id=CLUSTER, version=2, digest=b"d" * 16, cut=pb.Cut(more=True))
OPEN = pb.Cuts(cluster_id=CLUSTER, version=2, cuts=[pb.Cut(more=True)])
TWICE_OPEN = pb.Cuts(cluster_id=CLUSTER, version=2, cuts=[pb.Cut(more=True)] * 2)
DONE = pb.Message(decided=pb.Decided(cut=pb.Cut()))
SNAPSHOT = pb.Snapshot(cluster_id=CLUSTER, version=2, k=3, digest=b"d" * 16)
SOMEBODY = pb.Member(endpoint=pb.Endpoint(host="b", port=1), node_id=NODE)


@pytest.mark.parametrize(
    ("kind", "k", "parts", "reason"),
    [
        ("decided", 0, [pb.Message(decided=BEGUN)], "chunk"),
        ("decided", 0, [pb.Message(decided=BEGUN), pb.Message(restarted=pb.Restarted())], "header"),
        ("decided", 0, [pb.Message(decided=BEGUN), *[DONE] * 2], "chunk"),
        ("cuts", 0, [pb.Message(cuts=OPEN)], "chunk"),
        ("cuts", 0, [pb.Message(cuts=TWICE_OPEN)], "chunk"),
        ("facts", 0, [pb.Message(facts=pb.Facts(cluster_id=CLUSTER, version=3))], "header"),
        (
            "facts",
            0,
            [pb.Message(facts=pb.Facts(cluster_id=CLUSTER, version=2, proposals=[pb.Cut(more=True)]))],
            "chunk",
        ),
        ("snapshot", 3, [pb.Message(snapshot=SNAPSHOT)], "configuration"),
        (
            "snapshot",
            3,
            [pb.Message(snapshot=SNAPSHOT), *[pb.Message(snapshot=pb.Snapshot(members=[SOMEBODY]))] * 2],
            "configuration",
        ),
        (
            "snapshot",
            3,
            [pb.Message(snapshot=SNAPSHOT), pb.Message(snapshot=pb.Snapshot(members=[SOMEBODY]))],
            "configuration",
        ),
        ("snapshot", 3, [pb.Message(snapshot=pb.Snapshot())], "header"),
        ("snapshot", 3, [pb.Message(snapshot=pb.Snapshot(members=[pb.Member()] * 2000))], "work"),
    ],
)  # fmt: skip
def test_pieces_that_do_not_make_a_message_are_rejected(
    kind: str, k: int, parts: list[pb.Message], reason: str
) -> None:
    rejected: list[WireError] = []
    held = Held()
    reader = FrameReader(1 << 20, held=held)
    for frame in chunks(*parts, kind=kind, k=k):
        reader.messages(frame, rejected.append)
    assert [error.reason for error in rejected] == [reason]
    assert (held.size, reader.unfinished) == (0, False)


def test_a_cut_that_goes_on_needs_pieces() -> None:
    data = pb.Message(decided=BEGUN).SerializeToString()
    rejected: list[WireError] = []
    frame = pb.Frame(sender=pb.Endpoint(host="a", port=1), messages=[data]).SerializeToString()
    assert FrameReader(1 << 20).messages(frame, rejected.append) == []
    assert [error.reason for error in rejected] == ["chunk"]


def test_facts_are_told_while_the_rest_is_still_coming() -> None:
    """Many of them are much work for the protocol, too, which is not to do it in one go."""
    facts = Facts(ME, CLUSTER, 2, tuple(Alert(ME, each, Status.UP, 1) for each in MANY))
    large = Encoder(LIMIT).encode(facts)
    held = Held()
    reader = FrameReader(1 << 20, held=held)
    first = next(iter(FrameWriter(ME, LIMIT + FRAME_OVERHEAD).frames(deque([large]))))
    [told] = reader.messages(first, print)
    assert isinstance(told, Facts)
    assert told.alerts == facts.alerts[: len(told.alerts)] != ()
    assert reader.unfinished
    assert held.size == 0
