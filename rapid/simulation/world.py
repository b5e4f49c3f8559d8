"""A world of members under a virtual clock, in which everything is replayed by its seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from math import inf, isfinite
from random import Random
from typing import Final, NoReturn

from rapid.errors import EndpointError
from rapid.overlay.configuration import Configuration, ConfigurationDigest
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.messages import Facts, Message
from rapid.protocol.node import Node
from rapid.protocol.outputs import (
    Discover,
    Event,
    Evicted,
    Installed,
    JoinFailed,
    Left,
    Notify,
    OtherCluster,
    Rejected,
    Reply,
    Send,
)
from rapid.settings import Settings
from rapid.simulation.errors import InvariantViolation, ScenarioError
from rapid.simulation.invariants import Invariants
from rapid.simulation.links import BLACK_HOLE, LAN, Distribution, Link
from rapid.simulation.network import Network
from rapid.simulation.process import Life, Place, Seen
from rapid.simulation.trace import Trace, routine
from rapid.telling import Telling
from rapid.view import Change

DELIVER, REPLY, HANDLE, WAKE, FAILED, RESUME, ACT = range(7)
IDLE: Final = 60.0
"""A connection that was silent this long is closed: nobody notices when its other end crashes."""
SUCCESSORS: Final = 256
LOOK: Final = 0.1
"""A condition that is waited for is looked at this often even when nothing was told to anyone."""

ANY: Final = None
Address = str | Endpoint
Addresses = Address | Sequence[Address] | None
Occurrence = tuple[
    float, int, int, "Life | Place | Callable[[], object]", "Message | Place | None", "Life | None"
]


class World:
    """Members that run the real protocol, the network between them, and the faults of both.

    Time starts at 0 and moves only in :meth:`run`, :meth:`run_until` and :meth:`expect_agreement`.
    The same seed and the same calls give the same events, in any process: ``trace.hash`` says so.
    The protocol's promises are checked after every event; :class:`InvariantViolation` is raised when
    one does not hold. A call that asks for the impossible raises :class:`ScenarioError` and changes
    nothing. An address is a ``"host:port"`` or an :class:`Endpoint`; all times are seconds.

    ``make_node`` and ``canary`` serve the tests of the checks themselves.
    """

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
        self._heap: list[Occurrence] = []
        self._sequence = 0
        self._changed = False
        self._starting = 0
        self._listeners: list[Callable[[Endpoint, Event], object]] = []
        self._watchers: list[Callable[[Endpoint, Message], object]] = []
        self._codes: dict[type, int] = {}
        self._successors: dict[tuple[ConfigurationDigest, CutDigest], tuple[Cut, Configuration]] = {}

    # -- members

    def add(
        self,
        address: Address,
        *,
        seeds: Sequence[Address] | None = None,
        metadata: Mapping[str, str] | None = None,
        settings: Settings | None = None,
        rejoin: bool | None = None,
        merge: bool = False,
        expected: int = 1,
    ) -> Endpoint:
        """Declare an address. ``seeds``: whom its processes ask to be let in; by default the first address.

        ``settings`` and ``rejoin``: the world's by default. The rest is as for a :class:`Node`.
        """
        endpoint = self._endpoint("address", address)
        if endpoint in self._by_endpoint:
            raise ScenarioError("address", f"{endpoint} was added before")
        asked = tuple(self._endpoint("seeds", seed) for seed in seeds or ())
        if seeds is None:
            asked = (self.places[0].endpoint if self.places else endpoint,)
        rejoin = self.rejoin if rejoin is None else rejoin
        place = Place(
            len(self.places), endpoint, asked, metadata, settings or self.settings,
            {"rejoin": rejoin, "merge": merge, "expected": expected},
        )  # fmt: skip
        self.places.append(place)
        self._by_endpoint[endpoint] = place
        return endpoint

    def add_members(
        self, count: int, *, seeds: Sequence[Address] | None = None, merge: bool = False, expected: int = 1
    ) -> list[Endpoint]:
        """Declare ``count`` more addresses: ``m0:7400``, ``m1:7400`` and so on."""
        if count < 1:
            raise ScenarioError("count", f"{count} members; take at least 1")
        return [
            self.add(Endpoint(f"m{len(self.places)}", 7400), seeds=seeds, merge=merge, expected=expected)
            for _ in range(count)
        ]

    def start(self, members: Addresses = ANY, *, over: float = 0.0) -> None:
        """Start a process at each of these addresses (at each that never had one), spread over a time.

        A member that is its own first seed founds a cluster when no other seed answers.
        """
        self._duration("over", over)
        if members is None:
            places = [place for place in self.places if not place.lives]
        else:
            places = self._places("members", members)
            if running := [str(place) for place in places if place.life is not None]:
                raise ScenarioError("members", f"{running[0]} is running already")
        for place in places:
            if over and place.seeds[:1] != (place.endpoint,):
                self._start_later(place, place.seeds, self.rng.random() * over)
            else:
                self._start(place, place.seeds)

    def crash(self, members: Addresses, *, silent: bool = False) -> None:
        """Kill processes. ``silent``: the host goes too, so nothing refuses or resets connections."""
        for place in self._running("members", members):
            self._end(place, "crashed", silent)

    def restart(self, members: Addresses, *, after: float = 0.0) -> None:
        """A new process at the same address, joining anew. What still runs there is killed first.

        It asks the seeds of its address, and some others that are in a cluster then.
        """
        self._duration("after", after)
        for place in self._places("members", members):
            if place.life is not None:
                self._end(place, "crashed", False)
            self._start_later(place, None, after)

    def leave(self, members: Addresses) -> None:
        """Ask processes to leave in peace. They end once they left."""
        for place in self._running("members", members):
            life = place.life
            if life is not None:
                self._note("leaves", life)
                life.node.leave(life.clock(self.now))
                self._after_input(life)

    def force_new_cluster(self, member: Address) -> None:
        """Have an operator force a new cluster at this member: see :meth:`Node.force_new_cluster`."""
        for place in self._running("member", member):
            life = place.life
            if life is not None:
                self._note("forces a new cluster", life)
                self.invariants.forced += 1
                life.node.force_new_cluster(life.clock(self.now))
                self._after_input(life)

    def pause(self, members: Addresses, seconds: float) -> None:
        """Stop processes as SIGSTOP does: their clocks go on, their input waits."""
        self._duration("seconds", seconds)
        for place in self._running("members", members):
            life = place.life
            if life is not None and not life.paused:
                life.paused = True
                self.counts["pauses"] += 1
                self._note("paused", life)
                self._push(self.now + seconds, RESUME, life)

    def slow(self, members: Addresses, delay: float) -> None:
        """Every message takes a process this long to handle, one after another. 0: fast again."""
        self._duration("delay", delay)
        for place in self._places("members", members):
            place.delay = delay

    def drift(self, members: Addresses, rate: float) -> None:
        """From now on these processes' clocks run ``rate`` times as fast as the world's."""
        if not 0.1 <= rate <= 10:
            raise ScenarioError("rate", f"{rate}; take 0.1 to 10")
        for place in self._places("members", members):
            place.rate = rate
            if place.life is not None:
                place.life.drift(self.now, rate)
                self._schedule_wake(place.life)

    # -- the network

    def link(self, senders: Addresses, receivers: Addresses, link: Link, *, both: bool = False) -> None:
        """Set the condition of the directed links from senders to receivers; ``ANY`` for all.

        The most particular condition holds: one between two, else a sender's, else a receiver's,
        else the one for all. ``both``: the links back as well.
        """
        sources = None if senders is None else self._places("senders", senders)
        targets = None if receivers is None else self._places("receivers", receivers)
        self.network.set(sources, targets, link)
        if both:
            self.network.set(targets, sources, link)

    def black_hole(self, senders: Addresses, receivers: Addresses, *, both: bool = True) -> None:
        """Nothing arrives, nothing is refused."""
        self.link(senders, receivers, BLACK_HOLE, both=both)

    def isolate(self, members: Addresses) -> None:
        """Cut each of these off from everyone."""
        alone = self._places("members", members)
        self._divide([[place] for place in alone] + [[p for p in self.places if p not in alone]])

    def partition(self, groups: Sequence[Sequence[Address]]) -> None:
        """Members reach those with whom they share a group; a member of no group reaches everyone."""
        self._divide([self._places("groups", group) for group in groups])

    def heal(self) -> None:
        """All links are healthy again; hosts, processes and clocks stay as they are."""
        self._note("healed", "the network")
        self.network.heal(self.places)

    # -- time

    def run(self, seconds: float) -> None:
        """Let this much time pass."""
        self._duration("seconds", seconds)
        self._advance(self.now + seconds, None)

    def run_until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Let time pass until the condition holds; False when it does not within ``timeout``.

        It is looked at after every event that an application is told, and ten times a second.
        """
        self._duration("timeout", timeout)
        end = self.now + timeout
        while not condition():
            if self.now >= end:
                return False
            if self._advance(min(end, self.now + LOOK), condition):
                return True
        return True

    def after(self, delay: float, action: Callable[[], object]) -> None:
        """Have something done later."""
        self._duration("delay", delay)
        self._push(self.now + delay, ACT, action)

    def subscribe(self, listener: Callable[[Endpoint, Event], object]) -> None:
        """Call back with each event that a member's application is told, at that moment."""
        self._listeners.append(listener)

    def follow(self, member: Address, reader: Callable[[Change], object]) -> None:
        """Call back with every change that the application at this address is told, of all its processes.

        Each process begins with the first view that it is in, as a :class:`rapid.Cluster` does: this is
        how to test one's own reactions.
        """
        place = self._place("member", member)
        tellings: dict[int, Telling] = {}

        def hear(endpoint: Endpoint, event: Event) -> None:
            if endpoint == place.endpoint:
                telling = tellings.setdefault(len(place.lives), Telling())
                change = telling.change(event)
                if change is not None:
                    reader(change)

        self.subscribe(hear)

    def watch(self, watcher: Callable[[Endpoint, Message], object]) -> None:
        """Call back with each message that a member sends, as it does; it must not be changed."""
        self._watchers.append(watcher)

    def violated(self, invariant: str, problem: str) -> NoReturn:
        """Report a broken promise with this world's seed, time and trace."""
        raise InvariantViolation(invariant, problem, self.seed, self.now, self.trace.lines())

    # -- what to see

    def view_of(self, member: Address) -> Configuration | None:
        """The view that the present, or else the last, process at this address holds."""
        lives = self._place("member", member).lives
        return lives[-1].configuration if lives else None

    def lives_of(self, member: Address) -> list[Life]:
        """All processes that ran at this address; ``views`` of each is what it was told, in order."""
        return self._place("member", member).lives

    @property
    def live(self) -> list[Life]:
        """The processes that run and are, or want to be, in a cluster."""
        return [p.life for p in self.places if p.life is not None and not p.life.done]

    def agreed(self) -> bool:
        """Whether all live processes hold one view, of exactly themselves, and none is still to start."""
        live = self.live
        if self._starting:
            return False
        if not live:
            return True
        view = live[0].configuration
        if view is None or view.size != len(live):
            return False
        for life in live:
            if life.configuration is not view and (
                life.configuration is None or life.configuration.digest != view.digest
            ):
                return False
            member = view.member(life.place.endpoint)
            if member is None or member.node_id != life.node.node_id:
                return False
        return True

    def quorum_lives(self) -> bool:
        """Whether a majority of the newest configuration still runs: else no change is possible."""
        if self.newest is None:
            return True
        alive = {(life.place.endpoint, life.node.node_id) for life in self.live}
        found = sum((member.endpoint, member.node_id) in alive for member in self.newest.members)
        return found > self.newest.size // 2 or not self.newest.size

    def expect_agreement(self, within: float) -> float:
        """Let time pass until :meth:`agreed`; return how long it took.

        Raises :class:`InvariantViolation` when it does not come within the bound.
        """
        began = self.now
        if not self.run_until(self.agreed, within):
            self.violated("liveness", f"no agreement within {within} s: {self.standing()}")
        return self.now - began

    @property
    def events(self) -> int:
        """How many events have been due or will be."""
        return self._sequence

    def stats(self) -> Counter[str]:
        """The counters of all processes that ever ran, and the world's, together."""
        total = Counter(self.counts)
        for life in self._lives:
            total.update(life.node.stats)
        return total

    # -- the course of events

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
            else:  # REPLY and FAILED concern one process only
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
        elif life.place.delay and kind != FAILED:
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
                else:
                    for at in self.network.arrivals(life, place, now):
                        self._sequence += 1
                        heappush(heap, (at, self._sequence, DELIVER, place, message, life))
            elif isinstance(output, Reply):
                self._reply(life, output)
            elif isinstance(output, Discover):
                life.node.discovered(life.seeds, life.clock(now))
            elif isinstance(output, Notify):
                self._tell(life, output.event)
        if life.node_id is not life.node.node_id:
            self._identify(life)
        if life.alive:
            self._schedule_wake(life)

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
            life.between = False
            life.views.append(Seen(self.now, event.configuration, event.cut, event.skipped))
            self.trace.mix(event.configuration.version, int.from_bytes(event.configuration.digest[:7], "big"))
        else:
            life.events.append((self.now, event))
            self.counts[type(event).__name__] += 1
            if isinstance(event, Evicted):
                life.between = True
            if isinstance(event, Evicted | OtherCluster):
                self._identify(life)
            if isinstance(event, Left | JoinFailed) or (isinstance(event, Evicted) and not event.rejoining):
                life.done = True
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
        self.counts["node ids renewed"] += 1
        self.trace.mix(self.now, int.from_bytes(life.node_id[:6], "big"))

    # -- beginnings and ends of processes

    def _start_later(self, place: Place, seeds: tuple[Endpoint, ...] | None, delay: float) -> None:
        self._starting += 1

        def start() -> None:
            self._starting -= 1
            self._start(place, self._way_back(place) if seeds is None else seeds)

        self.after(delay, start)

    def _way_back(self, place: Place) -> tuple[Endpoint, ...]:
        """Whom a new process asks at an old address: its seeds, and a few that are in a cluster.

        The only seed of all would found a second cluster, as its owner would have to know.
        """
        members = (life for life in self.live if life.configuration is not None and not life.between)
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
            ghost = place.lives[-1] if place.lives else self._nobody(place)
            self._push(at, FAILED, sender, None, ghost)

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

    def _divide(self, groups: list[list[Place]]) -> None:
        self._note("divided", " | ".join(" ".join(map(str, group[:12])) for group in groups))
        self.network.divide(self.places, groups)

    def _existed(self, endpoint: Endpoint, node_id: NodeId) -> bool:
        return (endpoint, node_id) in self._node_ids

    def standing(self) -> str:
        """Who holds what, in one line."""
        live = self.live
        held = Counter(
            "no view" if view is None else f"v{view.version} of {view.size} ({view.digest[:3].hex()})"
            for view in (life.configuration for life in live)
        )
        holders = ", ".join(f"{count} hold {name}" for name, count in held.most_common(8))
        newest = f"; the newest is v{self.newest.version} of {self.newest.size}" if self.newest else ""
        return f"{len(live)} live; {holders}{newest}"

    def _endpoint(self, field: str, address: Address) -> Endpoint:
        if isinstance(address, Endpoint):
            return address
        try:
            return Endpoint.parse(address)
        except EndpointError as problem:
            raise ScenarioError(field, str(problem)) from None

    def _place(self, field: str, address: Address) -> Place:
        place = self._by_endpoint.get(self._endpoint(field, address))
        if place is None:
            raise ScenarioError(field, f"{address} was never added")
        return place

    def _places(self, field: str, addresses: Addresses) -> list[Place]:
        if addresses is None:
            return list(self.places)
        if isinstance(addresses, str | Endpoint):
            return [self._place(field, addresses)]
        return [self._place(field, address) for address in addresses]

    def _running(self, field: str, addresses: Addresses) -> Iterable[Place]:
        places = self._places(field, addresses)
        for place in places:
            if place.life is None:
                raise ScenarioError(field, f"{place} is not running")
        return places

    def _duration(self, field: str, seconds: float) -> None:
        if not (isfinite(seconds) and seconds >= 0):
            raise ScenarioError(field, f"{seconds} s; take 0 or more")
