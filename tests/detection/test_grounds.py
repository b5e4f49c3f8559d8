"""On what ground an edge is found faulty."""

from __future__ import annotations

from math import inf

import pytest

from rapid.detection.alert import Ground
from rapid.detection.judge import MakeJudge
from rapid.detection.monitor import IDLE
from rapid.overlay.member import NodeId

from .bench import Bench, by_every_judge


@by_every_judge
@pytest.mark.parametrize("warm", [0.0, 20.0])
def test_silence(judge: MakeJudge, warm: float) -> None:
    bench = Bench(make_judge=judge)
    bench.run(warm)
    bench.subjects[bench.one].silent_from = bench.now
    bench.until_verdict(bench.one)
    assert bench.edge(bench.one).ground is Ground.SILENT


@by_every_judge
@pytest.mark.parametrize("warm", [0.0, 20.0])
def test_refusals(judge: MakeJudge, warm: float) -> None:
    bench = Bench(make_judge=judge)
    bench.run(warm)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.until_verdict(bench.one)
    assert bench.edge(bench.one).ground is Ground.REFUSED


def test_refusals_after_silence() -> None:
    bench = Bench()
    bench.run(20.0)
    bench.subjects[bench.one].silent_from = bench.now
    bench.run(2.5)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.until_verdict(bench.one)
    assert bench.edge(bench.one).ground is Ground.REFUSED


def test_silence_after_refusals() -> None:
    bench = Bench()
    bench.run(20.0)
    bench.subjects[bench.one].refuses_from = bench.now
    bench.monitor.refused(bench.one, bench.now)
    bench.run(0.15)
    bench.subjects[bench.one].refuses_from = inf
    bench.subjects[bench.one].silent_from = bench.now
    bench.until_verdict(bench.one)
    assert bench.edge(bench.one).ground is Ground.SILENT


@pytest.mark.parametrize("takes", [0.001, 0.5, 0.61, inf])
def test_a_check_that_fails_or_takes_too_long(takes: float) -> None:
    bench = Bench(checks=True)
    bench.run(20.0)
    bench.subjects[bench.one].passes = False
    bench.subjects[bench.one].takes = takes
    bench.until_verdict(bench.one)
    assert bench.edge(bench.one).ground is Ground.UNHEALTHY


@pytest.mark.parametrize(
    ("takes", "ground"),
    [
        (0.001, Ground.UNHEALTHY),  # nobody knows yet that there will be no ack
        (0.5, Ground.SILENT),
        (0.61, Ground.SILENT),
        (inf, Ground.SILENT),
    ],
)
def test_a_check_of_one_that_is_silent(takes: float, ground: Ground) -> None:
    bench = Bench(checks=True)
    bench.run(20.0)
    subject = bench.subjects[bench.one]
    subject.passes, subject.takes, subject.silent_from = False, takes, bench.now
    bench.until_verdict(bench.one)
    assert bench.edge(bench.one).ground is ground


def test_another_process_at_the_address() -> None:
    bench = Bench()
    bench.run(20.0)
    bench.subjects[bench.one].silent_from = bench.now
    bench.run(2.5)
    edge = bench.edge(bench.one)
    while edge.phase == IDLE:
        bench.run(0.1)
    bench.monitor.answered(bench.one, NodeId(b"z" * 16), edge.sequence, bench.now)
    assert bench.one in bench.verdicts
    assert edge.ground is Ground.REPLACED, "whatever failed before"


def test_an_answer_after_the_verdict_takes_nothing_back() -> None:
    bench = Bench()
    bench.run(20.0)
    bench.subjects[bench.one].silent_from = bench.now
    bench.until_verdict(bench.one)
    bench.subjects[bench.one].silent_from = inf
    bench.run(1.5)
    edge = bench.edge(bench.one)
    assert edge.acked
    assert edge.faulty, "the window still holds four failures"
    assert edge.ground is Ground.SILENT
