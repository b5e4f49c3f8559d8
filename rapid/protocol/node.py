"""One member: routes messages between joining, monitoring and the current epoch."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from math import inf
from random import Random

from rapid.consensus.facts import FAST, NO_RANK
from rapid.detection.alert import Alert, Status
from rapid.detection.cut_detector import ring_bits
from rapid.detection.judge import MakeJudge, Windowed
from rapid.detection.lag import Lag
from rapid.detection.monitor import Edge, Monitor
from rapid.errors import StateError
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId, checked_cluster_name
from rapid.protocol import acceptance, foreign
from rapid.protocol.acceptance import Acquaintances, Situation
from rapid.protocol.catch_up import CatchUp
from rapid.protocol.convalescence import Convalescence, ways_back
from rapid.protocol.departure import Departure, announce
from rapid.protocol.epoch import Epoch
from rapid.protocol.founding_alone import FoundingAlone
from rapid.protocol.joining import Joining, Trusted
from rapid.protocol.lineage import Lineage
from rapid.protocol.merging import Merging, passed_on_to, right_to_go, ways_into
from rapid.protocol.messages import (
    Admitted,
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    Header,
    JoinReply,
    JoinRequest,
    Leaving,
    Message,
    Named,
    ObserveRequest,
    Probe,
    ProbeAck,
    Refounded,
    Restarted,
    Snapshot,
    Standing,
    Unreached,
    header_of,
)
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import (
    Check,
    Discover,
    Event,
    Evicted,
    Installed,
    JoinDelayed,
    JoinFailed,
    Left,
    MergeFailed,
    Output,
    QuorumLost,
    QuorumRestored,
    RefoundingRefused,
)
from rapid.protocol.outreach import Outreach, Sighting
from rapid.protocol.reception import Reception
from rapid.protocol.refounding import Refounding, contradiction
from rapid.protocol.succession import Succession
from rapid.protocol.waiting import Waiting
from rapid.settings import Settings, require_consistent

LASTING = 100
"""A stay of so many pauses makes the next pause after an eviction short again."""
LONGEST = 60
"""Of such pauses, in attempts to join."""
EARLY = 64
"""Requests to observe a joiner that are kept while this process waits for its own first view."""
ANYONE = NodeId(bytes(NodeId.SIZE))
"""The target of a probe that asks whoever is at an address."""


class Node:
    """The whole protocol of one process, without I/O, clock or randomness of its own.

    Every call takes the time ``now`` in seconds, which never goes backwards. After each call,
    :meth:`drain` what there is to send and to tell; call :meth:`wake` at :meth:`deadline`.
    Input from peers never raises: it is rejected, counted in ``stats`` and notified. Misuse by
    the caller raises :class:`StateError` and changes nothing. With ``checks`` each probe comes with
    a :class:`Check`, to be answered by :meth:`checked` within the probe's timeout.

    ``rejoin``: when the cluster goes on without this member, join it again, as a new one. ``merge``:
    when another, larger cluster is found, join that and, once it has let this process in, leave this one.
    ``expected``: with more than one, nobody founds a cluster before that many processes have seen each other.
    ``cluster_id``: join this cluster, or one that continues it after an operator's force, or none; that goes
    neither with ``merge`` nor with ``expected``: :class:`SettingsError`. ``cluster_name``: have nothing to do
    with processes that do not give the same. ``alerted`` is called with each alert that counts and is new
    here, this member's own among them, and the configuration that it is about.
    """

    def __init__(
        self,
        me: Endpoint,
        settings: Settings,
        rng: Random,
        *,
        metadata: Mapping[str, str] | None = None,
        apply: Callable[[Configuration, Cut], Configuration] = Configuration.apply,
        make_judge: MakeJudge | None = None,
        checks: bool = False,
        rejoin: bool = True,
        merge: bool = False,
        expected: int = 1,
        cluster_id: ClusterId | None = None,
        cluster_name: str = "",
        alerted: Callable[[Configuration, Alert], None] | None = None,
    ) -> None:
        require_consistent(merge=merge, bootstrap_expect=expected, cluster_id=cluster_id)
        self.member = Member(me, NodeId(rng.randbytes(NodeId.SIZE)), metadata or {})
        self.settings = settings
        self.configuration: Configuration | None = None
        """The newest known, also when this process is not in it (any longer)."""
        self._me = me
        self._rng = rng
        self._apply = apply
        self._rejoin = rejoin
        self._expected = expected
        self._cluster_id = cluster_id
        self._alerted = alerted
        self._outbox = Outbox(checked_cluster_name(cluster_name))
        self._send = self._outbox.send
        self._epoch: Epoch | None = None
        self._joining: Joining | None = None
        self._convalescence: Convalescence | None = None
        self._merging: Merging | None = None
        """An attempt to get into another cluster: beside the epoch, which it leaves alone."""
        self._waiting: Waiting | None = None
        self._alone: FoundingAlone | None = None
        self._removed_with: Sequence[Endpoint] = ()
        """Of an evicted process: who was in its last view."""
        self._departure: Departure | None = None
        self._refounding: Refounding | None = None
        self._acquaintances = Acquaintances()
        self._lineage = Lineage()
        self._succession = Succession(me, settings, rng, self._lineage)
        self._left_behind = self._succession.left_behind
        self._done = False
        self._quorum_lost = False
        self._backoff = settings.join_retry
        self._member_since = -inf
        self._catch_up = CatchUp(me, settings, self._outbox, self._lineage)
        self._lag = Lag(settings.probe_timeout)
        self._monitor = Monitor(
            settings,
            rng,
            make_judge or Windowed(settings.window, settings.failures),
            self._send_probe,
            self._edge_faulty,
            (lambda edge: self._check(edge.subject, edge.sequence)) if checks else None,
            self.stats,
            self._lag,
            lambda: self._epoch is not None and self._epoch.detector.changing,
        )
        self._reception = Reception(
            me, settings, self._outbox, self._probe, self._monitor.hurry,
            self._check if checks else None, self._lineage,
        )  # fmt: skip
        self._outreach = Outreach(me, settings, rng, self._outbox, merge, self._probe_anyone)
        self._early = deque[tuple[ObserveRequest, Hashable | None]](maxlen=EARLY)
        """Of joiners that know this process as a member before it does itself."""
        self._now = -inf

    # -- what the driver calls

    @property
    def node_id(self) -> NodeId:
        return self.member.node_id

    @property
    def joining_id(self) -> NodeId | None:
        """As whom this member tries to get into another cluster, while it does."""
        return self._merging.member.node_id if self._merging is not None else None

    @property
    def stats(self) -> Counter[str]:
        """What was counted: rejected, dropped, decided, and so on."""
        return self._outbox.stats

    def start(self, now: float) -> None:
        """Found a cluster of one."""
        self._enter(now)
        if self._cluster_id is not None or self._expected > 1:
            raise StateError(f"{self._me} is to found no cluster by itself: join one through seeds")
        self._found()
        self._settle(now)

    def join(self, seeds: Sequence[Endpoint], now: float) -> None:
        """Join through any of the seeds, or fail at the join timeout with :class:`JoinFailed`.

        Where this member is the first seed itself it founds a cluster once none of the others is in
        one.
        """
        self._enter(now)
        self._waiting = Waiting(self.settings, now, rejoining=False)
        self._outreach.seeds = tuple(dict.fromkeys(seeds))
        self._joining = self._join_through(
            seeds,
            founds=self._cluster_id is None,
            expected=self._expected,
            deadline=now + self.settings.join_timeout,
        )
        self._joining.wake(now)
        self._settle(now)

    def discovered(self, seeds: Sequence[Endpoint], now: float) -> None:
        """The answer to :class:`Discover`: the seeds' addresses as they are now."""
        self._now = now
        self._outreach.seeds = tuple(dict.fromkeys(seeds))
        if self._joining is not None:
            self._joining.discovered(self._ways_in())

    def leave(self, now: float) -> None:
        """Ask the cluster to agree on the departure; :class:`Left` tells the outcome.

        A process that may be let in any moment waits for that, to leave then.
        """
        self._now = now
        if self._done or self._departure is not None:
            return
        if self._merging is not None and self._merging.arrival is not None:
            self._go_over(self._merging)
        joining, merging = self._joining, self._merging
        if merging is not None:  # nobody who leaves gets into another cluster
            self._merging = None
            merging.joining.withdraw(now, waits=False)
        if joining is not None and joining.withdraw(now):
            self._departure = Departure(self._me, self.settings, self._outbox, now)
        elif self.configuration is None or self._epoch is None or self.configuration.size == 1:
            self._finish(Left(agreed=True))
        else:
            self._departure = Departure(self._me, self.settings, self._outbox, now)
            self._departure.announce(self.configuration, self.node_id)
        self._settle(now)

    def force_new_cluster(self, now: float) -> None:
        """Go on with the members that answer, as a new cluster: for an operator, when the quorum is gone.

        A process that was evicted and waits to join again goes on alone; others that wait then join it.
        Refused with :class:`RefoundingRefused` while a quorum answers, or a member of any cluster does to an
        evicted process; and when this process has never been a member, or leaves.
        """
        epoch, self._now = self._epoch, now
        if epoch is None and self._waiting is not None and self._waiting.rejoining:
            self._begin_alone()
        elif epoch is None or self._departure is not None:
            reason = f"{self._me} is no member of a cluster: there is nothing to go on with"
            self._outbox.notify(RefoundingRefused(reason))
        elif self._refounding is None or not self._refounding.asked_for:
            self._refounding = Refounding(self.member, epoch.configuration, self.settings, now)
            self._ask_or_refound(self._refounding)
        self._settle(now)

    def receive(self, message: Message, now: float, reply_to: Hashable | None = None) -> None:
        """A peer said something; ``reply_to`` is the transport's way back to it."""
        self._now = now
        if self._done and not isinstance(message, Probe | ConfigurationRequest):
            return
        if isinstance(message, Named) and message.cluster_name != self._outbox.cluster_name:
            self._on_foreign(message, reply_to)
            self._settle(now)
            return
        reason = None if type(message) in acceptance.FROM_ANYONE else self.refusal(header_of(message))
        if reason is not None:
            self._refuse(message, reason)
            self._settle(now)
            return
        match message:
            case Probe():
                self._on_probe(message, reply_to)
            case ProbeAck():
                self._on_ack(message)
            case Facts():
                self._on_facts(message)
            case Decided():
                self._on_decided(message)
            case JoinRequest():
                self._on_join_request(message, reply_to)
            case ObserveRequest():
                self._on_observe_request(message, reply_to)
            case JoinReply():
                self._on_join_reply(message)
            case Admitted():
                if (joining := self._joining_in(message.cluster_id)) is not None:
                    joining.admitted(message, now)
            case Unreached():
                self._reception.unreached(message, now)
            case Restarted():
                self._monitor.hurry(message.sender, now)
            case Leaving():
                self._on_leaving(message, reply_to)
            case ConfigurationRequest():
                if self.configuration is None:
                    self._outbox.reject("request for another cluster", message.sender)
                else:
                    self._catch_up.answer(message, self.configuration, reply_to, now)
            case Cuts():
                self._on_cuts(message)
            case Snapshot():
                self._on_snapshot(message)
            case Refounded():
                self._on_refounded(message)
        self._settle(now)

    def _on_foreign(self, message: Named, token: Hashable | None) -> None:
        """Something of a process whose cluster has another name: it learns that, and nothing else."""
        self._outbox.reject("another cluster name", message.sender)
        if isinstance(message, ProbeAck):
            # whoever is at this address now, it is no member of this cluster
            self._monitor.answered(message.sender, ANYONE, message.sequence, self._now)
        elif isinstance(message, JoinReply) and self._joining is not None:
            self._joining.foreign(message, self._now)
        elif (word := foreign.answer(message, self._me, self.node_id, self._outbox.cluster_name)) is not None:
            if isinstance(message, JoinRequest):
                self.stats["joins refused"] += 1
            self._outbox.answer(token, message.sender, word)

    def refusal(self, header: Header) -> str | None:
        """Why a message with this header is not taken now, or None. Changes nothing.

        :meth:`receive` asks first; a transport may ask before it reads the body.
        """
        situation = Situation(
            self.settings.k, self.configuration, self._epoch, self._any_joining, self._catch_up,
            self._is_known, self._now,
        )  # fmt: skip
        return acceptance.refusal(header, situation)

    def send_failed(self, endpoint: Endpoint, now: float, *, refused: bool) -> None:
        """The connection to this address failed; ``refused``: the host itself said so."""
        self._now = now
        if (joining := self._any_joining) is not None:
            joining.unreachable(endpoint, now)
        if refused:
            self._monitor.refused(endpoint, now)
            self._reception.refused(endpoint)
        self._settle(now)

    def checked(self, endpoint: Endpoint, node_id: NodeId, sequence: int, passed: bool, now: float) -> None:
        """The :class:`Check` of this process and number has come to an end."""
        self._now = now
        if sequence:
            self._monitor.checked(endpoint, node_id, sequence, passed, now)
        else:
            self._reception.checked(endpoint, node_id, passed, now)
        self._settle(now)

    def wake(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        if (due := self.deadline()) is not None:
            self._lag.called(due, now)
        if (merging := self._merging) is not None:
            if merging.wake(now):
                self._go_over(merging)
        elif (joining := self._joining) is not None:
            if self._departure is None or joining.may_be_admitted(now):
                joining.wake(now)
            else:
                self._finish(Left(agreed=True))
        self._monitor.wake(now)
        self._reception.wake(now)
        if self._convalescence is not None:
            self._convalescence.wake(now)
        if self._epoch is not None and now >= self._epoch.review_due:
            self._epoch.review(self._monitor.healthy_since, now)
        if self._epoch is not None:
            self._outreach.wake(self._epoch.configuration, self._quorum_lost, now)
        if self._departure is not None and now >= self._departure.due:
            self._finish(Left(agreed=self._departure.agreed))
        if self._refounding is not None and now >= self._refounding.due:
            self._ask_or_refound(self._refounding)
        if now >= self._left_behind.due:
            self._look_for_those_left_behind()
        if self._alone is not None and now >= self._alone.due:
            self._ask_or_found(self._alone)
        if self._waiting is not None and now >= self._waiting.due:
            self._still_waiting(self._waiting)
        self._settle(now)

    def deadline(self) -> float | None:
        """When to call :meth:`wake` next; None when nothing is due. Changes nothing."""
        due = self._outreach.due
        if (other := self._monitor.due) < due:
            due = other
        if (other := self._reception.due) < due:
            due = other
        if self._epoch is not None:
            due = min(due, self._epoch.due, self._epoch.review_due)
        if (attempt := self._merging or self._joining) is not None:
            due = min(due, attempt.due)
        if self._convalescence is not None:
            due = min(due, self._convalescence.due)
        if self._departure is not None:
            due = min(due, self._departure.due)
        if self._refounding is not None:
            due = min(due, self._refounding.due)
        if (other := self._left_behind.due) < due:
            due = other
        if self._alone is not None:
            due = min(due, self._alone.due)
        if self._waiting is not None:
            due = min(due, self._waiting.due)
        return None if due == inf else due

    def drain(self) -> list[Output]:
        """What is to be sent and told, in order; empty after."""
        return self._outbox.drain()

    # -- beginnings and ends

    def _enter(self, now: float) -> None:
        if self._done or self._joining is not None or self.configuration is not None:
            raise StateError(f"{self._me} has started already: make a new node for a new life")
        self._now = now

    def _join_through(
        self,
        seeds: Sequence[Endpoint],
        *,
        founds: bool = False,
        expected: int = 1,
        deadline: float = inf,
        pause: float = 0.0,
    ) -> Joining:
        return Joining(
            self.member, seeds, self.settings, self._rng, self._outbox, self._now, found=self._found,
            failed=self._join_failed, renew=self._renew, founds=founds, expected=expected,
            cluster_id=self._cluster_id, deadline=deadline, pause=pause, trusted=self._trusted(),
        )  # fmt: skip

    def _trusted(self) -> Trusted:
        """The clusters whose members are asked though no seed is in them: those that this process was in."""
        mine = self.configuration
        ids = (*self._lineage.ids, mine.cluster_id) if mine is not None else ()
        return Trusted(frozenset(ids), named=bool(self._outbox.cluster_name))

    def _renew(self) -> Member:
        """Become another process, as far as the others can tell."""
        node_id = NodeId(self._rng.randbytes(NodeId.SIZE))
        self.member = Member(self._me, node_id, self.member.metadata)
        return self.member

    def _found(self) -> None:
        cluster_id = ClusterId(self._rng.randbytes(ClusterId.SIZE))
        self._lineage.enter(())
        self._install(Configuration.of(cluster_id, 1, [self.member], self.settings.k), None)

    def _join_failed(self, reason: str) -> None:
        """Give up joining; whoever may be let in all the same waits for that, to leave then."""
        self._waiting = None
        if self._joining is None or not self._joining.withdraw(self._now):
            self._finish(JoinFailed(reason))
        else:
            self._departure = Departure(self._me, self.settings, self._outbox, self._now)
            self._outbox.notify(JoinFailed(reason, leaving=True))

    def _finish(self, event: Event) -> None:
        self._done = True
        self._joining = None
        self._convalescence = None
        self._departure = None
        self._waiting = None
        self._left_behind.close()
        self._stop()
        self._outbox.notify(event)

    def _stop(self) -> None:
        """No member any longer. What the application was told of the quorum holds until the next view."""
        self._epoch = None
        self._merging = None
        asked_for = self._alone is not None or (self._refounding is not None and self._refounding.asked_for)
        self._refounding = self._alone = None
        if asked_for:
            reason = f"{self._me} left its cluster, or was evicted from it, before the others had answered"
            self._outbox.notify(RefoundingRefused(reason))
        self._monitor.stop()
        self._reception.close()
        self._outreach.close()

    def _begin_again(self) -> None:
        """Join once more, as a new process, when fit to; the pause grows where no stay lasts."""
        self._stop()
        self._renew()
        self._waiting = Waiting(self.settings, self._now, rejoining=True)
        if self._now > self._member_since + LASTING * self._backoff:
            self._backoff = self.settings.join_retry
        pause = self._backoff * (0.5 + self._rng.random())
        self._backoff = min(4 * self._backoff, LONGEST * self.settings.join_attempt)
        self._convalescence = Convalescence(
            self.settings, self._now, pause,
            lambda: [way for way in self._ways_in() if way != self._me], self._probe_anyone, self._recovered,
            lambda: self._outbox.put(Discover()),
        )  # fmt: skip

    def _recovered(self) -> None:
        self._convalescence = None
        self._joining = self._join_through(self._ways_in())
        self._joining.wake(self._now)

    def _ways_in(self) -> list[Endpoint]:
        """The seeds, some who were in the last view, and some who were removed with this process."""
        known = self.configuration.endpoints if self.configuration is not None else ()
        return ways_back(self._me, self._outreach.seeds, known, self._removed_with, self._rng)

    def _still_waiting(self, waiting: Waiting) -> None:
        """It takes long to get into a cluster: give up, or say why."""
        if self._joining is not None:
            reason = self._joining.reason
        elif self._convalescence is not None:
            reason = self._convalescence.reason
        else:
            assert self.configuration is not None, "it has joined, and others are expected"
            reason = f"the view holds {self.configuration.size} of the {self._expected} processes expected"
        waited = waiting.waited(self._now)
        if self._now >= waiting.ends:
            self._join_failed(f"no cluster has let this process in again within {waited:g} s: {reason}")
            return
        waiting.warned(self._now)
        self._outbox.notify(JoinDelayed(waited, reason, waiting.rejoining))

    # -- an operator's word to a process that was evicted

    def _begin_alone(self) -> None:
        """Ask whether there is any cluster that this process could join."""
        last = self.configuration
        assert last is not None, "it was a member"
        if self._alone is None:
            known = dict.fromkeys((*self._outreach.seeds, *last.endpoints, *self._removed_with))
            ways = [endpoint for endpoint in known if endpoint != self._me]
            self._alone = FoundingAlone(last, ways, self.settings, self._now)
            self._ask_or_found(self._alone)

    def _ask_or_found(self, alone: FoundingAlone) -> None:
        if alone.ask(self._now):
            for way in alone.ways:
                self._probe_anyone(way)
            return
        self._alone = None
        if (refusal := alone.refusal()) is not None:
            self._outbox.notify(RefoundingRefused(refusal))
            return
        assert self.configuration is not None, "it was a member"
        successor = alone.outcome(self.member, ClusterId(self._rng.randbytes(ClusterId.SIZE)))
        self._lineage.extend(self.configuration.cluster_id)
        self._outreach.alone_in = successor.cluster_id
        self._install(successor, None)
        for way in alone.ways:  # another process may have been told the same at this moment
            self._probe_anyone(way)

    # -- going over to another cluster

    @property
    def _any_joining(self) -> Joining | None:
        """The attempt to join, if there is one: by a process that is in no cluster, or by a member."""
        return self._merging.joining if self._merging is not None else self._joining

    def _joining_in(self, cluster_id: ClusterId | None) -> Joining | None:
        """The attempt that word from this cluster is for; a member's is for the cluster that it goes to."""
        merging = self._merging
        if merging is not None and cluster_id not in (None, merging.cluster_id):
            return None
        return self._any_joining

    def _sighting(self, epoch: Epoch) -> Sighting:
        """What there is to say of this member's own cluster."""
        mine, failing = epoch.configuration, self._failing(epoch)
        return Sighting(mine.cluster_id, mine.size, failing, self._quorum_lost)

    def _meet(self, peer: Endpoint, theirs: Sighting, epoch: Epoch) -> None:
        """A process says that it belongs to another cluster: try to get in, where that is the larger one."""
        if self._merging is not None:
            self._merging.heard(peer, theirs, self._now)
            if theirs.cluster_id == self._merging.cluster_id:
                return
        replaced = self._lineage.replaced(theirs.cluster_id)
        go = self._outreach.met(peer, theirs, self._sighting(epoch), self._now, replaced=replaced)
        if go and self._merging is None and self._departure is None:
            self._set_out([peer], theirs)

    def _set_out(self, ways_in: Sequence[Endpoint], target: Sighting, path: Sequence[ClusterId] = ()) -> None:
        """Try to get into another cluster, and stay a full member of this one meanwhile."""
        self.stats["merges begun"] += 1
        self._merging = Merging(
            self.member, ways_in, target, self.settings, self._rng, self._outbox, self._now, tuple(path)
        )
        self._merging.wake(self._now)

    def _set_out_back(self, peer: Endpoint, theirs: Sighting) -> bool:
        """Try to get back into a cluster that this one has replaced, where only that one has a quorum."""
        lost = self._quorum_lost and not theirs.quorum_lost
        if not (lost and self._rejoin and self._lineage.replaced(theirs.cluster_id)):
            return False
        if self._merging is not None:
            self._merging.heard(peer, theirs, self._now)
        elif self._departure is None and self._outreach.may_try(theirs.cluster_id, self._now):
            self._set_out([peer], theirs)
        return True

    def _end_failed_merge(self, merging: Merging, reason: str) -> None:
        """The other cluster has not let this member in: it stays where it is."""
        self._merging = None
        merging.joining.withdraw(self._now, waits=False)
        self.stats["merges failed"] += 1
        self._outreach.failed(merging.way_in, merging.target, self._now)
        self._outbox.notify(MergeFailed(merging.way_in, merging.cluster_id, reason))

    def _let_in(self, merging: Merging, snapshot: Snapshot, epoch: Epoch) -> None:
        """The other cluster has let this process in: go there, if that is still right."""
        theirs, mine = snapshot.configuration, self._sighting(epoch)
        if not right_to_go(self._lineage, self._outreach, mine, merging.arrived(theirs), snapshot.formerly):
            announce(self._me, merging.member.node_id, theirs, self._outbox)
            self._end_failed_merge(merging, "it is not the one to go to any more")
            return
        merging.arrive(snapshot)
        if merging.take_leave(epoch.configuration, self._quorum_lost, self._now):
            self._go_over(merging)

    def _go_over(self, merging: Merging) -> None:
        """Leave this cluster for the one that has let this process in."""
        old, arrival = self.configuration, merging.arrival
        assert old is not None, "only a member goes over"
        assert arrival is not None, "it was let in"
        self.stats["merges"] += 1
        self._outreach.left(old.cluster_id, self._now)
        self._stop()
        self.member, self._joining = merging.member, merging.joining
        self._outreach.tell(merging.way_in, merging.arrived(arrival.configuration), merging=True)
        self._succession.went_over(old, arrival, self._now)
        self._install(arrival.configuration, None)

    # -- the epoch

    def _settle(self, now: float) -> None:
        """Let the epoch do what became due, and follow its decisions."""
        if (merging := self._merging) is not None and merging.failure is not None:
            self._end_failed_merge(merging, merging.failure)
        while (epoch := self._epoch) is not None:
            cut = epoch.decided
            if cut is None and epoch.due <= now:
                epoch.wake(now)
                cut = epoch.decided
            if cut is None:
                if epoch.quorum_lost is not self._quorum_lost:
                    self._quorum_lost = epoch.quorum_lost
                    event = QuorumLost if epoch.quorum_lost else QuorumRestored
                    self._outbox.notify(event(epoch.configuration.version))
                return
            self._follow(epoch, cut)

    def _follow(self, epoch: Epoch, cut: Cut) -> None:
        """Apply a decision and pass it on."""
        configuration = epoch.configuration
        successor = self._apply(configuration, cut)
        rank = epoch.instance.decided_rank
        self.stats[
            "fast decisions" if rank == FAST else "classic decisions" if rank.round else "told decisions"
        ] += 1
        short, whole = (
            Decided(self._me, configuration.cluster_id, configuration.version, cut.digest, body)
            for body in (None, cut)
        )
        informed = epoch.gossip.informed(cut)
        for neighbour in epoch.gossip.neighbours:
            self._send(neighbour, short if neighbour in informed else whole)
        self._install(successor, cut)
        if rank == NO_RANK:  # another one knows of it, then
            self._heard(successor.version)

    def _install(self, configuration: Configuration, cut: Cut | None) -> None:
        before, self.configuration = self.configuration, configuration
        self._acquaintances.installed(before, configuration)
        if self._epoch is not None and before is not None:
            self._removed_with = before.endpoints
        self._catch_up.installed(before, cut)
        mine = configuration.member(self._me)
        if mine is None or mine.node_id != self.node_id:
            self._put_out(configuration)
            return
        self._removed_with = ()
        skipped = 0
        if cut is None and before is not None and before.cluster_id == configuration.cluster_id:
            skipped = configuration.version - before.version - 1
        elif cut is not None and not cut.size:
            self._monitor.stop()  # the outcomes are from a time that is over, like the alerts
        joining, self._joining = self._joining, None
        self._convalescence = None
        if self._waiting is not None and (self._waiting.rejoining or configuration.size >= self._expected):
            self._waiting = None
        if self._cluster_id is not None:
            self._cluster_id = configuration.cluster_id  # it continues the one that was asked for
        if self._alone is not None:
            self._alone = None
            reason = f"{self._me} has joined cluster {configuration.cluster_id} meanwhile"
            self._outbox.notify(RefoundingRefused(reason))
        if self._merging is not None and self._merging.cluster_id == configuration.cluster_id:
            self._merging = None  # an operator's word has brought this member there
        self._epoch = Epoch(
            configuration, self._me, self.settings, self._rng, self._outbox,
            lambda joiner: self._reception.look_after(joiner, self._now), self._lag,
            self._alerted,
        )  # fmt: skip
        # a configuration that comes whole does not tell who is new in it
        crowd = configuration.size if cut is None else len(cut.joined)
        self._monitor.configure(configuration, self._me, self._now, crowd)
        self._outreach.enter(configuration, self._now)
        self._outbox.notify(Installed(configuration, cut, skipped))
        if self._quorum_lost:
            self._quorum_lost = False
            self._outbox.notify(QuorumRestored(configuration.version))
        self._reception.enter(self.node_id, before if joining is None else None, self._epoch, self._now)
        self._monitor.report_faulty()
        if joining is not None:
            self._member_since = self._now
        if self._departure is not None:
            if configuration.size == 1:  # the others were quicker, and nobody is left to agree
                self._finish(Left(agreed=True))
                return
            self._departure.announce(configuration, self.node_id)
        if (merging := self._merging) is not None and merging.arrival is not None:
            merging.take_leave(configuration, self._quorum_lost, self._now)
        early, self._early = self._early, deque(maxlen=EARLY)
        for request, token in early:
            self._on_observe_request(request, token)
        for facts in self._catch_up.take_kept():
            if self._epoch is not None and facts.cluster_id == configuration.cluster_id:
                self._on_facts(facts)
        if self._refounding is not None:
            self._ask_again(self._refounding, configuration)

    def _put_out(self, without_me: Configuration) -> None:
        """The cluster goes on without this member."""
        if self._departure is not None:
            self._stop()
            self._departure.decided(without_me, self._now)
            return
        if (merging := self._merging) is not None and merging.arrival is not None:
            self._go_over(merging)
            return
        evicted = Evicted(without_me.cluster_id, without_me.version, self._rejoin)
        if not self._rejoin:
            self._finish(evicted)
            return
        self._begin_again()
        self._outbox.notify(evicted)

    def _heard(self, version: int) -> None:
        """Somebody in this cluster is at this version."""
        if self._departure is not None and self._departure.heard(version):
            self._finish(Left(agreed=True))

    # -- probes

    def _position(self) -> tuple[ClusterId | None, int, int, int, int, bool]:
        configuration, epoch = self.configuration, self._epoch
        if configuration is None:
            return None, 0, 0, 0, 0, False
        cluster_id, version = configuration.cluster_id, configuration.version
        if epoch is None:
            return cluster_id, version, 0, 0, 0, False
        digest, failing = epoch.gossip.digest, self._failing(epoch)
        return cluster_id, version, digest, configuration.size, failing, self._quorum_lost

    @staticmethod
    def _failing(epoch: Epoch) -> int:
        return len(epoch.detector.failing) if epoch.detector.changing else 0

    def _send_probe(self, edge: Edge) -> None:
        probe = Probe(self._me, edge.subject.node_id, edge.sequence, *self._position())
        self._send(edge.subject.endpoint, probe)

    def _check(self, member: Member, sequence: int = 0) -> None:
        self._outbox.put(Check(member, sequence))

    def _probe(self, member: Member) -> None:
        self._send(member.endpoint, Probe(self._me, member.node_id, 0, *self._position()))

    def _probe_anyone(self, endpoint: Endpoint, sequence: int = 0) -> None:
        self._send(endpoint, Probe(self._me, ANYONE, sequence, *self._position()))

    def _probe_unplaced(self, endpoint: Endpoint) -> None:
        """Ask who is there where it is, without a word about this cluster, which may mean nothing to it."""
        self._send(endpoint, Probe(self._me, ANYONE, 0, None, 0, 0))

    def _on_probe(self, probe: Probe, token: Hashable | None) -> None:
        merging = self._merging
        if merging is not None and merging.concerns(probe):
            # to those of the other cluster this process is a joiner, until it is one of them
            there = ProbeAck(self._me, merging.member.node_id, probe.sequence, None, 0, 0)
            self._outbox.answer(token, probe.sender, there)
            if probe.cluster_id is not None:
                theirs = Sighting(probe.cluster_id, probe.size, probe.failing, probe.quorum_lost)
                merging.heard(probe.sender, theirs, self._now)
            return
        ack = ProbeAck(self._me, self.node_id, probe.sequence, *self._position())
        self._outbox.answer(token, probe.sender, ack)
        if self._done:
            return
        if self._joining is not None:
            self._joining.probed(probe.sender, probe.cluster_id, probe.size, self._now)
        if self._alone is not None:
            self._alone.answered(probe.sender, probe.cluster_id, probe.size)
        self._compare(probe, token)

    def _on_ack(self, ack: ProbeAck) -> None:
        mine = self.configuration
        elsewhere = bool(ack.size) and mine is not None and ack.cluster_id != mine.cluster_id
        # who has not followed into this cluster yet is told again, and counts as silent until it has
        if not elsewhere or not self._succession.outdated(ack.sender, ack.cluster_id, ack.size, mine):
            # who is a member of another cluster is none of this one, whatever its id
            process = ANYONE if elsewhere else ack.node_id
            self._monitor.answered(ack.sender, process, ack.sequence, self._now)
        self._reception.answered(ack.sender, ack.node_id, self._now)
        if self._convalescence is not None:
            self._convalescence.answered(ack.sequence)
        if self._refounding is not None:
            self._refounding.answered(ack.sender, ack.node_id, ack.cluster_id, ack.version)
        if self._alone is not None:
            self._alone.answered(ack.sender, ack.cluster_id, ack.size)
        if self._compare(ack) and self._epoch is not None:
            self._epoch.gossip.trust(ack.sender, self._now)
            self._catch_up.compare(ack.sender, ack.facts, self._epoch)

    def _edge_faulty(self, edge: Edge) -> None:
        if self._epoch is not None:
            self._epoch.alert(edge.subject, Status.DOWN, edge.rings, self._now, edge.ground)

    def _compare(self, theirs: Probe | ProbeAck, token: Hashable | None = None) -> bool:
        """Whether the peer is in the same epoch; who is ahead is asked for what was missed here."""
        mine, peer, cluster_id, version = (
            self.configuration, theirs.sender, theirs.cluster_id, theirs.version
        )  # fmt: skip
        if mine is None or cluster_id is None:
            return False
        if cluster_id != mine.cluster_id:
            sighting = Sighting(cluster_id, theirs.size, theirs.failing, theirs.quorum_lost)
            if self._succession.outdated(peer, cluster_id, theirs.size, mine):
                if not self._set_out_back(peer, sighting):
                    self._announce_to(peer, cluster_id, token)
            elif self._epoch is not None and (peer not in self._left_behind or peer in self._outreach.seeds):
                self._meet(peer, sighting, self._epoch)
            return False
        if theirs.size:
            self._left_behind.heard(peer)
        if peer in mine:
            self._heard(version)
        if mine.version < version <= mine.version + acceptance.VERSIONS_AHEAD and self._epoch is not None:
            self._ask(peer, mine, self._epoch)
        return version == mine.version

    def _is_known(self, endpoint: Endpoint) -> bool:
        return self._acquaintances.include(endpoint, self.configuration, self._outreach.seeds)

    def _ask(self, peer: Endpoint, mine: Configuration, epoch: Epoch) -> None:
        """Ask for what was missed: a peer that claims to be ahead, or a member where that is a stranger."""
        if not self._is_known(peer) and not epoch.detector.expects(peer):
            others = [endpoint for endpoint in mine.endpoints if endpoint != self._me]
            if not others:
                return
            peer = self._rng.choice(others)
        self._catch_up.ask(peer, mine, self.node_id, self._now)

    def _refuse(self, message: Message, reason: str) -> None:
        """It has no effect, but for telling a member of a replaced cluster what it has missed."""
        if reason.startswith(acceptance.LATE):
            self.stats[reason] += 1
        else:
            self._outbox.reject(reason, message.sender)
        if isinstance(message, Facts) and self._lineage.replaced(message.cluster_id):
            self._announce_to(message.sender, message.cluster_id)

    # -- facts

    def _on_facts(self, facts: Facts) -> None:
        configuration, epoch = self.configuration, self._epoch
        if configuration is None or epoch is None:
            if self._joining is not None:  # the others may know this process as a member before it does
                self._catch_up.keep(facts)
            return
        if self._merging is not None and facts.cluster_id == self._merging.cluster_id:
            self._catch_up.keep(facts)  # the others may know this process as a member before it does
        elif facts.version > configuration.version:
            self._catch_up.keep(facts)
            self._ask(facts.sender, configuration, epoch)
        elif facts.version < configuration.version:
            self.stats["late facts"] += 1
        elif facts.sender not in configuration:
            self._outbox.reject("facts of a non-member", facts.sender)  # it is about to be one, or was
        else:
            epoch.receive(facts, self._now)
            if facts.complete:
                self._send(facts.sender, epoch.gossip.everything(complete=False))

    def _on_decided(self, decided: Decided) -> None:
        configuration, epoch = self.configuration, self._epoch
        assert configuration is not None, "others are refused"
        self._heard(decided.version + 1)
        if epoch is None or decided.version < configuration.version:
            return
        cut = decided.cut or epoch.bodies.get(decided.digest)
        if decided.version > configuration.version or cut is None:
            self._ask(decided.sender, configuration, epoch)
        elif cut.digest != decided.digest or not epoch.adopt(cut):
            self._outbox.reject("decision contradicts its digest", decided.sender)

    # -- catching up

    def _on_cuts(self, message: Cuts) -> None:
        for at, cut in enumerate(message.cuts):
            epoch = self._epoch
            if epoch is None or message.version + at != epoch.configuration.version:
                continue
            if not epoch.adopt(cut):
                self._outbox.reject("cut contradicts a decision", message.sender)
                return
            self._settle(self._now)
            self.stats["cuts caught up"] += 1

    def _on_snapshot(self, message: Snapshot) -> None:
        theirs, mine = message.configuration, self.configuration
        if self._joining is not None:
            member = theirs.member(self._me)
            if member is None or member.node_id != self.node_id:
                self._outbox.reject("snapshot without this member", message.sender)
            else:
                self._lineage.enter(message.formerly)
                self._install(theirs, None)
        elif (merging := self._merging) is not None and merging.lets_in(theirs):
            if self._epoch is not None and merging.arrival is None:
                self._let_in(merging, message, self._epoch)
        elif mine is not None and theirs.cluster_id == mine.cluster_id and theirs.version > mine.version:
            self.stats["snapshots installed"] += 1
            self._install(theirs, None)
            self._heard(theirs.version)

    # -- joiners

    def _on_observe_request(self, request: ObserveRequest, token: Hashable | None) -> None:
        merging = self._merging
        there = merging is not None and request.cluster_id == merging.cluster_id
        if there or (self._epoch is None and self._joining is not None):
            self._early.append((request, token))
        else:
            self._reception.on_observe_request(request, token, self._now)

    def _on_join_request(self, request: JoinRequest, token: Hashable | None) -> None:
        if self._epoch is not None:
            self._reception.on_join_request(request, token, self._now)
            return
        standing = Standing.NOT_A_MEMBER
        if self._joining is not None:
            standing = self._joining.requested(request, self._now)
        reply = JoinReply(
            self._me, standing, None, 0, (), "not in a cluster yet", self.node_id, request.attempt
        )
        self._outbox.answer(token, request.sender, reply)

    def _on_join_reply(self, reply: JoinReply) -> None:
        joining = self._joining_in(reply.cluster_id)
        if joining is None:
            return
        back = self._merging is not None and self._merging.cluster_id == reply.cluster_id
        if reply.cluster_id is not None and self._lineage.replaced(reply.cluster_id) and not back:
            # its members do not know yet that it was: who joins it would be evicted with them
            self.stats["welcomes of replaced clusters"] += 1
            self._announce_to(reply.sender, reply.cluster_id)
            reply = JoinReply(reply.sender, Standing.NOT_A_MEMBER, None, 0, attempt=reply.attempt)
        joining.replied(reply, self._now)

    # -- leaving

    def _on_leaving(self, leaving: Leaving, token: Hashable | None) -> None:
        epoch = self._epoch
        assert epoch is not None, "others are refused"
        mine = epoch.configuration
        member = mine.member(leaving.sender)
        if member is None:
            self._reception.withdrawn(leaving, token, self._now)
        elif member.node_id != leaving.node_id:
            self._outbox.reject("departure of an earlier process", leaving.sender)
        else:
            rings = ring_bits(mine.observers(leaving.sender), self._me)
            if rings:
                epoch.alert(member, Status.LEAVING, rings, self._now)
            if leaving.version < mine.version:  # a joiner that has given up may not know that it was let in
                admitted = Admitted(self._me, mine.cluster_id, mine.version)
                self._outbox.answer(token, leaving.sender, admitted)

    # -- an operator's word

    def replaced(self, cluster_id: ClusterId) -> bool:
        """Whether an operator has replaced the cluster of this id, as far as is known here."""
        return self._lineage.replaced(cluster_id)

    def _ask_or_refound(self, refounding: Refounding) -> None:
        """Ask the members that have not answered; after a while found the new cluster, or refuse to."""
        if not refounding.over(self._lag.at(self._now), self._now):
            for member in refounding.ask(self._now):
                self._probe(member)
            return
        self._refounding = None
        if (refusal := refounding.refusal()) is not None:
            self._refuse_refounding(refounding, refusal)
            return
        successor = refounding.outcome(ClusterId(self._rng.randbytes(ClusterId.SIZE)))
        word = self._succession.forced(refounding.configuration, successor, self._now)
        for endpoint in successor.endpoints:
            if endpoint != self._me:
                self._send(endpoint, word)
        self._install(successor, None)

    def _ask_again(self, refounding: Refounding, configuration: Configuration) -> None:
        """There is a new configuration before the question is answered: its members are asked instead."""
        self._refounding = refounding.again(configuration, self._now)
        if self._refounding is None:
            old = refounding.configuration
            reason = f"version {old.version} has given way to a new one: it is not needed any more"
            self._refuse_refounding(refounding, reason)

    def _refuse_refounding(self, refounding: Refounding, reason: str) -> None:
        if refounding.asked_for:
            self._outbox.notify(RefoundingRefused(reason))

    def _look_for_those_left_behind(self) -> None:
        """Probe them; where those who answered the operator's question have not followed, ask it anew.

        They may have been evicted from the old cluster before they were told of the new one, or died.
        """
        mine, epoch = self.configuration, self._epoch
        assert mine is not None, "it was replaced"
        for endpoint in self._left_behind.wake(mine.size, self._now):
            self._probe_unplaced(endpoint)
        founded = self._left_behind.take_failed()
        if epoch is not None and founded is epoch.configuration and self._refounding is None:
            self.stats["clusters forced anew"] += 1
            self._refounding = Refounding(self.member, founded, self.settings, self._now, asked_for=False)

    def _announce_to(self, peer: Endpoint, cluster_id: ClusterId, token: Hashable | None = None) -> None:
        """Tell a member of another cluster that it was replaced by this one, or who its competitor is."""
        if token is None and not self._is_known(peer):
            return  # no stranger has this process connect to anywhere
        word = self._succession.word_for(peer, cluster_id, self.configuration, self._now)
        if word is not None:
            self._outbox.answer(token, peer, word)

    def _on_refounded(self, word: Refounded) -> None:
        """Go over to the cluster that replaces this one, whatever was agreed on here in the meantime.

        Who is a member there is one at once. Who is not tries to get in, and stays where it is until it is.
        """
        mine, theirs = self.configuration, word.configuration
        assert mine is not None, "others are refused"
        if theirs.cluster_id == mine.cluster_id:
            self.stats["late refoundings"] += 1
            return
        ids = (*word.formerly, word.cluster_id)
        yields = self._lineage.yields_to(mine.cluster_id, theirs.cluster_id, ids)
        if yields is None:
            self._outbox.reject("refounding of another cluster", word.sender)
        elif not yields:
            self._lineage.prevailed(theirs.cluster_id)
            self._announce_to(word.sender, theirs.cluster_id)
        elif (problem := contradiction(word, mine)) is not None:
            self._outbox.reject(problem, word.sender)
        elif self.member not in theirs.members and self._rejoin:
            self._follow_word(word, mine)
        else:
            self._succession.followed(mine, word, self._now)
            self._install(theirs, None)

    def _follow_word(self, word: Refounded, mine: Configuration) -> None:
        """Try to get into the cluster that replaces this one, and have the others of this one try as well.

        If they came to know of it one by one, those who are there already could lack a quorum for long.
        """
        theirs, formerly = word.configuration, (*word.formerly, word.cluster_id)
        path, merging = (*formerly, theirs.cluster_id), self._merging
        if merging is not None and merging.arrival is None and self._epoch is not None:
            if merging.lets_in(theirs):
                self._let_in(merging, Snapshot(word.sender, theirs, formerly), self._epoch)
                return
            if merging.gives_way_to(path):
                self._end_failed_merge(merging, "an operator has replaced it, too")
        busy = self._merging is not None or self._departure is not None
        if busy or not self._outreach.may_try(theirs.cluster_id, self._now):
            return
        for endpoint in passed_on_to(word, mine):
            if endpoint != self._me:
                self._send(endpoint, replace(word, sender=self._me))
        target = Sighting(theirs.cluster_id, theirs.size, 0, quorum_lost=False)
        self._set_out(ways_into(word, self._rng), target, path)
