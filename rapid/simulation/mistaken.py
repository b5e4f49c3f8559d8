"""Random worlds in which an operator forces a minority by mistake: the majority is well."""

from __future__ import annotations

from collections.abc import Callable

from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.node import Node
from rapid.protocol.outputs import Event, Evicted
from rapid.settings import Settings
from rapid.simulation.links import Link
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.world import ANY, World


class Mistaken(RandomWorld):
    """A minority is cut off and forced, meets the majority again, and then mostly has a fault of its own.

    Nobody may be evicted from the majority's own cluster, and in the end the majority is in a view with a
    quorum, its own or one of the forced cluster. Where everybody lives and all links are healthy there is one
    cluster.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        settings = rng.choice((Settings.lan(), Settings.lan(), Settings.local()))
        self.world = world = World(self.seed, settings, make_node=make_node, canary=canary)
        minority = rng.choice((rng.randint(1, 3), rng.randint(1, 6)))
        more = rng.choice((1, 1, rng.randint(1, 4)))
        members = world.add_members(2 * minority + more, merge=rng.random() < 0.2)
        shuffled = rng.sample(members, len(members))
        self.minority, self.majority = shuffled[:minority], shuffled[minority:]
        world.set_seeds(ANY, rng.sample(members, rng.randint(1, 3)) if len(members) >= 3 else members[:1])
        self.fault = rng.choice(list(MISTAKEN))
        self.own: ClusterId | None = None
        world.subscribe(self._told)

    def course(self) -> None:
        rng, world = self.rng, self.world
        self.form()
        formed = world.view_of(self.majority[0])
        assert formed is not None, "all agree on a view"
        self.own = formed.cluster_id
        world.partition([self.minority, self.majority])
        # before or after the majority has agreed on going on alone, which it has to be able to in the end
        world.run(rng.choice((8.0, 15.0, 30.0, 60.0)))
        world.run_until(self.parted, 60.0)
        for operator in rng.sample(self.minority, rng.choice((1, 1, min(2, len(self.minority))))):
            world.force_new_cluster(operator)
        world.run(rng.uniform(3.0, 8.0))
        world.heal()
        if rng.random() < 0.3:
            world.link(ANY, ANY, Link(loss=rng.uniform(0.02, 0.1)))
        self.befall(self.fault)
        world.run_until(lambda: any(self.is_told(member) for member in self.majority), 60.0)
        world.run(rng.choice((0.0, 0.05, 0.2, 0.5, rng.uniform(0.0, 4.0))))
        MISTAKEN[self.fault](self)
        if rng.random() < 0.5:
            world.run(rng.uniform(0.0, 30.0))
        self.settle_by(self.problem)
        world.heal()
        self.settle(one_cluster=True, quiet=20.0)
        self.settle_by(self.problem)

    def parted(self) -> bool:
        """Whether the majority has gone on without the minority."""
        views = [self.world.view_of(member) for member in self.majority]
        return all(view is not None and view.size == len(self.majority) for view in views)

    def is_told(self, member: Endpoint) -> bool:
        return self.world.lives_of(member)[-1].node.joining_id is not None

    def problem(self) -> str | None:
        """Whether the majority is not in one view with a quorum of living members.

        Who went over and was cut off from the forced cluster, which went on without it, waits for the links.
        """
        lives = [self.world.lives_of(member)[-1] for member in self.majority]
        views = [life.membership for life in lives if not life.between]
        digests = {view.digest if view is not None else None for view in views}
        if len(digests) != 1 or (view := views[0]) is None:
            return f"the majority holds {len(digests)} views"
        return f"the majority is {len(views)} of {view.size}" if 2 * len(views) <= view.size else None

    def _told(self, endpoint: Endpoint, event: Event) -> None:
        if not isinstance(event, Evicted) or endpoint not in self.majority:
            return
        last = self.world.view_of(endpoint)
        if last is None or last.cluster_id == self.own:
            self.world.violated("mistake", f"{endpoint} is evicted, though it was in a majority that is well")

    def crash(self) -> None:
        self.world.crash(self.minority, silent=self.rng.random() < 0.7)

    def cut_off(self) -> None:
        self.world.heal()
        self.world.partition([self.minority, self.majority])


MISTAKEN: dict[str, Callable[[Mistaken], None]] = {
    "forced minority crashes": Mistaken.crash,
    "forced minority is cut off": Mistaken.cut_off,
    "forced minority stays": lambda w: None,
}
