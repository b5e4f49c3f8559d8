"""One member: routes messages between joining, monitoring and the current epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import inf
from random import Random

from rapid.consensus.facts import FAST
from rapid.detection.alert import Status
from rapid.detection.cut_detector import ring_bits
from rapid.detection.judge import MakeJudge, Windowed
from rapid.detection.monitor import Edge, Monitor
from rapid.errors import StateError
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.admission import Admission, Joiner
from rapid.protocol.epoch import Epoch
from rapid.protocol.history import History
from rapid.protocol.joining import Joining
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
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
    Restarted,
    Snapshot,
    Standing,
)
from rapid.protocol.outputs import (
    Check,
    Event,
    Evicted,
    Installed,
    JoinFailed,
    Left,
    Notify,
    Output,
    QuorumLost,
    QuorumRestored,
    Rejected,
    Reply,
    Send,
)
from rapid.settings import Settings

FUTURE_LIMIT = 256


class Node:
    """The whole protocol of one process life, without I/O, clock or randomness of its own.

    Every call takes the time ``now`` in seconds, which never goes backwards. After each call,
    :meth:`drain` what there is to send and to tell; call :meth:`wake` at :meth:`deadline`.
    Input from peers never raises: it is rejected, counted in ``stats`` and notified. Misuse by
    the caller raises :class:`StateError` and changes nothing. With ``checks`` each probe comes with
    a :class:`Check`, to be answered by :meth:`checked` within the probe's timeout.
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
    ) -> None:
        self.member = Member(me, NodeId(rng.randbytes(NodeId.SIZE)), metadata or {})
        self.settings = settings
        self.configuration: Configuration | None = None
        self.stats: Counter[str] = Counter()
        self._me = me
        self._rng = rng
        self._apply = apply
        self._outputs: list[Output] = []
        self._epoch: Epoch | None = None
        self._joining: Joining | None = None
        self._leave_at = inf
        self._leaving = False
        self._done = False
        self._quorum_lost = False
        self._future: list[Facts] = []
        self._asked_at: dict[Endpoint, float] = {}
        self._unequal: dict[Endpoint, tuple[int, int]] = {}
        self._history = History(settings.history)
        self._monitor = Monitor(
            settings,
            rng,
            make_judge or Windowed(settings.window, settings.failures),
            self._send_probe,
            self._edge_faulty,
            self._ask_application if checks else None,
            self.stats,
        )
        self._admission = Admission(
            settings, self._probe_joiner, self._joiner_reached, self._joiner_unreachable
        )
        self._now = -inf

    # -- what the driver calls

    @property
    def node_id(self) -> NodeId:
        return self.member.node_id

    def start(self, now: float) -> None:
        """Found a cluster of one."""
        self._enter(now)
        self._found()
        self._settle(now)

    def join(self, seeds: Sequence[Endpoint], now: float) -> None:
        """Join through any of the seeds, or fail at the join timeout with :class:`JoinFailed`.

        Where this member is the first seed itself, or there is none, it founds a cluster once no
        other seed answers.
        """
        self._enter(now)
        self._join(seeds, now)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Ask the cluster to agree on the departure; :class:`Left` tells the outcome."""
        self._now = now
        if self._done or self._leaving:
            return
        self._leaving = True
        if self.configuration is None or self.configuration.size == 1:
            self._finish(Left(agreed=True))
        else:
            self._leave_at = now + self.settings.leave_timeout
            self._announce_departure()
        self._settle(now)

    def receive(self, message: Message, now: float, reply_to: Hashable | None = None) -> None:
        """A peer said something; ``reply_to`` is the transport's way back to it."""
        self._now = now
        if self._done and not isinstance(message, Probe):
            return
        if now > self._monitor.due + self.settings.probe_timeout:
            self._monitor.wake(now)
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
                if self._joining is not None:
                    self._joining.replied(message, now)
            case Admitted():
                if self._joining is not None:
                    self._joining.admitted(message, now)
            case Restarted():
                self._monitor.hurry(message.sender, now)
            case Leaving():
                self._on_leaving(message)
            case ConfigurationRequest():
                self._on_configuration_request(message, reply_to)
            case Cuts():
                self._on_cuts(message)
            case Snapshot():
                self._on_snapshot(message)
        self._settle(now)

    def send_failed(self, endpoint: Endpoint, now: float, *, refused: bool) -> None:
        """The connection to this address failed; ``refused``: the host itself said so."""
        self._now = now
        if self._joining is not None:
            self._joining.unreachable(endpoint, now)
        if refused:
            self._monitor.refused(endpoint, now)
        self._settle(now)

    def checked(self, endpoint: Endpoint, node_id: NodeId, sequence: int, passed: bool, now: float) -> None:
        """The :class:`Check` of this process and number has come to an end."""
        self._now = now
        self._monitor.checked(endpoint, node_id, sequence, passed, now)
        self._settle(now)

    def wake(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        if self._joining is not None:
            self._joining.wake(now)
        self._monitor.wake(now)
        self._admission.wake(now)
        if now >= self._leave_at:
            self._finish(Left(agreed=False))
        self._settle(now)

    def deadline(self) -> float | None:
        """When to call :meth:`wake` next; None when nothing is due. Changes nothing."""
        due = min(self._monitor.due, self._admission.due, self._leave_at)
        if self._epoch is not None:
            due = min(due, self._epoch.due)
        if self._joining is not None:
            due = min(due, self._joining.due)
        return None if due == inf else due

    def drain(self) -> list[Output]:
        """What is to be sent and told, in order; empty after."""
        outputs, self._outputs = self._outputs, []
        return outputs

    # -- beginnings and ends

    def _enter(self, now: float) -> None:
        if self._done or self._joining is not None or self.configuration is not None:
            raise StateError(f"{self._me} has started already: make a new node for a new life")
        self._now = now

    def _join(self, seeds: Sequence[Endpoint], now: float) -> None:
        self._joining = Joining(
            self.member, seeds, self.settings, self._rng, now, self._send, self._found, self._join_failed
        )
        self._joining.wake(now)

    def _found(self) -> None:
        cluster_id = ClusterId(self._rng.randbytes(ClusterId.SIZE))
        self._install(Configuration.of(cluster_id, 1, [self.member], self.settings.k), None, 0)

    def _join_failed(self, reason: str) -> None:
        self._finish(JoinFailed(reason))

    def _finish(self, event: Event) -> None:
        self._done = True
        self._joining = None
        self._epoch = None
        self._leave_at = inf
        self._monitor.stop()
        self._admission.take_all()
        self._notify(event)

    # -- the epoch

    def _settle(self, now: float) -> None:
        """Let the epoch do what became due, and follow its decisions."""
        while (epoch := self._epoch) is not None:
            if epoch.decided is None and epoch.due <= now:
                epoch.wake(now)
            if (cut := epoch.decided) is None:
                if epoch.quorum_lost and not self._quorum_lost:
                    self._quorum_lost = True
                    self._notify(QuorumLost(epoch.configuration.version))
                return
            self._follow(epoch, cut)

    def _follow(self, epoch: Epoch, cut: Cut) -> None:
        """Apply a decision and pass it on."""
        successor = self._apply(epoch.configuration, cut)
        rank = epoch.instance.decided_rank
        self.stats[
            "fast decisions" if rank == FAST else "classic decisions" if rank.round else "told decisions"
        ] += 1
        for neighbour in epoch.gossip.neighbours:
            body = None if epoch.gossip.knows(neighbour, cut) else cut
            configuration = epoch.configuration
            self._send(
                neighbour,
                Decided(self._me, configuration.cluster_id, configuration.version, cut.digest, body),
            )
        self._install(successor, cut, 0)

    def _install(self, configuration: Configuration, cut: Cut | None, skipped: int) -> None:
        before, now = self.configuration, self._now
        if cut is not None and before is not None:
            self._history.append(before.version, cut)
        else:
            self._history.clear()
        mine = configuration.member(self._me)
        if mine is None or mine.node_id != self.node_id:
            self._answer_joiners(before, configuration)
            gone = (
                Left(agreed=True)
                if self._leaving
                else Evicted(configuration.cluster_id, configuration.version)
            )
            self.configuration = configuration
            self._finish(gone)
            return
        self._joining = None
        self.configuration = configuration
        self._epoch = Epoch(configuration, self._me, self.settings, self._rng, self.stats, self._send)
        self._unequal.clear()
        self._asked_at.clear()
        self._monitor.configure(configuration, self._me, now)
        self._notify(Installed(configuration, cut, skipped))
        if self._quorum_lost:
            self._quorum_lost = False
            self._notify(QuorumRestored(configuration.version))
        self._answer_joiners(before, configuration)
        self._monitor.report_faulty()
        if self._leaving:
            self._announce_departure()
        future, self._future = self._future, []
        for facts in future:
            self._on_facts(facts)

    # -- probes

    def _position(self) -> tuple[ClusterId | None, int, int]:
        configuration, epoch = self.configuration, self._epoch
        if configuration is None or epoch is None:
            return None, 0, 0
        return configuration.cluster_id, configuration.version, epoch.gossip.digest

    def _send_probe(self, edge: Edge) -> None:
        cluster_id, version, facts = self._position()
        probe = Probe(self._me, edge.subject.node_id, edge.sequence, cluster_id, version, facts)
        self._send(edge.subject.endpoint, probe)

    def _ask_application(self, edge: Edge) -> None:
        self._outputs.append(Check(edge.subject, edge.sequence))

    def _probe_joiner(self, member: Member) -> None:
        cluster_id, version, facts = self._position()
        self._send(member.endpoint, Probe(self._me, member.node_id, 0, cluster_id, version, facts))

    def _on_probe(self, probe: Probe, token: Hashable | None) -> None:
        cluster_id, version, facts = self._position()
        ack = ProbeAck(self._me, self.node_id, probe.sequence, cluster_id, version, facts)
        self._answer(token, probe.sender, ack)
        self._compare(probe.sender, probe.cluster_id, probe.version)

    def _on_ack(self, ack: ProbeAck) -> None:
        self._monitor.answered(ack.sender, ack.node_id, ack.sequence, self._now)
        self._admission.answered(ack.sender, ack.node_id)
        if not self._compare(ack.sender, ack.cluster_id, ack.version):
            return
        epoch = self._epoch
        if epoch is None or ack.facts == epoch.gossip.digest:
            self._unequal.pop(ack.sender, None)
            return
        digests = (epoch.gossip.digest, ack.facts)
        if self._unequal.get(ack.sender) != digests:  # facts may be on their way
            self._unequal[ack.sender] = digests
        else:
            del self._unequal[ack.sender]
            self.stats["anti-entropy exchanges"] += 1
            self._send(ack.sender, epoch.gossip.everything(complete=True))

    def _edge_faulty(self, edge: Edge) -> None:
        if self._epoch is not None:
            self._epoch.alert(edge.subject, Status.DOWN, edge.rings, self._now)

    def _compare(self, peer: Endpoint, cluster_id: ClusterId | None, version: int) -> bool:
        """Whether the peer is in the same epoch; who is ahead is asked for what was missed here."""
        mine = self.configuration
        if mine is None or cluster_id != mine.cluster_id:
            return False
        if version > mine.version:
            self._catch_up(peer)
        return version == mine.version

    # -- facts

    def _on_facts(self, facts: Facts) -> None:
        configuration, epoch = self.configuration, self._epoch
        if configuration is None or epoch is None:
            return
        if facts.cluster_id != configuration.cluster_id:
            self._reject("facts of another cluster", facts.sender)
        elif facts.version > configuration.version:
            if len(self._future) >= FUTURE_LIMIT:
                self.stats["dropped:future facts"] += 1
                del self._future[0]
            self._future.append(facts)
            self._catch_up(facts.sender)
        elif facts.version < configuration.version:
            self.stats["late facts"] += 1
        elif facts.sender not in configuration:
            self._reject("facts of a non-member", facts.sender)
        else:
            epoch.receive(facts, self._now)
            if facts.complete:
                self._send(facts.sender, epoch.gossip.everything(complete=False))

    def _on_decided(self, decided: Decided) -> None:
        configuration, epoch = self.configuration, self._epoch
        if configuration is None or epoch is None or decided.cluster_id != configuration.cluster_id:
            self._reject("decision of another cluster", decided.sender)
        elif decided.version > configuration.version:
            self._catch_up(decided.sender)
        elif decided.version == configuration.version:
            cut = decided.cut or epoch.bodies.get(decided.digest)
            if cut is None:
                self._catch_up(decided.sender)
            elif cut.digest != decided.digest or not epoch.adopt(cut):
                self._reject("decision contradicts its digest", decided.sender)

    # -- catching up

    def _catch_up(self, peer: Endpoint) -> None:
        """Ask a peer that is ahead, at most once in a while."""
        mine = self.configuration
        if mine is None or self._now < self._asked_at.get(peer, -inf) + self.settings.probe_retry:
            return
        self._asked_at[peer] = self._now
        self.stats["catch-up requests"] += 1
        self._send(peer, ConfigurationRequest(self._me, mine.cluster_id, mine.version, self.node_id))

    def _on_configuration_request(self, request: ConfigurationRequest, token: Hashable | None) -> None:
        mine = self.configuration
        if mine is None or request.cluster_id != mine.cluster_id:
            self._reject("request for another cluster", request.sender)
        elif request.have is None or request.have < mine.version:
            cuts = None if request.have is None else self._history.since(request.have)
            if cuts is None or request.have is None:
                self._answer(token, request.sender, Snapshot(self._me, mine))
            else:
                self._answer(token, request.sender, Cuts(self._me, mine.cluster_id, request.have, cuts))

    def _on_cuts(self, message: Cuts) -> None:
        mine = self.configuration
        if mine is None or message.cluster_id != mine.cluster_id:
            self._reject("cuts of another cluster", message.sender)
            return
        for at, cut in enumerate(message.cuts):
            epoch = self._epoch
            if epoch is None or message.version + at != epoch.configuration.version:
                continue
            if not epoch.adopt(cut):
                self._reject("cut contradicts a decision", message.sender)
                return
            self._settle(self._now)
            self.stats["cuts caught up"] += 1

    def _on_snapshot(self, message: Snapshot) -> None:
        theirs, mine = message.configuration, self.configuration
        if theirs.k != self.settings.k:
            self._reject("snapshot with another K", message.sender)
        elif mine is None:
            member = theirs.member(self._me)
            if self._joining is None or member is None or member.node_id != self.node_id:
                self._reject("snapshot without this member", message.sender)
            else:
                self._install(theirs, None, 0)
        elif theirs.cluster_id != mine.cluster_id:
            self._reject("snapshot of another cluster", message.sender)
        elif theirs.version > mine.version:
            self.stats["snapshots installed"] += 1
            self._install(theirs, None, theirs.version - mine.version - 1)

    # -- joiners

    def _on_join_request(self, request: JoinRequest, token: Hashable | None) -> None:
        mine, settings = self.configuration, self.settings
        if mine is None:
            self._refuse(token, request.sender, Standing.NOT_A_MEMBER, "not in a cluster yet")
            return
        for name, theirs, ours in (
            ("protocol version", request.protocol, PROTOCOL_VERSION),
            ("k", request.k, settings.k),
            ("h", request.h, settings.h),
            ("l", request.l, settings.l),
            ("cluster", request.expect or mine.cluster_id, mine.cluster_id),
        ):
            if theirs != ours:
                self._reject(f"join with another {name}", request.sender)
                detail = f"its {name} is {theirs}, this cluster's is {ours}"
                self._refuse(token, request.sender, Standing.INCOMPATIBLE, detail)
                return
        held = mine.member(request.sender)
        if held is None:
            if self._epoch is not None:
                self._epoch.batch.expect_more(self._now)
            self._answer(token, request.sender, self._welcome(request.sender, mine))
        elif held.node_id == request.node_id:
            self._answer(token, request.sender, Snapshot(self._me, mine))
        else:
            self.stats["joins from a held address"] += 1
            self._monitor.hurry(request.sender, self._now)
            observers = mine.observers(request.sender)
            reply = JoinReply(self._me, Standing.ADDRESS_HELD, mine.cluster_id, mine.version, observers)
            self._answer(token, request.sender, reply)

    def _on_observe_request(self, request: ObserveRequest, token: Hashable | None) -> None:
        mine, joiner = self.configuration, request.member
        if mine is None or self._epoch is None or request.cluster_id != mine.cluster_id:
            self._reject("observe request for another cluster", request.sender)
            return
        held = mine.member(joiner.endpoint)
        if held is not None and held.node_id == joiner.node_id:
            self._answer(token, joiner.endpoint, Snapshot(self._me, mine))
        elif request.version < mine.version or (
            request.version == mine.version and self._me not in mine.subjects(joiner.endpoint)
        ):
            self._answer(token, joiner.endpoint, self._welcome(joiner.endpoint, mine))
        else:
            self._epoch.batch.expect_more(self._now)
            self._admission.admit(joiner, request.version, token, self._now)
            self._admission.wake(self._now)

    def _joiner_reached(self, joiner: Joiner) -> None:
        mine, epoch = self.configuration, self._epoch
        if mine is None or epoch is None or joiner.version != mine.version:
            return
        rings = ring_bits(mine.subjects(joiner.member.endpoint), self._me)
        if rings:
            epoch.alert(joiner.member, Status.UP, rings, self._now)

    def _joiner_unreachable(self, joiner: Joiner) -> None:
        self.stats["unreachable joiners"] += 1
        self._refuse(joiner.token, joiner.member.endpoint, Standing.UNREACHABLE, "its probes went unanswered")

    def _answer_joiners(self, before: Configuration | None, after: Configuration) -> None:
        """A new epoch: tell those who are in, and send the rest to their new observers."""
        for joiner in self._admission.take_all():
            endpoint = joiner.member.endpoint
            member = after.member(endpoint)
            if member is None:
                self._answer(joiner.token, endpoint, self._welcome(endpoint, after))
                continue
            if member.node_id != joiner.member.node_id:
                continue
            watchers = before.subjects(endpoint) if before is not None else ()
            first = next((watcher for watcher in watchers if watcher in after), None)
            if first == self._me:
                self._answer(joiner.token, endpoint, Snapshot(self._me, after))
            else:
                self._answer(joiner.token, endpoint, Admitted(self._me, after.cluster_id, after.version))

    def _welcome(self, joiner: Endpoint, mine: Configuration) -> JoinReply:
        observers = mine.subjects(joiner)
        return JoinReply(self._me, Standing.WELCOME, mine.cluster_id, mine.version, observers)

    def _refuse(self, token: Hashable | None, joiner: Endpoint, standing: Standing, detail: str) -> None:
        self.stats["joins refused"] += 1
        mine = self.configuration
        cluster_id, version = (mine.cluster_id, mine.version) if mine is not None else (None, 0)
        self._answer(token, joiner, JoinReply(self._me, standing, cluster_id, version, (), detail))

    # -- leaving

    def _announce_departure(self) -> None:
        mine = self.configuration
        assert mine is not None
        leaving = Leaving(self._me, self.node_id, mine.cluster_id, mine.version)
        for observer in dict.fromkeys(mine.observers(self._me)):
            self._send(observer, leaving)

    def _on_leaving(self, leaving: Leaving) -> None:
        mine, epoch = self.configuration, self._epoch
        member = mine.member(leaving.sender) if mine is not None else None
        if mine is None or epoch is None or member is None or leaving.cluster_id != mine.cluster_id:
            self._reject("departure of a non-member", leaving.sender)
        elif member.node_id != leaving.node_id:
            self._reject("departure of an earlier process", leaving.sender)
        else:
            rings = ring_bits(mine.observers(leaving.sender), self._me)
            if rings:
                epoch.alert(member, Status.LEAVING, rings, self._now)

    # -- outputs

    def _send(self, to: Endpoint, message: Message) -> None:
        self._outputs.append(Send(to, message))

    def _answer(self, token: Hashable | None, to: Endpoint, message: Message) -> None:
        self._outputs.append(Send(to, message) if token is None else Reply(token, message))

    def _notify(self, event: Event) -> None:
        self._outputs.append(Notify(event))

    def _reject(self, reason: str, sender: Endpoint | None) -> None:
        self.stats[f"rejected:{reason}"] += 1
        self._notify(Rejected(reason, sender))
