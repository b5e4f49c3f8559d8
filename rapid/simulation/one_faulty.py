"""Random worlds in which one member is faulty in some way, and nobody else may be removed for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from rapid.detection.judge import Judge, Windowed
from rapid.overlay.member import Endpoint
from rapid.protocol.node import Node
from rapid.settings import Settings
from rapid.simulation.links import BLACK_HOLE, Flap, Link
from rapid.simulation.promises import Stability
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.world import ANY, World

NOT_CONNECTING = Link(connects=False)
HOUR = 3600.0


class Switch:
    """Whether the application's part of failure detection is broken at present, and how."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.judge: float | None = None
        """The share of verdicts that are wrong; None: the judge is sound."""
        self.check: float | None = 1.0
        """The share of health checks that succeed; None: they never end."""


class BreakableJudge:
    """The default failure detector, which finds anybody faulty while it is broken."""

    def __init__(self, switch: Switch, sound: Judge) -> None:
        self._switch = switch
        self._sound = sound

    def record(self, answered: bool, now: float) -> None:
        self._sound.record(answered, now)

    @property
    def faulty(self) -> bool:
        wrong = self._switch.judge
        if wrong is not None and self._switch.rng.random() < wrong:
            return True
        return self._sound.faulty


class OneFaulty(RandomWorld):
    """A cluster of which one member is faulty, in one or two ways; for good, or until it is mended.

    While it is faulty others may join, and nobody but the faulty one may be removed. Where its only
    fault is the link to one other member nobody may be: each of the two has only the other's report.
    """

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        settings = draw_settings(rng)
        self.world = world = World(
            self.seed, settings, rejoin=rng.random() < 0.7, make_node=make_node, canary=canary
        )
        size = rng.choice((rng.randint(3, 5), rng.randint(4, 8), rng.randint(4, 14), rng.randint(9, 24)))
        self.switch = switch = Switch(rng)
        first = rng.randrange(size)
        checking = rng.random() < 0.2

        def judge() -> Judge:
            return BreakableJudge(switch, Windowed(settings.window, settings.failures)())

        def check(member: Endpoint) -> bool | None:
            return None if switch.check is None else rng.random() < switch.check

        for number, address in enumerate(draw_addresses(rng, size)):
            faulty = number == first
            world.add(
                address,
                make_judge=judge if faulty else None,
                health_check=check if faulty and checking else None,
            )
        self.members = [place.endpoint for place in world.places]
        self.faulty = self.members[first]
        self.others = [member for member in self.members if member != self.faulty]
        self.ways = list(CHECKS) if checking else [way for way in ONE_FAULTY if way not in CHECKS]
        self.single_link = False
        self.stability = Stability(world)

    def course(self) -> None:
        rng, world = self.rng, self.world
        self.form()
        world.run(rng.uniform(0.0, 10.0))
        chosen = [rng.choice(self.ways) for _ in range(rng.choice((1, 1, 2)))]
        # of one bad link nobody can say at which end the fault is, and nobody has to go
        self.single_link = chosen == ["one bad link"]
        if not self.single_link:
            self.stability.suspects[self.faulty] = None
        for way in chosen:
            self.befall(way)
            ONE_FAULTY[way](self)
            world.run(rng.choice((0.0, rng.uniform(0.0, 8.0))))
        if rng.random() < 0.2:
            self.befall("join beside a faulty member")
            world.start(world.add(Endpoint("late", rng.randrange(1024, 65536)), seeds=self.others[:3]))
        world.run(rng.choice((rng.uniform(5.0, 20.0), rng.uniform(20.0, 60.0), rng.uniform(20.0, 120.0))))
        if rng.random() < 0.3:
            self.befall("fault for good")
            self.settle_by(self.others_unsettled)
        self.mend()
        self.settle()

    def mend(self) -> None:
        self.switch.judge, self.switch.check = None, 1.0
        self.world.heal()
        self.world.slow(ANY, 0.0)

    def others_unsettled(self) -> str | None:
        """Whether those without a fault do not agree on a view that all of them are in."""
        views = [life.membership for life in self.world.live if life.place.endpoint != self.faulty]
        if None in views or len({view.digest for view in views if view is not None}) != 1:
            return "those without a fault do not agree"
        view = views[0]
        assert view is not None
        if view.size > len(views) + (self.faulty in view):
            return f"v{view.version} has {view.size} members, and {len(views)} have no fault"
        return None

    def some(self) -> list[Endpoint]:
        """Some others, two or three most of the time; any, or those that it observes on the most rings."""
        rng = self.rng
        count = rng.choice((2, 2, 2, 3, rng.randint(1, len(self.others))))
        others = rng.sample(self.others, len(self.others))
        view = self.world.view_of(self.faulty)
        if view is not None and rng.random() < 0.6:
            observed = view.subjects(self.faulty)
            others.sort(key=observed.count, reverse=True)
        return others[:count]

    def bad_link(self) -> Link:
        """Nothing passes, or little, or nothing now and then."""
        rng, now = self.rng, self.world.now
        flap = Flap(rng.uniform(2.0, 20.0), rng.uniform(2.0, 20.0), now)
        return rng.choice(
            (BLACK_HOLE, BLACK_HOLE, Link(loss=rng.uniform(0.5, 0.95)), Link(loss=1.0, flap=flap))
        )

    def one_link(self) -> None:
        """One member and one other, in one direction or both."""
        one, other = self.rng.sample((self.faulty, self.rng.choice(self.others)), 2)
        self.world.link(one, other, self.bad_link(), both=self.rng.random() < 0.5)

    def only_observers_reached(self) -> None:
        view = self.world.view_of(self.faulty)
        assert view is not None
        observers = view.observers(self.faulty)
        far = [other for other in self.others if other not in observers]
        self.world.link(self.faulty, far, BLACK_HOLE)

    def stop_and_go(self) -> None:
        """Stops of a few seconds, one after another."""
        at = 0.0
        for _ in range(self.rng.randint(1, 6)):
            length = self.rng.uniform(0.5, 8.0)
            self.world.after(at, lambda length=length: self.pause(length))  # type: ignore[misc]  # mypy cannot infer it
            at += length + self.rng.uniform(0.1, 6.0)

    def pause(self, seconds: float) -> None:
        if any(life.place.endpoint == self.faulty for life in self.world.live):
            self.world.pause(self.faulty, seconds)

    def break_judge(self, share: float) -> None:
        self.switch.judge = share

    def break_check(self, share: float | None) -> None:
        self.switch.check = share


