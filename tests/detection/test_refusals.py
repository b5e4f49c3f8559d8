"""A refused connection is the host's word that the process is gone, and no silence."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import pytest

from rapid.detection.judge import Consecutive, MakeJudge
from rapid.detection.monitor import GRACE

from .bench import LAN, RTT, SLACK, Bench, by_every_judge


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
    assert took <= len(refusals) * 0.1 + RTT + SLACK
    assert all(after - before == pytest.approx(0.1) for before, after in pairwise(refusals))
    assert list(bench.verdicts) == [bench.one]


@by_every_judge
def test_one_that_refuses_from_the_beginning_goes_as_well(judge: MakeJudge) -> None:
    bench = Bench(make_judge=judge)
    bench.subjects[bench.one].refuses_from = 0.0
    assert bench.until_verdict(bench.one) < 1.0 + 6 * 0.1


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
        subject.refuses_from = inf
        bench.run(12.0)
        # after two refusals an answer, and no hurry any more
        times = bench.sent(bench.one, since=began)
        assert 0.5 <= times[3] - times[2] <= 1.5 + SLACK
        apart = [round(after - before, 6) for before, after in pairwise(times[3:])]
        assert apart[:2] == [1.0, 1.0]
        assert apart[-2:] == [2.0, 2.0]
        assert apart == sorted(apart)
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
    # its retry interval is over, so the next probe leaves at once; its timeout means nothing any more
    assert bench.until_verdict(bench.one) < 0.4 + RTT + SLACK
    retries = bench.sent(bench.one, since=refused_at)
    assert retries[0] == refused_at
    assert all(after - before == pytest.approx(0.1) for before, after in pairwise(retries))
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


def test_silence_after_a_refusal_is_silence() -> None:
    bench = Bench(make_judge=Consecutive(20))
    bench.run(5.0)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.monitor.refused(bench.one, bench.now)
    bench.run(0.25)
    bench.subjects[bench.one].refuses_from = inf
    bench.subjects[bench.one].silent_from = bench.now
    began = bench.now
    bench.run(10.0)
    assert len(bench.sent(bench.one, since=began)) <= 2 * 11


def test_a_refusal_takes_nothing_from_the_grace_of_a_new_subject() -> None:
    """Its host was there before its process, and then the way to it has to be opened all the same."""
    bench = Bench()
    subject = bench.subjects[bench.one]
    subject.refuses_from = 0.0
    bench.until(lambda: bench.edge(bench.one).outcomes == 1)
    subject.refuses_from, subject.silent_from = inf, 0.0
    began = bench.now
    bench.until_verdict(bench.one)
    unanswered = len(bench.sent(bench.one, since=began)) / 2
    assert unanswered == GRACE + LAN.failures - 1


def test_one_that_refuses_is_no_reason_to_ask_others() -> None:
    bench = Bench()
    bench.run(20.0)
    others = [endpoint for endpoint in bench.subjects if endpoint != bench.one]
    due = {other: bench.edge(other).at for other in others}
    bench.subjects[bench.one].refuses_from = bench.now
    bench.monitor.refused(bench.one, bench.now)
    assert {other: bench.edge(other).at for other in others} == due
