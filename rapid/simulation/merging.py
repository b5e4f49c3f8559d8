"""Random worlds of several clusters that may merge, of which some cannot take anybody in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rapid.overlay.member import Endpoint
from rapid.protocol.node import Node
from rapid.protocol.outputs import Event, OtherCluster
from rapid.settings import Settings
from rapid.simulation.links import BLACK_HOLE, Link, LongTail
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.world import World


class Merging(RandomWorld):
    """Two or three clusters that cannot reach each other at first, and may merge.

    Before or after they meet something befalls all but the first, which stays in order. In the end no
    member of the first, nor of another that is in order, is without a view; and there is one cluster
    where nothing keeps them apart for good.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        k = rng.randint(4, 10)
        settings = rng.choice(
            (Settings.lan(), Settings.lan(), Settings.local(), Settings.lan(k=k, h=k - 1, l=2))
        )
        self.world = world = World(self.seed, settings, make_node=make_node, canary=canary)
        self.fault = rng.choice(list(MERGING))
        sizes = [rng.randint(1, 5), rng.randint(1, 7), *[rng.randint(1, 4)] * (rng.random() < 0.2)]
        names = "abc"[: len(sizes)]
        mergers = rng.choice(("abc", "abc", "abc", "a", "bc"))
        foreign = self.fault == "merge with other settings"
        self.one_cluster = mergers == "abc" and not foreign
        found_by_one = rng.random() < 0.2 and len(names) == 2
        own = {"b": self.foreign(settings)} if foreign else {}
        self.clusters: list[list[Endpoint]] = []
        for name, size in zip(names, sizes, strict=True):
            first = [f"{name}{number}:7400" for number in range(min(2, size))]
            others = (
                [] if found_by_one and name == "a" else [f"{other}0:7400" for other in names if other != name]
            )
            self.clusters.append([
                world.add(
                    f"{name}{number}:7400", seeds=[*first, *others], merge=name in mergers,
                    settings=own.get(name),
                )
                for number in range(size)
            ])  # fmt: skip
        self.met: Callable[[], None] | None = None
        world.subscribe(self._meeting)

    def course(self) -> None:
        rng, world = self.rng, self.world
        world.partition(self.clusters)
        world.start()
        for cluster in self.clusters:
            if not world.run_until(partial(self.formed, cluster), 60.0):
                world.violated("liveness", f"{cluster[0]} and its like do not agree: {world.standing()}")
        world.run(rng.uniform(0.0, 5.0))
        self.befall(self.fault)
        MERGING[self.fault](self)
        # of a cluster without a quorum the members are in a view as well
        members = [life for life in world.live if life.membership is not None]
        world.heal()
        self.spoil_links()
        world.run(rng.choice((5.0, 20.0, 60.0)))
        self.met = None
        world.heal()
        self.settle(one_cluster=self.one_cluster, quiet=30.0)
        without = [life for life in members if life.alive and life.membership is None]
        if without:
            world.violated("merge", f"{len(without)} of {len(members)} lost their view: {world.standing()}")

    def formed(self, cluster: list[Endpoint]) -> bool:
        """Whether these agree on a view of exactly themselves."""
        views = [life.membership for life in self.world.live if life.place.endpoint in cluster]
        first = views[0]
        if first is None or first.size != len(cluster) or len(views) != len(cluster):
            return False
        return all(view is not None and view.digest == first.digest for view in views)

    def foreign(self, settings: Settings) -> Settings:
        """Settings with which nobody else is let in."""
        return self.rng.choice((
            replace(settings, k=settings.k + 1), replace(settings, h=settings.h - 1),
            replace(settings, l=settings.l - 1),
        ))  # fmt: skip

    def lose_majority(self) -> None:
        """Half of the second cluster or more is gone, and stays so."""
        other = self.clusters[1]
        gone = self.rng.sample(other, self.rng.randint((len(other) + 1) // 2, max(1, len(other) - 1)))
        self.world.crash(gone, silent=self.rng.random() < 0.7)
        self.world.run(self.rng.choice((0.0, 5.0, 40.0)))

    def end_when_met(self) -> None:
        """The second cluster crashes as soon as it was found."""
        silent = self.rng.random() < 0.7
        running = self.clusters[1]
        some = self.rng.sample(running, self.rng.randint((len(running) + 1) // 2, len(running)))
        self.met = lambda: self.world.crash([end for end in some if self.running(end)], silent=silent)

    def running(self, endpoint: Endpoint) -> bool:
        return self.world.lives_of(endpoint)[-1].alive

    def cut_when_met(self) -> None:
        """The clusters are cut apart again as soon as one was found."""
        self.met = lambda: self.world.partition(self.clusters)

    def spoil_links(self) -> None:
        """What links between clusters are like while these meet."""
        rng, world = self.rng, self.world
        link = rng.choice(
            (None, None, Link(loss=rng.uniform(0.1, 0.8)), Link(latency=LongTail(0.05, 0.2)), BLACK_HOLE)
        )
        if link is not None:
            first, second = rng.sample(self.clusters[:2], 2)
            world.link(first, second, link, both=link is not BLACK_HOLE and rng.random() < 0.5)

    def _meeting(self, endpoint: Endpoint, event: Event) -> None:
        if isinstance(event, OtherCluster) and self.met is not None:
            strike, self.met = self.met, None
            self.world.after(self.rng.choice((0.0, 0.0, 0.05, 1.0)), strike)


MERGING: dict[str, Callable[[Merging], None]] = {
    "merge of sound clusters": lambda w: None,
    "merge with one without a quorum": Merging.lose_majority,
    "merge with one that crashes": Merging.end_when_met,
    "merge that is cut off": Merging.cut_when_met,
    "merge with other settings": lambda w: None,
}
