"""The values inside messages, packed into protobuf and checked on the way back.

What does not fit raises :class:`WireError` with one of the reasons below; there is no other error,
and there are no other reasons, so that they can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from functools import lru_cache
from typing import Final, TypeVar

from rapid.consensus.facts import ROUND_LIMIT, Rank
from rapid.detection.alert import Alert, Status
from rapid.errors import EndpointError, MetadataError, WireError
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import HOST_LIMIT, ClusterId, Endpoint, Identifier, Member, NodeId
from rapid.proto import rapid_pb2 as pb

FRAME: Final = "frame"
"""The bytes are no frame."""
SIZE: Final = "size"
"""A frame above the limit."""
MESSAGE: Final = "message"
"""The bytes are no message, or one of an unknown kind."""
SENDER: Final = "sender"
"""A message came before its stream named a sender."""
CHUNK: Final = "chunk"
"""A piece that belongs to no message, or makes it larger than announced or allowed."""
ENDPOINT: Final = "endpoint"
IDENTIFIER: Final = "identifier"
NUMBER: Final = "number"
"""Out of range: a version, ring, rank, bitmap, or a value of an enumeration."""
COUNT: Final = "count"
"""More items, or a longer text, than any member has a use for."""
METADATA: Final = "metadata"
CONFIGURATION: Final = "configuration"
"""A snapshot whose members or digest do not fit together."""
REASONS: Final = frozenset(
    {FRAME, SIZE, MESSAGE, SENDER, CHUNK, ENDPOINT, IDENTIFIER, NUMBER, COUNT, METADATA, CONFIGURATION}
)

COUNT_LIMIT = 1 << 18
"""Items in one list of a message."""
RING_LIMIT = 32
VERSION_LIMIT = 1 << 63
VOTERS_LIMIT = 128 * 1024
"""Bytes of a bitmap of voters: a million members."""
DETAIL_LIMIT = 1024

_Id = TypeVar("_Id", bound=Identifier)
_Items = TypeVar("_Items", bound=Sized)


def read_identifier(kind: type[_Id], raw: bytes) -> _Id:
    if len(raw) != Identifier.SIZE:
        raise WireError(IDENTIFIER)
    return kind(raw)


def read_cluster_id(raw: bytes) -> ClusterId | None:
    """An empty one is None."""
    return read_identifier(ClusterId, raw) if raw else None


def bounded(items: _Items, limit: int = COUNT_LIMIT) -> _Items:
    if len(items) > limit:
        raise WireError(COUNT)
    return items


def read_version(version: int) -> int:
    if version >= VERSION_LIMIT:
        raise WireError(NUMBER)
    return version


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
            for item in bounded(raw.removed)
        ],
        map(read_member, bounded(raw.joined)),
    )


def read_cuts(raw: Iterable[pb.Cut]) -> tuple[Cut, ...]:
    return tuple(map(read_cut, raw))


def rank(value: Rank) -> pb.Rank:
    return pb.Rank(round=value.round, coordinator=value.coordinator)


def read_rank(raw: pb.Rank) -> Rank:
    if raw.round >= ROUND_LIMIT or raw.coordinator >= ROUND_LIMIT:
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
        observer=endpoint(value.observer),
        subject=member(value.subject),
        status=value.status,
        rings=value.rings,
    )


def read_alert(raw: pb.Alert) -> Alert:
    try:
        status = Status(raw.status)
    except ValueError as error:
        raise WireError(NUMBER) from error
    # the field's type holds the bitmap below 2^32
    return Alert(read_endpoint(raw.observer), read_member(raw.subject), status, raw.rings)
