"""The promises about whole worlds find what they are there for, in worlds that are tampered with."""

from __future__ import annotations

import pytest

from rapid.detection.alert import Alert, Status
from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Facts
from rapid.protocol.outputs import Evicted
from rapid.simulation import InvariantViolation, Life, World
from rapid.simulation.promises import Ends, Stability, unsettled

M3, M4 = Endpoint("m3", 7400), Endpoint("m4", 7400)


def cluster(n: int = 5, *, rejoin: bool = True) -> World:
    world = World(1, rejoin=rejoin)
    world.add_members(n)
    world.start()
    world.expect_agreement(30.0)
    world.run(3.0)
    return world


def cut_off(world: World, *members: Endpoint) -> None:
    """Until the others have removed these."""
    world.isolate(members)
    others = [life for life in world.live if life.place.endpoint not in members]

    def removed() -> bool:
        views = [life.membership for life in others]
        return all(view is not None and not any(m in view for m in members) for view in views)

    assert world.run_until(removed, 60.0)


def evicted_after_all_others_crashed() -> World:
    world = cluster()
    cut_off(world, M4)
    world.heal()
    life = world.lives_of(M4)[-1]
    assert world.run_until(lambda: life.between, 60.0)
    world.crash([other.place.endpoint for other in world.live if other is not life])
    return world


# -- stability


def test_the_removal_of_a_member_without_a_fault_is_found() -> None:
    world = cluster()
    Stability(world, [M3])
    with pytest.raises(InvariantViolation, match=r"stability: .* removes m4:7400#1 in version"):
        cut_off(world, M4)


def test_the_eviction_of_a_member_without_a_fault_is_found_at_itself() -> None:
    world = cluster()
    Stability(world)
    life = world.lives_of(M4)[-1]
    view = life.membership
    assert view is not None
    with pytest.raises(InvariantViolation, match=r"stability: m4:7400#1 is evicted"):
        world._tell(life, Evicted(view.cluster_id, view.version + 1, rejoining=True))


def test_suspects_and_those_that_crashed_or_left_may_be_removed() -> None:
    world = cluster(7)
    Stability(world, [M3])
    world.crash("m5:7400")
    world.leave("m6:7400")
    assert world.run_until(lambda: world.agreed() and len(world.live) == 5, 60.0)
    cut_off(world, M3)
    view = world.view_of("m0:7400")
    assert view is not None
    assert view.size == 4


# -- ends


def test_a_member_that_ends_without_a_word_to_its_application_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rapid.simulation.promises.Telling.change", lambda *_: None)
    world = cluster()
    Ends(world)
    life = world.lives_of(M4)[-1]
    life.node._join_failed("nobody wants it")
    with pytest.raises(InvariantViolation, match=r"end: m4:7400#1 was a member and ends \(nobody wants it\)"):
        world._after_input(life)


def test_a_process_that_never_joined_may_end_by_that() -> None:
    world = World(1)
    Ends(world)
    world.add("m0:7400", seeds=["nobody:1"])
    world.start()
    world.run(60.0)
    assert world.counts["JoinFailed"] == 1
    assert unsettled(world) is None


# -- rest


def test_an_agreed_world_is_at_rest() -> None:
    assert unsettled(cluster()) is None


def test_a_process_that_is_still_to_start_is_waited_for() -> None:
    world = cluster()
    world.restart("m4:7400", after=1.0)
    assert unsettled(world) == "1 processes are still to start"


def test_a_member_that_runs_no_more_is_found() -> None:
    world = cluster()
    world.crash("m4:7400")
    problem = unsettled(world)
    assert problem is not None
    assert "of 5, of which only 4 run" in problem


def test_a_member_left_in_an_earlier_view_is_found() -> None:
    world = cluster(rejoin=False)
    cut_off(world, M4)
    problem = unsettled(world)
    assert problem is not None
    assert "of 5, its member" in problem


def test_a_member_of_a_view_that_is_in_none_itself_is_found() -> None:
    world = cluster()
    life = world.lives_of(M4)[-1]
    life.node._epoch = None
    problem = unsettled(world)
    assert problem is not None
    assert problem.startswith("m4:7400#1 is in no view, and m0:7400#1 holds")


def test_different_facts_of_one_view_are_found_until_they_spread() -> None:
    world = cluster()
    view = world.view_of("m0:7400")
    assert view is not None
    subject = view.member(M4)
    assert subject is not None
    ring, observer = next((r, o) for r, o in enumerate(view.observers(M4)) if str(o) != "m0:7400")
    alert = Alert(observer, subject, Status.DOWN, 1 << ring)
    world.inject("m0:7400", Facts(observer, view.cluster_id, view.version, (alert,)))
    problem = unsettled(world)
    assert problem is not None
    assert "know different facts" in problem
    assert world.run_until(lambda: unsettled(world) is None, 60.0)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda life: setattr(life, "quorum_lost", True), "never told that the quorum is restored"),
        (lambda life: setattr(life, "between", True), "its application was told otherwise"),
        (lambda life: life.views.pop(), "its application was told otherwise"),
    ],
)
def test_an_application_that_was_told_last_what_is_not_so_is_found(change: object, wrong: str) -> None:
    world = cluster()
    life = world.lives_of(M4)[-1]
    assert callable(change)
    change(life)
    problem = unsettled(world)
    assert problem is not None
    assert wrong in problem


def test_those_without_a_majority_must_be_told_so() -> None:
    world = cluster(4)
    world.crash(["m2:7400", "m3:7400"])
    problem = unsettled(world)
    assert problem is not None
    assert "was not told that the quorum is lost" in problem
    assert world.run_until(lambda: unsettled(world) is None, 60.0)


def test_an_evicted_process_that_could_join_is_found() -> None:
    world = cluster()
    cut_off(world, M4)
    world.heal()
    life = world.lives_of(M4)[-1]
    assert world.run_until(lambda: life.membership is None, 60.0)
    problem = unsettled(world)
    assert problem == "m4:7400#1 is in no view, though it knows members of one"
    assert world.run_until(lambda: unsettled(world) is None, 60.0)


def test_an_evicted_process_that_waits_in_silence_is_found() -> None:
    problem = unsettled(evicted_after_all_others_crashed())
    assert problem is not None
    assert "nobody can let it in, and its application is told nothing" in problem


def test_two_clusters_are_at_rest_unless_there_is_to_be_one() -> None:
    world = World(1)
    world.add("a:1", seeds=["a:1"])
    world.add("b:1", seeds=["b:1"])
    world.start()
    world.run(5.0)
    assert unsettled(world) is None
    assert unsettled(world, one_cluster=True) == "there are 2 clusters with a quorum, 0 without one"


# -- services


def test_a_view_with_members_of_two_services_is_found() -> None:
    world = cluster()
    world.add("jobs:1", service=1)
    life: Life = world.lives_of(M4)[-1]
    view = life.membership
    assert view is not None
    world._services[M4, life.node_id] = 1
    with pytest.raises(InvariantViolation, match=r"one service: m0:7400#1 of service 0 .* m4:7400 of 1"):
        world._expect_one_service(world.lives_of("m0:7400")[-1], view)
