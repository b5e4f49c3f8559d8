"""Planted bugs: each function breaks one rule of the protocol, in every process, until ``plant`` is undone.

Most are mistakes that real implementations of this protocol have made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from math import inf
from typing import Any

import pytest

from rapid.consensus.facts import FAST, Accept, Promise, Rank
from rapid.consensus.instance import Instance, pick_value
from rapid.consensus.quorum import classic_quorum, fast_quorum
from rapid.detection.alert import Alert, Status
from rapid.detection.cut_detector import CutDetector, ring_bits
from rapid.detection.judge import Judge
from rapid.overlay import cut as cuts
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.overlay.rings import Ring
from rapid.protocol import acceptance
from rapid.protocol import epoch as epochs
from rapid.protocol import node as nodes
from rapid.protocol.batch import AlertBatch
from rapid.protocol.catch_up import CatchUp
from rapid.protocol.departure import Departure
from rapid.protocol.epoch import Epoch
from rapid.protocol.founding import Founding
from rapid.protocol.history import History
from rapid.protocol.joining import Joining
from rapid.protocol.messages import ConfigurationRequest, Facts, JoinReply, Leaving, Message, Probe
from rapid.protocol.node import Node
from rapid.protocol.reception import Reception
from rapid.protocol.refounding import Refounding
from tests.consensus import mutants as instances

Mutant = Callable[[pytest.MonkeyPatch], None]


def nothing(*args: object) -> None:
    """In place of a method that matters."""


# -- agreement


def agreeing_by(instance: type[Instance]) -> Mutant:
    """Every epoch's agreement is of this class."""

    def mutant(plant: pytest.MonkeyPatch) -> None:
        plant.setattr(epochs, "Instance", instance)

    mutant.__name__ = instance.__name__
    return mutant


class FastQuorumOneShort(Instance):
    """Among 5 to 7 members. Among 4, 8 or 12 it does no harm, and with fewer it shows at once."""

    __slots__ = ()

    def _quorum(self, rank: Rank) -> int:
        if rank != FAST:
            return classic_quorum(self.n)
        return fast_quorum(self.n) - (5 <= self.n <= 7)


class PromiseCountedTwice(Instance):
    """A coordinator counts deliveries of promises for its quorum, not senders."""

    __slots__ = ("repeats",)

    def add_promise(self, promise: Promise) -> int:
        new = super().add_promise(promise)
        if not new and promise.voters != self._bit:
            repeats: dict[Rank, int] = getattr(self, "repeats", {})
            self.repeats = {**repeats, promise.rank: repeats.get(promise.rank, 0) + 1}
            self._pick(promise.rank)
        return new

    def _pick(self, rank: Rank) -> None:
        repeats = getattr(self, "repeats", {}).get(rank, 0)
        counted = self.promises.get(rank, {})
        heard = sum(voters.bit_count() for voters in counted.values()) + repeats
        if self._picked.get(rank) is False and heard >= classic_quorum(self.n):
            digest = pick_value(self.n, counted) or self.preferred
            if digest is not None:
                self._picked[rank] = True
                self.said.append(Accept(rank, digest))
                self.add_accept(Accept(rank, digest))


class OneClassicRound(Instance):
    """Nobody opens a second one."""

    __slots__ = ()

    def coordinate(self, round_number: int) -> None:
        if round_number == FAST.round + 1:
            super().coordinate(round_number)


late_fast_vote = agreeing_by(instances.LateFastVote)
promise_counted_twice = agreeing_by(PromiseCountedTwice)
fast_quorum_one_short = agreeing_by(FastQuorumOneShort)
classic_quorum_one_short = agreeing_by(instances.ClassicQuorumOneShort)
vote_ignores_promise = agreeing_by(instances.VoteIgnoresPromise)
pick_ignores_votes = agreeing_by(instances.PickIgnoresVotes)
pick_ignores_count = agreeing_by(instances.PickIgnoresCount)
pick_ignores_vrank = agreeing_by(instances.PickIgnoresVrank)
only_one_classic_round = agreeing_by(OneClassicRound)


def value_without_node_ids(plant: pytest.MonkeyPatch) -> None:
    """A cut is named by the addresses alone."""

    def described(member: Member) -> bytes:
        return repr((member.endpoint, sorted(member.metadata.items()))).encode()

    plant.setattr(cuts, "described", described)


# -- detection


class NeverForgets:
    """Counts every failure there ever was."""

    def __init__(self) -> None:
        self._failures = 0

    def record(self, answered: bool, now: float) -> None:
        self._failures += not answered

    @property
    def faulty(self) -> bool:
        return self._failures >= 4


def failures_never_forgotten(plant: pytest.MonkeyPatch) -> None:
    def describe(*args: object) -> Callable[[], Judge]:
        return NeverForgets

    plant.setattr(nodes, "Windowed", describe)


