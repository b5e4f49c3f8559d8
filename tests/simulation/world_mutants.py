"""Planted bugs that show in what processes are to each other: who was removed, who waits, who was told.

Each function breaks one rule, in every process, until ``plant`` is undone: see ``mutants.py``.
"""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from rapid.detection.cut_detector import CutDetector, Tally
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.protocol import acceptance
from rapid.protocol.acceptance import Situation
from rapid.protocol.epoch import Epoch
from rapid.protocol.joining import Joining, Trusted
from rapid.protocol.messages import Admitted, Cuts, Decided, Header, Refounded, Snapshot
from rapid.protocol.node import Node
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Event, JoinDelayed, QuorumRestored, RefoundingRefused
from rapid.protocol.outreach import Sighting

from .mutants import Mutant, nothing

# -- who is removed


def one_report_is_enough(plant: pytest.MonkeyPatch) -> None:
    """One observer alone has a member removed, on as many rings as it holds."""

    def always(*args: object) -> bool:
        return True

    plant.setattr(CutDetector, "corroborated", always)
    plant.setattr(CutDetector, "_stands", always)


def inferred_is_a_witness(plant: pytest.MonkeyPatch) -> None:
    """What is inferred from one observer's report counts as the report of another one."""

    def corroborated(detector: CutDetector, tally: Tally) -> bool:
        found = {watcher for ring, watcher in enumerate(tally.watchers) if tally.covered >> ring & 1}
        return tally.up or len(found) > 1 or len(found) == len(set(tally.watchers))

    def credible(detector: CutDetector, tally: Tally) -> bool:
        return detector._stands(tally)

    plant.setattr(CutDetector, "corroborated", corroborated)
    plant.setattr(CutDetector, "credible", credible)


def reports_are_never_withdrawn(plant: pytest.MonkeyPatch) -> None:
    """Faults that are over add up with later ones."""
    plant.setattr(Epoch, "review_due", property(lambda epoch: inf))


# -- who is left behind


def merge_gives_up_first(plant: pytest.MonkeyPatch) -> None:
    """A member leaves its cluster before the larger one has let it in."""
    real = Node._meet

    def meet(node: Node, peer: Endpoint, theirs: Sighting, epoch: Epoch) -> None:
        real(node, peer, theirs, epoch)
        if node._merging is not None:
            node._stop()
            node._renew()
            node._joining = node._join_through([peer, *node._outreach.seeds])
            node._joining.wake(node._now)

    plant.setattr(Node, "_meet", meet)


def sizes_of_views_are_compared(plant: pytest.MonkeyPatch) -> None:
    """Whether the members of the other cluster run, and have a quorum, does not matter."""

    def yields_to(mine: Sighting, other: Sighting, *, to_equals: bool = True) -> bool:
        return (mine.size, other.cluster_id) < (other.size, mine.cluster_id)

    plant.setattr(Sighting, "yields_to", yields_to)


def seeds_are_looked_up_once(plant: pytest.MonkeyPatch) -> None:
    """Where their names lead to later is not asked."""
    plant.setattr(Node, "discovered", nothing)


def an_evicted_process_cannot_be_forced(plant: pytest.MonkeyPatch) -> None:
    """An operator's word counts for members only."""

    def refuse(node: Node) -> None:
        node._outbox.notify(RefoundingRefused("no member of a cluster"))

    plant.setattr(Node, "_begin_alone", refuse)


def those_left_out_are_not_told(plant: pytest.MonkeyPatch) -> None:
    """Only those that answered in time are told of a cluster that was forced, and only once."""
    plant.setattr(Node, "_announce_to", nothing)


def a_replaced_cluster_is_left_at_once(plant: pytest.MonkeyPatch) -> None:
    """Its members leave it as soon as they are told, before the forced one has let them in."""

    def follow(node: Node, word: Refounded, mine: Configuration) -> None:
        node._succession.followed(mine, word, node._now)
        node._install(word.configuration, None)

    plant.setattr(Node, "_follow_word", follow)


def nobody_goes_back(plant: pytest.MonkeyPatch) -> None:
    """Members of a forced cluster that has lost its quorum stay in it."""
    plant.setattr(Node, "_set_out_back", lambda node, peer, theirs: False)


def strangers_are_a_way_in(plant: pytest.MonkeyPatch) -> None:
    """Whoever probes a joiner is asked to let it in, whatever cluster that is a member of."""
    real = Joining.__init__

    def init(joining: Joining, *args: Any, **kwargs: Any) -> None:
        real(joining, *args, **kwargs)
        joining._trusted = Trusted(named=True)

    plant.setattr(Joining, "__init__", init)


def answers_nobody_asked_for_count(plant: pytest.MonkeyPatch) -> None:
    """Where an answer comes from does not matter, only what it says."""
    for kind in (Decided, Cuts, Snapshot, Admitted, Refounded):
        plant.setitem(acceptance.RULES, kind, of_this_cluster)


def of_this_cluster(header: Header, here: Situation) -> str | None:
    mine = here.configuration
    if mine is None:
        return None if header.kind in (Snapshot, Admitted) else "of another cluster"
    return None if header.cluster_id == mine.cluster_id else "of another cluster"


# -- who is told


def never_told(kind: type[Event], name: str) -> Mutant:
    """No application is told of this event."""

    def mutant(plant: pytest.MonkeyPatch) -> None:
        real = Outbox.notify

        def notify(outbox: Outbox, event: Event) -> None:
            if not isinstance(event, kind):
                real(outbox, event)

        plant.setattr(Outbox, "notify", notify)

    mutant.__name__ = name
    return mutant


quorum_never_restored = never_told(QuorumRestored, "quorum_never_restored")
waits_in_silence = never_told(JoinDelayed, "waits_in_silence")
