"""After an eviction: back as another process, once fit to be a member."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count, pairwise

import pytest

from rapid.overlay.member import Endpoint
from rapid.protocol.convalescence import FIT, ROUNDS, Convalescence
from rapid.protocol.messages import Message, Probe
from rapid.protocol.node import ANYONE
from rapid.protocol.outputs import Evicted, Left
from rapid.settings import Settings
from rapid.simulation import ANY, Life, Link, World
from rapid.simulation.scenarios import formed

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
