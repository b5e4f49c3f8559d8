"""Hypothesis strategies for messages, each of which is valid on the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from rapid.consensus.facts import ROUND_LIMIT, Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import REVISION_LIMIT, Alert, Ground, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto.values import MEMBERS_LIMIT, VERSION_LIMIT
from rapid.protocol.messages import (
    Admitted,
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    JoinReply,
    JoinRequest,
    Leaving,
    ObserveRequest,
    Probe,
    ProbeAck,
    Refounded,
    Restarted,
    Snapshot,
    Standing,
    Unreached,
)

ME = Endpoint("10.0.0.1", 7400)

Strategy = st.SearchStrategy[Any]

_raw_ids = st.binary(min_size=16, max_size=16)
_words = st.integers(0, (1 << 64) - 1)
_hosts = st.sampled_from(["127.0.0.1", "::1", "fe80::1", "node-7.example.org", "größe.example", "a" * 255])
_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_metadata = st.dictionaries(_texts, _texts, max_size=3)
_lines = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=20)


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What the values within messages are drawn from."""

    endpoints: Strategy
    node_ids: Strategy
    cluster_ids: Strategy
    digests: Strategy
    versions: Strategy
    ranks: Strategy
    rings: Strategy
    voters: Strategy
    numbers: Strategy
    """Of rings and watermarks, attempts, sizes."""
    sequences: Strategy
    k: Strategy
    names: Strategy


ANY = Domain(
    endpoints=st.builds(Endpoint, _hosts, st.integers(1, 65535)),
    node_ids=_raw_ids.map(NodeId),
    cluster_ids=_raw_ids.map(ClusterId),
    digests=_raw_ids.map(CutDigest),
    versions=st.integers(0, VERSION_LIMIT - 1),
    ranks=st.builds(Rank, st.integers(0, ROUND_LIMIT - 1), st.integers(0, MEMBERS_LIMIT - 1)),
    rings=st.integers(1, (1 << 32) - 1),
    voters=st.integers(0, 1 << 200),
    numbers=st.integers(0, (1 << 32) - 1),
    sequences=_words,
    k=st.integers(1, 12),
    names=st.text(max_size=60).filter(str.isprintable),
)
"""All that the wire carries."""


def messages(domain: Domain) -> dict[type[Any], Strategy]:
    """A strategy for each kind of message, all of them said by ``ME``."""
    me = st.just(ME)
    numbers, versions, node_ids = domain.numbers, domain.versions, domain.node_ids
    cluster_ids, digests, ranks = domain.cluster_ids, domain.digests, domain.ranks
    members = st.builds(Member, domain.endpoints, node_ids, _metadata)
    cuts = st.builds(
        Cut.of,
        st.lists(st.builds(Removal, domain.endpoints, node_ids, st.booleans()), max_size=3),
        st.lists(members, max_size=3),
    )
    configurations = st.builds(
        Configuration.of,
        cluster_ids,
        versions.map(lambda version: version or 1),
        st.lists(members, min_size=1, max_size=6, unique_by=lambda member: member.endpoint),
        domain.k,
    )
    grounds = st.sampled_from(Ground)
    position = (st.none() | cluster_ids, versions, _words, numbers, numbers, st.booleans())
    facts = (
        several(
            st.builds(
                Alert,
                st.none() | domain.endpoints,
                members,
                st.sampled_from(Status),
                domain.rings,
                grounds,
                st.integers(0, REVISION_LIMIT - 1),
            )
        ),
        several(cuts),
        several(st.builds(Prepare, ranks)),
        several(st.builds(Promise, ranks, ranks, st.none() | digests, domain.voters)),
        several(st.builds(Accept, ranks, digests)),
        several(st.builds(Vote, ranks, digests, domain.voters)),
        st.booleans(),
    )
    observers = several(domain.endpoints)
    standings = st.sampled_from(Standing)
    names = domain.names
    return {
        Probe: st.builds(Probe, me, node_ids, domain.sequences, *position, cluster_name=names),
        ProbeAck: st.builds(ProbeAck, me, node_ids, domain.sequences, *position, cluster_name=names),
        JoinRequest: st.builds(
            JoinRequest, me, node_ids, *[numbers] * 4, st.none() | cluster_ids, numbers, st.booleans(),
            cluster_name=names,
        ),
        JoinReply: st.builds(
            JoinReply, me, standings, st.none() | cluster_ids, versions, observers, _lines,
            st.none() | node_ids, numbers, observers, cluster_name=names,
        ),
        ObserveRequest: st.builds(
            ObserveRequest, me, members, cluster_ids, versions, st.booleans(), cluster_name=names
        ),
        Admitted: st.builds(Admitted, me, cluster_ids, versions),
        Unreached: st.builds(Unreached, me, domain.endpoints, node_ids, grounds),
        Restarted: st.builds(Restarted, me, node_ids),
        Leaving: st.builds(Leaving, me, node_ids, cluster_ids, versions),
        Facts: st.builds(Facts, me, cluster_ids, versions, *facts),
        Decided: st.builds(Decided, me, cluster_ids, versions, digests, st.none() | cuts),
        ConfigurationRequest: st.builds(
            ConfigurationRequest, me, cluster_ids, st.none() | versions, node_ids
        ),
        Cuts: st.builds(Cuts, me, cluster_ids, versions, several(cuts)),
        Snapshot: st.builds(Snapshot, me, configurations, several(cluster_ids)),
        Refounded: st.builds(
            Refounded, me, cluster_ids, versions, configurations, several(cluster_ids)
        ),
    }  # fmt: skip


def several(items: Strategy) -> Strategy:
    return st.lists(items, max_size=3).map(tuple)