def no_reinforcement(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Epoch, "_reinforce_at", property(lambda epoch: inf))


def joiners_are_not_looked_after(plant: pytest.MonkeyPatch) -> None:
    """Reinforcement is for those that fail alone."""
    plant.setattr(Reception, "look_after", nothing)


def nothing_expires(plant: pytest.MonkeyPatch) -> None:
    """Who is unstable stays so, though nobody is left who could say more."""
    plant.setattr(CutDetector, "expire", nothing)


def words_of_the_accused_count(plant: pytest.MonkeyPatch) -> None:
    """Those that hear nothing find all others faulty."""

    def stands(*args: object) -> bool:
        return True

    plant.setattr(CutDetector, "_stands", stands)


def any_number_is_bearable(plant: pytest.MonkeyPatch) -> None:
    """A cut may remove all who would agree on it."""

    def none(size: int) -> int:
        return 0

    plant.setattr(epochs, "classic_quorum", none)


def alerts_of_non_members_count(plant: pytest.MonkeyPatch) -> None:
    real = CutDetector.problem

    def problem(detector: CutDetector, alert: Alert) -> str | None:
        stranger = alert.observer not in detector._configuration
        return None if stranger else real(detector, alert)

    plant.setattr(CutDetector, "problem", problem)


def detector_not_cleared(plant: pytest.MonkeyPatch) -> None:
    """What was tallied in one epoch is still there in the next."""
    real = Epoch.__init__
    kept: dict[int, CutDetector] = {}

    def init(
        epoch: Epoch, configuration: Configuration, me: Endpoint, settings: Any, rng: Any, *rest: Any
    ) -> None:
        real(epoch, configuration, me, settings, rng, *rest)
        before = kept.get(id(rng))
        if before is not None:
            epoch.detector._tallies = before._tallies
            epoch.detector._stable = before._stable
            epoch.detector._unstable = before._unstable
        kept[id(rng)] = epoch.detector

    plant.setattr(Epoch, "__init__", init)


def alerts_dropped_after_the_proposal(plant: pytest.MonkeyPatch) -> None:
    real = Epoch._add_alert

    def add(epoch: Epoch, alert: Alert, source: Endpoint | None, now: float) -> None:
        if epoch.proposal is None:
            real(epoch, alert, source, now)

    plant.setattr(Epoch, "_add_alert", add)


def window_restarts_for_ever(plant: pytest.MonkeyPatch) -> None:
    """A batch of alerts leaves only once there is quiet."""

    def extend(batch: AlertBatch, quiet: float, now: float) -> None:
        batch.due = now + quiet

    plant.setattr(AlertBatch, "_extend", extend)


# -- catching up


