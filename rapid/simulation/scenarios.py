"""The situations that the paper promises to bear, each with a size and a seed to choose.

Every function returns its world once the situation is over, for a test or a reader to look at, and
raises :class:`~rapid.simulation.InvariantViolation` when the cluster did not do what it must.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Protocol

from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Facts, Message
from rapid.protocol.outputs import QuorumLost
from rapid.settings import Settings
from rapid.simulation.errors import ScenarioError
from rapid.simulation.links import Flap, Link
from rapid.simulation.world import ANY, World


class Sized(Protocol):
    """A scenario whose size and seed are all there is to choose."""

    def __call__(self, n: int = ..., seed: int = ...) -> World: ...


BOOT = 30.0
"""Virtual seconds in which any number of members must have formed a cluster."""
QUIET = 12.0
"""And after which all of them probe at the pace of a quiet cluster, with default settings."""


def formed(n: int, seed: int, settings: Settings | None = None, *, rejoin: bool = True) -> World:
    """A quiet cluster of ``n`` members, all of whose clocks and probes run."""
    world = World(seed, settings, rejoin=rejoin)
    world.add_members(n)
    world.start()
    world.expect_agreement(BOOT)
    world.run(3.0)
    return world


def some(world: World, count: int) -> list[Endpoint]:
    """This many running members, drawn by the world's seed; never the first, which is the seed."""
    running = [place.endpoint for place in world.places[1:] if place.life is not None]
    if not 1 <= count <= len(running):
        raise ScenarioError("count", f"{count} of {len(running)} members")
    return world.rng.sample(running, count)


def share(n: int, part: float) -> int:
    return max(1, round(n * part))


def version(world: World, member: Endpoint | None = None) -> int:
    view = world.view_of(member or world.places[0].endpoint)
    return 0 if view is None else view.version


def expect_no_change(world: World, seconds: float, version_before: int) -> None:
    """Let time pass; nobody may hold another version at its end."""
    world.run(seconds)
    others = {life.configuration.version for life in world.live if life.configuration is not None} - {
        version_before
    }
    if others:
        world.violated("stability", f"version {version_before} gave way to {sorted(others)}")


def expect_changes(world: World, before: int, at_most: int) -> None:
    found = version(world) - before
    if not 1 <= found <= at_most:
        world.violated("one cut", f"{found} view changes instead of 1 to {at_most}")


def bootstrap(n: int = 2000, seed: int = 1, *, over: float = 0.0) -> World:
    """All of ``n`` processes start within ``over`` seconds and become one cluster (paper, figure 5).

    At most 8 distinct sizes are ever seen by anyone when all start at once.
    """
    world = World(seed)
    world.add_members(n)
    world.start(over=over)
    world.expect_agreement(BOOT + over)
    sizes = {seen.configuration.size for life in world.live for seen in life.views}
    world.counts["distinct sizes"] = len(sizes)
    if not over and len(sizes) > 8:
        world.violated("one cut", f"{len(sizes)} distinct sizes were seen: {sorted(sizes)}")
    return world


def crash(n: int = 1000, seed: int = 1, *, failed: int = 10, silent: bool = True) -> World:
    """``failed`` members crash at once and go in one single view change (figure 8)."""
    world = formed(n, seed)
    before = version(world)
    world.crash(some(world, failed), silent=silent)
    world.expect_agreement(30.0)
    expect_changes(world, before, 1)
    return world


