"""When edges are probed, and what refusals, silence and this process's own sleep are taken for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from rapid.detection.judge import Consecutive, MakeJudge, PhiAccrual, Windowed
from rapid.detection.monitor import IDLE
from rapid.overlay.member import NodeId
from rapid.settings import Settings

from .bench import LAN, RTT, Bench, at, member

JUDGES = [Windowed(), Consecutive(), PhiAccrual()]
by_every_judge = pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: type(judge).__name__)
SLACK = 1e-6


def test_each_subject_is_probed_once_an_interval() -> None:
    bench = Bench(size=30)
    assert len(bench.subjects) > 5
    bench.run(20.0)
    firsts = set()
    for endpoint in bench.subjects:
        times = bench.sent(endpoint)
        assert times[0] < 1.0
        assert all(after - before == pytest.approx(1.0) for before, after in pairwise(times))
        firsts.add(times[0])
    assert len(firsts) == len(bench.subjects)
    assert bench.verdicts == {}


@by_every_judge
def test_one_that_falls_silent_takes_the_slow_way(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(20.0)
    bench.subjects[bench.one].silent_from = bench.now
    assert 3.6 - SLACK <= bench.until_verdict(bench.one) <= 4.6 + SLACK
    assert list(bench.verdicts) == [bench.one]


@by_every_judge
@pytest.mark.parametrize("warm", [5.0, 60.0])
def test_one_that_refuses_goes_after_as_many_probes_as_a_silent_one(judge: MakeJudge, warm: float) -> None:
    bench = Bench(make_judge=judge)
    bench.run(warm)
    bench.subjects[bench.one].refuses_from = bench.now
    began = bench.now
    # as when the connection is reset by the process's end
    bench.monitor.refused(bench.one, bench.now)
    took = bench.until_verdict(bench.one)
    refusals = bench.sent(bench.one, since=began)
    assert len(refusals) in (4, 5)
    assert took <= 0.1 + (len(refusals) - 1) * (0.1 + RTT) + RTT + SLACK
    assert all(after - before == pytest.approx(0.1 + RTT) for before, after in pairwise(refusals))
    assert list(bench.verdicts) == [bench.one]


@by_every_judge
def test_one_that_refuses_from_the_beginning_goes_as_well(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.subjects[bench.one].refuses_from = 0.0
    assert bench.until_verdict(bench.one) < 1.0 + 6 * (0.1 + RTT)


@by_every_judge
def test_one_that_answers_in_between_is_spared(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(20.0)
    subject = bench.subjects[bench.one]
    for _ in range(20):
        began = bench.now
        subject.refuses_from = began
        bench.monitor.refused(bench.one, bench.now)
        while len(bench.sent(bench.one, since=began)) < 2:
            bench.run(0.01)
        subject.refuses_from = float("inf")
        bench.run(12.0)
        # after two refusals an answer, and no hurry any more
        times = bench.sent(bench.one, since=began)
        assert all(after - before == pytest.approx(1.0) for before, after in pairwise(times[2:]))
    assert bench.verdicts == {}


@by_every_judge
def test_a_refusal_after_the_second_message_is_an_outcome_like_others(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(20.0)
    began = bench.now
    bench.subjects[bench.one].silent_from = began
    while len(bench.sent(bench.one, since=began)) < 2:
        bench.run(0.01)
    bench.subjects[bench.one].refuses_from = bench.now
    recorded = bench.edge(bench.one).outcomes
    bench.monitor.refused(bench.one, bench.now)
    refused_at = bench.now
    assert bench.edge(bench.one).outcomes == recorded + 1
    bench.run(0.2)
    # the probe's own timeout, which is past now, adds none
    assert bench.sent(bench.one, since=refused_at)[0] == pytest.approx(refused_at + 0.1)
    assert bench.until_verdict(bench.one) < 0.4
    assert bench.edge(bench.one).outcomes - recorded in (4, 5)


@by_every_judge
def test_silence_and_refusals_add_up(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(20.0)
    began, recorded = bench.now, bench.edge(bench.one).outcomes
    bench.subjects[bench.one].silent_from = began
    while len(bench.sent(bench.one, since=began)) < 5:
        bench.run(0.01)
    # the host was gone and is back, without the process
    bench.subjects[bench.one].refuses_from = bench.now
    assert bench.until_verdict(bench.one) < 1.0 + 2 * 0.1
    assert bench.edge(bench.one).outcomes - recorded in (4, 5)


def test_a_verdict_is_no_reason_to_hurry() -> None:
    """One that is faulty and cannot be removed, for want of a quorum, is not probed at the retry's pace."""
    bench = Bench()
    bench.run(5.0)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.until_verdict(bench.one)
    decided = bench.now
    for _ in range(100):
        bench.run(0.1)
        # other messages to it are refused, too
        bench.monitor.refused(bench.one, bench.now)
    assert len(bench.sent(bench.one, since=decided + 0.2)) <= 11
    for other in bench.subjects:
        assert len(bench.sent(other, since=decided + 0.2)) <= 11


