"""Random worlds in which an operator forces a new cluster, seldom under good conditions."""

from __future__ import annotations

from collections.abc import Callable

from rapid.overlay.member import Endpoint
from rapid.protocol.node import Node
from rapid.settings import Settings
from rapid.simulation.links import BLACK_HOLE, Link, LongTail, Uniform
from rapid.simulation.process import Life
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.world import ANY, World


class Forcing(RandomWorld):
    """A cluster loses its quorum, and one or two of its members are made to go on without the rest.

    In the meantime the links are bad, or a part of the survivors is cut off. Then all links are healthy,
    and some of the crashed come back. Every process must end up in a cluster whose members agree, or end
    and say so; in one cluster where clusters may merge, or the others had crashed and one member was forced.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        settings = rng.choice((Settings.lan(), Settings.lan(), Settings.local()))
        self.world = world = World(
            self.seed, settings, rejoin=rng.random() < 0.8, make_node=make_node, canary=canary
        )
        self.merging = rng.random() < 0.3
        size = rng.choice((rng.randint(2, 5), rng.randint(4, 10), rng.randint(4, 10)))
        seeds = [f"m{number}:7400" for number in range(min(size, rng.randint(1, 3)))]
        self.members = world.add_members(size, seeds=seeds, merge=self.merging)
        self.seeds = seeds
        self.fault = rng.choice(list(FORCING))
        self.forced: dict[Life, None] = {}
        """The members that were forced."""

    def course(self) -> None:
        rng, world = self.rng, self.world
        self.form()
        if rng.random() < 0.25:
            self.pin()
        world.run(rng.uniform(0.0, 5.0))
        self.lose_quorum()
        # not before they are sure that the others are gone, or much earlier
        world.run(rng.choice((2.0, 10.0, 25.0, 40.0)))
        self.befall(self.fault)
        FORCING[self.fault](self)
        world.run(rng.choice((0.5, 3.0, rng.uniform(0.0, 20.0))))
        if rng.random() < 0.3:
            self.befall("forced again")
            self.force(1)
            world.run(rng.uniform(0.0, 10.0))
        world.heal()
        if rng.random() < 0.5:
            world.run(rng.uniform(0.0, 20.0))
            self.befall("the crashed come back")
            for place in world.places:
                if place.life is None:
                    world.restart(place.endpoint, after=rng.uniform(0.0, 2.0))
        # where the others were only cut off they may have gone on as well, and stay a cluster of their own
        one_cluster = self.merging or (self.crashed and len(self.forced) == 1)
        self.settle(one_cluster=one_cluster, quiet=20.0)

    def pin(self) -> None:
        """A member joins that belongs to this cluster or to none."""
        self.befall("pinned member")
        view = self.world.live[0].membership
        assert view is not None
        pinned = self.world.add("pinned:7400", seeds=self.seeds, cluster_id=view.cluster_id)
        self.members.append(pinned)
        self.world.start(pinned)
        self.world.expect_agreement(60.0)

    def lose_quorum(self) -> None:
        """Half of the members or more crash, or are cut off, together or each by itself."""
        rng, world = self.rng, self.world
        members = rng.sample(self.members, len(self.members))
        gone = members[: rng.randint((len(members) + 1) // 2, len(members) - 1)]
        kept = members[len(gone) :]
        way = rng.choice(("crash", "crash", "halves", "isolation", "crash and partition"))
        self.crashed = way == "crash"
        if self.crashed:
            world.crash(gone, silent=rng.random() < 0.7)
        elif way == "isolation":
            world.isolate(gone)
        elif way == "halves" and len(members) % 2 == 0:
            half = len(members) // 2
            world.partition([members[:half], members[half:]])
        else:
            world.crash(gone[: len(gone) // 2], silent=True)
            world.partition([kept, gone])

    def running(self) -> list[Endpoint]:
        return [life.place.endpoint for life in self.world.live if life.membership is not None]

    def force(self, count: int) -> None:
        """Force members that run, at one moment or shortly after each other."""
        running = self.running()
        for number, member in enumerate(self.rng.sample(running, min(count, len(running)))):
            if number:
                self.world.run(self.rng.choice((0.0, 0.5, 2.0, 10.0)))
            life = self.world.lives_of(member)[-1]
            if life.live:
                self.forced[life] = None
                self.world.force_new_cluster(member)

    def under_loss(self) -> None:
        self.world.link(ANY, ANY, Link(loss=self.rng.uniform(0.05, 0.4)))
        self.force(1)

    def under_latency(self) -> None:
        low = self.rng.uniform(0.05, 0.5)
        self.world.link(ANY, ANY, Link(latency=self.rng.choice((Uniform(low, 2 * low), LongTail(low, 0.2)))))
        self.force(1)

    def cut_off_survivors(self) -> None:
        """Some of those that run cannot hear the question; they are of the old view when they return."""
        running = self.rng.sample(self.running(), len(self.running()))
        at = self.rng.randint(0, len(running) - 1)
        for one in running[:at]:
            if self.rng.random() < 0.5:
                self.world.link(one, ANY, BLACK_HOLE)
            else:
                self.world.link(ANY, one, BLACK_HOLE)
        chosen = running[-1]
        self.forced[self.world.lives_of(chosen)[-1]] = None
        self.world.force_new_cluster(chosen)


FORCING: dict[str, Callable[[Forcing], None]] = {
    "one forced": lambda w: w.force(1),
    "two forced": lambda w: w.force(2),
    "forced under loss": Forcing.under_loss,
    "forced under latency": Forcing.under_latency,
    "forced while survivors are cut off": Forcing.cut_off_survivors,
}
BESIDE_FORCING = ("forced again", "the crashed come back", "pinned member")
