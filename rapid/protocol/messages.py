"""Everything one member says to another. All messages are one-way; a reply is just a message.

``sender`` is the endpoint the speaker is known by in the cluster. ``cluster_name`` is what the sender's
application calls its cluster; those of another name have nothing to do with each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

from rapid.consensus.facts import Accept, Prepare, Promise, Vote
from rapid.detection.alert import Alert, Ground
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
    """As WELCOME, and an earlier process at this address is still a member: tell its observers."""
    INCOMPATIBLE = 4
    """Protocol version, K, H, L or the cluster differ; ``detail`` says which."""
    UNREACHABLE = 5
    """The observer could not reach the joiner at the address it gave, or its application finds it unhealthy;
    ``detail`` says which."""
    FOLLOWING = 6
    """In no cluster yet, and it lets the process that asks found one: it founds none for a while."""


@dataclass(slots=True)
class Probe:
    """Are you there, and are you this process?

    The rest is where the sender stands: ``facts`` is a digest of the epoch's facts, ``size`` the
    number of members in its view, 0 for who is in no cluster. ``failing`` of these seem to have failed, as
    far as the sender knows; ``quorum_lost``: it cannot agree with a majority at present.
    """

    sender: Endpoint
    target: NodeId
    sequence: int
    cluster_id: ClusterId | None
    version: int
    facts: int
    size: int = 0
    failing: int = 0
    quorum_lost: bool = False
    cluster_name: str = ""


@dataclass(slots=True)
class ProbeAck:
    """I am ``node_id``; the rest is the subject's own."""

    sender: Endpoint
    node_id: NodeId
    sequence: int
    cluster_id: ClusterId | None
    version: int
    facts: int
    size: int = 0
    failing: int = 0
    quorum_lost: bool = False
    cluster_name: str = ""


@dataclass(slots=True)
class JoinRequest:
    """Phase 1, to a seed: who would observe me?

    ``expect`` names a cluster, where one is known. ``founding``: I am about to found one, will you
    follow? ``attempt`` comes back with the reply: a seed may be known by another name than asked for.
    """

    sender: Endpoint
    node_id: NodeId
    protocol: int
    k: int
    h: int
    l: int  # noqa: E741 - the paper's name
    expect: ClusterId | None = None
    attempt: int = 0
    founding: bool = False
    cluster_name: str = ""


@dataclass(slots=True)
class JoinReply:
    """To a joiner. ``observers``: K endpoints in ring order (WELCOME, ADDRESS_HELD), or who turns it away
    (UNREACHABLE), else none.

    ``node_id`` is the sender's; ``attempt`` that of the request, 0 where there was none; ``holders``
    are the observers of the earlier process, where there is one (ADDRESS_HELD).
    """

    sender: Endpoint
    standing: Standing
    cluster_id: ClusterId | None
    version: int
    observers: tuple[Endpoint, ...] = ()
    detail: str = ""
    node_id: NodeId | None = None
    attempt: int = 0
    holders: tuple[Endpoint, ...] = ()
    cluster_name: str = ""


@dataclass(slots=True)
class ObserveRequest:
    """Phase 2, to each observer-to-be: probe this joiner and tell the others that it is up.

    With ``relay`` it is the joiner's to its sponsor, any member, which passes it on to all of them.
    """

    sender: Endpoint
    member: Member
    cluster_id: ClusterId
    version: int
    relay: bool = False
    cluster_name: str = ""


@dataclass(slots=True)
class Admitted:
    """You are in, as of this configuration; ask whom you like for it if no snapshot comes."""

    sender: Endpoint
    cluster_id: ClusterId
    version: int


@dataclass(slots=True)
class Unreached:
    """An observer's to a sponsor: I do not let your joiner in, on this ground."""

    sender: Endpoint
    joiner: Endpoint
    node_id: NodeId
    ground: Ground = Ground.UNSTATED


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
    """A whole configuration.

    ``formerly``: ids of the clusters that this one continues, since an operator forced a new cluster.
    """

    sender: Endpoint
    configuration: Configuration
    formerly: tuple[ClusterId, ...] = ()


@dataclass(slots=True)
class Refounded:
    """An operator has replaced the cluster ``cluster_id``, as of ``version``, by that of ``configuration``.

    The configuration is the newest that the sender knows. ``formerly``: the clusters that the replaced one
    had continued itself.
    """

    sender: Endpoint
    cluster_id: ClusterId
    version: int
    configuration: Configuration
    formerly: tuple[ClusterId, ...] = ()


Message = (
    Probe
    | ProbeAck
    | JoinRequest
    | JoinReply
    | ObserveRequest
    | Admitted
    | Unreached
    | Restarted
    | Leaving
    | Facts
    | Decided
    | ConfigurationRequest
    | Cuts
    | Snapshot
    | Refounded
)

Named = Probe | ProbeAck | JoinRequest | JoinReply | ObserveRequest
"""Those that processes say to each other before they know that they are in one cluster: with its name."""


class Header(NamedTuple):
    """What can be known of a message without its body: enough to tell whether it is taken at all.

    ``cluster_id`` and ``version`` are the message's own; of a :class:`Snapshot` the configuration's, of a
    :class:`Refounded` those of the cluster that was replaced; None and 0 where there are none. ``k`` is the
    number of rings of a configuration in the message.
    """

    kind: type[Any]
    sender: Endpoint
    cluster_id: ClusterId | None = None
    version: int = 0
    k: int | None = None


def header_of(message: Message) -> Header:
    """The header of a message that is here already."""
    kind, sender = type(message), message.sender
    match message:
        case Snapshot(_, configuration):
            return Header(kind, sender, configuration.cluster_id, configuration.version, configuration.k)
        case Refounded(_, cluster_id, version, configuration):
            return Header(kind, sender, cluster_id, version, configuration.k)
        case ConfigurationRequest():
            return Header(kind, sender, message.cluster_id, message.have or 0)
        case JoinRequest():
            return Header(kind, sender, message.expect, 0, message.k)
        case Unreached() | Restarted():
            return Header(kind, sender)
        case _:
            return Header(kind, sender, message.cluster_id, message.version)