def test_one_that_refuses_makes_all_others_be_asked_once() -> None:
    bench = Bench(make_judge=Consecutive(20))
    bench.run(5.0)
    began = bench.now
    bench.subjects[bench.one].refuses_from = began
    bench.subjects[bench.one].rtt = 5 * RTT  # the others have answered by then
    bench.monitor.refused(bench.one, bench.now)
    bench.run(0.1 + SLACK)
    others = [endpoint for endpoint in bench.subjects if endpoint != bench.one]
    assert all(len(bench.sent(other, since=began)) == 1 for other in others)
    bench.run(0.8)
    assert len(bench.sent(bench.one, since=began)) >= 8
    assert all(len(bench.sent(other, since=began)) == 1 for other in others)


def test_after_an_answer_the_next_refusal_is_a_first_one_again() -> None:
    bench = Bench()
    for _ in range(2):
        bench.run(20.0)
        began = bench.now
        bench.monitor.refused(bench.one, bench.now)
        bench.run(0.1 + SLACK)
        assert all(len(bench.sent(endpoint, since=began)) == 1 for endpoint in bench.subjects)


def test_silence_after_a_refusal_is_silence() -> None:
    bench = Bench(make_judge=Consecutive(20))
    bench.run(5.0)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.monitor.refused(bench.one, bench.now)
    bench.run(0.25)
    bench.subjects[bench.one].refuses_from = float("inf")
    bench.subjects[bench.one].silent_from = bench.now
    began = bench.now
    bench.run(10.0)
    assert len(bench.sent(bench.one, since=began)) <= 2 * 11
    # and the next refusal is a first one
    while bench.edge(bench.one).phase == IDLE:
        bench.run(0.01)
    began = bench.now
    bench.monitor.refused(bench.one, bench.now)
    bench.run(0.1 + SLACK)
    assert all(len(bench.sent(endpoint, since=began)) == 1 for endpoint in bench.subjects)


def test_those_that_go_together_are_found_together() -> None:
    bench = Bench(size=30)
    bench.run(5.0)
    gone = list(bench.subjects)[:4]
    for endpoint in gone:
        bench.subjects[endpoint].refuses_from = bench.now
    bench.monitor.refused(gone[0], bench.now)
    bench.run(0.5)
    assert set(bench.verdicts) == set(gone)
    assert max(bench.verdicts.values()) - min(bench.verdicts.values()) <= 0.1


def test_extra_answers_do_not_make_phi_impatient() -> None:
    """A subject that was asked often because others refused is not late when it is asked as ever."""
    bench = Bench(size=30, make_judge=PhiAccrual())
    bench.run(2.0)
    for _ in range(20):
        bench.monitor.hurry(bench.one, bench.now)
        bench.run(0.1)
    bench.subjects[bench.one].silent_from = bench.now
    assert bench.until_verdict(bench.one) >= 3.6 - SLACK


