"""A member that slept does not blame its subjects for it."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import pytest

from rapid.detection.judge import Consecutive, MakeJudge, PhiAccrual, Windowed
from rapid.overlay.member import NodeId
from rapid.settings import Settings

from .bench import SLACK, Bench, by_every_judge


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
        subject.silent_from = inf
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
    assert bench.until_verdict(bench.one) >= 3.2 - SLACK


def test_a_subject_has_its_time_when_this_process_is_a_little_late() -> None:
    bench = Bench(size=2, make_judge=Consecutive(1), settings=Settings.lan(probe_timeout=1.0))
    bench.subjects[bench.one].silent_from = 0.0
    while not bench.sent(bench.one):
        bench.run(0.01)
    # the second message is due half a second after the first; this process is late by less than a timeout
    bench.sleep(1.4)
    bench.subjects[bench.one].silent_from = inf
    bench.run(5.0)
    assert bench.stats["stalls"] == 0
    assert bench.verdicts == {}
