"""What happens to simulated processes, one event after another, in the order of a virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Final, NoReturn

from rapid.overlay.configuration import Configuration, ConfigurationDigest
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.messages import Facts, Message
from rapid.protocol.node import Node
from rapid.protocol.outputs import (
    Check,
    Discover,
    Event,
    Evicted,
    Installed,
    JoinFailed,
    Left,
    Notify,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    Rejected,
    Reply,
    Send,
)
from rapid.settings import Settings
from rapid.simulation.errors import InvariantViolation
from rapid.simulation.invariants import Invariants
from rapid.simulation.links import LAN, Distribution
from rapid.simulation.network import Network
from rapid.simulation.process import Life, Place, Seen
from rapid.simulation.trace import Trace, routine

DELIVER, REPLY, HANDLE, WAKE, FAILED, RESUME, ACT, UNSENT = range(8)
IDLE: Final = 60.0
"""A connection that was silent this long is closed: nobody notices when its other end crashes."""
SUCCESSORS: Final = 256

Occurrence = tuple[
    float, int, int, "Life | Place | Callable[[], object]", "Message | Place | None", "Life | None"
]


class Course:
    """Processes at their places, what they are sent and told, and when. What befalls them a World says."""

    def __init__(
        self,
        seed: int = 0,
        settings: Settings | None = None,
        *,
        latency: Distribution = LAN,
        rejoin: bool = True,
        trace_limit: int = 500,
        canary: bool = False,
        make_node: Callable[..., Node] = Node,
    ) -> None:
        self.seed = seed
        self.settings = settings or Settings()
        self.rejoin = rejoin
        self.now = 0.0
        self.counts: Counter[str] = Counter()
        """What happened in the network and to the processes."""
        self.trace = Trace(trace_limit)
        self.rng = Random(f"{seed}/world")
        self.network = Network(self.rng, latency, self.counts)
        self.invariants = Invariants(self.violated, self._existed, canary)
        self.places: list[Place] = []
        self.newest: Configuration | None = None
        """The configuration of the highest version that anyone ever decided."""
        self._latency = latency
        self._make_node = make_node
        self._by_endpoint: dict[Endpoint, Place] = {}
        self._lives: list[Life] = []
        self._node_ids: set[tuple[Endpoint, NodeId]] = set()
        self._services: dict[tuple[Endpoint, NodeId], int] = {}
        """The service that each process belongs to, under each of its node ids."""
        self._heap: list[Occurrence] = []
        self._sequence = 0
        self._several_services = False
        self._changed = False
        self._starting = 0
        self._listeners: list[Callable[[Endpoint, Event], object]] = []
        self._watchers: list[Callable[[Endpoint, Message], object]] = []
        self._codes: dict[type, int] = {}
        self._successors: dict[tuple[ConfigurationDigest, CutDigest], tuple[Cut, Configuration]] = {}

    def violated(self, invariant: str, problem: str) -> NoReturn:
        """Report a broken promise with this world's seed, time and trace."""
        raise InvariantViolation(invariant, problem, self.seed, self.now, self.trace.lines())

    @property
    def live(self) -> list[Life]:
        """The processes that run and are, or want to be, in a cluster."""
        return [p.life for p in self.places if p.life is not None and not p.life.done]

    # -- events

    def _advance(self, until: float, condition: Callable[[], bool] | None) -> bool:
        """Handle what happens up to ``until``; True once the condition, looked at on changes, holds."""
        heap = self._heap
        self._changed = False
        while heap and heap[0][0] <= until:
            at, _, kind, subject, message, peer = heappop(heap)
            self.now = at
            # the types of an entry's parts go by its kind, which is more than mypy can see
            if kind == DELIVER:
                life = subject.life  # type: ignore[union-attr]  # by kind
                if life is None:
                    self._refuse(subject, peer)  # type: ignore[arg-type]  # by kind
                elif life.paused or life.place.delay:
                    self._arrive(DELIVER, life, message, peer)  # type: ignore[arg-type]  # by kind
                else:
                    self._handle(DELIVER, life, message, peer)  # type: ignore[arg-type]  # by kind
            elif kind == WAKE:
                if at == subject.wake_at:  # type: ignore[union-attr]  # by kind
                    subject.wake_at = inf  # type: ignore[union-attr]  # by kind
                    self._wake(subject)  # type: ignore[arg-type]  # by kind
            elif kind == ACT:
                self._changed = True
                subject()  # type: ignore[operator]  # by kind
            elif kind == RESUME:
                self._resume(subject)  # type: ignore[arg-type]  # by kind
            elif kind == HANDLE:
                self._handle(DELIVER, subject, message, peer)  # type: ignore[arg-type]  # by kind
            else:  # REPLY, FAILED and UNSENT concern one process only
                self._arrive(kind, subject, message, peer)  # type: ignore[arg-type]  # by kind
            if self._changed and condition is not None:
                self._changed = False
                if condition():
                    return True
        self.now = until
        return False

    def _arrive(self, kind: int, life: Life, message: Message | None, peer: Life) -> None:
        """An input reaches a process, if that is still there and awake."""
        if not life.alive:
            self.counts["messages for a dead process"] += 1
        elif life.paused:
            self.counts["inputs queued in a pause"] += 1
            life.inbox.append((kind, message, peer))
        elif life.place.delay and kind not in (FAILED, UNSENT):
            life.busy_until = max(life.busy_until, self.now) + life.place.delay
            self.counts["inputs handled slowly"] += 1
            self._push(life.busy_until, HANDLE, life, message, peer)
        else:
            self._handle(kind, life, message, peer)

    def _handle(self, kind: int, life: Life, message: Message | None, peer: Life) -> None:
        if not life.alive:
            return
        now = self.now
        if life.paused:
            life.inbox.append((kind, message, peer))
            return
        if kind == FAILED:
            life.refusals.discard(peer.place)
            self.trace.mix(now, life.number, peer.number, -1)
            life.node.send_failed(peer.place.endpoint, life.clock(now), refused=True)
        elif kind == UNSENT:
            life.unsent.discard(peer.place)
            self.trace.mix(now, life.number, peer.number, -2)
            life.node.send_failed(peer.place.endpoint, life.clock(now), refused=False)
        else:
            assert message is not None
            code = self._codes.get(type(message))
            if code is None:
                code = self._codes[type(message)] = len(self._codes)
            self.trace.mix(now, life.number, peer.number, code)
            if not routine(message):
                self.trace.add(now, "receives", life, peer, message)
            life.node.receive(message, life.clock(now), peer.token)
        self._after_input(life)

    def _wake(self, life: Life) -> None:
        if not life.alive or life.paused:
            return
        if life.busy_until > self.now:
            life.wake_at = life.busy_until
            self._push(life.wake_at, WAKE, life)
            return
        deadline = life.node.deadline()
        if deadline is not None:
            clock = life.clock(self.now)
            if deadline <= clock + 1e-9:  # the way to the world's time and back may round it down
                self.trace.mix(self.now, life.number)
                life.node.wake(max(clock, deadline))
                self._after_input(life)
            else:
                self._schedule_wake(life)

    def _after_input(self, life: Life) -> None:
        """Do what the node wants done, and see when it wants to be woken."""
        by_endpoint, heap, now = self._by_endpoint, self._heap, self.now
        for output in life.node.drain():
            if isinstance(output, Send):
                message = output.message
                if type(message) is Facts:
                    self.invariants.said(life, message)
                for watcher in self._watchers:
                    watcher(life.place.endpoint, message)
                place = by_endpoint.get(output.to)
                if place is None:
                    self.counts["messages to unknown addresses"] += 1
                    continue
                if self.network.plain:
                    at = now + self._latency.sample(self.rng)
                    if at < (last := life.arrivals.get(place, 0.0)):
                        at = last
                    life.arrivals[place] = at
                    self._sequence += 1
                    heappush(heap, (at, self._sequence, DELIVER, place, message, life))
                elif not self.network.connects(life.place, place, now):
                    self._unsent(life, place)
                else:
                    for at in self.network.arrivals(life, place, now):
                        self._sequence += 1
                        heappush(heap, (at, self._sequence, DELIVER, place, message, life))
            elif isinstance(output, Reply):
                self._reply(life, output)
            elif isinstance(output, Discover):
                life.node.discovered(life.seeds, life.clock(now))
            elif isinstance(output, Check):
                self._check(life, output)
            elif isinstance(output, Notify):
                self._tell(life, output.event)
        node = life.node
        if life.node_id is not node.node_id:
            self._identify(life)
        if (joining_id := node.joining_id) is not None:
            self._node_ids.add((life.place.endpoint, joining_id))
        if life.alive:
            self._schedule_wake(life)

    def _unsent(self, life: Life, place: Place) -> None:
        """A message for which no connection can be opened: its sender learns of it soon, once."""
        self.counts["connections not opened"] += 1
        if place not in life.unsent:
            life.unsent.add(place)
            at = self.now + self._latency.sample(self.rng)
            self._push(at, UNSENT, life, None, self._peer_at(place))

    def _check(self, life: Life, check: Check) -> None:
        """Have the application check a member, which takes it a moment."""
        health_check, member = life.place.health_check, check.member
        passed = None if health_check is None else health_check(member.endpoint)
        self.counts["health checks"] += 1
        if passed is None:
            return

        def checked() -> None:
            if life.alive and not life.paused:
                clock = life.clock(self.now)
                life.node.checked(member.endpoint, member.node_id, check.sequence, passed, clock)
                self._after_input(life)

        self._push(self.now + self._latency.sample(self.rng), ACT, checked)

    def _reply(self, life: Life, reply: Reply) -> None:
        if type(reply.message) is Facts:
            self.invariants.said(life, reply.message)
        for watcher in self._watchers:
            watcher(life.place.endpoint, reply.message)
        target = self._lives[reply.token[1]]  # type: ignore[index]  # the tokens are Life.token
        if not target.alive:
            self.counts["replies to a dead process"] += 1
            return
        for at in self.network.arrivals(life, target.place, self.now):
            self._push(at, REPLY, target, reply.message, life)

    def _tell(self, life: Life, event: Event) -> None:
        """What a member's application is told."""
        if isinstance(event, Rejected):
            return
        self._note("told", life, event)
        if isinstance(event, Installed):
            self.invariants.installed(life, event)
            if self._several_services:
                self._expect_one_service(life, event.configuration)
            life.between = False
            life.views.append(Seen(self.now, event.configuration, event.cut, event.skipped))
            self.trace.mix(event.configuration.version, int.from_bytes(event.configuration.digest[:7], "big"))
        else:
            life.events.append((self.now, event))
            self.counts[type(event).__name__] += 1
            if isinstance(event, Evicted):
                life.between = True
            elif isinstance(event, QuorumLost | QuorumRestored):
                life.quorum_lost = isinstance(event, QuorumLost)
            if isinstance(event, Evicted | OtherCluster):
                self._identify(life)
            if _ends(event):
                life.done = True
                life.ended_by = event
                if not isinstance(event, Evicted):
                    self._end(life.place, "ended", False)
        for listener in self._listeners:
            listener(life.place.endpoint, event)

    def _schedule_wake(self, life: Life) -> None:
        deadline = life.node.deadline()
        if deadline is not None:
            at = life.when(deadline)
            if at < life.wake_at:
                life.wake_at = at = max(at, self.now)
                self._push(at, WAKE, life)

    def _resume(self, life: Life) -> None:
        life.paused = False
        if not life.alive:
            return
        self._note("resumed", life)
        inbox, life.inbox = life.inbox, []
        for kind, message, peer in inbox:
            assert peer is not None
            self._arrive(kind, life, message, peer)
        if life.alive:
            self._wake(life)

    def _identify(self, life: Life) -> None:
        """The process may go by another node id from now on."""
        if life.node_id is life.node.node_id:
            return
        life.node_id = life.node.node_id
        self._node_ids.add((life.place.endpoint, life.node_id))
        self._services[life.place.endpoint, life.node_id] = life.service
        self.counts["node ids renewed"] += 1
        self.trace.mix(self.now, int.from_bytes(life.node_id[:6], "big"))

    # -- beginnings and ends of processes

    def _start_later(self, place: Place, seeds: tuple[Endpoint, ...] | None, delay: float) -> None:
        self._starting += 1

        def start() -> None:
            self._starting -= 1
            self._start(place, self._way_back(place) if seeds is None else seeds)

        self._push(self.now + delay, ACT, start)

    def _way_back(self, place: Place) -> tuple[Endpoint, ...]:
        """Whom a new process asks at an old address: its seeds, and a few that are in a cluster.

        The only seed of all would found a second cluster, as its owner would have to know.
        """
        members = (
            life
            for life in self.live
            if life.configuration is not None and not life.between and life.place.service == place.service
        )
        inside = [life.place.endpoint for life in members][:3]
        if place.seeds == (place.endpoint,):
            return tuple(seed for seed in inside if seed != place.endpoint) or place.seeds
        return (*place.seeds, *inside)

    def _start(self, place: Place, seeds: tuple[Endpoint, ...]) -> None:
        if place.life is not None:
            return  # started by another action in the meantime
        place.down = False
        rng = Random(f"{self.seed}/{place.endpoint}/{len(place.lives)}")
        clock = rng.uniform(0.0, 1000.0)
        life: Life
        node = self._make_node(
            place.endpoint, place.settings, rng, metadata=place.metadata,
            apply=lambda parent, cut: self._apply(life, parent, cut), **place.options,
        )  # fmt: skip
        life = Life(place, len(self._lives), node, self.now, clock)
        self._node_ids.add((place.endpoint, node.node_id))
        self._services[place.endpoint, node.node_id] = life.service
        self._lives.append(life)
        place.lives.append(life)
        place.life = life
        self.counts["restarts" if len(place.lives) > 1 else "starts"] += 1
        self._note("started", life)
        life.seeds = seeds
        node.join(seeds, clock)
        self._after_input(life)

    def _end(self, place: Place, what: str, silent: bool) -> None:
        life = place.life
        if life is None:
            return
        life.alive = False
        life.inbox.clear()
        place.life = None
        place.down = silent
        self.counts[f"{what} with host" if silent else what] += 1
        self._note(what, life)
        if silent:
            return
        now, recent = self.now, self.now - IDLE
        for other in self.places:
            peer = other.life
            if peer is None:
                continue
            if max(peer.arrivals.get(place, -inf), life.arrivals.get(other, -inf)) > recent:
                at = self.network.passes(place, other, now)
                if at is not None and place not in peer.refusals:
                    peer.refusals.add(place)
                    self.counts["connections reset"] += 1
                    self._push(at, FAILED, peer, None, life)

    def _refuse(self, place: Place, sender: Life) -> None:
        """A message for an address where nobody listens."""
        if place.down:
            self.counts["messages for a host that is gone"] += 1
            return
        if place in sender.refusals or not sender.alive:
            return
        at = self.network.passes(place, sender.place, self.now)
        if at is not None:
            sender.refusals.add(place)
            self.counts["connections refused"] += 1
            self._push(at, FAILED, sender, None, self._peer_at(place))

    def _peer_at(self, place: Place) -> Life:
        """The last process at an address, or one that stands for it."""
        return place.lives[-1] if place.lives else self._nobody(place)

    def _nobody(self, place: Place) -> Life:
        """Stands for the process that an address never had."""
        node = self._make_node(place.endpoint, self.settings, Random(0))
        return Life(place, -1, node, self.now, 0.0)

    def _apply(self, life: Life, parent: Configuration, cut: Cut) -> Configuration:
        """Configuration.apply, its outcome shared: every member holds the same object."""
        epoch = life.node._epoch
        assert epoch is not None
        self.invariants.deciding(life, epoch.instance, epoch.proposal, parent, cut)
        key = (parent.digest, cut.digest)
        known = self._successors.get(key)
        if known is not None:
            if known[0] is not cut and known[0] != cut:
                # what is shared by its name must not hide that the name stands for two
                self.violated("I3", f"{life} decides another cut by the name of {cut.digest}")
            successor = known[1]
        else:
            successor = parent.apply(cut)
            self._successors[key] = (cut, successor)
            if self.newest is None or successor.version > self.newest.version:
                self.newest = successor
            if len(self._successors) > SUCCESSORS:
                del self._successors[next(iter(self._successors))]
        return successor

    # -- inside

    def _push(
        self, at: float, kind: int, subject: Life | Place | Callable[[], object],
        message: Message | Place | None = None, peer: Life | None = None,
    ) -> None:  # fmt: skip
        self._sequence += 1
        heappush(self._heap, (at, self._sequence, kind, subject, message, peer))

    def _note(self, what: str, subject: object, message: object = None) -> None:
        self._changed = True
        self.trace.add(self.now, what, subject, None, message)

    def _existed(self, endpoint: Endpoint, node_id: NodeId) -> bool:
        return (endpoint, node_id) in self._node_ids

    def _expect_one_service(self, life: Life, configuration: Configuration) -> None:
        for member in configuration.members:
            service = self._services.get((member.endpoint, member.node_id), life.service)
            if service != life.service:
                problem = f"{life} of service {life.service} is in a view with {member.endpoint} of {service}"
                self.violated("one service", problem)


def _ends(event: Event) -> bool:
    """Whether the protocol is over for a process whose application is told this."""
    match event:
        case Left():
            return True
        case JoinFailed(leaving=leaving):
            return not leaving
        case Evicted(rejoining=rejoining):
            return not rejoining
        case _:
            return False
