"""Everything one member says to another. All messages are one-way; a reply is just a message.

``sender`` is the endpoint the speaker is known by in the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from rapid.consensus.facts import Accept, Prepare, Promise, Vote
from rapid.detection.alert import Alert
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId

PROTOCOL_VERSION = 1


class Standing(IntEnum):
    """How a seed or an observer answers a process that wants in."""

    WELCOME = 1
    """Ask the observers named."""
    NOT_A_MEMBER = 2
    """The process asked is in no cluster itself (yet)."""
    ADDRESS_HELD = 3
    """An earlier process at this address is still a member; its observers are named: tell them."""
    INCOMPATIBLE = 4
    """Protocol version, K, H, L or the cluster differ; ``detail`` says which."""
    UNREACHABLE = 5
    """The observer could not reach the joiner at the address it gave."""


@dataclass(slots=True)
class Probe:
    """Are you there, and are you this process? ``facts`` is a digest of the epoch's facts."""

    sender: Endpoint
    target: NodeId
    sequence: int
    cluster_id: ClusterId | None
    version: int
    facts: int


@dataclass(slots=True)
class ProbeAck:
    """I am ``node_id``; the rest is the subject's own."""

    sender: Endpoint
    node_id: NodeId
    sequence: int
    cluster_id: ClusterId | None
    version: int
    facts: int


@dataclass(slots=True)
class JoinRequest:
    """Phase 1, to a seed: who would observe me? ``expect`` names a cluster, where one is known."""

    sender: Endpoint
    node_id: NodeId
    protocol: int
    k: int
    h: int
    l: int  # noqa: E741 - the paper's name
    expect: ClusterId | None = None


@dataclass(slots=True)
class JoinReply:
    """To a joiner. ``observers``: K endpoints in ring order (WELCOME, ADDRESS_HELD), else none."""

    sender: Endpoint
    standing: Standing
    cluster_id: ClusterId | None
    version: int
    observers: tuple[Endpoint, ...] = ()
    detail: str = ""


@dataclass(slots=True)
class ObserveRequest:
    """Phase 2, to each observer-to-be: probe me and tell the others that I am up."""

    sender: Endpoint
    member: Member
    cluster_id: ClusterId
    version: int


@dataclass(slots=True)
class Admitted:
    """You are in, as of this configuration; ask whom you like for it if no snapshot comes."""

    sender: Endpoint
    cluster_id: ClusterId
    version: int


@dataclass(slots=True)
class Restarted:
    """To the observers of an address: a new process is there, look for yourselves."""

    sender: Endpoint
    node_id: NodeId


@dataclass(slots=True)
class Leaving:
    """To the observers: I go on purpose."""

    sender: Endpoint
    node_id: NodeId
    cluster_id: ClusterId
    version: int


@dataclass(slots=True)
class Facts:
    """Part of an epoch's facts. ``complete``: these are all the sender has; answer with the rest."""

    sender: Endpoint
    cluster_id: ClusterId
    version: int
    alerts: tuple[Alert, ...] = ()
    proposals: tuple[Cut, ...] = ()
    prepares: tuple[Prepare, ...] = ()
    promises: tuple[Promise, ...] = ()
    accepts: tuple[Accept, ...] = ()
    votes: tuple[Vote, ...] = ()
    complete: bool = False


@dataclass(slots=True)
class Decided:
    """Version ``version`` ended with this cut; ``cut`` is left out where the receiver knows it."""

    sender: Endpoint
    cluster_id: ClusterId
    version: int
    digest: CutDigest
    cut: Cut | None


@dataclass(slots=True)
class ConfigurationRequest:
    """What comes after ``have``? None: I have nothing of this cluster yet."""

    sender: Endpoint
    cluster_id: ClusterId
    have: int | None
    node_id: NodeId


@dataclass(slots=True)
class Cuts:
    """The cuts that lead from ``version`` on, in order."""

    sender: Endpoint
    cluster_id: ClusterId
    version: int
    cuts: tuple[Cut, ...]


@dataclass(slots=True)
class Snapshot:
    """A whole configuration."""

    sender: Endpoint
    configuration: Configuration


Message = (
    Probe
    | ProbeAck
    | JoinRequest
    | JoinReply
    | ObserveRequest
    | Admitted
    | Restarted
    | Leaving
    | Facts
    | Decided
    | ConfigurationRequest
    | Cuts
    | Snapshot
)
