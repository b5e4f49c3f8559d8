"""Messages to bytes and back. A message on the wire does not name its sender: its stream does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from rapid.errors import ConfigurationError, WireError
from rapid.overlay.configuration import Configuration, ConfigurationDigest
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import ClusterId, Endpoint, NodeId
from rapid.proto import pieces, values, work
from rapid.proto import rapid_pb2 as pb
from rapid.proto.pieces import Encoded
from rapid.proto.values import (
    CONFIGURATION,
    DETAIL_LIMIT,
    MESSAGE,
    NUMBER,
    PROPOSALS_LIMIT,
    RANKS_LIMIT,
    RING_LIMIT,
    WORK,
    bounded,
    read_cluster_id,
    read_detail,
    read_endpoint,
    read_identifier,
    read_name,
    read_version,
)
from rapid.protocol.catch_up import CUTS_LIMIT
from rapid.protocol.lineage import FORMERLY_LIMIT
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
    Unreached,
)

FRAME_LIMIT = 64 * 1024
"""Bytes of one frame on the wire: what gRPC holds of a stream whose peer stops in the middle of one."""
FRAME_OVERHEAD = 2048
"""What a frame adds at most to its messages, or to a piece: the sender, and the header of a large message."""
UNREADABLE = (DecodeError, ValueError, RecursionError)
"""What protobuf raises for malformed bytes. In pure Python that is ValueError for text that is not UTF-8
and, in older releases, RecursionError for nested groups."""
FEW = 256
"""Values in a message up to which it is encoded before it is measured."""


class Encoder:
    """Turns messages into bytes; what was encoded last is remembered, since gossip repeats itself.

    ``limit`` is how many bytes of a message go in one frame. A message must not be changed once it was
    given to an encoder.
    """

    def __init__(self, limit: int = FRAME_LIMIT - FRAME_OVERHEAD) -> None:
        self._limit = limit
        self._message: Message | None = None
        self._encoded: Encoded = b""
        self._configuration: Configuration | None = None
        self._formerly: tuple[ClusterId, ...] = ()
        self._snapshot: Encoded = b""

    def encode(self, message: Message) -> Encoded:
        """The bytes of one message, or the pieces of a large one; ValueError when a field does not fit."""
        if isinstance(message, Snapshot):
            known = message.configuration is self._configuration and message.formerly == self._formerly
            if not known:
                self._snapshot = self._divided(message)
                self._configuration, self._formerly = message.configuration, message.formerly
            return self._snapshot
        if message is not self._message:
            self._encoded = self._divided(message)
            self._message = message
        return self._encoded

    def _divided(self, message: Message) -> Encoded:
        if type(message) in pieces.NEVER:
            return encode(message)
        if pieces.count(message) <= FEW:
            encoded = encode(message)
            if len(encoded) <= min(work.UNMEASURED, self._limit):
                return encoded
        return pieces.divided(message, self._limit) or encode(message)


def encode(message: Message) -> bytes:
    """The bytes of one message, however many; ValueError when a field does not fit the wire."""
    kind, pack = _PACK[type(message)]
    # deterministic: the order of metadata is otherwise that of the protobuf
    return pb.Message(**{kind: pack(message)}).SerializeToString(deterministic=True)


def decode(data: bytes, sender: Endpoint) -> Message:
    """The message in these bytes; raise :class:`WireError` when it is malformed in any way, or too much."""
    raw = parsed(data)
    if len(data) > work.UNMEASURED and work.of(raw) > work.LIMIT:
        raise WireError(WORK)
    kind = raw.WhichOneof("body")
    if kind is None:
        raise WireError(MESSAGE)
    return _UNPACK[kind](getattr(raw, kind), sender)


def parsed(data: bytes) -> pb.Message:
    """The fields in these bytes, none of which is checked yet."""
    raw = pb.Message()
    try:
        raw.ParseFromString(data)
    except UNREADABLE as error:
        raise WireError(MESSAGE) from error
    return raw


def _pack_probe(message: Probe) -> pb.Probe:
    return pb.Probe(
        target=message.target,
        sequence=message.sequence,
        cluster_id=message.cluster_id,
        version=message.version,
        facts=message.facts,
        size=message.size,
        failing=message.failing,
        quorum_lost=message.quorum_lost,
        cluster_name=message.cluster_name,
    )


def _unpack_probe(raw: pb.Probe, sender: Endpoint) -> Probe:
    return Probe(
        sender,
        read_identifier(NodeId, raw.target),
        raw.sequence,
        read_cluster_id(raw.cluster_id),
        read_version(raw.version),
        raw.facts,
        raw.size,
        raw.failing,
        raw.quorum_lost,
        cluster_name=read_name(raw.cluster_name),
    )


def _pack_probe_ack(message: ProbeAck) -> pb.ProbeAck:
    return pb.ProbeAck(
        node_id=message.node_id,
        sequence=message.sequence,
        cluster_id=message.cluster_id,
        version=message.version,
        facts=message.facts,
        size=message.size,
        failing=message.failing,
        quorum_lost=message.quorum_lost,
        cluster_name=message.cluster_name,
    )


def _unpack_probe_ack(raw: pb.ProbeAck, sender: Endpoint) -> ProbeAck:
    return ProbeAck(
        sender,
        read_identifier(NodeId, raw.node_id),
        raw.sequence,
        read_cluster_id(raw.cluster_id),
        read_version(raw.version),
        raw.facts,
        raw.size,
        raw.failing,
        raw.quorum_lost,
        cluster_name=read_name(raw.cluster_name),
    )


def _pack_join_request(message: JoinRequest) -> pb.JoinRequest:
    return pb.JoinRequest(
        node_id=message.node_id,
        protocol=message.protocol,
        k=message.k,
        h=message.h,
        l=message.l,
        expect=message.expect,
        attempt=message.attempt,
        founding=message.founding,
        cluster_name=message.cluster_name,
    )


def _unpack_join_request(raw: pb.JoinRequest, sender: Endpoint) -> JoinRequest:
    return JoinRequest(
        sender,
        read_identifier(NodeId, raw.node_id),
        raw.protocol,
        raw.k,
        raw.h,
        raw.l,
        read_cluster_id(raw.expect),
        raw.attempt,
        raw.founding,
        cluster_name=read_name(raw.cluster_name),
    )


def _pack_join_reply(message: JoinReply) -> pb.JoinReply:
    return pb.JoinReply(
        standing=message.standing,
        cluster_id=message.cluster_id,
        version=message.version,
        observers=map(values.endpoint, message.observers),
        detail=message.detail[:DETAIL_LIMIT],
        node_id=message.node_id,
        attempt=message.attempt,
        holders=map(values.endpoint, message.holders),
        cluster_name=message.cluster_name,
    )


def _unpack_join_reply(raw: pb.JoinReply, sender: Endpoint) -> JoinReply:
    try:
        standing = Standing(raw.standing)
    except ValueError as error:
        raise WireError(NUMBER) from error
    return JoinReply(
        sender,
        standing,
        read_cluster_id(raw.cluster_id),
        read_version(raw.version),
        tuple(map(read_endpoint, bounded(raw.observers, RING_LIMIT))),
        read_detail(raw.detail),
        read_identifier(NodeId, raw.node_id) if raw.node_id else None,
        raw.attempt,
        tuple(map(read_endpoint, bounded(raw.holders, RING_LIMIT))),
        cluster_name=read_name(raw.cluster_name),
    )


def _pack_observe_request(message: ObserveRequest) -> pb.ObserveRequest:
    return pb.ObserveRequest(
        member=values.member(message.member),
        cluster_id=message.cluster_id,
        version=message.version,
        relay=message.relay,
        cluster_name=message.cluster_name,
    )


def _unpack_observe_request(raw: pb.ObserveRequest, sender: Endpoint) -> ObserveRequest:
    return ObserveRequest(
        sender,
        values.read_member(raw.member),
        read_identifier(ClusterId, raw.cluster_id),
        read_version(raw.version),
        raw.relay,
        cluster_name=read_name(raw.cluster_name),
    )


def _pack_admitted(message: Admitted) -> pb.Admitted:
    return pb.Admitted(cluster_id=message.cluster_id, version=message.version)


def _unpack_admitted(raw: pb.Admitted, sender: Endpoint) -> Admitted:
    return Admitted(sender, read_identifier(ClusterId, raw.cluster_id), read_version(raw.version))


def _pack_unreached(message: Unreached) -> pb.Unreached:
    return pb.Unreached(
        joiner=values.endpoint(message.joiner), node_id=message.node_id, ground=message.ground
    )


def _unpack_unreached(raw: pb.Unreached, sender: Endpoint) -> Unreached:
    return Unreached(
        sender,
        values.read_endpoint(raw.joiner),
        read_identifier(NodeId, raw.node_id),
        values.read_ground(raw.ground),
    )


def _pack_restarted(message: Restarted) -> pb.Restarted:
    return pb.Restarted(node_id=message.node_id)


def _unpack_restarted(raw: pb.Restarted, sender: Endpoint) -> Restarted:
    return Restarted(sender, read_identifier(NodeId, raw.node_id))


def _pack_leaving(message: Leaving) -> pb.Leaving:
    return pb.Leaving(node_id=message.node_id, cluster_id=message.cluster_id, version=message.version)


def _unpack_leaving(raw: pb.Leaving, sender: Endpoint) -> Leaving:
    return Leaving(
        sender,
        read_identifier(NodeId, raw.node_id),
        read_identifier(ClusterId, raw.cluster_id),
        read_version(raw.version),
    )


def _pack_facts(message: Facts) -> pb.Facts:
    return pb.Facts(
        cluster_id=message.cluster_id,
        version=message.version,
        alerts=map(values.alert, message.alerts),
        proposals=map(values.cut, message.proposals),
        prepares=map(values.prepare, message.prepares),
        promises=map(values.promise, message.promises),
        accepts=map(values.accept, message.accepts),
        votes=map(values.vote, message.votes),
        complete=message.complete,
    )


def _unpack_facts(raw: pb.Facts, sender: Endpoint) -> Facts:
    return read_facts(raw, sender, values.read_cuts(bounded(raw.proposals, PROPOSALS_LIMIT)))


def read_facts(raw: pb.Facts, sender: Endpoint, proposals: tuple[Cut, ...]) -> Facts:
    """All but the proposals are read from ``raw``."""
    return Facts(
        sender,
        read_identifier(ClusterId, raw.cluster_id),
        read_version(raw.version),
        tuple(map(values.read_alert, raw.alerts)),
        proposals,
        tuple(map(values.read_prepare, bounded(raw.prepares, RANKS_LIMIT))),
        tuple(map(values.read_promise, raw.promises)),
        tuple(map(values.read_accept, bounded(raw.accepts, RANKS_LIMIT))),
        tuple(map(values.read_vote, raw.votes)),
        raw.complete,
    )


def _pack_decided(message: Decided) -> pb.Decided:
    return pb.Decided(
        cluster_id=message.cluster_id,
        version=message.version,
        digest=message.digest,
        cut=None if message.cut is None else values.cut(message.cut),
    )


def _unpack_decided(raw: pb.Decided, sender: Endpoint) -> Decided:
    return Decided(
        sender,
        read_identifier(ClusterId, raw.cluster_id),
        read_version(raw.version),
        read_identifier(CutDigest, raw.digest),
        values.read_cut(raw.cut) if raw.HasField("cut") else None,
    )


def _pack_configuration_request(message: ConfigurationRequest) -> pb.ConfigurationRequest:
    return pb.ConfigurationRequest(cluster_id=message.cluster_id, have=message.have, node_id=message.node_id)


def _unpack_configuration_request(raw: pb.ConfigurationRequest, sender: Endpoint) -> ConfigurationRequest:
    return ConfigurationRequest(
        sender,
        read_identifier(ClusterId, raw.cluster_id),
        read_version(raw.have) if raw.HasField("have") else None,
        read_identifier(NodeId, raw.node_id),
    )


def _pack_cuts(message: Cuts) -> pb.Cuts:
    return pb.Cuts(cluster_id=message.cluster_id, version=message.version, cuts=map(values.cut, message.cuts))


def _unpack_cuts(raw: pb.Cuts, sender: Endpoint) -> Cuts:
    return Cuts(
        sender,
        read_identifier(ClusterId, raw.cluster_id),
        read_version(raw.version),
        values.read_cuts(bounded(raw.cuts, CUTS_LIMIT)),
    )


def _pack_snapshot(message: Snapshot) -> pb.Snapshot:
    packed = _pack_configuration(message.configuration)
    packed.formerly.extend(message.formerly)
    return packed


def _pack_configuration(configuration: Configuration) -> pb.Snapshot:
    return pb.Snapshot(
        cluster_id=configuration.cluster_id,
        version=configuration.version,
        k=configuration.k,
        digest=configuration.digest,
        members=map(values.member, configuration.members),
    )


def _unpack_snapshot(raw: pb.Snapshot, sender: Endpoint) -> Snapshot:
    return Snapshot(sender, _unpack_configuration(raw), read_formerly(raw))


def read_formerly(raw: pb.Snapshot) -> tuple[ClusterId, ...]:
    formerly = bounded(raw.formerly, FORMERLY_LIMIT)
    return tuple(read_identifier(ClusterId, cluster_id) for cluster_id in formerly)


def _unpack_configuration(raw: pb.Snapshot) -> Configuration:
    if not 1 <= raw.k <= RING_LIMIT:
        raise WireError(NUMBER)
    digest = read_identifier(ConfigurationDigest, raw.digest)
    cluster_id, version = read_identifier(ClusterId, raw.cluster_id), read_version(raw.version)
    members = [values.read_member(member) for member in raw.members]
    try:
        configuration = Configuration.of(cluster_id, version, members, raw.k)
    except ConfigurationError as error:
        raise WireError(CONFIGURATION) from error
    if not members or not version or configuration.digest != digest:
        raise WireError(CONFIGURATION)
    return configuration


def _pack_refounded(message: Refounded) -> pb.Refounded:
    configuration = _pack_configuration(message.configuration)
    configuration.formerly.extend(message.formerly)
    return pb.Refounded(cluster_id=message.cluster_id, version=message.version, configuration=configuration)


def _unpack_refounded(raw: pb.Refounded, sender: Endpoint) -> Refounded:
    return Refounded(
        sender,
        read_identifier(ClusterId, raw.cluster_id),
        read_version(raw.version),
        _unpack_configuration(raw.configuration),
        read_formerly(raw.configuration),
    )


# Each function takes and gives exactly the type it is filed under; the table cannot say so.
_PACK: dict[type[Any], tuple[str, Callable[[Any], Any]]] = {
    Probe: ("probe", _pack_probe),
    ProbeAck: ("probe_ack", _pack_probe_ack),
    JoinRequest: ("join_request", _pack_join_request),
    JoinReply: ("join_reply", _pack_join_reply),
    ObserveRequest: ("observe_request", _pack_observe_request),
    Admitted: ("admitted", _pack_admitted),
    Unreached: ("unreached", _pack_unreached),
    Restarted: ("restarted", _pack_restarted),
    Leaving: ("leaving", _pack_leaving),
    Facts: ("facts", _pack_facts),
    Decided: ("decided", _pack_decided),
    ConfigurationRequest: ("configuration_request", _pack_configuration_request),
    Cuts: ("cuts", _pack_cuts),
    Snapshot: ("snapshot", _pack_snapshot),
    Refounded: ("refounded", _pack_refounded),
}
_UNPACK: dict[str, Callable[[Any, Endpoint], Message]] = {
    "probe": _unpack_probe,
    "probe_ack": _unpack_probe_ack,
    "join_request": _unpack_join_request,
    "join_reply": _unpack_join_reply,
    "observe_request": _unpack_observe_request,
    "admitted": _unpack_admitted,
    "unreached": _unpack_unreached,
    "restarted": _unpack_restarted,
    "leaving": _unpack_leaving,
    "facts": _unpack_facts,
    "decided": _unpack_decided,
    "configuration_request": _unpack_configuration_request,
    "cuts": _unpack_cuts,
    "snapshot": _unpack_snapshot,
    "refounded": _unpack_refounded,
}
