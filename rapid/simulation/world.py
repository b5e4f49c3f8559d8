"""A world of members under a virtual clock, in which everything is replayed by its seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from rapid.detection.judge import MakeJudge
from rapid.errors import EndpointError, SettingsError
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, checked_cluster_name
from rapid.protocol.messages import Message
from rapid.protocol.outputs import Event
from rapid.settings import Settings, require_consistent
from rapid.simulation.course import ACT, RESUME, Course
from rapid.simulation.errors import ScenarioError
from rapid.simulation.links import BLACK_HOLE, Link
from rapid.simulation.process import HealthCheck, Life, Place
from rapid.telling import Telling
from rapid.view import Change

LOOK: Final = 0.1
"""A condition that is waited for is looked at this often even when nothing was told to anyone."""

ANY: Final = None
Address = str | Endpoint
Addresses = Address | Sequence[Address] | None


class World(Course):
    """Members that run the real protocol, the network between them, and the faults of both.

    Time starts at 0 and moves only in :meth:`run`, :meth:`run_until` and :meth:`expect_agreement`.
    The same seed and the same calls give the same events, in any process: ``trace.hash`` says so.
    The protocol's promises are checked after every event; :class:`InvariantViolation` is raised when
    one does not hold. A call that asks for the impossible raises :class:`ScenarioError` and changes
    nothing. An address is a ``"host:port"`` or an :class:`Endpoint`; all times are seconds.

    ``make_node`` and ``canary`` serve the tests of the checks themselves.
    """

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
        cluster_id: ClusterId | str | None = None,
        cluster_name: str = "",
        make_judge: MakeJudge | None = None,
        health_check: HealthCheck | None = None,
        service: int = 0,
    ) -> Endpoint:
        """Declare an address. ``seeds``: whom its processes ask to be let in; by default the first address.

        ``settings`` and ``rejoin``: the world's by default; ``cluster_id``: hexadecimal, or as a
        configuration has it. ``health_check``: called with an address, it gives the result of the
        application's check of the member there, or None for a check that never ends. ``service``: the
        number of the service that runs there: a view with members of two of them is an
        :class:`InvariantViolation`. The rest is as for a :class:`Node`.
        """
        endpoint = self._endpoint("address", address)
        if endpoint in self._by_endpoint:
            raise ScenarioError("address", f"{endpoint} was added before")
        asked = tuple(self._endpoint("seeds", seed) for seed in seeds or ())
        if seeds is None:
            asked = (self.places[0].endpoint if self.places else endpoint,)
        if expected < 1:
            raise ScenarioError("expected", f"{expected} processes; take at least 1")
        rejoin = self.rejoin if rejoin is None else rejoin
        try:
            checked_cluster_name(cluster_name)
        except SettingsError as problem:
            raise ScenarioError(problem.field, problem.problem) from None
        options: dict[str, Any] = {
            "rejoin": rejoin, "merge": merge, "expected": expected, "cluster_name": cluster_name,
        }  # fmt: skip
        if cluster_id is not None:
            options["cluster_id"] = self._consistent(cluster_id, merge, expected)
        if make_judge is not None:
            options["make_judge"] = make_judge
        if health_check is not None:
            options["checks"] = True
        place = Place(
            len(self.places), endpoint, asked, metadata, settings or self.settings, options, health_check
        )
        self._serve(place, service)
        self.places.append(place)
        self._by_endpoint[endpoint] = place
        return endpoint

    def add_members(
        self,
        count: int,
        *,
        seeds: Sequence[Address] | None = None,
        merge: bool = False,
        expected: int = 1,
        cluster_name: str = "",
    ) -> list[Endpoint]:
        """Declare ``count`` more addresses: ``m0:7400``, ``m1:7400`` and so on."""
        if count < 1:
            raise ScenarioError("count", f"{count} members; take at least 1")
        return [
            self.add(
                Endpoint(f"m{len(self.places)}", 7400),
                seeds=seeds,
                merge=merge,
                expected=expected,
                cluster_name=cluster_name,
            )
            for _ in range(count)
        ]

    def reassign(
        self,
        address: Address,
        *,
        seeds: Sequence[Address],
        service: int,
        merge: bool = False,
        cluster_name: str = "",
    ) -> Endpoint:
        """Give an address at which nothing runs to another service, as an orchestrator does."""
        place = self._place("address", address)
        if place.life is not None:
            raise ScenarioError("address", f"{place} is running; crash it first")
        place.seeds = tuple(self._endpoint("seeds", seed) for seed in seeds)
        self._serve(place, service)
        place.options = {
            "rejoin": self.rejoin, "merge": merge, "expected": 1, "cluster_name": cluster_name,
        }  # fmt: skip
        self._note("reassigned", place)
        return place.endpoint

    def _serve(self, place: Place, service: int) -> None:
        place.service = service
        self._several_services = self._several_services or any(p.service != service for p in self.places)

    def set_seeds(self, members: Addresses, seeds: Sequence[Address]) -> None:
        """What these addresses' processes find from now on when they look their seeds up."""
        found = tuple(self._endpoint("seeds", seed) for seed in seeds)
        for place in self._places("members", members):
            place.seeds = found
            if place.life is not None:
                place.life.seeds = found

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
        if sources and sources == targets and len(sources) == 1:
            raise ScenarioError("receivers", f"{targets[0]} has no link to itself")
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

    def partition(self, groups: Sequence[Sequence[Address]], *, bridges: Sequence[Address] = ()) -> None:
        """Members reach the others of their group, the bridges, and members of no group.

        ``bridges`` are members that are in every group. Any other is in one group at most.
        """
        spanning = self._places("bridges", bridges)
        seen = set(spanning)
        divided: list[list[Place]] = []
        for group in groups:
            places = self._places("groups", group)
            for place in places:
                if place in seen:
                    raise ScenarioError("groups", f"{place} is in two groups; name a bridge in bridges=")
                seen.add(place)
            divided.append([*places, *spanning])
        self._divide(divided)

    def heal(self) -> None:
        """All links are healthy again; hosts, processes and clocks stay as they are."""
        self._note("healed", "the network")
        self.network.heal(self.places)

    def inject(self, member: Address, message: Message) -> None:
        """Have a running member receive this message now, whoever its sender is said to be.

        What is answered goes to the address of that sender.
        """
        for place in self._running("member", member):
            life = place.life
            if life is not None:
                self.counts["messages injected"] += 1
                self._note("is sent by a stranger", life, message)
                life.node.receive(message, life.clock(self.now))
                self._after_input(life)

    def _divide(self, groups: list[list[Place]]) -> None:
        self._note("divided", " | ".join(" ".join(map(str, group[:12])) for group in groups))
        self.network.divide(self.places, groups)

    # -- time, and who follows it

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

    # -- what to see

    def view_of(self, member: Address) -> Configuration | None:
        """The view that the present, or else the last, process at this address holds."""
        lives = self._place("member", member).lives
        return lives[-1].configuration if lives else None

    def lives_of(self, member: Address) -> list[Life]:
        """All processes that ran at this address; ``views`` of each is what it was told, in order."""
        return self._place("member", member).lives

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

    @property
    def starting(self) -> int:
        """How many processes are still to start."""
        return self._starting

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

    # -- what was asked for

    def _endpoint(self, field: str, address: Address) -> Endpoint:
        if isinstance(address, Endpoint):
            return address
        try:
            return Endpoint.parse(address)
        except EndpointError as problem:
            raise ScenarioError(field, str(problem)) from None

    def _consistent(self, cluster_id: ClusterId | str, merge: bool, expected: int) -> ClusterId:
        try:
            require_consistent(merge=merge, bootstrap_expect=expected, cluster_id=cluster_id)
        except SettingsError as problem:
            raise ScenarioError(problem.field, problem.problem) from None
        try:
            return cluster_id if isinstance(cluster_id, ClusterId) else ClusterId.parse(cluster_id)
        except ValueError as problem:
            raise ScenarioError("cluster_id", str(problem)) from None

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
