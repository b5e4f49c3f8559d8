"""Processes of another cluster name: what they are told."""

from __future__ import annotations

from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.messages import JoinReply, JoinRequest, Message, Named, Probe, ProbeAck, Standing


def answer(message: Named, me: Endpoint, node_id: NodeId, cluster_name: str) -> Message | None:
    """Who is here instead, and that it is of another name; None where nothing is to be answered."""
    match message:
        case Probe():
            return ProbeAck(me, node_id, message.sequence, None, 0, 0)
        case JoinRequest():
            detail = names_differ(message.cluster_name, cluster_name)
            return JoinReply(me, Standing.INCOMPATIBLE, None, 0, (), detail, node_id, message.attempt)
        case _:
            return None


def names_differ(joiner: str, cluster: str) -> str:
    """The reason for which a joiner of this cluster name is refused by a cluster of that name."""
    return f"its cluster name is {joiner!r}, this cluster's is {cluster!r}"
