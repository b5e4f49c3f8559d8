"""What the application's own code raises, whatever it is, ends nothing but that call."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

import rapid
from rapid import Cluster, Settings, blocking
from rapid.detection.judge import Judge, Windowed
from rapid.runtime.contained import JUDGE_REPLACED, ContainedJudge
from rapid.view import ViewChange

from .reactor_loop import until

ANY = "127.0.0.1:0"
LOCAL = Settings.local()


class Odd(BaseException):
    """Of the application's own."""


ERRORS = [ValueError, asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit, Odd]


async def awaits_what_was_cancelled(_: object = None) -> None:
    job = asyncio.ensure_future(asyncio.sleep(10))
    job.cancel()
    await job


def raising(error: type[BaseException]) -> Callable[..., Any]:
    def call(*_: object) -> None:
        raise error

    return call


def raising_later(error: type[BaseException]) -> Callable[..., Any]:
    async def call(*_: object) -> None:
        await asyncio.sleep(0)
        raise error

    return call


async def joins_and_leaves(cluster: Cluster, times: int = 2) -> None:
    for _ in range(times):
        async with Cluster(ANY, seeds=[cluster.endpoint], settings=LOCAL):
            pass


@pytest.mark.parametrize(
    "raises",
    [*map(raising, ERRORS), *map(raising_later, ERRORS), awaits_what_was_cancelled],
    ids=[f"{when}{error.__name__}" for when in ("", "later ") for error in ERRORS] + ["awaited"],
)
async def test_a_subscriber_is_called_with_each_change_whatever_it_raises(raises: Callable[..., Any]) -> None:
    seen: list[rapid.Change] = []

    def callback(change: rapid.Change) -> Any:
        seen.append(change)
        return raises(change)

    async with Cluster(ANY, settings=LOCAL) as cluster:
        with capture_logs() as logs:
            cluster.subscribe(callback)
            await joins_and_leaves(cluster)
            await until(lambda: len(seen) == 5)
            await until(lambda: cluster.stats["callbacks failed"] == 5)
        failed = [line for line in logs if line["event"] == "a subscriber's callback failed"]
        assert len(failed) == 5


@pytest.mark.parametrize("error", ERRORS)
def test_a_blocking_subscriber_is_called_with_each_change_whatever_it_raises(
    error: type[BaseException],
) -> None:
    seen: list[rapid.Change] = []
    enough = threading.Event()

    def callback(change: rapid.Change) -> None:
        seen.append(change)
        if len(seen) == 3:
            enough.set()
        raise error

    with blocking.Cluster(ANY, settings=LOCAL) as cluster:
        cluster.subscribe(callback)
        with blocking.Cluster(ANY, seeds=[cluster.endpoint], settings=LOCAL):
            pass
        assert enough.wait(15)


async def test_a_subscription_whose_task_is_cancelled_ends_though_its_callback_raises_for_that() -> None:
    entered = asyncio.Event()

    async def callback(change: rapid.Change) -> None:
        entered.set()
        try:
            await asyncio.sleep(60)
        finally:
            raise OSError("of the clean-up")

    async with Cluster(ANY, settings=LOCAL) as cluster:
        before = asyncio.all_tasks()
        cluster.subscribe(callback)
        await entered.wait()
        (task,) = asyncio.all_tasks() - before
        task.cancel()
        await asyncio.wait([task])


