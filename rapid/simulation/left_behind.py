"""Random worlds in which processes are left behind: what they knew of the cluster is gone."""

from __future__ import annotations

from collections.abc import Callable

from rapid.protocol.node import Node
from rapid.protocol.outputs import Evicted
from rapid.settings import Settings
from rapid.simulation.random_world import CALM, RandomWorld
from rapid.simulation.world import World


class LeftBehind(RandomWorld):
    """Some members are evicted, and then all the others crash.

    The evicted join those of the others that come back, or another cluster that their seeds' names lead to by
    then. While there is none their applications are told that they wait, and an operator can force one of
    them to go on by itself, which the others then join.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        self.world = world = World(
            self.seed, rng.choice((Settings.lan(), Settings.local())), make_node=make_node, canary=canary
        )
        size = rng.randint(3, 9)
        self.merging = rng.random() < 0.3
        seeds = [f"m{number}:7400" for number in range(rng.randint(1, 3))]
        self.members = world.add_members(size, seeds=seeds, merge=self.merging)
        self.fault = rng.choice(list(LEFT_BEHIND))

    def course(self) -> None:
        rng, world = self.rng, self.world
        self.form()
        world.run(rng.uniform(0.0, 5.0))
        members = rng.sample(self.members, len(self.members))
        count = rng.randint(1, (len(members) - 1) // 2)
        self.few, self.rest = members[:count], members[count:]
        self.befall("minority evicted")
        world.partition([self.few, self.rest])
        out = world.run_until(lambda: all(self.without_few(rest) for rest in self.rest), CALM)
        if not out:
            world.violated("liveness", f"the majority does not go on: {world.standing()}")
        world.heal()
        learnt = world.run_until(lambda: all(self.knows(one) for one in self.few), CALM)
        if not learnt:
            world.violated("liveness", f"some are not told of their eviction: {world.standing()}")
        self.befall(self.fault)
        running = [one for one in self.rest if world.lives_of(one)[-1].alive]
        world.crash(running, silent=rng.random() < 0.7)
        LEFT_BEHIND[self.fault](self)
        self.settle(one_cluster=True, quiet=20.0)

    def without_few(self, member: object) -> bool:
        view = self.world.view_of(member)  # type: ignore[arg-type]  # an address of the world
        return view is not None and not any(one in view for one in self.few)

    def knows(self, member: object) -> bool:
        life = self.world.lives_of(member)[-1]  # type: ignore[arg-type]  # an address of the world
        return any(isinstance(event, Evicted) for _, event in life.events)

    def come_back(self) -> None:
        """Some of the crashed come back, a while later."""
        rng, world = self.rng, self.world
        world.run(rng.choice((1.0, 10.0, 60.0)))
        for one in rng.sample(self.rest, rng.randint(1, len(self.rest))):
            world.restart(one, after=rng.uniform(0.0, 2.0))

    def names_move(self) -> None:
        """The cluster is set up anew elsewhere, and the names of the seeds lead there."""
        rng, world = self.rng, self.world
        world.run(rng.choice((1.0, 10.0, 60.0)))
        moved = [f"n{number}:7400" for number in range(rng.randint(1, 4))]
        fresh = [world.add(address, seeds=moved[:2], merge=self.merging) for address in moved]
        world.start(fresh)
        world.set_seeds(self.few, moved[:2])

    def force_one(self) -> None:
        """An operator has one of the evicted go on."""
        self.world.run(self.rng.choice((10.0, 30.0, 60.0)))
        self.world.force_new_cluster(self.rng.choice(self.few))
        self.world.run(20.0)
        if all(life.membership is None for life in self.world.live):
            self.world.violated("force", f"an evicted process was forced in vain: {self.world.standing()}")


LEFT_BEHIND: dict[str, Callable[[LeftBehind], None]] = {
    "nobody is left": lambda w: None,
    "nobody is left, and one is forced": LeftBehind.force_one,
    "some come back": LeftBehind.come_back,
    "the seeds' names move": LeftBehind.names_move,
}
