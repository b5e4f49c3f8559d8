"""Random worlds of two services: processes of one start at addresses that the other's members had."""

from __future__ import annotations

from collections.abc import Callable

from rapid.protocol.node import Node
from rapid.settings import Settings
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.world import World


class Recycled(RandomWorld):
    """Two services that know nothing of each other, and addresses that go from the first to the second.

    No view may ever hold members of both: :meth:`World.add` says which service an address is of. Without
    cluster names the addresses are no seeds of the first service, whose processes would ask to be let in
    there, and no cluster may merge.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        settings = rng.choice((Settings.lan(), Settings.local()))
        self.world = world = World(self.seed, settings, make_node=make_node, canary=canary)
        size = rng.randint(3, 8)
        seeds = [f"cache{number}:7400" for number in range(rng.randint(1, min(3, size - 1)))]
        first, self.name = rng.choice((("", ""), ("cache", "jobs"), ("", "jobs"), ("cache", "")))
        named = first != self.name
        self.merging = named and rng.random() < 0.4
        self.first = [
            world.add(f"cache{number}:7400", seeds=seeds, merge=self.merging, cluster_name=first)
            for number in range(size)
        ]
        self.lost = self.first if named else self.first[len(seeds) :]
        """Those of which some go to the other service."""
        self.seeds = [f"jobs{number}:7400" for number in range(rng.randint(1, 3))]
        self.second = [
            world.add(address, seeds=self.seeds, merge=self.merging, service=1, cluster_name=self.name)
            for address in self.seeds
        ]
        self.dead = rng.random() < 0.4

    def course(self) -> None:
        rng, world = self.rng, self.world
        world.start(self.first)
        world.expect_agreement(60.0)
        if not self.dead:
            world.start(self.second)
        world.run(rng.uniform(1.0, 10.0))
        self.befall("recycled addresses, other seeds dead" if self.dead else "recycled addresses")
        most = min(len(self.lost), (len(self.first) - 1) // 2)
        gone = rng.sample(self.lost, rng.randint(1, most))
        world.crash(gone, silent=rng.random() < 0.5)
        world.run(rng.choice((0.0, 0.5, 2.0, 20.0)))
        for address in gone:
            world.reassign(
                address, seeds=self.seeds, service=1, merge=self.merging, cluster_name=self.name
            )
            world.start(address)
            world.run(rng.choice((0.0, 0.5, 5.0)))
        world.run(60.0)
        self.settle(quiet=20.0)


RECYCLED = ("recycled addresses, other seeds dead", "recycled addresses")
