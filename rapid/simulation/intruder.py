"""Random worlds in which a process that is no member answers what nobody asked it."""

from __future__ import annotations

from collections.abc import Callable

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member
from rapid.protocol.messages import Admitted, Cuts, Decided, Message, Refounded, Snapshot
from rapid.protocol.node import Node
from rapid.settings import Settings
from rapid.simulation.process import Life
from rapid.simulation.promises import Stability
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.world import World

STRANGER = Endpoint("stranger", 9)
HIGHEST = (1 << 63) - 1
"""The highest version that a message can hold."""


class Intruder(RandomWorld):
    """A sound cluster, into which others come, and a stranger that knows all of it and makes up answers.

    It sends each in its own name. None has any effect: nobody is removed, and every view was decided.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        settings = rng.choice((Settings.lan(), Settings.local()))
        self.world = world = World(self.seed, settings, make_node=make_node, canary=canary)
        world.add_members(rng.randint(2, 7))
        self.joiners = world.add_members(rng.randint(1, 3))
        Stability(world)

    def course(self) -> None:
        rng, world = self.rng, self.world
        world.start([place.endpoint for place in world.places if place.endpoint not in self.joiners])
        world.expect_agreement(60.0)
        self.known = world.live[0].membership
        world.start(self.joiners, over=4.0)
        for _ in range(rng.randint(1, 12)):
            world.run(rng.choice((0.0, 0.05, rng.uniform(0.0, 2.0))))
            name = rng.choice(list(INTRUDER))
            self.befall(name)
            life = rng.choice(world.live)
            world.inject(life.place.endpoint, INTRUDER[name](self, life))
        self.settle(one_cluster=True, quiet=20.0)

    def view(self, life: Life) -> Configuration:
        """What the stranger has seen last: the view of this process, or one of the cluster it is joining."""
        view = life.membership or self.known
        assert view is not None
        return view

    def cut(self, life: Life) -> Cut:
        """One that removes a member."""
        gone = self.rng.choice(self.view(life).members)
        return Cut.of([Removal(gone.endpoint, gone.node_id)])

    def made_up(self, life: Life, cluster_id: ClusterId, version: int) -> Configuration:
        """A view of some of the members, and of this process."""
        view = self.view(life)
        me = Member(life.place.endpoint, life.node.node_id)
        others = [member for member in view.members if member.endpoint != me.endpoint]
        kept = self.rng.sample(others, self.rng.randint(0, len(others)))
        return Configuration.of(cluster_id, version, [me, *kept], view.k)

    def version(self, life: Life) -> int:
        return self.rng.choice((self.view(life).version + 1, self.view(life).version + 7, HIGHEST))

    def refounded(self, life: Life) -> Message:
        view = self.view(life)
        successor = self.made_up(life, ClusterId(self.rng.randbytes(ClusterId.SIZE)), view.version + 1)
        return Refounded(STRANGER, view.cluster_id, view.version, successor)

    def snapshot(self, life: Life) -> Message:
        own = ClusterId(self.rng.randbytes(ClusterId.SIZE))
        cluster_id = self.rng.choice((self.view(life).cluster_id, own))
        return Snapshot(STRANGER, self.made_up(life, cluster_id, self.version(life)))

    def decided(self, life: Life) -> Message:
        view, cut = self.view(life), self.cut(life)
        return Decided(STRANGER, view.cluster_id, view.version, cut.digest, cut)

    def cuts(self, life: Life) -> Message:
        view = self.view(life)
        return Cuts(STRANGER, view.cluster_id, view.version, (self.cut(life),))

    def admitted(self, life: Life) -> Message:
        return Admitted(STRANGER, ClusterId(bytes(ClusterId.SIZE)), self.version(life))


INTRUDER: dict[str, Callable[[Intruder, Life], Message]] = {
    "made-up Refounded": Intruder.refounded,
    "made-up Snapshot": Intruder.snapshot,
    "made-up Decided": Intruder.decided,
    "made-up Cuts": Intruder.cuts,
    "made-up Admitted": Intruder.admitted,
}
