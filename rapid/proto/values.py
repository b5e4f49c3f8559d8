"""The values inside messages, packed into protobuf and checked on the way back.

What does not fit raises :class:`WireError` with one of the reasons below; there is no other error,
and there are no other reasons, so that they can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from functools import lru_cache
from typing import Final, TypeVar

from rapid.consensus.facts import ROUND_LIMIT, Rank
from rapid.detection.alert import REVISION_LIMIT, Alert, Ground, Status
from rapid.errors import EndpointError, MetadataError, WireError
from rapid.overlay.cut import Cut, Removal
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
ROOM: Final = "room"
"""There is no room for another piece: all peers together have left too much unfinished."""
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
_OF_FRAMES = (FRAME, SIZE, SENDER, CHUNK, ROOM)
REASONS: Final = frozenset(
    (*_OF_FRAMES, MESSAGE, ENDPOINT, IDENTIFIER, NUMBER, COUNT, TEXT, METADATA, CONFIGURATION)
)

MEMBERS_LIMIT = 1 << 16
"""Members of a configuration, and changes of either kind in a cut."""
ALERTS_LIMIT = 1 << 19
"""Alerts in one message: with 10,000 who join at once, 100,000 are due."""
PROPOSALS_LIMIT = 4096
RANKS_LIMIT = 1024
"""Prepares or accepts in one message: one of each for a rank."""
STATEMENTS_LIMIT = 1 << 16
"""Promises or votes in one message: one for a rank and a value."""
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


def cut(value: Cut) -> pb.Cut:
    return pb.Cut(
        removed=[
            pb.Removal(endpoint=endpoint(removal.endpoint), node_id=removal.node_id, left=removal.left)
            for removal in value.removed
        ],
        joined=map(member, value.joined),
    )


def read_cut(raw: pb.Cut) -> Cut:
    return Cut.of(
        [
            Removal(read_endpoint(item.endpoint), read_identifier(NodeId, item.node_id), item.left)
            for item in bounded(raw.removed, MEMBERS_LIMIT)
        ],
        map(read_member, bounded(raw.joined, MEMBERS_LIMIT)),
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
    return Alert(
        observer, read_member(raw.subject), status, raw.rings, read_ground(raw.ground), raw.revision
    )


def read_ground(number: int) -> Ground:
    """One that a later version has added is none here: nothing is decided by it."""
    return _GROUNDS.get(number, Ground.UNSTATED)
