"""Every QuorumLost is taken back once the member agrees with a majority again, however that comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest

from rapid.overlay.member import Endpoint
from rapid.protocol.levelling import Levelling
from rapid.protocol.node import Node
from rapid.protocol.outputs import Evicted, Installed, QuorumLost, QuorumRestored
from rapid.settings import Settings
from rapid.simulation import ANY, Life, Link, World
from rapid.simulation.scenarios import formed
from rapid.view import Change, ViewChange, ViewsSkipped
from rapid.view import Evicted as ToldEvicted
from rapid.view import QuorumLost as ToldLost
from rapid.view import QuorumRestored as ToldRestored

from .test_outreach import configuration

LAN = Settings.lan()


def quorum_events(life: Life) -> list[QuorumLost | QuorumRestored]:
    return [event for _, event in life.events if isinstance(event, QuorumLost | QuorumRestored)]


def lost(life: Life) -> bool:
    """Whether the last word was that the quorum is lost."""
    events = quorum_events(life)
    return bool(events) and isinstance(events[-1], QuorumLost)


def in_turn(life: Life) -> bool:
    events = quorum_events(life)
    return all(isinstance(event, QuorumRestored) is bool(at % 2) for at, event in enumerate(events))


def everyone(world: World) -> list[Life]:
    return [place.lives[-1] for place in world.places]


def settled(world: World, within: float = 240.0) -> None:
    """After a while nobody distrusts the cluster any longer, and each was told so in turn."""
    lives = everyone(world)
    assert world.run_until(lambda: not any(map(lost, lives)), within), [life for life in lives if lost(life)]
    assert all(map(in_turn, lives))


# -- the view never changes


def reaches_its_observers_only(size: int, seed: int, seconds: float = 25.0) -> tuple[World, Life]:
    """One that is cut off from all but those that watch it; the links are whole again afterwards."""
    world = formed(size, seed)
    me = world.places[size // 3].endpoint
    view = world.view_of(me)
    assert view is not None
    observers = set(view.observers(me))
    world.black_hole([me], [other for other in view.endpoints if other != me and other not in observers])
    life = world.lives_of(me)[-1]
    assert world.run_until(lambda: lost(life), 60.0)
    world.run(seconds)
    return world, life


@pytest.mark.parametrize(("size", "seed"), [(40, 1), (40, 2), (60, 1)])
def test_it_is_taken_back_when_the_links_are_whole_again(size: int, seed: int) -> None:
    world, life = reaches_its_observers_only(size, seed)
    before = life.configuration
    world.heal()
    healed = world.now
    settled(world)
    assert before is life.configuration, "no view has come meanwhile"
    assert world.now - healed < 4 * LAN.quorum_timeout
    assert quorum_events(life)[-1] == QuorumRestored(before.version)  # type: ignore[union-attr]  # it is there
    world.run(100.0)
    assert not lost(life)


def test_when_they_break_again_that_is_told_again() -> None:
    world, life = reaches_its_observers_only(40, 1)
    world.heal()
    settled(world)
    world.isolate(life.place.endpoint)
    assert world.run_until(lambda: lost(life), 60.0), "though all that it reports it has reported before"
    world.heal()
    settled(world)


def test_a_reader_that_trusts_by_these_events_alone_ends_up_trusting() -> None:
    world = formed(40, 3)
    me = world.places[7].endpoint
    told: list[bool] = []

    def react(change: Change) -> None:
        match change:
            case ToldLost() | ToldEvicted():
                told.append(False)
            case ToldRestored() | ViewChange() | ViewsSkipped():
                told.append(True)

    world.follow(me, react)
    view = world.view_of(me)
    assert view is not None
    observers = set(view.observers(me))
    world.black_hole([me], [other for other in view.endpoints if other != me and other not in observers])
    assert world.run_until(lambda: told[-1:] == [False], 60.0)
    world.heal()
    assert world.run_until(lambda: told[-1:] == [True], 120.0)


# -- no majority is there


def stays_lost(size: int, part: int, seed: int = 1, seconds: float = 200.0) -> None:
    """Those cut off, fewer than a majority, are told nothing else for as long as that lasts."""
    world = formed(size, seed)
    members = [place.endpoint for place in world.places]
    few = members[size - part :]
    world.partition([members[: size - part], few])
    lives = [world.lives_of(member)[-1] for member in few]
    assert world.run_until(lambda: all(map(lost, lives)), 120.0), [life for life in lives if not lost(life)]
    world.run(seconds)
    assert [life for life in lives if len(quorum_events(life)) > 1] == []
    world.heal()
    world.expect_agreement(240.0)
    settled(world)


@pytest.mark.parametrize(
    ("size", "part"), [(2, 1), (3, 1), (4, 2), (5, 2), (9, 4), (20, 9), (40, 3), (40, 12)]
)
def test_it_is_not_taken_back_before_a_majority_answers(size: int, part: int) -> None:
    stays_lost(size, part)


@pytest.mark.parametrize("size", [4, 10, 20])
def test_both_halves_take_it_back_after_they_have_met_again(size: int) -> None:
    world = formed(size, 1)
    members = [place.endpoint for place in world.places]
    world.partition([members[: size // 2], members[size // 2 :]])
    world.run(120.0)
    assert any(map(lost, everyone(world)))
    world.heal()
    world.expect_agreement(240.0)
    settled(world)


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.verify) for seed in range(3, 12))]
)
def test_after_any_trouble_it_is_taken_back(seed: int) -> None:
    world = formed(12, seed)
    rng = Random(seed)
    members = [place.endpoint for place in world.places]
    for _ in range(4):
        some = rng.sample(members, rng.randint(1, 11))
        trouble: list[Callable[[], object]] = [
            lambda: world.isolate(some),  # noqa: B023 - called at once
            lambda: world.partition([some, [member for member in members if member not in some]]),  # noqa: B023 - called in this turn
            lambda: world.link(ANY, some, Link(loss=0.9)),  # noqa: B023 - called in this turn
            lambda: world.link(some, ANY, Link(loss=0.9)),  # noqa: B023 - called in this turn
        ]
        rng.choice(trouble)()
        world.run(rng.uniform(5.0, 60.0))
        world.heal()
        world.run(rng.uniform(0.0, 10.0))
    world.expect_agreement(300.0)
    settled(world)


# -- the next view comes in another way


def test_one_that_was_evicted_is_told_with_the_view_that_it_is_back_in() -> None:
    world = formed(7, 1)
    few = ["m5:7400", "m6:7400"]
    world.isolate(few)
    lives = [world.lives_of(address)[-1] for address in few]
    assert world.run_until(lambda: all(map(lost, lives)), 60.0)
    world.heal()
    world.expect_agreement(60.0)
    for life in lives:
        assert [type(event) for _, event in life.events] == [QuorumLost, Evicted, QuorumRestored]
        first = next(seen for seen in life.views if seen.at > life.events[1][0])
        assert life.events[-1] == (first.at, QuorumRestored(first.configuration.version))


def test_a_forced_cluster_takes_it_back() -> None:
    world = formed(5, 1)
    world.crash(["m2:7400", "m3:7400", "m4:7400"], silent=True)
    lives = world.live
    assert world.run_until(lambda: all(map(lost, lives)), 60.0)
    world.force_new_cluster("m0:7400")
    world.expect_agreement(10.0)
    for life in lives:
        assert life.configuration is not None
        assert quorum_events(life)[-1] == QuorumRestored(life.configuration.version)


def test_a_snapshot_takes_it_back() -> None:
    world = formed(6, 1, Settings.lan(history=1))
    world.isolate("m5:7400")
    life = world.lives_of("m5:7400")[-1]
    assert world.run_until(lambda: lost(life), 60.0)
    # both are in the views that it misses, of which the cuts are kept no longer
    heard: list[object] = []
    world.subscribe(lambda member, event: heard.append(event) if member == Endpoint("m5", 7400) else None)
    world.heal()
    world.expect_agreement(60.0)
    settled(world)
    at = next(at for at, event in enumerate(heard) if isinstance(event, QuorumRestored))
    assert isinstance(heard[at - 1], Installed)


# -- what those drawn tell


def drawn(size: int, answers: Sequence[bool]) -> bool | None:
    view = configuration(size)
    levelling = Levelling(view, view.endpoints[0], LAN, Random(1), lambda other: asked.append(other))
    asked: list[Endpoint] = []
    for at, answered in enumerate(answers):
        levelling.wake((), float(at))
        if answered:
            levelling.heard(asked[-1])
    return levelling.majority


@pytest.mark.parametrize(
    ("size", "heard", "told"),
    [(2, 0, False), (2, 1, True), (3, 1, True), (4, 1, False), (4, 2, True), (5, 1, False), (5, 2, True)],
)
def test_all_of_a_few_are_counted(size: int, heard: int, told: bool) -> None:
    assert drawn(size, [number < heard for number in range(size - 1)]) is told


@pytest.mark.parametrize(
    ("heard", "told"), [(0, False), (1, False), (2, None), (5, None), (8, None), (9, True), (10, True)]
)
def test_of_many_nearly_all_of_those_drawn_have_to_answer(heard: int, told: bool | None) -> None:
    assert drawn(100, [number < heard for number in range(10)]) is told


def test_nobody_is_told_of_a_majority_by_nobody() -> None:
    assert drawn(100, []) is None


# -- what a planted bug would do


def never_taken_back(plant: pytest.MonkeyPatch) -> None:
    """Only a view ends it."""
    plant.setattr(Levelling, "majority", property(lambda levelling: None))


def any_answer_takes_it_back(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Levelling, "majority", property(lambda levelling: any(levelling._drawn.values())))


def forgotten_with_the_epoch(plant: pytest.MonkeyPatch) -> None:
    """What was told before an eviction is not remembered after it."""
    real = Node._stop

    def stop(node: Node) -> None:
        real(node)
        node._quorum_lost = False

    plant.setattr(Node, "_stop", stop)


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (never_taken_back, lambda: test_it_is_taken_back_when_the_links_are_whole_again(40, 1)),
        (any_answer_takes_it_back, lambda: stays_lost(40, 3)),
        (forgotten_with_the_epoch, test_one_that_was_evicted_is_told_with_the_view_that_it_is_back_in),
    ],
)
def test_a_planted_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check is one of the tests above, which pass without it."""
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        check()
