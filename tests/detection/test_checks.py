"""An application's own check beside the probes: an answer is what both of them call one."""

from __future__ import annotations

from math import inf

import pytest

from rapid.detection.judge import Consecutive
from rapid.detection.monitor import STEADY
from rapid.overlay.member import NodeId

from .bench import SLACK, Bench


def test_each_probe_is_checked_once() -> None:
    bench = Bench(checks=True)
    bench.run(5.0)
    bench.subjects[bench.one].silent_from = bench.now
    bench.run(5.0)
    checks = [sequence for _, endpoint, sequence in bench.checks if endpoint == bench.one]
    assert len(set(checks)) == len(checks) == 10
    # those that are not acknowledged are sent twice
    assert len(bench.sent(bench.one)) > 10


def test_nothing_is_checked_unless_asked_for() -> None:
    bench = Bench()
    bench.run(5.0)
    assert bench.checks == []


def test_who_acknowledges_and_fails_its_checks_is_faulty() -> None:
    bench = Bench(checks=True)
    bench.run(20.0)
    bench.subjects[bench.one].passes = False
    # the check says at once what silence says only in the end
    assert 3.0 - SLACK <= bench.until_verdict(bench.one) <= 5.0 + SLACK
    assert list(bench.verdicts) == [bench.one]


def test_failed_checks_are_not_repeated_in_a_hurry() -> None:
    bench = Bench(checks=True)
    bench.run(STEADY - 1.0)
    began = bench.now
    bench.subjects[bench.one].passes = False
    bench.run(10.0)
    assert len(bench.sent(bench.one, since=began)) == 10


@pytest.mark.parametrize("takes", [0.61, 5.0, inf])
def test_a_late_check_is_a_failed_one(takes: float) -> None:
    bench = Bench(checks=True)
    bench.run(20.0)
    bench.subjects[bench.one].takes = takes
    assert 3.6 - SLACK <= bench.until_verdict(bench.one) <= 5.6 + SLACK
    assert list(bench.verdicts) == [bench.one]


def test_a_slow_check_in_time_is_a_good_one() -> None:
    bench = Bench(checks=True, make_judge=Consecutive(1))
    for subject in bench.subjects.values():
        subject.takes = 0.59
    bench.run(30.0)
    assert bench.verdicts == {}
    # who has acknowledged and is being checked is sent no second message
    assert len(bench.sent(bench.one)) == STEADY + (30 - STEADY) // 2


def test_who_passes_its_checks_and_acknowledges_nothing_is_faulty() -> None:
    bench = Bench(checks=True)
    bench.run(20.0)
    bench.subjects[bench.one].silent_from = bench.now
    assert 3.2 - SLACK <= bench.until_verdict(bench.one) <= 5.2 + SLACK


def test_a_refusal_does_not_wait_for_the_check() -> None:
    bench = Bench(checks=True)
    bench.run(20.0)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.subjects[bench.one].takes = 0.5
    bench.monitor.refused(bench.one, bench.now)
    assert bench.until_verdict(bench.one) < 0.5


def test_a_check_of_an_earlier_probe_or_process_is_nothing() -> None:
    bench = Bench(checks=True, make_judge=Consecutive(1))
    for subject in bench.subjects.values():
        subject.rtt = subject.takes = 0.2
    while not bench.checks:
        bench.run(0.01)
    _, endpoint, sequence = bench.checks[0]
    node_id = bench.edge(endpoint).subject.node_id
    bench.monitor.checked(endpoint, node_id, sequence - 1, False, bench.now)
    bench.monitor.checked(endpoint, NodeId(b"z" * 16), sequence, False, bench.now)
    bench.run(10.0)
    bench.monitor.checked(endpoint, node_id, sequence, False, bench.now)
    bench.run(10.0)
    assert bench.verdicts == {}


@pytest.mark.parametrize("order", [("ack", "check"), ("check", "ack")])
def test_an_outcome_needs_both_in_any_order(order: tuple[str, str]) -> None:
    bench = Bench(checks=True)
    bench.subjects[bench.one].silent_from = 0.0
    bench.subjects[bench.one].takes = inf
    while bench.edge(bench.one).sequence == 0:
        bench.run(0.01)
    edge = bench.edge(bench.one)
    outcomes = []
    for said in order:
        if said == "ack":
            bench.monitor.answered(bench.one, edge.subject.node_id, edge.sequence, bench.now)
        else:
            bench.monitor.checked(bench.one, edge.subject.node_id, edge.sequence, True, bench.now)
        outcomes.append(edge.outcomes)
    assert outcomes == [0, 1]
    assert not edge.faulty
