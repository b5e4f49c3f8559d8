"""Many small worlds, each with its own choice of sizes, settings and faults, all drawn from its seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Facts, Message
from rapid.protocol.node import Node
from rapid.protocol.outputs import Event, Evicted, JoinFailed
from rapid.settings import Settings
from rapid.simulation.links import BLACK_HOLE, HEALTHY, LAN, Flap, Link, LongTail, Uniform
from rapid.simulation.process import Life
from rapid.simulation.promises import unsettled
from rapid.simulation.random_world import CALM, RandomWorld
from rapid.simulation.world import ANY, World

PATHS = (
    "fast decisions", "classic decisions", "told decisions", "classic rounds", "second classic rounds",
    "implicit alerts", "reinforcements", "anti-entropy exchanges", "exchanges at random", "catch-up requests",
    "cuts caught up", "joins from a held address", "joins refused", "late facts", "Evicted", "Left",
    "QuorumLost", "QuorumRestored", "fresh beginnings proposed", "unstable subjects expired",
    "node ids renewed", "seeds probed", "other clusters met", "merges", "snapshots installed",
    "connections not opened", "health checks", "messages injected",
)  # fmt: skip
"""What the protocol must have done somewhere in a large run, besides every fault."""


class Swarm(RandomWorld):
    """One seed's world: some of the faults, for a while, then calm.

    Safety is checked throughout, liveness in the calm. Evicted processes are started anew, and so
    are those that could not join in time: what a supervisor does.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        # with L above a third of K the loss of few observers keeps a crash below L: it is noise then
        k = rng.randint(4, 10)
        settings = rng.choice((
            Settings.lan(), Settings.lan(), Settings.local(),
            Settings.lan(k=k, h=4, l=rng.randint(1, k // 3)),
            Settings.lan(everyone_limit=rng.randint(1, 12), gossip_interval=0.05),
            Settings.lan(history=1, fallback_delay=0.2, fallback_stagger=0.02),
        ))  # fmt: skip
        # nobody is a member for long where answers take longer than the settings wait for them
        quick = settings.probe_timeout < 0.5
        latency = LAN if quick else rng.choice((LAN, LAN, Uniform(0.0, 0.2), LongTail(0.001, 0.05)))
        self.world = World(
            self.seed,
            settings,
            latency=latency,
            rejoin=rng.random() < 0.7,
            make_node=make_node,
            canary=canary,
        )
        self.size = rng.choice((rng.randint(3, 8), rng.randint(3, 12), rng.randint(9, 30)))
        self.merging = False
        self.members = self.populate()
        self.second_rounds = 0
        self.ambush: tuple[str, Callable[[Endpoint], None]] | None = None
        self._leaving: dict[Life, None] = {}
        self._misfits: dict[Endpoint, None] = {}
        self.world.subscribe(self._supervise)
        self.world.watch(self._watch)

    def counted(self) -> Counter[str]:
        return Counter({"second classic rounds": self.second_rounds})

    def populate(self) -> list[Endpoint]:
        """Addresses that find each other in one of several ways.

        A first seed that comes back while it cannot reach the others founds a cluster of its own, as it
        must: with several seeds only merging is sure to end in one.
        """
        world, size, way = self.world, self.size, self.rng.random()
        first = [f"m{number}:7400" for number in range(3)]
        self.merging = way >= 0.4
        if not self.merging:
            return world.add_members(size)
        if way < 0.7:
            return world.add_members(size, seeds=first, merge=True)
        if way < 0.85:
            return world.add_members(size, seeds=first, merge=True, expected=self.rng.randint(2, 3))
        # two that found a cluster of their own: only merging brings them together
        one = world.add(first[0], seeds=first, merge=True)
        other = world.add(first[1], seeds=first[1:], merge=True)
        return [one, other, *world.add_members(size - 2, seeds=first, merge=True)]

    # -- the course of one world

    def course(self) -> None:
        rng, world = self.rng, self.world
        world.start(over=rng.choice((0.0, 0.5, 5.0)))
        if rng.random() < 0.8:
            self._agree()
        faults = rng.sample(list(FAULTS), rng.randint(1, 5))
        for _ in range(rng.randint(1, 8)):
            name = rng.choice(faults)
            self.befall(name)
            FAULTS[name](self)
            world.run(rng.choice((0.0, rng.random(), rng.uniform(0.0, 8.0), rng.uniform(0.0, 30.0))))
        self._calm()

    def _calm(self) -> None:
        """Mend the network and start what crashed: then a quorum of every view is within reach."""
        rng, world = self.rng, self.world
        self.ambush = None
        world.heal()
        world.slow(ANY, 0.0)
        for place in world.places:
            if place.life is None and place.endpoint not in self._misfits and self.returns():
                world.restart(place.endpoint, after=rng.random())
        if not world.run_until(world.agreed, CALM):
            # no majority may be left of a view: then nothing can change, but all who are left must know
            if problem := unsettled(world):
                world.violated("liveness", f"after {CALM} s of calm: {problem}; {world.standing()}")
            world.counts["clusters without a quorum"] += 1
        self.settle()

    def returns(self) -> bool:
        """Whether the next one that crashed is started again for the calm."""
        return True

    def _supervise(self, endpoint: Endpoint, event: Event) -> None:
        if isinstance(event, JoinFailed) and endpoint not in self._misfits:
            self.world.restart(endpoint, after=0.5 + self.rng.random())
        elif isinstance(event, Evicted) and not event.rejoining:
            self._replace(self.world.lives_of(endpoint)[-1])

    def _replace(self, evicted: Life) -> None:
        """Not before all know that it is out: others may need it to learn of the decision."""
        if not evicted.alive:
            return
        endpoint, node_id = evicted.place.endpoint, evicted.node_id
        for life in self.world.live:
            view = life.configuration
            member = None if view is None else view.member(endpoint)
            if member is not None and member.node_id == node_id:
                self.world.after(0.5 + self.rng.random(), lambda: self._replace(evicted))
                return
        self.world.restart(endpoint, after=0.5 + self.rng.random())

    def _agree(self) -> None:
        """Liveness, which can be asked for where a majority is left."""
        world = self.world
        if not world.run_until(world.agreed, CALM):
            if world.quorum_lives():
                world.violated("liveness", f"no agreement in {CALM} s of calm: {world.standing()}")
            world.counts["clusters without a quorum"] += 1

    # -- what the faults are made of

    def _watch(self, sender: Endpoint, message: Message) -> None:
        if not isinstance(message, Facts):
            return
        if any(prepare.rank.round > 2 for prepare in message.prepares):
            self.second_rounds += 1
        if self.ambush is not None:
            step, strike = self.ambush
            if SAID[step](message):
                self.ambush = None
                self.world.after(0.0, lambda: strike(sender))

    def some(self, part: float = 0.5) -> list[Endpoint]:
        """Some addresses, never all."""
        most = max(1, int(len(self.members) * part))
        return self.rng.sample(self.members, min(len(self.members) - 1, self.rng.randint(1, most)))

    def running(self, part: float = 0.5) -> list[Endpoint]:
        """Some of those that run."""
        places = [place for place in self.world.places if place.life is not None]
        return [place.endpoint for place in places if self.rng.random() < part]

    def pair(self) -> tuple[Endpoint, Endpoint]:
        one, other = self.rng.sample(self.members, 2)
        return one, other

    def rate(self) -> float:
        return self.rng.choice((0.01, 0.1, 0.3, 0.8))

    def spare(self) -> list[Endpoint]:
        """All running members in some order, cut so short that a majority of every view outlives them."""
        world = self.world
        running = [life for life in world.live if life not in self._leaving]
        current = {(life.place.endpoint, life.node.node_id) for life in running}
        spare = len(running) - 1
        for life in world.live:
            view = life.configuration
            if view is None:
                continue
            alive = sum((member.endpoint, member.node_id) in current for member in view.members)
            spare = min(spare, alive - view.size // 2 - 1)
        return self.rng.sample([life.place.endpoint for life in running], max(0, spare))

    def victims(self) -> list[Endpoint]:
        spare = self.spare()
        return spare[: self.rng.randint(1, len(spare))] if spare else []

    def leave(self) -> None:
        victims = self.victims()[:3]
        for victim in victims:
            life = self.world.lives_of(victim)[-1]
            self._leaving[life] = None
        self.world.leave(victims)

    def strike_down(self, sender: Endpoint) -> None:
        if self.spare() and self.world.lives_of(sender)[-1].alive:
            self.world.crash(sender, silent=self.rng.random() < 0.5)

    def split(self, sender: Endpoint | None = None) -> None:
        members = self.rng.sample(self.members, len(self.members))
        at = self.rng.randint(1, len(members) - 1)
        self.world.partition([members[:at], members[at:]])

    def bridge(self) -> None:
        """Two halves that reach each other only through one member."""
        members = self.rng.sample(self.members, len(self.members))
        at = self.rng.randint(1, len(members) - 1)
        self.world.partition([members[1:at], members[at:]], bridges=members[:1])

    def swizzle(self) -> None:
        """Clog members one after another, unclog them in another order."""
        world, chosen = self.world, self.some()
        for clog in (True, False):
            link = BLACK_HOLE if clog else HEALTHY
            for member in self.rng.sample(chosen, len(chosen)):
                delay = self.rng.uniform(0.0, 5.0) + (0.0 if clog else 5.0)
                world.after(delay, partial(world.link, member, ANY, link))

    def join(self) -> None:
        # where the others may go over to another cluster, who may not would be left behind without a quorum
        fresh = self.world.add_members(self.rng.randint(1, 8), merge=self.merging)
        self.members += fresh
        self.world.start(fresh, over=self.rng.random())

    def misfit(self) -> None:
        """A process with other watermarks asks to be let in."""
        settings = self.world.settings
        if settings.h < settings.k:
            other = replace(settings, h=settings.k)
        elif settings.l < settings.h:
            other = replace(settings, h=settings.h - 1)
        else:
            other = (
                replace(settings, l=settings.l - 1) if settings.l > 1 else replace(settings, k=settings.k - 1)
            )
        address = Endpoint(f"misfit{len(self.world.places)}", 7400)
        self.world.add(address, settings=other)
        self._misfits[address] = None
        self.world.start(address)

    def lie_in_wait(self, strike: Callable[[Endpoint], None]) -> None:
        """Strike at whoever takes a step of the consensus next; see that there is a next one."""
        self.ambush = (self.rng.choice(list(SAID)), strike)
        if victims := self.victims():
            self.world.crash(victims)

    def flap(self) -> Flap:
        return Flap(self.rng.uniform(0.1, 20.0), self.rng.uniform(0.1, 20.0), self.world.now)


class Reduced(Swarm):
    """What crashed stays down for good, or half of it does: the others must agree without it."""

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        super().prepare(make_node, canary)
        self.share = self.rng.choice((0.0, 0.5))

    def returns(self) -> bool:
        if self.rng.random() < self.share:
            return True
        self.befall("stays down")
        return False


SAID: dict[str, Callable[[Facts], bool]] = {
    "vote": lambda facts: bool(facts.votes),
    "prepare": lambda facts: bool(facts.prepares),
    "promise": lambda facts: bool(facts.promises),
    "accept": lambda facts: bool(facts.accepts),
}

FAULTS: dict[str, Callable[[Swarm], None]] = {
    "crash": lambda s: s.world.crash(s.victims()),
    "host gone": lambda s: s.world.crash(s.victims(), silent=True),
    "restart": lambda s: s.world.restart(s.victims(), after=s.rng.choice((0.0, 0.1, 60.0 * s.rng.random()))),
    "leave": Swarm.leave,
    "join": Swarm.join,
    "misfit": Swarm.misfit,
    "pause": lambda s: s.world.pause(s.running(), s.rng.choice((0.3, 2.0, 5.0, 10.0, 20.0))),
    "slow": lambda s: s.world.slow(s.some(), s.rng.choice((0.001, 0.02))),
    "drift": lambda s: s.world.drift(s.some(), s.rng.uniform(0.95, 1.05)),
    "loss": lambda s: s.world.link(ANY, ANY, Link(loss=s.rate())),
    "ingress loss": lambda s: s.world.link(ANY, s.some(), Link(loss=s.rate())),
    "egress loss": lambda s: s.world.link(s.some(), ANY, Link(loss=s.rate())),
    "one-way black hole": lambda s: s.world.black_hole(*s.pair(), both=False),
    "two-way black hole": lambda s: s.world.black_hole(*s.pair()),
    "isolation": lambda s: s.world.isolate(s.some(0.3)),
    "partition": Swarm.split,
    "partition with a bridge": Swarm.bridge,
    "swizzle": Swarm.swizzle,
    "flapping ingress": lambda s: s.world.link(ANY, s.some(), Link(loss=1.0, flap=s.flap())),
    "flapping link": lambda s: s.world.link(*s.pair(), Link(loss=1.0, flap=s.flap()), both=True),
    "duplication": lambda s: s.world.link(ANY, ANY, Link(duplication=s.rate())),
    "reordering": lambda s: s.world.link(ANY, ANY, Link(reordering=s.rate(), late=Uniform(0.0, 1.0))),
    "old messages": lambda s: s.world.link(ANY, ANY, Link(duplication=0.1, late=Uniform(0.0, 3600.0))),
    "latency": lambda s: s.world.link(s.some(), ANY, Link(latency=LongTail(0.05, 0.2))),
    "healing": lambda s: s.world.heal(),
    "crash at a step": lambda s: s.lie_in_wait(s.strike_down),
    "partition at a step": lambda s: s.lie_in_wait(s.split),
}
"""By name, each something that a world may suffer. The swarm takes care that a quorum outlives it."""