class OldFaults(OneFaulty):
    """Links to one member fail one at a time, an hour apart, each for some seconds: nobody is removed."""

    def prepare(self, make_node: Callable[..., Node], canary: bool) -> None:
        rng = self.rng
        # with the probes of a WAN an hour costs a fifth of what it costs with a LAN's
        self.world = world = World(self.seed, Settings.wan(), make_node=make_node, canary=canary)
        self.members = [world.add(address) for address in draw_addresses(rng, rng.randint(4, 8))]
        self.stability = Stability(world)

    def course(self) -> None:
        rng, world = self.rng, self.world
        self.form()
        world.run(10.0)
        subject = rng.choice(self.members)
        view = world.view_of(subject)
        assert view is not None
        watching = list(dict.fromkeys(view.observers(subject)))
        for observer in rng.sample(watching, min(len(watching), rng.randint(2, 4))):
            self.befall("faults hours apart")
            world.black_hole(*rng.sample((observer, subject), 2), both=rng.random() < 0.5)
            world.run(rng.uniform(30.0, 90.0))
            world.heal()
            world.run(rng.choice((HOUR, HOUR / 2)))
        self.settle()


def draw_settings(rng: Random) -> Settings:
    """The default settings most of the time, else other watermarks."""
    k = rng.randint(4, 12)
    return rng.choice((
        Settings.lan(), Settings.lan(), Settings.lan(), Settings.local(),
        Settings.lan(k=k, h=k - 1, l=max(1, k // 3)), Settings.lan(everyone_limit=rng.randint(1, 12)),
    ))  # fmt: skip


def draw_addresses(rng: Random, size: int) -> Sequence[Endpoint]:
    """Addresses whose places on the rings differ from world to world."""
    return [Endpoint(f"m{number}", rng.randrange(1024, 65536)) for number in range(size)]


CHECKS = ("health check that fails", "health check that never ends", "health check that fails now and then")
ONE_FAULTY: dict[str, Callable[[OneFaulty], None]] = {
    "one bad link": OneFaulty.one_link,
    "bad links to some": lambda w: w.world.link(w.faulty, w.some(), w.bad_link()),
    "bad links from some": lambda w: w.world.link(w.some(), w.faulty, w.bad_link()),
    "bad links with some": lambda w: w.world.link(w.faulty, w.some(), w.bad_link(), both=True),
    "bad links to all": lambda w: w.world.link(w.faulty, ANY, w.bad_link()),
    "bad links from all": lambda w: w.world.link(ANY, w.faulty, w.bad_link()),
    "only observers reached": OneFaulty.only_observers_reached,
    "out of descriptors for some": lambda w: w.world.link(w.faulty, w.some(), NOT_CONNECTING),
    "out of descriptors": lambda w: w.world.link(w.faulty, ANY, NOT_CONNECTING),
    "judge that finds all faulty": lambda w: w.break_judge(1.0),
    "judge that is wrong now and then": lambda w: w.break_judge(w.rng.uniform(0.1, 0.6)),
    "health check that fails": lambda w: w.break_check(0.0),
    "health check that never ends": lambda w: w.break_check(None),
    "health check that fails now and then": lambda w: w.break_check(w.rng.uniform(0.2, 0.7)),
    "slow member": lambda w: w.world.slow(w.faulty, w.rng.uniform(0.02, 0.3)),
    "stop and go": OneFaulty.stop_and_go,
}
"""By name, each a way in which one member may be faulty."""
BESIDE_ONE_FAULTY = ("join beside a faulty member", "fault for good", "faults hours apart")
"""What else occurs in these worlds."""
