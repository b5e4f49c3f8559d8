"""The values inside messages, packed into protobuf and checked on the way back.

What does not fit raises :class:`WireError` with one of the reasons below; there is no other error,
and there are no other reasons, so that they can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from functools import lru_cache
from typing import Final, TypeVar

from rapid.consensus.facts import ROUND_LIMIT, Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import REVISION_LIMIT, Alert, Ground, Status
from rapid.errors import EndpointError, MetadataError, WireError
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import (
    CLUSTER_NAME_LIMIT,
    HOST_LIMIT,
    ClusterId,
    Endpoint,
    Identifier,
    Member,
    NodeId,
)
from rapid.proto import rapid_pb2 as pb

FRAME: Final = "frame"
"""The bytes are no frame."""
SIZE: Final = "size"
"""A frame above the limit."""
MESSAGE: Final = "message"
"""The bytes are no message, or one of an unknown kind."""
SENDER: Final = "sender"
"""A message came before its stream named a sender, or another one was named in the middle of it."""
CHUNK: Final = "chunk"
"""A piece that belongs to no message, or makes it larger than announced or allowed."""
HEADER: Final = "header"
"""A large message is announced as something that is never large, or is not what was announced."""
ROOM: Final = "room"
"""There is no memory for another piece: all peers together have left too much unfinished."""
MEMORY: Final = "memory"
"""One message that would take more memory than any may."""
WORK: Final = "work"
"""One message or piece that would take longer to read than any may."""
ENDPOINT: Final = "endpoint"
IDENTIFIER: Final = "identifier"
NUMBER: Final = "number"
"""Out of range: a version, ring, rank, bitmap, or a value of an enumeration."""
COUNT: Final = "count"
"""More items, or a longer text, than any member has a use for."""
TEXT: Final = "text"
"""A text for people that is not fit to be shown to them."""
METADATA: Final = "metadata"
CONFIGURATION: Final = "configuration"
"""A snapshot whose members or digest do not fit together."""
_OF_FRAMES = (FRAME, SIZE, SENDER, CHUNK, HEADER, ROOM, MEMORY, WORK)
REASONS: Final = frozenset(
    (*_OF_FRAMES, MESSAGE, ENDPOINT, IDENTIFIER, NUMBER, COUNT, TEXT, METADATA, CONFIGURATION)
)

MEMBERS_LIMIT = 1 << 15
"""Members of a configuration, and changes of either kind in a cut: one ring of so many is sorted in 35 ms."""
PROPOSALS_LIMIT = 4096
RANKS_LIMIT = 1024
"""Prepares or accepts in one message, or in one piece of it: one of each for a rank."""
RING_LIMIT = 32
VERSION_LIMIT = 1 << 62
"""Of views: a field holds twice as many, so each one that is taken has a successor that can be said."""
VOTERS_LIMIT = MEMBERS_LIMIT // 8
"""Bytes of a bitmap of voters."""
DETAIL_LIMIT = 1024

_GROUNDS: Final = {int(ground): ground for ground in Ground}
_Id = TypeVar("_Id", bound=Identifier)
_Items = TypeVar("_Items", bound=Sized)


def read_identifier(kind: type[_Id], raw: bytes) -> _Id:
    if len(raw) != Identifier.SIZE:
        raise WireError(IDENTIFIER)
    return kind(raw)


def read_cluster_id(raw: bytes) -> ClusterId | None:
    """An empty one is None."""
    return read_identifier(ClusterId, raw) if raw else None


def bounded(items: _Items, limit: int) -> _Items:
    if len(items) > limit:
        raise WireError(COUNT)
    return items


def read_version(version: int) -> int:
    if version >= VERSION_LIMIT:
        raise WireError(NUMBER)
    return version


def read_detail(text: str) -> str:
    """Words of a peer for people: one line, with nothing in it that a terminal would obey."""
    if not bounded(text, DETAIL_LIMIT).isprintable():
        raise WireError(TEXT)
    return text


def read_name(text: str) -> str:
    """The name of a cluster; an empty one is none."""
    if len(text) > CLUSTER_NAME_LIMIT or not text.isprintable() or len(text.encode()) > CLUSTER_NAME_LIMIT:
        raise WireError(TEXT)
    return text


def endpoint(value: Endpoint) -> pb.Endpoint:
    return pb.Endpoint(host=value.host, port=value.port)


def read_endpoint(raw: pb.Endpoint) -> Endpoint:
    host = raw.host
    if len(host) > HOST_LIMIT or not raw.port or not host.isprintable():
        raise WireError(ENDPOINT)
    return _endpoint(host, raw.port)


@lru_cache(maxsize=1 << 14)
def _endpoint(host: str, port: int) -> Endpoint:
    """One object for each endpoint, however often it is named."""
    try:
        return Endpoint.checked(host, port)
    except EndpointError as error:
        raise WireError(ENDPOINT) from error


def member(value: Member) -> pb.Member:
    return pb.Member(endpoint=endpoint(value.endpoint), node_id=value.node_id, metadata=dict(value.metadata))


def read_member(raw: pb.Member) -> Member:
    node_id = read_identifier(NodeId, raw.node_id)
    if not raw.metadata:
        return Member(read_endpoint(raw.endpoint), node_id)
    try:
        return Member(read_endpoint(raw.endpoint), node_id, dict(raw.metadata))
    except MetadataError as error:
        raise WireError(METADATA) from error


def removal(value: Removal) -> pb.Removal:
    return pb.Removal(endpoint=endpoint(value.endpoint), node_id=value.node_id, left=value.left)


def read_removal(raw: pb.Removal) -> Removal:
    return Removal(read_endpoint(raw.endpoint), read_identifier(NodeId, raw.node_id), raw.left)


def cut(value: Cut) -> pb.Cut:
    return pb.Cut(removed=map(removal, value.removed), joined=map(member, value.joined))


def read_cut(raw: pb.Cut) -> Cut:
    if raw.more:
        raise WireError(CHUNK)
    return Cut.of(
        map(read_removal, raw.removed),
        map(read_member, raw.joined),
    )


def read_cuts(raw: Iterable[pb.Cut]) -> tuple[Cut, ...]:
    return tuple(map(read_cut, raw))


def rank(value: Rank) -> pb.Rank:
    return pb.Rank(round=value.round, coordinator=value.coordinator)


def read_rank(raw: pb.Rank) -> Rank:
    if raw.round >= ROUND_LIMIT or raw.coordinator >= MEMBERS_LIMIT:
        raise WireError(NUMBER)
    return Rank(raw.round, raw.coordinator)


def voters(bitmap: int) -> bytes:
    return bitmap.to_bytes((bitmap.bit_length() + 7) // 8, "little")


def read_voters(raw: bytes) -> int:
    if len(raw) > VOTERS_LIMIT:
        raise WireError(NUMBER)
    return int.from_bytes(raw, "little")


def alert(value: Alert) -> pb.Alert:
    return pb.Alert(
        observer=endpoint(value.observer) if value.observer is not None else None,
        subject=member(value.subject),
        status=value.status,
        rings=value.rings,
        ground=value.ground,
        revision=value.revision,
    )


def read_alert(raw: pb.Alert) -> Alert:
    try:
        status = Status(raw.status)
    except ValueError as error:
        raise WireError(NUMBER) from error
    if not raw.rings or raw.revision >= REVISION_LIMIT:  # the field's type holds the bitmap below 2^32
        raise WireError(NUMBER)
    observer = read_endpoint(raw.observer) if raw.HasField("observer") else None
    return Alert(observer, read_member(raw.subject), status, raw.rings, read_ground(raw.ground), raw.revision)


def read_ground(number: int) -> Ground:
    """One that a later version has added is none here: nothing is decided by it."""
    return _GROUNDS.get(number, Ground.UNSTATED)


def prepare(value: Prepare) -> pb.Prepare:
    return pb.Prepare(rank=rank(value.rank))


def read_prepare(raw: pb.Prepare) -> Prepare:
    return Prepare(read_rank(raw.rank))


def promise(value: Promise) -> pb.Promise:
    return pb.Promise(
        rank=rank(value.rank), vrank=rank(value.vrank), digest=value.digest, voters=voters(value.voters)
    )


def read_promise(raw: pb.Promise) -> Promise:
    digest = read_identifier(CutDigest, raw.digest) if raw.digest else None
    return Promise(read_rank(raw.rank), read_rank(raw.vrank), digest, read_voters(raw.voters))


def accept(value: Accept) -> pb.Accept:
    return pb.Accept(rank=rank(value.rank), digest=value.digest)


def read_accept(raw: pb.Accept) -> Accept:
    return Accept(read_rank(raw.rank), read_identifier(CutDigest, raw.digest))


def vote(value: Vote) -> pb.Vote:
    return pb.Vote(rank=rank(value.rank), digest=value.digest, voters=voters(value.voters))


def read_vote(raw: pb.Vote) -> Vote:
    return Vote(read_rank(raw.rank), read_identifier(CutDigest, raw.digest), read_voters(raw.voters))
