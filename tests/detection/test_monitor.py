"""When edges are probed, what silence is taken for, and who answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import inf
from random import Random

import pytest

from rapid.detection.alert import Ground
from rapid.detection.cut_detector import ring_bits
from rapid.detection.judge import Consecutive, MakeJudge, PhiAccrual, Windowed
from rapid.detection.monitor import IDLE, STEADY, Edge, Monitor
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Member, NodeId
from rapid.settings import Settings

from .bench import LAN, RTT, SLACK, Bench, at, by_every_judge, member


def test_all_subjects_are_probed_together_and_every_other_interval_once_they_have_answered_a_while() -> None:
    bench = Bench(size=30)
    assert len(bench.subjects) > 5
    bench.run(20.0)
    firsts = set()
    for endpoint in bench.subjects:
        times = bench.sent(endpoint)
        assert times[0] < 1.0
        apart = [round(after - before, 6) for before, after in pairwise(times)]
        # the one between begins those that all steady ones have in common
        assert apart[: STEADY - 1] == [1.0] * (STEADY - 1)
        assert apart[STEADY - 1] in (1.0, 2.0)
        assert apart[STEADY:] == [2.0] * (len(apart) - STEADY)
        firsts.add(times[0])
    assert len(firsts) == 1
    assert bench.verdicts == {}


def test_one_that_fails_to_answer_is_asked_at_once_and_then_once_an_interval() -> None:
    bench = Bench()
    bench.run(20.0)
    since = bench.now
    bench.subjects[bench.one].silent_from = since
    bench.until_verdict(bench.one)
    times = bench.sent(bench.one, since)[::2]  # each is sent twice
    assert [after - before for before, after in pairwise(times)] == pytest.approx([0.6, 1.0, 1.0])
    bench.subjects[bench.one].silent_from = inf
    bench.run(20.0)
    times = bench.sent(bench.one)[-5:]
    assert [after - before for before, after in pairwise(times)] == pytest.approx([2.0] * 4)
    others = bench.sent(bench.other)[-5:]
    assert times == pytest.approx(others), "with the others again"


def test_one_that_has_just_become_steady_is_next_probed_with_the_steady() -> None:
    bench = Bench()
    bench.run(bench.edge(bench.other).at + 0.5)
    restarted = Member(bench.one, NodeId(b"r" * 16))
    members = [m if m.endpoint != bench.one else restarted for m in bench.configuration.members]
    renewed = Configuration.of(bench.configuration.cluster_id, 2, members, bench.settings.k)
    bench.monitor.configure(renewed, at(0), bench.now)
    edge = bench.edge(bench.one)
    bench.until(lambda: edge.streak == STEADY)
    assert bench.now < STEADY + 2.0
    assert edge.at - edge.sent_at == pytest.approx(2 * LAN.probe_interval)
    assert edge.at == pytest.approx(bench.edge(bench.other).at)


@pytest.mark.parametrize("answers", [STEADY - 1, STEADY])
def test_one_that_has_answered_a_while_is_asked_at_once_when_it_fails_to(answers: int) -> None:
    bench = Bench()
    bench.until(lambda: bench.edge(bench.one).streak == answers)
    bench.subjects[bench.one].silent_from = since = bench.now
    bench.until(lambda: len(bench.sent(bench.one, since)) == 3)
    first, _, second = bench.sent(bench.one, since)
    apart = LAN.probe_timeout if answers >= STEADY else LAN.probe_interval
    assert second - first == pytest.approx(apart)


def test_members_probe_at_any_time_within_an_interval() -> None:
    settings = Settings.lan(probe_interval=4.0)
    firsts = [
        min(edge.at for edge in Bench(settings=settings, seed=n).monitor.edges.values()) for n in range(40)
    ]
    assert 0.0 <= min(firsts) < 0.5
    assert 3.5 < max(firsts) <= 4.0


def test_an_edge_knows_the_rings_on_which_its_subject_is_watched() -> None:
    bench = Bench()

    def right(configuration: Configuration) -> bool:
        watched = configuration.subjects(at(0))
        edges = bench.monitor.edges
        return edges.keys() == set(watched) and all(
            edge.rings == ring_bits(watched, endpoint) for endpoint, edge in edges.items()
        )

    assert right(bench.configuration)
    larger = Configuration.of(bench.configuration.cluster_id, 2, map(member, range(12)), bench.settings.k)
    bench.monitor.configure(larger, at(0), 1.0)
    assert right(larger)


def test_since_when_a_subject_is_well_is_known_while_it_is() -> None:
    bench = Bench(make_judge=Consecutive(2))
    assert bench.monitor.healthy_since == dict.fromkeys(bench.subjects, -inf)
    bench.run(10.0)
    assert bench.monitor.healthy_since == dict.fromkeys(bench.subjects, -inf), "it was always well"
    bench.subjects[bench.one].silent_from = bench.now
    bench.until_verdict(bench.one)
    assert bench.monitor.healthy_since == dict.fromkeys(bench.subjects.keys() - {bench.one}, -inf)
    bench.subjects[bench.one].silent_from = inf
    bench.until(lambda: not bench.edge(bench.one).faulty)
    answered = bench.edge(bench.one).sent_at + RTT
    bench.run(10.0)
    assert bench.monitor.healthy_since.pop(bench.one) == pytest.approx(answered)
    assert set(bench.monitor.healthy_since.values()) == {-inf, bench.edge(bench.one).healthy_since}


def test_a_stopped_monitor_watches_nobody() -> None:
    bench = Bench()
    bench.run(5.0)
    sent = len(bench.probes)
    bench.monitor.stop()
    assert (bench.monitor.edges, bench.monitor.due) == ({}, inf)
    bench.monitor.wake(bench.now + 10.0)
    bench.monitor.report_faulty()
    bench.monitor.refused(bench.one, bench.now)
    assert (len(bench.probes), bench.verdicts) == (sent, {})


def test_a_monitor_counts_by_itself_when_nobody_else_does() -> None:
    asked: list[Edge] = []
    monitor = Monitor(LAN, Random(1), Windowed(), asked.append, asked.append)
    monitor.configure(Bench().configuration, at(0), 0.0)
    monitor.wake(monitor.due)
    monitor.wake(100.0)
    assert len(asked) == len(monitor.edges), "after a stall all are asked again later"
    assert not any(edge.faulty for edge in monitor.edges.values())
    assert {edge.ground for edge in monitor.edges.values()} == {Ground.UNSTATED}


class AtAQuarter(Random):
    """Draws the same number each time."""

    def random(self) -> float:
        return 0.25


def test_what_is_later_than_a_probes_timeout_is_a_stall() -> None:
    stats = Counter[str]()
    asked: list[Edge] = []
    settings = Settings.lan(probe_timeout=0.5)
    monitor = Monitor(settings, AtAQuarter(), Windowed(), asked.append, asked.append, stats=stats)
    monitor.configure(Bench().configuration, at(0), 0.0)
    assert monitor.due == 0.25
    monitor.wake(0.75)
    assert stats["stalls"] == 0
    assert len(asked) == len(monitor.edges)
    for count in (1, 2):
        monitor.wake(monitor.due + 0.75)
        assert stats["stalls"] == count


def test_edges_that_are_due_at_the_same_time_are_all_probed() -> None:
    """Also one that comes back to it after a probe in between."""
    seed = next(seed for seed in range(99) if Random(seed).random() > 0.7)
    for number in range(5):
        bench = Bench(size=30, seed=seed)
        due = bench.edge(bench.one).at
        bench.monitor.hurry(list(bench.subjects)[number], 0.0)
        bench.run(due)
        assert {endpoint for when, endpoint in bench.probes if when == due} == bench.subjects.keys()


# -- in a hurry


def test_a_subject_that_was_never_probed_is_probed_at_once() -> None:
    bench = Bench()
    bench.monitor.hurry(bench.one, 0.0)
    assert bench.edge(bench.one).at == 0.0
    bench.monitor.hurry(at(99), 0.0)


def test_one_that_was_probed_a_moment_ago_is_probed_after_the_retry_interval() -> None:
    bench = Bench()
    bench.until(lambda: bench.edge(bench.one).streak == 1)
    probed = bench.edge(bench.one).sent_at
    bench.monitor.hurry(bench.one, bench.now)
    assert bench.edge(bench.one).at == probed + LAN.probe_retry


def test_one_that_is_being_asked_is_not_asked_anew() -> None:
    bench = Bench()
    bench.subjects[bench.one].rtt = 0.2
    bench.until(lambda: bench.edge(bench.one).phase != IDLE)
    due = bench.edge(bench.one).at
    bench.monitor.hurry(bench.one, bench.now)
    assert (bench.edge(bench.one).phase == IDLE, bench.edge(bench.one).at) == (False, due)


def test_two_members_probe_at_times_of_their_own() -> None:
    times = set()
    for seed in range(5):
        bench = Bench(seed=seed)
        bench.run(2.0)
        times.add(bench.sent(bench.one)[0])
    assert len(times) == 5


def test_a_new_subject_has_three_probes_to_open_the_way_to_it() -> None:
    bench = Bench()
    bench.subjects[bench.one].silent_from = 0.0
    assert 6.6 - SLACK <= bench.until_verdict(bench.one) <= 7.6 + SLACK


def test_a_new_subject_whose_host_refuses_has_no_grace() -> None:
    bench = Bench()
    bench.subjects[bench.one].refuses_from = 0.0
    assert bench.until_verdict(bench.one) < 1.5


def test_a_member_that_lags_waits_longer_for_answers() -> None:
    """Else a busy machine finds those faulty that are as slow as itself."""
    bench = Bench()
    bench.run(20.0)
    bench.subjects[bench.one].rtt = 0.9  # and the probe's timeout is 0.6
    for _ in range(300):
        bench.lag.called(bench.now - 0.1, bench.now)
        bench.run(0.1)
    assert bench.verdicts == {}
    bench.run(20.0)
    assert list(bench.verdicts) == [bench.one]


@pytest.mark.parametrize(("lag", "interval"), [(0.0, 2.0), (0.15, 2.0), (0.25, 3.0), (0.5, 4.0)])
def test_a_member_that_lags_probes_the_healthy_less_often(lag: float, interval: float) -> None:
    """Where a machine has too many members, it is probes that it has too many of."""
    bench = Bench()

    def run(seconds: float) -> None:
        for _ in range(round(100 * seconds)):
            bench.lag.called(bench.now - lag, bench.now)
            bench.run(0.01)

    run(20.0)
    since = bench.now
    run(20.0)
    sent = bench.sent(bench.one, since)
    assert [later - earlier for earlier, later in pairwise(sent)] == pytest.approx(
        [interval] * (len(sent) - 1)
    )
    assert len(sent) >= 4
    bench.subjects[bench.one].silent_from = bench.now
    run(40.0)
    assert list(bench.verdicts) == [bench.one]


def test_while_the_view_changes_a_steady_subject_is_probed_an_interval_later_and_no_more_than_that() -> None:
    bench = Bench()
    bench.run(20.0)
    bench.changing = True
    last = bench.sent(bench.one)[-1]
    bench.run(20.0)
    first, *others = [after - before for before, after in pairwise(bench.sent(bench.one, last))]
    assert first == pytest.approx(3.0)
    assert others == pytest.approx([2.0] * len(others))
    assert len(others) >= 8
    bench.subjects[bench.one].silent_from = since = bench.now
    bench.until_verdict(bench.one)
    retries = bench.sent(bench.one, since)[::2]
    assert [after - before for before, after in pairwise(retries)] == pytest.approx([0.6, 1.0, 1.0])


def test_a_change_of_the_view_puts_off_no_probe_of_a_new_subject_nor_of_one_that_refuses() -> None:
    bench = Bench()
    bench.changing = True
    bench.run(STEADY)
    assert len(bench.sent(bench.one)) == STEADY
    bench.run(20.0)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.monitor.refused(bench.one, bench.now)
    assert bench.until_verdict(bench.one) == pytest.approx(0.3, abs=0.05)


@by_every_judge
def test_one_that_falls_silent_takes_the_slow_way(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(20.0)
    bench.subjects[bench.one].silent_from = bench.now
    assert 3.2 - SLACK <= bench.until_verdict(bench.one) <= 5.2 + SLACK
    assert list(bench.verdicts) == [bench.one]


def test_extra_answers_do_not_make_phi_impatient() -> None:
    """A subject that was asked often because others refused is not late when it is asked as ever."""
    bench = Bench(size=30, make_judge=PhiAccrual())
    bench.run(2.0)
    for _ in range(20):
        bench.monitor.hurry(bench.one, bench.now)
        bench.run(0.1)
    bench.subjects[bench.one].silent_from = bench.now
    assert bench.until_verdict(bench.one) >= 3.2 - SLACK


@by_every_judge
def test_one_lost_message_is_no_outcome(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(5.0)
    sent = len(bench.sent(bench.one))
    bench.subjects[bench.one].silent_from = bench.now
    while len(bench.sent(bench.one)) == sent:
        bench.run(0.01)
    bench.subjects[bench.one].silent_from = inf
    bench.run(30.0)
    times = bench.sent(bench.one)[sent:]
    assert times[1] - times[0] == pytest.approx(LAN.probe_timeout / 2)
    assert times[2] - times[0] == pytest.approx(2 * LAN.probe_interval)
    assert bench.verdicts == {}


def test_another_process_at_the_address_is_a_verdict_at_once() -> None:
    bench = Bench()
    bench.run(5.0)
    bench.monitor.hurry(bench.one, bench.now)
    bench.run(0.1)
    while bench.edge(bench.one).phase == IDLE:
        bench.subjects[bench.one].rtt = 0.01
        bench.run(0.005)
    sequence = bench.edge(bench.one).sequence
    bench.monitor.answered(bench.one, NodeId(b"z" * 16), sequence - 1, bench.now)
    assert bench.verdicts == {}  # that ack is for some earlier probe, of an earlier process maybe
    bench.monitor.answered(bench.one, NodeId(b"z" * 16), sequence, bench.now)
    assert bench.verdicts == {bench.one: bench.now}


def test_no_two_probes_share_a_number() -> None:
    bench = Bench(checks=True)
    bench.run(10.0)
    numbers = [sequence for _, _, sequence in bench.checks]
    assert len(set(numbers)) == len(numbers) > 10


def test_an_edge_keeps_its_history_across_configurations_and_a_new_process_has_none() -> None:
    bench = Bench(size=6)
    bench.subjects[bench.one].silent_from = 0.0
    bench.until_verdict(bench.one)
    kept = bench.edge(bench.one)
    bench.verdicts.clear()
    bench.monitor.configure(bench.configuration, at(0), bench.now)
    bench.monitor.report_faulty()
    assert bench.edge(bench.one) is kept
    assert list(bench.verdicts) == [bench.one]
    restarted = Member(bench.one, NodeId(b"r" * 16))
    members = [m if m.endpoint != bench.one else restarted for m in bench.configuration.members]
    renewed = Configuration.of(bench.configuration.cluster_id, 2, members, bench.settings.k)
    bench.monitor.configure(renewed, at(0), bench.now)
    assert not bench.edge(bench.one).faulty


@pytest.mark.parametrize(
    ("crowd", "intervals"), [(0, 0.0), (30, 0.0), (130, 1.0), (230, 2.0), (10_000, 5.0)], ids=str
)
def test_those_who_come_in_a_crowd_are_probed_later(crowd: int, intervals: float) -> None:
    bench = Bench(size=6)
    bench.run(5.0)
    restarted = Member(bench.one, NodeId(b"r" * 16))
    members = [m if m.endpoint != bench.one else restarted for m in bench.configuration.members]
    renewed = Configuration.of(bench.configuration.cluster_id, 2, members, bench.settings.k)
    other = bench.edge(bench.other).at
    bench.monitor.configure(renewed, at(0), bench.now, crowd)
    interval = bench.settings.probe_interval
    waits = bench.edge(bench.one).at - bench.now
    assert intervals * interval < waits <= (intervals + 1) * interval
    assert bench.edge(bench.other).at == other, "one that is known already is probed as before"


def test_a_few_that_come_in_are_probed_with_the_others() -> None:
    bench = Bench(size=6)
    bench.run(5.0)
    tick = bench.edge(bench.other).at
    restarted = Member(bench.one, NodeId(b"r" * 16))
    members = [m if m.endpoint != bench.one else restarted for m in bench.configuration.members]
    renewed = Configuration.of(bench.configuration.cluster_id, 2, members, bench.settings.k)
    bench.monitor.configure(renewed, at(0), tick - 0.005)
    assert bench.edge(bench.one).at == pytest.approx(tick)


def test_the_rest_of_a_crowd_is_measured_in_intervals() -> None:
    settings = Settings.wan()
    bench = Bench(size=6, settings=settings)
    bench.monitor.configure(bench.configuration, at(0), 0.0)
    restarted = Member(bench.one, NodeId(b"r" * 16))
    members = [m if m.endpoint != bench.one else restarted for m in bench.configuration.members]
    renewed = Configuration.of(bench.configuration.cluster_id, 2, members, settings.k)
    bench.monitor.configure(renewed, at(0), 0.0, 230)
    assert 2 * settings.probe_interval < bench.edge(bench.one).at <= 3 * settings.probe_interval


def test_a_judge_is_told_of_each_outcome_and_when_it_was() -> None:
    told: list[tuple[bool, float]] = []

    class Listener:
        faulty = False

        def record(self, answered: bool, now: float) -> None:
            told.append((answered, now))

    bench = Bench(size=2, make_judge=Listener)
    bench.run(3.0)
    count = len(told)
    bench.subjects[bench.one].silent_from = bench.now
    bench.run(2.0)
    assert all(answered is True for answered, _ in told[:count])
    assert [answered for answered, _ in told[count:]] == [False] * (len(told) - count)
    assert all(answered is False for answered, _ in told[count:])
    assert len(told) > count
    assert [now for _, now in told[:count]] == pytest.approx([number + RTT for number in range(count)])
    assert [now for _, now in told[count:]] == pytest.approx(
        [number + LAN.probe_timeout for number in range(count, len(told))]
    )


@pytest.mark.parametrize("preset", [Settings.lan, Settings.wan, Settings.local])
@by_every_judge
def test_the_judges_suit_every_pace(judge: MakeJudge, preset: Callable[[], Settings]) -> None:
    settings = preset()
    bench = Bench(make_judge=judge, settings=settings)
    interval = settings.probe_interval
    bench.run(20 * interval)
    bench.subjects[bench.one].silent_from = bench.now
    took = bench.until_verdict(bench.one)
    timeout = settings.probe_timeout
    assert 2 * interval + 2 * timeout - SLACK <= took <= 4 * interval + 2 * timeout + SLACK
    bench.subjects[bench.other].refuses_from = bench.now
    assert bench.until_verdict(bench.other) <= interval + 5 * (settings.probe_retry + RTT)