def test_a_loop_that_ends_ends_its_subscriptions() -> None:
    program = (
        "import asyncio, rapid\n"
        "async def main():\n"
        "    cluster = rapid.Cluster('127.0.0.1:0', settings=rapid.Settings.local())\n"
        "    await cluster.start()\n"
        "    entered = asyncio.Event()\n"
        "    async def callback(change):\n"
        "        entered.set()\n"
        "        await asyncio.sleep(60)\n"
        "    cluster.subscribe(callback)\n"
        "    await entered.wait()\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 0


@pytest.mark.parametrize("error", ERRORS)
async def test_a_seed_provider_may_raise_anything(error: type[BaseException]) -> None:
    async with Cluster(ANY, settings=LOCAL) as founder:
        asked = 0

        async def provide() -> list[rapid.Endpoint]:
            nonlocal asked
            asked += 1
            if asked < 3:
                raise error
            return [founder.endpoint]

        async with Cluster(ANY, seeds=provide, settings=LOCAL) as joiner:
            assert joiner.view.size == 2
            assert joiner.stats["seed look-ups failed"] == 2


@pytest.mark.parametrize("error", ERRORS)
async def test_a_prober_may_raise_anything(error: type[BaseException]) -> None:
    """It counts as a failed probe; nothing else ends."""
    patient = Settings.local(failures=10)
    async with (
        Cluster(ANY, settings=patient) as a,
        Cluster(ANY, seeds=[a.endpoint], settings=patient, prober=raising_later(error)) as b,
    ):
        await until(lambda: b.stats["checks raised"] >= 2)
        assert b.view.size == 2


class Strange:
    """A judge that raises."""

    def __init__(self, error: type[BaseException], where: str) -> None:
        self.error, self.where = error, where
        if where == "made":
            raise error

    def record(self, answered: bool, now: float) -> None:
        if self.where == "record":
            raise self.error

    @property
    def faulty(self) -> bool:
        if self.where == "faulty":
            raise self.error
        return False


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", ["made", "record", "faulty"])
def test_the_default_judge_stands_in_for_one_that_raises(error: type[BaseException], where: str) -> None:
    failures = 0

    def failed() -> bool:
        nonlocal failures
        failures += 1
        return failures == 1

    with capture_logs() as logs:
        judge = ContainedJudge(lambda: Strange(error, where), Windowed(10, 4), failed)
        verdicts = []
        for now in range(6):
            judge.record(False, float(now))
            verdicts.append(judge.faulty)
    assert failures == 1
    assert [line["event"] for line in logs] == [JUDGE_REPLACED]
    assert verdicts[-1] is True


async def test_members_whose_judges_raise_still_find_out_who_has_failed() -> None:
    made = 0

    def make() -> Judge:
        nonlocal made
        made += 1
        if made > 1:
            raise SystemExit
        return Windowed(10, 4)()

    async with Cluster(ANY, settings=LOCAL, judge=make) as a:
        made = 1
        b = Cluster(ANY, seeds=[a.endpoint], settings=LOCAL)
        c = Cluster(ANY, seeds=[a.endpoint], settings=LOCAL)
        await b.start()
        await c.start()
        await a.wait_for(3)
        await c.close()
        await a.wait_for(predicate=lambda view: view.size == 2, timeout=30)
        assert a.stats["judges replaced"] >= 1
        await b.leave()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, Odd])
async def test_what_a_singleton_runs_may_raise_anything(error: type[BaseException]) -> None:
    calls = 0

    async def run(token: rapid.FencingToken) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise error

    async with Cluster(ANY, settings=LOCAL) as cluster:
        with capture_logs() as logs:
            async with rapid.singleton(cluster, run, retry=0.001):
                await until(lambda: calls == 3)
        assert [line["event"] for line in logs] == ["a singleton failed and is run again"] * 2


async def test_a_singletons_condition_that_raises_is_raised_from_its_block() -> None:
    async with Cluster(ANY, settings=LOCAL) as cluster:

        async def hold() -> None:
            async with rapid.singleton(
                cluster, raising_later(ValueError), where=raising(asyncio.CancelledError)
            ):
                await asyncio.sleep(60)

        with pytest.raises(rapid.StateError, match="CancelledError"):
            await hold()


async def test_a_subscription_that_was_ended_takes_no_more_and_is_not_kept() -> None:
    async with Cluster(ANY, settings=LOCAL) as cluster:
        seen: list[rapid.Change] = []
        end = cluster.subscribe(seen.append)
        await until(lambda: seen)
        end()
        await joins_and_leaves(cluster, 1)
        assert len(seen) == 1
        assert isinstance(seen[0], ViewChange)
        assert not list(cluster._feed._readers)
