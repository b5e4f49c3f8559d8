"""What all random worlds have in common: a seed decides their course, and the course has an outcome."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from random import Random

from rapid.protocol.node import Node
from rapid.simulation.errors import InvariantViolation
from rapid.simulation.outcome import Outcome
from rapid.simulation.promises import Ends, unsettled
from rapid.simulation.world import World

CALM = 240.0
"""Virtual seconds after the last fault in which the world must come to rest."""


class RandomWorld(ABC):
    """One seed's world. Everything in it is drawn from the seed.

    A subclass sets ``world`` and gives the course of it. ``faults`` counts what befell it, by name.
    """

    world: World

    def __init__(self, seed: int, *, make_node: Callable[..., Node] = Node, canary: bool = False) -> None:
        self.seed = seed
        self.rng = Random(f"{seed}/{type(self).__name__.lower()}")
        self.faults: Counter[str] = Counter()
        self.prepare(make_node, canary)
        Ends(self.world)

    @abstractmethod
    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        """Make the world and its members; no time passes."""

    @abstractmethod
    def course(self) -> None:
        """What happens, from beginning to end."""

    def run(self) -> Outcome:
        problem, trace = None, list[str]()
        world = self.world
        try:
            self.course()
        except InvariantViolation as violation:
            problem, trace = str(violation), violation.trace
        stats = world.stats()
        stats.update(self.counted())
        world.trace.mix(*(stats[name] for name in sorted(stats)))
        return Outcome(self.seed, world.trace.hash, world.events, stats, self.faults, problem, trace)

    def counted(self) -> Counter[str]:
        """What the course counted besides the world and its members."""
        return Counter()

    def befall(self, fault: str) -> None:
        """Note that a fault begins."""
        self.faults[fault] += 1
        self.world.trace.add(self.world.now, "fault", fault)

    def form(self) -> None:
        """Start all that never ran and let them agree; there are no faults yet."""
        self.world.start(over=self.rng.choice((0.0, 0.5, 5.0)))
        self.world.expect_agreement(CALM)

    def settle(self, *, one_cluster: bool = False, quiet: float = 0.0) -> None:
        """The world must come to rest before the calm is over, and stay so for ``quiet`` seconds.

        What rest is says :func:`unsettled`.
        """
        world, until = self.world, self.world.now + CALM
        while True:
            self.settle_by(lambda: unsettled(world, one_cluster=one_cluster), until)
            before = {life: len(life.views) for life in world.live}
            world.run(quiet)
            restless = [life for life, views in before.items() if len(life.views) > views or not life.live]
            if not restless:
                return
            if world.now > until:
                world.violated("rest", f"{restless[0]} changes its view again and again; {world.standing()}")

    def settle_by(self, problem: Callable[[], str | None], until: float | None = None) -> None:
        """There must be no problem any more, at some moment before the calm is over."""
        world = self.world
        wait = CALM if until is None else max(0.0, until - world.now)
        if not world.run_until(lambda: problem() is None, wait):
            world.violated("liveness", f"after {CALM} s of calm: {problem()}; {world.standing()}")
