"""After an eviction: back as another process, once fit to be a member."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count, pairwise

import pytest

from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.convalescence import FIT, ROUNDS, Convalescence
from rapid.protocol.messages import Message, Probe
from rapid.protocol.node import ANYONE
from rapid.protocol.outputs import Evicted, JoinDelayed, JoinFailed, Left, RefoundingRefused
from rapid.settings import Settings
from rapid.simulation import ANY, Life, Link, World
from rapid.simulation.scenarios import formed
from rapid.view import Change, RejoinFailed

from .harness import at

LAN = Settings.lan()
BAD = "m2:7400"


def _to_anyone(message: Message) -> bool:
    return isinstance(message, Probe) and message.target == ANYONE


def present(world: World) -> bool:
    view = world.view_of("m0:7400")
    return view is not None and Endpoint.parse(BAD) in view


def until_it_is_out(world: World) -> None:
    assert world.run_until(lambda: not present(world), 60.0)


def evictions(life: Life) -> list[float]:
    return [when for when, event in life.events if isinstance(event, Evicted)]


def evicted(world: World) -> Life:
    """Cut it off until it is out, and let it know."""
    world.isolate(BAD)
    until_it_is_out(world)
    life = world.lives_of(BAD)[-1]
    known = len(evictions(life))
    world.heal()
    assert world.run_until(lambda: len(evictions(life)) > known, 20.0)
    return life


def test_it_is_told_and_comes_back_as_another_process() -> None:
    world = formed(6, 1)
    life = world.lives_of(BAD)[0]
    before, last = life.node_id, life.views[-1].configuration
    evicted(world)
    out = [event for _, event in life.events]
    assert out == [Evicted(last.cluster_id, last.version + 1, rejoining=True)]
    assert world.expect_agreement(20.0) < 5.0
    assert life.node_id != before
    first = life.views[-1]
    assert (first.cut, first.skipped) == (None, 0)
    assert first.configuration.cluster_id == last.cluster_id
    assert world.lives_of(BAD) == [life], "the process itself went on"


def test_it_stays_out_while_most_that_it_is_sent_is_lost() -> None:
    back = 0
    for seed in range(1, 5):
        world = formed(8, seed)
        world.link(ANY, BAD, Link(loss=0.8))
        until_it_is_out(world)
        out = world.now
        world.run(60.0)
        back += sum(seen.cut is None and seen.at > out for seen in world.lives_of(BAD)[0].views)
        world.heal()
        assert world.expect_agreement(60.0) < 30.0
        assert present(world)
    assert back == 0, "all members had to change their view for nothing"


def test_whom_it_probes_it_probes_once_a_round() -> None:
    world = formed(8, 1)
    asked: Counter[float] = Counter()
    world.watch(
        lambda sender, message: asked.update([world.now] if sender == bad and _to_anyone(message) else [])
    )
    bad = Endpoint.parse(BAD)
    evicted(world)
    world.expect_agreement(20.0)
    assert max(asked.values()) == 7, "so many others are in the view"


def test_who_shall_not_rejoin_ends() -> None:
    world = formed(6, 1, rejoin=False)
    life = evicted(world)
    assert [event for _, event in life.events if isinstance(event, Evicted) and event.rejoining] == []
    assert life.done
    world.run(30.0)
    assert not present(world)


def pause_after_eviction(world: World) -> float:
    life = evicted(world)
    out = evictions(life)[-1]
    world.expect_agreement(150.0)
    return life.views[-1].at - out


def test_the_pause_grows_where_no_stay_lasts() -> None:
    world = formed(4, 1)
    # four times as long each time, up to a minute, and half of it more or less: so the last may be no longer
    *took, last = [pause_after_eviction(world) for _ in range(6)]
    assert took == sorted(took)
    assert 5 * took[0] < took[-1] < 120.0
    assert 10 * took[0] < last < 120.0


def test_after_a_stay_that_lasted_the_pause_is_short_again() -> None:
    world = formed(4, 1)
    for _ in range(4):
        assert pause_after_eviction(world) < 4.0
        world.run(60.0)


def test_it_founds_no_cluster_of_its_own_when_the_rest_is_gone() -> None:
    world = formed(6, 1)
    life = evicted(world)
    world.crash([place.endpoint for place in world.places if str(place) != BAD])
    world.run(60.0)
    assert len({seen.configuration.cluster_id for seen in life.views}) == 1
    assert life.live
    world.restart("m0:7400")  # which founds one, being its own only seed
    assert world.expect_agreement(60.0) < 30.0


def test_it_can_leave_while_it_is_out() -> None:
    world = formed(6, 1)
    life = evicted(world)
    world.leave(BAD)
    world.expect_agreement(10.0)
    assert [event for _, event in life.events if isinstance(event, Left)] == [Left(agreed=True)]


# -- when there is nothing to come back to


def stranded(count: int = 2, size: int = 7, **settings: float) -> tuple[World, list[Life]]:
    """The last ``count`` of so many were evicted and know it; then the others and their hosts died."""
    world = formed(size, 1, Settings.lan(**settings))
    out = [f"m{number}:7400" for number in range(size - count, size)]
    rest = [f"m{number}:7400" for number in range(size - count)]
    lives = [world.lives_of(address)[-1] for address in out]
    world.isolate(out)
    assert world.run_until(lambda: world.view_of("m0:7400").size == size - count, 60.0)  # type: ignore[union-attr]  # it is there
    for address, life in zip(out, lives, strict=True):
        # one after the other, so that the first cannot be back before the last one knows
        world.heal()
        world.isolate([one for one in out if one != address])
        world.black_hole([address], rest[1:])
        assert world.run_until(lambda: bool(evictions(life)), 20.0)  # noqa: B023 - it ends with its turn
        world.isolate(out)
    world.crash(rest, silent=True)
    world.heal()
    return world, lives


def delays(life: Life) -> list[tuple[float, JoinDelayed]]:
    return [(when, event) for when, event in life.events if isinstance(event, JoinDelayed)]


def test_it_says_that_it_waits_and_for_what_again_and_again() -> None:
    world, lives = stranded()
    world.run(300.0)
    for life in lives:
        out = evictions(life)[0]
        after = [when - out for when, _ in delays(life)]
        assert after == pytest.approx([10.0, 30.0, 70.0, 150.0, 310.0][: len(after)])
        assert len(after) >= 4
        for when, event in delays(life):
            assert event.rejoining
            assert event.waited == pytest.approx(when - out)
            assert "not in a cluster yet" in event.reason or "answer" in event.reason
        assert life.live


def test_one_that_nobody_answers_says_so() -> None:
    world, [life] = stranded(1)
    world.run(30.0)
    reason = delays(life)[-1][1].reason
    assert reason.startswith("none of these answers: ")
    assert "m0:7400" in reason


def test_one_whose_links_are_bad_says_so() -> None:
    world = formed(8, 1)
    world.link(ANY, BAD, Link(loss=0.8))
    until_it_is_out(world)
    world.run(60.0)
    [reason, *_] = [event.reason for _, event in delays(world.lives_of(BAD)[0])]
    assert "were answered, too few for a member" in reason


def test_the_warnings_end_with_the_next_view() -> None:
    world, lives = stranded()
    world.run(20.0)
    world.restart("m0:7400")
    world.expect_agreement(60.0)
    known = [len(delays(life)) for life in lives]
    world.run(600.0)
    assert [len(delays(life)) for life in lives] == known == [1, 1]


def test_it_ends_after_the_time_that_was_set() -> None:
    world, lives = stranded(rejoin_timeout=45.0)
    world.run(60.0)
    for life in lives:
        assert isinstance(life.ended_by, JoinFailed)
        when, event = life.events[-1]
        assert event is life.ended_by
        assert when - evictions(life)[0] == pytest.approx(45.0)
        assert event.reason.startswith("no cluster has let this process in again within 45 s: ")
        assert not life.live
        assert life.node.deadline() is None


def test_without_a_limit_it_goes_on_for_ever() -> None:
    world, lives = stranded()
    world.run(4 * 3600.0)
    assert all(life.live for life in lives)
    world.restart("m0:7400")
    assert world.expect_agreement(90.0) < 90.0


@pytest.mark.parametrize("after", [0.5, 30.0])
def test_the_seeds_are_looked_up_anew(after: float) -> None:
    """All that it knew is gone, and the name of the seeds stands for others now."""
    world, lives = stranded()
    world.run(after)
    fresh = [world.add(f"n{number}:7400", seeds=["n0:7400"]) for number in range(3)]
    world.start(fresh)
    for life in lives:
        life.seeds = (fresh[0],)
    world.expect_agreement(60.0)
    assert {life.configuration.cluster_id for life in world.live if life.configuration} == {
        world.view_of(fresh[0]).cluster_id  # type: ignore[union-attr]  # it is there
    }


# -- an operator's word to those that are out


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("after", [0.5, 60.0])
def test_an_operator_can_have_one_go_on_and_the_others_join_it(count: int, after: float) -> None:
    world, lives = stranded(count)
    last = lives[0].configuration
    assert last is not None
    world.run(after)
    world.force_new_cluster(lives[0].place.endpoint)
    world.expect_agreement(60.0)
    views = [seen.configuration for seen in lives[0].views]
    first = next(view for view in views if view.cluster_id != last.cluster_id)
    assert (first.size, first.version > last.version) == (1, True)
    assert {life.configuration.cluster_id for life in lives if life.configuration} == {first.cluster_id}
    assert [life.configuration.size for life in lives if life.configuration] == [count] * count
    world.run(60.0)
    assert world.agreed()


@pytest.mark.parametrize("apart", [0.0, 0.5, 2.0])
def test_two_operators_make_one_cluster_of_it(apart: float) -> None:
    world, lives = stranded()
    world.run(20.0)
    for life in lives:
        world.force_new_cluster(life.place.endpoint)
        world.run(apart)
    world.expect_agreement(60.0)
    world.run(60.0)
    assert world.agreed()


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_it_is_refused_while_a_member_of_a_cluster_answers(loss: float) -> None:
    world = formed(6, 1)
    life = evicted(world)
    world.link(ANY, ANY, Link(loss=loss))
    world.force_new_cluster(BAD)
    world.run(2.0)
    [refused] = [event for _, event in life.events if isinstance(event, RefoundingRefused)]
    assert "cluster" in refused.reason
    world.heal()
    world.expect_agreement(60.0)
    assert len({seen.configuration.cluster_id for seen in life.views}) == 1


def test_it_can_leave_or_be_told_twice_while_it_asks() -> None:
    world, lives = stranded()
    for _ in range(2):
        world.force_new_cluster(lives[0].place.endpoint)
    world.force_new_cluster(lives[1].place.endpoint)
    world.leave(lives[1].place.endpoint)
    world.expect_agreement(30.0)
    assert [event for _, event in lives[1].events if isinstance(event, Left | RefoundingRefused)][-1] == Left(
        agreed=True
    )


# -- one cluster or none


def pinned(world: World, cluster_id: ClusterId) -> Life:
    """One more process that is to join this cluster or none."""
    address = world.add("x:7400", seeds=["m0:7400", "m1:7400"], cluster_id=cluster_id)
    world.start(address)
    return world.lives_of(address)[-1]


def forced(size: int = 5, left: int = 2) -> tuple[World, ClusterId]:
    """A cluster that an operator has forced; the id of the one before."""
    world = formed(size, 1)
    old = world.view_of("m0:7400")
    assert old is not None
    world.crash([place.endpoint for place in world.places[left:]], silent=True)
    world.run(20.0)
    world.force_new_cluster("m0:7400")
    world.run(3.0)
    return world, old.cluster_id


def test_a_process_of_a_cluster_that_was_forced_joins_the_one_that_continues_it() -> None:
    world, old = forced()
    world.restart(["m2:7400", "m3:7400"])
    world.expect_agreement(60.0)
    # those who were there when it was forced are gone
    for address in ("m0:7400", "m1:7400"):
        world.crash(address)
        world.expect_agreement(60.0)
    world.add("x:7400", seeds=["m2:7400", "m3:7400"], cluster_id=old)
    world.start("x:7400")
    world.expect_agreement(30.0)
    assert world.view_of("x:7400").cluster_id != old  # type: ignore[union-attr]  # it is there


@pytest.mark.parametrize("before", [True, False])
def test_one_that_is_evicted_follows_as_well(before: bool) -> None:
    """It was a member when the cluster was forced, or has joined the cluster that was forced."""
    world = formed(5, 1)
    old = world.view_of("m0:7400")
    assert old is not None
    if before:
        life = pinned(world, old.cluster_id)
        world.expect_agreement(30.0)
    world.crash(["m1:7400", "m2:7400", "m3:7400", "m4:7400"], silent=True)
    world.run(20.0)
    world.force_new_cluster("m0:7400")
    world.run(3.0)
    if not before:
        life = pinned(world, old.cluster_id)
    world.restart(["m2:7400", "m3:7400", "m4:7400"])
    world.expect_agreement(60.0)
    world.isolate("x:7400")
    world.run(20.0)
    world.heal()
    world.expect_agreement(120.0)
    assert life.live
    assert evictions(life)


def test_one_that_was_cut_off_when_it_was_forced_follows() -> None:
    world = formed(5, 1)
    old = world.view_of("m0:7400")
    assert old is not None
    life = pinned(world, old.cluster_id)
    world.expect_agreement(30.0)
    world.isolate("x:7400")
    world.crash(["m1:7400", "m2:7400", "m3:7400"], silent=True)
    world.run(20.0)
    world.force_new_cluster("m0:7400")
    world.run(5.0)
    world.restart("x:7400")  # its configuration still names the old cluster
    world.heal()
    world.expect_agreement(120.0)
    assert not life.live
    assert world.view_of("x:7400").size == 3  # type: ignore[union-attr]  # it is there


def test_where_the_cluster_is_no_more_it_ends_and_says_why() -> None:
    """All members were started anew and have founded another cluster."""
    world = formed(4, 1)
    old = world.view_of("m0:7400")
    assert old is not None
    told: list[Change] = []
    life = pinned(world, old.cluster_id)
    world.follow("x:7400", told.append)
    world.expect_agreement(30.0)
    world.isolate("x:7400")
    world.run(20.0)
    world.partition([["x:7400", "m0:7400"]])
    assert world.run_until(lambda: bool(evictions(life)), 20.0)
    world.isolate("x:7400")
    world.crash([place.endpoint for place in world.places if place is not life.place])
    world.run(2.0)
    world.restart(["m0:7400", "m1:7400", "m2:7400", "m3:7400"])
    world.run(20.0)
    world.heal()
    world.expect_agreement(60.0)
    assert isinstance(life.ended_by, JoinFailed)
    assert f"its cluster is {old.cluster_id}, this cluster's is " in life.ended_by.reason
    assert told[-1] == RejoinFailed(life.ended_by.reason)


# -- when it is fit


class Patient:
    """One that probes ``ways``; ``answer(way, round)`` says whether that one answers."""

    def __init__(self, answer: Callable[[int, int], bool], ways: int = 8) -> None:
        self.now = 0.0
        self.well_at: float | None = None
        self.rounds: list[float] = []
        self._answer = answer
        self._ways = [at(number) for number in range(ways)]
        self._unheard: list[int] = []
        self.looked_up = 0
        self._convalescence = Convalescence(
            LAN, self.now, 0.5, lambda: self._ways, self._probe, self._well, self._look_up
        )

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._convalescence.due <= end:
            self.now = self._convalescence.due
            self._convalescence.wake(self.now)
            heard, self._unheard = self._unheard, []
            for sequence in heard:
                self._convalescence.answered(sequence)
        self.now = end

    def _look_up(self) -> None:
        self.looked_up += 1

    def _probe(self, way: Endpoint, sequence: int) -> None:
        number = self._ways.index(way)
        if number == 0:
            self.rounds.append(self.now)
        if self._answer(number, len(self.rounds)):
            self._unheard.append(sequence)

    def _well(self) -> None:
        assert self.well_at is None, "once"
        self.well_at = self.now


def test_fit_is_whom_nearly_all_answer() -> None:
    patient = Patient(lambda way, number: True)
    patient.run(60.0)
    assert patient.well_at is not None
    assert patient.well_at == patient.rounds[-1] + LAN.probe_timeout
    assert patient.well_at < 4.0
    assert patient.looked_up == 1


def test_who_never_answers_may_be_gone_and_does_not_count() -> None:
    patient = Patient(lambda way, number: way < 2)
    patient.run(5.0)
    assert patient.well_at is not None


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6])
def test_unfit_is_whom_too_few_answer(share: float) -> None:
    """Each way answers some of its probes, and all together this share of theirs."""
    assert share < FIT
    probes = count()

    def answer(way: int, number: int) -> bool:
        probe = next(probes)
        return int((probe + 1) * share) > int(probe * share)

    patient = Patient(answer, ways=7)
    patient.run(600.0)
    assert patient.well_at is None
    tries = patient.rounds[::ROUNDS]
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == pytest.approx(sorted(pauses)), "the longer it takes, the rarer the tries"
    assert pauses[-1] == pytest.approx(10 * LAN.probe_interval + (ROUNDS + 1) / 2 * LAN.probe_timeout)


def test_it_is_fit_once_its_links_are() -> None:
    patient = Patient(lambda way, number: number > 3 * ROUNDS)
    patient.run(600.0)
    assert patient.well_at == patient.rounds[-1] + LAN.probe_timeout
    assert 3 * ROUNDS < len(patient.rounds) <= 5 * ROUNDS
    assert patient.looked_up == len(patient.rounds) / ROUNDS, "before each try"