def quarter_crash(n: int = 100, seed: int = 1) -> World:
    """A quarter of the members crash: about as much as the fast round bears."""
    world = formed(n, seed)
    world.crash(some(world, (n - 1) // 4), silent=True)
    world.expect_agreement(60.0)
    return world


def half_crash(n: int = 20, seed: int = 1) -> World:
    """Half of the members crash: no majority is left, so nothing changes, and every survivor says so."""
    world = formed(n, seed)
    before = version(world)
    world.crash(some(world, (n + 1) // 2), silent=True)
    expect_no_change(world, 60.0, before)
    survivors = [life.place.endpoint for life in world.live]
    if silent := set(survivors).difference(_say_quorum_lost(world, survivors)):
        world.violated("quorum loss", f"{len(silent)} of {len(survivors)} survivors did not report it")
    return world


def minority(n: int = 200, seed: int = 1, *, part: float = 0.1) -> World:
    """A few together are cut off: the others go on, and each of the few says that the quorum is lost.

    That takes them no longer than the judge, twice ``reinforcement_timeout`` and ``quorum_timeout``.
    """
    world = formed(n, seed, rejoin=False)
    few = some(world, share(n, part))
    majority = [place.endpoint for place in world.places if place.endpoint not in few]
    settings = world.settings
    judged = settings.failures * settings.probe_interval + settings.probe_timeout
    world.partition([majority, few])
    world.run(judged + 2 * settings.reinforcement_timeout + settings.quorum_timeout + 1.0)
    if not _without(world, few):
        world.violated("liveness", f"the {len(majority)} others have not removed them")
    if wrong := _say_quorum_lost(world, majority):
        world.violated("quorum loss", f"{wrong[0]} of the majority reports it")
    if silent := set(few).difference(_say_quorum_lost(world, few)):
        world.violated("quorum loss", f"{len(silent)} of the {len(few)} did not report it")
    return world


def deaf_to_most(n: int = 50, seed: int = 1, *, part: float = 0.7) -> World:
    """A member hears most of the others, but few of those that it observes: no quorum is lost."""
    world = formed(n, seed, rejoin=False)
    deaf = some(world, 1)[0]
    view = world.view_of(deaf)
    assert view is not None
    subjects = sorted(set(view.subjects(deaf)))
    world.black_hole(subjects[: share(len(subjects), part)], deaf)
    world.run(60.0)
    if wrong := _say_quorum_lost(world, [place.endpoint for place in world.places]):
        world.violated("quorum loss", f"{wrong[0]} reports it")
    return world


def ingress_loss(n: int = 1000, seed: int = 1, *, part: float = 0.01, loss: float = 0.8) -> World:
    """A few members lose most of what they are sent, and go; nobody else does (figure 9)."""
    world = formed(n, seed, rejoin=False)
    return _remove_only(world, some(world, share(n, part)), lambda bad: world.link(ANY, bad, Link(loss=loss)))


def egress_loss(n: int = 1000, seed: int = 1, *, part: float = 0.01, loss: float = 0.8) -> World:
    """A few members lose most of what they send, and go; nobody else does (figure 10)."""
    world = formed(n, seed, rejoin=False)
    return _remove_only(world, some(world, share(n, part)), lambda bad: world.link(bad, ANY, Link(loss=loss)))


def flip_flop(n: int = 1000, seed: int = 1, *, part: float = 0.01, period: float = 20.0) -> World:
    """A few members are sent nothing for a period, all for a period, and so on: they go, once (figure 9)."""
    world = formed(n, seed, rejoin=False)
    flap = Flap(period, period, world.now)
    return _remove_only(
        world, some(world, share(n, part)), lambda bad: world.link(ANY, bad, Link(loss=1.0, flap=flap))
    )


def rack_loss(n: int = 100, seed: int = 1, *, part: float = 0.2, loss: float = 0.8) -> World:
    """A rack behind a bad switch: a fifth of the members lose most of what comes in. They go.

    Many a healthy member is watched by L of them or more, which find it faulty. It stays, unless they are
    half of its observers or more.
    """
    world = formed(n, seed, rejoin=False)
    return _remove_only(world, some(world, share(n, part)), lambda bad: world.link(ANY, bad, Link(loss=loss)))


def light_loss(n: int = 12, seed: int = 1, *, hours: float = 24.0, loss: float = 0.01) -> World:
    """A little loss everywhere for a day evicts nobody."""
    world = formed(n, seed)
    before = version(world)
    world.link(ANY, ANY, Link(loss=loss))
    expect_no_change(world, hours * 3600, before)
    return world


def one_bad_link(n: int = 30, seed: int = 1) -> World:
    """Nothing passes between one pair: one observer's word is noise, nothing changes."""
    world = formed(n, seed)
    before = version(world)
    view = world.view_of(world.places[0].endpoint)
    assert view is not None
    subject = some(world, 1)[0]
    observer = view.observers(subject)[0]
    world.black_hole(observer, subject)
    expect_no_change(world, 60.0, before)
    return world


def partly_cut_off(n: int = 100, seed: int = 1, *, observers: int = 5) -> World:
    """A member is cut off from some of its observers, between L and H: reinforcement makes it go.

    Without it the member would block all other changes for ever; so another one crashes meanwhile.
    """
    world = formed(n, seed, rejoin=False)
    view = world.view_of(world.places[0].endpoint)
    assert view is not None
    subject, other = some(world, 2)
    watchers = list(dict.fromkeys(view.observers(subject)))
    if not 1 <= observers <= len(watchers):
        raise ScenarioError("observers", f"{observers} of {len(watchers)}")
    world.black_hole(watchers[:observers], subject)
    if other not in watchers:
        world.crash(other, silent=True)
    if not world.run_until(lambda: _without(world, [subject]), 60.0):
        world.violated("liveness", f"{subject} stays, cut off from {observers} of its observers")
    return world


def pause(n: int = 30, seed: int = 1, *, seconds: float = 10.0, part: float = 0.1) -> World:
    """Some processes stop for a while. A short stop changes nothing; a long one costs the membership.

    The settings decide what is short: fewer probe intervals than ``failures``. Those who slept blame
    nobody else.
    """
    world = formed(n, seed)
    sleepers = some(world, share(n, part))
    before = version(world)
    bystanders = [life for life in world.live if life.place.endpoint not in sleepers]
    world.pause(sleepers, seconds)
    world.run(seconds + 20.0)
    if any(not life.live for life in bystanders) or not _hold(
        world, [life.place.endpoint for life in bystanders]
    ):
        world.violated("stability", "a member that was awake was removed")
    if seconds < world.settings.probe_interval * (world.settings.failures - 1) and version(world) != before:
        world.violated("stability", f"a pause of {seconds} s made {version(world) - before} view changes")
    return world


def join_storm(n: int = 50, seed: int = 1, *, joiners: int = 200, flapping: float = 0.1) -> World:
    """Many join at once while some of them come and go; the cluster takes in those that stay."""
    world = formed(n, seed)
    fresh = world.add_members(joiners)
    flappers = fresh[: share(joiners, flapping)]
    world.start(fresh, over=1.0)
    for delay in (1.5, 3.0, 4.5):
        world.after(delay, lambda: _flap(world, flappers))
    world.run(6.0)
    world.expect_agreement(60.0)
    return world


def rolling_restart(n: int = 20, seed: int = 1, *, gap: float = 0.0) -> World:
    """One process after another is killed and started again at its address ``gap`` seconds later."""
    world = formed(n, seed)
    for place in list(world.places):
        world.restart(place.endpoint, after=gap)
        world.expect_agreement(gap + 60.0)
    return world


def hasty_restarts(n: int = 30, seed: int = 1, *, takes: float = 0.4) -> World:
    """Every process is killed and started again, one as soon as the one before it runs; nobody waits.

    A process ``takes`` this long to start. At the end all are in, and there never was a second
    cluster. The processes know three seeds, as they must: a sole seed that restarts founds a cluster.
    """
    world = World(seed)
    world.add_members(n, seeds=["m0:7400", "m1:7400", "m2:7400"])
    world.start()
    world.expect_agreement(BOOT)
    world.run(3.0)
    for number, place in enumerate(world.places):
        world.after(number * takes, partial(world.restart, place.endpoint, after=takes))
    world.run(n * takes)
    world.expect_agreement(30.0)
    clusters = {
        seen.configuration.cluster_id for place in world.places for life in place.lives for seen in life.views
    }
    if len(clusters) != 1:
        world.violated("one cluster", f"there were {len(clusters)}")
    return world


def partition(
    sides: Sequence[int] = (3, 2), seed: int = 1, *, step: str = "vote", lasts: float = 12.0
) -> World:
    """The network falls apart as a member takes a ``step`` of the consensus for the first time, and heals.

    For the ``vote`` step somebody joins; for the classic round's, ``prepare``, ``promise`` and
    ``accept``, two more members crash than the fast round bears. At most one side goes on. Whoever
    was evicted joins again by itself. After the network healed, all agree.
    """
    said = _saying(step)
    classic = step != "vote"
    world = formed(sum(sides) + (2 if classic else 0), seed)
    endpoints = [place.endpoint for place in world.places]
    groups = []
    for size in sides:
        groups.append(endpoints[:size])
        endpoints = endpoints[size:]
    reached: list[Endpoint] = []

    def watch(sender: Endpoint, message: Message) -> None:
        if not reached and isinstance(message, Facts) and said(message):
            reached.append(sender)
            world.after(0.0, lambda: world.partition(groups))

    world.watch(watch)
    if classic:
        world.crash(endpoints, silent=True)
    else:
        world.start(world.add_members(1))
    if not world.run_until(lambda: bool(reached), 30.0):
        world.violated("scenario", f"nobody took the step {step}")
    world.run(lasts)
    world.heal()
    world.expect_agreement(90.0)
    return world


def coordinator_crash(n: int = 7, seed: int = 1, *, after: str = "prepare") -> World:
    """The coordinator of a classic round crashes right after it said ``prepare``, ``promise`` or ``accept``.

    The rest finish what it began, or begin anew; they never undo what may have been decided.
    """
    said = _saying(after)
    if n < 7:
        raise ScenarioError("n", f"{n}; of fewer than 7 members too few would be left")
    world = formed(n, seed)
    coordinators: list[Endpoint] = []

    def watch(sender: Endpoint, message: Message) -> None:
        if not coordinators and isinstance(message, Facts) and said(message):
            coordinators.append(sender)
            world.after(0.0, lambda: world.crash(sender, silent=True))

    world.watch(watch)
    # one more than the fast round bears, so that there is a coordinator
    world.crash(some(world, (n - 1) // 4 + 1), silent=True)
    world.expect_agreement(90.0)
    if not coordinators:
        world.violated("scenario", f"nobody said {after}")
    return world


# -- what they share


def _remove_only(world: World, bad: list[Endpoint], spoil: Callable[[list[Endpoint]], None]) -> World:
    spoil(bad)
    if not world.run_until(lambda: _without(world, bad), 120.0):
        world.violated("liveness", f"some of {len(bad)} faulty members stayed")
    world.run(30.0)
    faulty = set(bad)
    witness = next(life for life in world.live if life.place.endpoint not in faulty)
    views = [seen.configuration for seen in witness.views]
    for parent, view in pairwise(views):
        for member in parent.members:
            if member.endpoint not in view and member.endpoint not in faulty:
                blamed = sum(observer in faulty for observer in parent.observers(member.endpoint))
                if 2 * blamed < world.settings.k:
                    problem = (
                        f"{member.endpoint} was removed, though only {blamed} of its rings are watched badly"
                    )
                    world.violated("stability", problem)
    return world


def _without(world: World, bad: Sequence[Endpoint]) -> bool:
    """Whether all other live members hold one view, without these."""
    gone = set(bad)
    others = [life for life in world.live if life.place.endpoint not in gone]
    view = others[0].configuration
    if view is None or any(endpoint in view for endpoint in bad):
        return False
    return all(life.configuration is view for life in others)


def _say_quorum_lost(world: World, members: Sequence[Endpoint]) -> list[Endpoint]:
    return [
        member
        for member in members
        if any(isinstance(event, QuorumLost) for life in world.lives_of(member) for _, event in life.events)
    ]


def _hold(world: World, members: Sequence[Endpoint]) -> bool:
    view = world.view_of(world.places[0].endpoint)
    return view is not None and all(member in view and world.lives_of(member)[-1].live for member in members)


def _flap(world: World, members: Sequence[Endpoint]) -> None:
    for member in members:
        world.restart(member, after=world.rng.random() * 0.5)


def _saying(step: str) -> Callable[[Facts], bool]:
    steps: dict[str, Callable[[Facts], bool]] = {
        "vote": lambda facts: bool(facts.votes),
        "prepare": lambda facts: bool(facts.prepares),
        "promise": lambda facts: bool(facts.promises),
        "accept": lambda facts: bool(facts.accepts),
    }
    if step not in steps:
        raise ScenarioError("step", f"{step!r}; take one of {', '.join(steps)}")
    return steps[step]