@by_every_judge
def test_one_lost_message_is_no_outcome(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(5.0)
    sent = len(bench.sent(bench.one))
    bench.subjects[bench.one].silent_from = bench.now
    while len(bench.sent(bench.one)) == sent:
        bench.run(0.01)
    bench.subjects[bench.one].silent_from = float("inf")
    bench.run(30.0)
    times = bench.sent(bench.one)[sent:]
    assert times[1] - times[0] == pytest.approx(LAN.probe_timeout / 2)
    assert times[2] - times[0] == pytest.approx(LAN.probe_interval)
    assert bench.verdicts == {}


def wake(bench: Bench) -> None:
    bench.monitor.wake(bench.now)


def hear_an_ack(bench: Bench) -> None:
    edge = bench.edge(bench.one)
    bench.monitor.answered(bench.one, edge.subject.node_id, edge.sequence, bench.now)


def hear_of_another_process(bench: Bench) -> None:
    bench.monitor.answered(bench.one, NodeId(b"z" * 16), bench.edge(bench.one).sequence, bench.now)


def hear_a_refusal(bench: Bench) -> None:
    bench.monitor.refused(bench.one, bench.now)


def hear_a_failed_check(bench: Bench) -> None:
    edge = bench.edge(bench.one)
    bench.monitor.checked(bench.one, edge.subject.node_id, edge.sequence, False, bench.now)


WAYS_TO_NOTICE = [wake, hear_an_ack, hear_of_another_process, hear_a_refusal, hear_a_failed_check]


@pytest.mark.parametrize("notice", WAYS_TO_NOTICE)
@pytest.mark.parametrize("sleep", [1.0, 10.0])
@pytest.mark.parametrize("judge", [Windowed(1, 1), Consecutive(1), PhiAccrual()])
def test_what_fell_into_its_own_sleep_is_void(
    judge: MakeJudge, sleep: float, notice: Callable[[Bench], None]
) -> None:
    bench = Bench(make_judge=judge)
    bench.run(20.0)
    for subject in bench.subjects.values():
        subject.silent_from = bench.now
    # probes to all of them are on their way when it falls asleep
    asked = len(bench.probes) + len(bench.subjects)
    while len(bench.probes) < asked:
        for endpoint in bench.subjects:
            bench.monitor.hurry(endpoint, bench.now)
        bench.run(0.1)
    recorded = {endpoint: bench.edge(endpoint).outcomes for endpoint in bench.subjects}
    bench.sleep(sleep)
    for subject in bench.subjects.values():
        subject.silent_from = float("inf")
    notice(bench)
    assert bench.stats["stalls"] == 1
    assert recorded == {endpoint: bench.edge(endpoint).outcomes for endpoint in bench.subjects}
    began = bench.now
    bench.run(1.0)
    assert all(bench.sent(endpoint, since=began) for endpoint in bench.subjects)
    bench.run(5.0)
    assert bench.verdicts == {}
    assert bench.stats["stalls"] == 1


@by_every_judge
def test_a_sleep_is_no_silence_of_the_subject(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.run(20.0)
    bench.sleep(30.0)
    bench.subjects[bench.one].silent_from = bench.now
    assert bench.until_verdict(bench.one) >= 3.6 - SLACK


def test_a_subject_has_its_time_when_this_process_is_a_little_late() -> None:
    bench = Bench(size=2, make_judge=Consecutive(1), settings=Settings.lan(probe_timeout=1.0))
    bench.subjects[bench.one].silent_from = 0.0
    while not bench.sent(bench.one):
        bench.run(0.01)
    # the second message is due half a second after the first; this process is late by less than a timeout
    bench.sleep(1.4)
    bench.subjects[bench.one].silent_from = float("inf")
    bench.run(5.0)
    assert bench.stats["stalls"] == 0
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
    restarted = type(member(0))(bench.one, NodeId(b"r" * 16))
    members = [m if m.endpoint != bench.one else restarted for m in bench.configuration.members]
    renewed = type(bench.configuration).of(bench.configuration.cluster_id, 2, members, bench.settings.k)
    bench.monitor.configure(renewed, at(0), bench.now)
    assert not bench.edge(bench.one).faulty


@pytest.mark.parametrize("preset", [Settings.lan, Settings.wan, Settings.local])
@by_every_judge
def test_the_judges_suit_every_pace(judge: MakeJudge, preset: Callable[[], Settings]) -> None:
    settings = preset()
    bench = Bench(make_judge=judge, settings=settings)
    interval = settings.probe_interval
    bench.run(20 * interval)
    bench.subjects[bench.one].silent_from = bench.now
    took = bench.until_verdict(bench.one)
    assert 3 * interval <= took <= 4 * interval + settings.probe_timeout + SLACK
    bench.subjects[bench.other].refuses_from = bench.now
    assert bench.until_verdict(bench.other) <= interval + 5 * (settings.probe_retry + RTT)