def no_catch_up(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(CatchUp, "ask", nothing)


def facts_of_the_future_dropped(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(CatchUp, "keep", nothing)


def evicted_is_silent(plant: pytest.MonkeyPatch) -> None:
    """Who is no member answers nobody who asks for what it knows."""
    real = Node.receive

    def receive(node: Node, message: Message, now: float, reply_to: Hashable | None = None) -> None:
        was_member = node.configuration is not None and node._epoch is None
        if not (was_member and isinstance(message, Probe | ConfigurationRequest)):
            real(node, message, now, reply_to)

    plant.setattr(Node, "receive", receive)


def leaver_goes_at_once(plant: pytest.MonkeyPatch) -> None:
    """It does not wait until another member knows that it left."""

    def decided(departure: Departure, without_me: Configuration, now: float) -> None:
        departure._agreed_at = without_me.version
        departure.due = now

    plant.setattr(Departure, "decided", decided)


# -- configurations


def version_can_repeat(plant: pytest.MonkeyPatch) -> None:
    """It follows from the members alone."""
    real = Configuration.apply

    def apply(configuration: Configuration, cut: Cut) -> Configuration:
        after = real(configuration, cut)
        after.version = after.size
        return after

    plant.setattr(Configuration, "apply", apply)


def cluster_id_can_repeat(plant: pytest.MonkeyPatch) -> None:
    """It follows from the founder's address."""

    def found(node: Node) -> None:
        cluster_id = ClusterId(str(node.member.endpoint).encode()[: ClusterId.SIZE].ljust(ClusterId.SIZE))
        node._install(Configuration.of(cluster_id, 1, [node.member], node.settings.k), None)

    plant.setattr(Node, "_found", found)


def ends_of_rings_not_updated(plant: pytest.MonkeyPatch) -> None:
    """The last of a ring is observed by whoever stood first before the last change."""
    first: dict[int, tuple[Endpoint, Ring]] = {}
    changed, successor = Ring.changed, Ring.successor

    def stale_changed(ring: Ring, removed: Sequence[Any], added: Sequence[Any]) -> Ring:
        after = changed(ring, removed, added)
        first[id(after)] = (ring.endpoints[0], after)
        return after

    def stale_successor(ring: Ring, key: int, endpoint: Endpoint) -> Endpoint | None:
        if id(ring) in first and ring.endpoints[-1] == endpoint:
            return first[id(ring)][0]
        return successor(ring, key, endpoint)

    plant.setattr(Ring, "changed", stale_changed)
    plant.setattr(Ring, "successor", stale_successor)


def history_without_limit(plant: pytest.MonkeyPatch) -> None:
    def init(history: History, limit: int) -> None:
        history._cuts = deque()

    plant.setattr(History, "__init__", init)


def departed_are_remembered(plant: pytest.MonkeyPatch) -> None:
    """So that no node id comes back: but they are random, and there is no end of them."""
    real = CatchUp.installed

    def installed(catch_up: CatchUp, before: Configuration | None, cut: Cut | None) -> None:
        real(catch_up, before, cut)
        departed: set[NodeId] = catch_up.__dict__.setdefault("departed", set())
        departed.update(removal.node_id for removal in (cut.removed if cut is not None else ()))

    plant.setattr(CatchUp, "installed", installed)


# -- joining, founding, leaving


def joiner_keeps_its_node_id(plant: pytest.MonkeyPatch) -> None:
    """Whatever may have happened to it meanwhile."""
    real = Joining.__init__

    def init(joining: Joining, *args: Any, **kwargs: Any) -> None:
        real(joining, *args, **kwargs)
        joining._renew = lambda: joining._member

    plant.setattr(Joining, "__init__", init)


def clusters_heard_of_are_forgotten(plant: pytest.MonkeyPatch) -> None:
    """A seed founds although others answer from a cluster."""
    never = property(lambda joining: -inf, nothing)
    plant.setattr(Joining, "_cluster_until", never, raising=False)


def any_followers_make_a_founder(plant: pytest.MonkeyPatch) -> None:
    """A majority of the seeds is not asked for."""

    followers: dict[int, set[Endpoint]] = {}

    def followed(founding: Founding, process: Endpoint, *times: float) -> bool:
        found = followers.setdefault(id(founding), set())
        found.add(process)
        return not founding._follows(times[-1]) and len(found) + 1 >= founding._expected

    plant.setattr(Founding, "followed", followed)


def late_leave_evicts_the_next(plant: pytest.MonkeyPatch) -> None:
    """A departure is an address, not a process."""

    def on_leaving(node: Node, leaving: Leaving, token: object) -> None:
        mine, epoch = node.configuration, node._epoch
        member = mine.member(leaving.sender) if mine is not None else None
        if mine is not None and epoch is not None and member is not None:
            rings = ring_bits(mine.observers(leaving.sender), node.member.endpoint)
            epoch.alert(member, Status.LEAVING, rings, node._now)

    plant.setattr(Node, "_on_leaving", on_leaving)


def facts_of_non_members_count(plant: pytest.MonkeyPatch) -> None:
    real = Node._on_facts

    def on_facts(node: Node, facts: Facts) -> None:
        mine, epoch = node.configuration, node._epoch
        if mine is None or epoch is None or facts.sender in mine or facts.version != mine.version:
            real(node, facts)
        else:
            epoch.receive(facts, node._now)

    plant.setitem(acceptance.RULES, Facts, nothing)
    plant.setattr(Node, "_on_facts", on_facts)


# -- an operator's word


def question_asked_once(plant: pytest.MonkeyPatch) -> None:
    """Whose answer is lost is left out."""
    real = Refounding.ask

    def ask(refounding: Refounding, now: float) -> list[Member]:
        return real(refounding, now) if now == refounding._began else real(refounding, now)[:0]

    plant.setattr(Refounding, "ask", ask)


def answers_of_any_cluster_count(plant: pytest.MonkeyPatch) -> None:
    real = Refounding.answered

    def answered(refounding: Refounding, endpoint: Endpoint, node_id: NodeId, *where: object) -> None:
        mine = refounding.configuration
        real(refounding, endpoint, node_id, mine.cluster_id, mine.version)

    plant.setattr(Refounding, "answered", answered)


def word_said_once(plant: pytest.MonkeyPatch) -> None:
    """Who misses it, or comes back later, is not told again."""
    plant.setattr(Node, "_announce_to", nothing)


def welcome_of_a_replaced_cluster_counts(plant: pytest.MonkeyPatch) -> None:
    """A joiner takes another id where it was let in already."""

    def on_join_reply(node: Node, reply: JoinReply) -> None:
        if node._joining is not None:
            node._joining._observed_until = -inf
            node._joining.replied(reply, node._now)

    plant.setattr(Node, "_on_join_reply", on_join_reply)
