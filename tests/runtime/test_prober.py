"""The application's own checks: what counts as an answer, and that they hold nothing up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from rapid import Endpoint, Member, NodeId
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId
from rapid.runtime.prober import Checks, Prober

from .reactor_loop import until


def member(number: int, life: int = 0) -> Member:
    return Member(Endpoint("10.0.0.1", 7000 + number), NodeId(bytes([life] * 16)), {"health": "8080"})


A, B = member(1), member(2)


class Bench:
    """Checks of one prober, and what became of them."""

    def __init__(self, prober: Prober, timeout: float = 10.0) -> None:
        self.done: list[tuple[Member, int, bool]] = []
        self.stats = Counter[str]()
        self.checks = Checks(prober, timeout, lambda *outcome: self.done.append(outcome), self.stats)

    async def outcomes(self, *asked: tuple[Member, int]) -> list[bool]:
        """Ask for these one after the other, each when the one before has come to an end."""
        for member, sequence in asked:
            so_far = len(self.done)
            self.checks.begin(member, sequence)
            await until(lambda: len(self.done) > so_far)  # noqa: B023 - awaited within the turn
        return [passed for _, _, passed in self.done[-len(asked) :]]


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_member_is_given_and_its_answer_passed_on() -> None:
    asked = []

    async def prober(member: Member) -> bool:
        asked.append(member)
        return member == A

    bench = Bench(prober)
    assert await bench.outcomes((A, 7), (B, 8)) == [True, False]
    assert bench.done == [(A, 7, True), (B, 8, False)]
    assert asked[0].metadata == {"health": "8080"}
    assert bench.stats == {"checks passed": 1, "checks failed": 1}


@pytest.mark.parametrize("error", [OSError, asyncio.CancelledError])
async def test_an_exception_is_a_failure_that_is_logged_once_for_a_member(error: type[BaseException]) -> None:
    async def prober(member: Member) -> bool:
        raise error("connection refused")

    bench = Bench(prober)
    with capture_logs() as logs:
        assert await bench.outcomes((A, 1), (A, 2), (B, 3), (A, 4)) == [False] * 4
    assert [(entry["log_level"], entry["member"]) for entry in logs] == [
        ("warning", "10.0.0.1:7001"),
        ("warning", "10.0.0.1:7002"),
    ]
    assert "connection refused" in logs[0]["reason"]
    assert isinstance(logs[0]["exc_info"], error)
    assert bench.stats == {"checks raised": 4}


@pytest.mark.parametrize("answer", [None, 1, "yes"])
async def test_an_answer_that_is_no_bool_is_a_failure(answer: object) -> None:
    async def prober(member: Member) -> bool:
        return answer  # type: ignore[return-value]  # that is the point

    bench = Bench(prober)
    with capture_logs() as logs:
        assert await bench.outcomes((A, 1)) == [False]
    assert repr(answer) in logs[0]["reason"]
    assert bench.stats == {"checks raised": 1}


async def test_a_prober_that_is_not_async_is_a_failure_that_is_logged() -> None:
    bench = Bench(lambda member: True)  # type: ignore[arg-type, return-value]  # that is the point
    with capture_logs() as logs:
        assert await bench.outcomes((A, 1)) == [False]
    assert "await" in logs[0]["reason"]


async def test_what_takes_too_long_is_cancelled_and_a_failure() -> None:
    ended = []

    async def prober(member: Member) -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(member)
        return True

    bench = Bench(prober, timeout=0.01)
    with capture_logs() as logs:
        assert await bench.outcomes((A, 1), (A, 2)) == [False, False]
    assert ended == [A, A]
    assert [entry["reason"] for entry in logs] == ["it took longer than 0.01 s"]
    assert bench.stats == {"checks late": 2}


async def test_a_timeout_of_its_own_is_its_own() -> None:
    async def prober(member: Member) -> bool:
        raise TimeoutError("no answer from the database")

    bench = Bench(prober)
    with capture_logs() as logs:
        assert await bench.outcomes((A, 1)) == [False]
    assert "no answer from the database" in logs[0]["reason"]
    assert bench.stats == {"checks raised": 1}


async def test_slow_checks_of_different_members_run_beside_each_other() -> None:
    both = asyncio.Barrier(2)

    async def prober(member: Member) -> bool:
        await both.wait()
        return True

    bench = Bench(prober)
    bench.checks.begin(A, 1)
    bench.checks.begin(B, 2)
    await until(lambda: len(bench.done) == 2)


async def test_a_newer_check_of_a_member_takes_the_place_of_the_one_before() -> None:
    running = 0
    most = 0

    async def prober(member: Member) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            if not bench.stats["go"]:
                await asyncio.Event().wait()
        finally:
            running -= 1
        return True

    bench = Bench(prober)
    bench.checks.begin(A, 1)
    await until(lambda: running)
    bench.checks.begin(A, 2)
    bench.checks.begin(A, 3)
    bench.stats["go"] = 1
    await until(lambda: bench.done)
    assert bench.done == [(A, 3, True)]
    assert most == 1


async def test_a_prober_that_will_not_end_holds_up_nobody_else() -> None:
    release = asyncio.Event()

    async def prober(member: Member) -> bool:
        while member == A and not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return True

    bench = Bench(prober, timeout=0.01)
    bench.checks.begin(A, 1)
    assert await bench.outcomes((B, 2), (B, 3)) == [True, True]
    bench.checks.begin(A, 4)
    with capture_logs() as logs:
        await bench.checks.close()
    assert [entry["event"] for entry in logs] == ["probers did not end when they were cancelled"]
    release.set()
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert [number for _, number, _ in bench.done] == [2, 3]


async def test_close_ends_what_is_running_and_nothing_is_told_after() -> None:
    async def prober(member: Member) -> bool:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return True
        return True

    bench = Bench(prober)
    bench.checks.begin(A, 1)
    await asyncio.sleep(0)
    bench.checks.begin(A, 2)
    await bench.checks.close()
    bench.checks.begin(B, 3)
    await bench.checks.close()
    assert bench.done == []


async def test_who_is_gone_is_forgotten() -> None:
    async def prober(member: Member) -> bool:
        raise OSError

    bench = Bench(prober)
    await bench.outcomes((A, 1), (B, 2))
    restarted = member(2, life=1)
    bench.checks.forget_strangers(Configuration.of(ClusterId(bytes(16)), 2, [A, restarted], 10))
    with capture_logs() as logs:
        await bench.outcomes((A, 3), (B, 4), (restarted, 5))
    assert [entry["member"] for entry in logs] == ["10.0.0.1:7002", "10.0.0.1:7002"]
