"""What runs on the leader fails, or the block around it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

import rapid
from rapid import Cluster, FencingToken, Member
from tests.runtime.reactor_loop import until

from .stage import ANY, LOSER, WINNER, Office, Stage, change, following, token


async def test_what_fails_is_run_again_until_it_does_not(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    office.failing = [ZeroDivisionError(), asyncio.CancelledError(), OSError("no disk")]
    with capture_logs() as logs:
        async with rapid.singleton(stage, office, retry=0.001):
            await until(lambda: len(office.tokens) == 4)
            assert office.running
            stage.tell(change(2, LOSER))
            office.returns.set()
            await until(lambda: not office.running)
    assert office.tokens == [token(1)] * 4
    failures = [type(log["exc_info"]) for log in logs]
    assert failures == [ZeroDivisionError, rapid.StateError, OSError]


async def test_a_retry_has_the_token_of_the_newest_view(stage: Stage) -> None:
    stage.tell(change(1))
    tokens = []
    fail = asyncio.Event()

    async def run(token: FencingToken) -> None:
        tokens.append(token)
        await fail.wait()
        if len(tokens) < 2:
            raise OSError

    async with rapid.singleton(stage, run, retry=0.001), following(stage) as told:
        await until(lambda: tokens)
        stage.tell(change(2, LOSER))
        await until(lambda: change(2, LOSER) in told)
        fail.set()
        await until(lambda: len(tokens) == 2)
    assert tokens == [token(1), token(2)]


async def test_a_term_may_end_between_two_tries(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    office.failing = [OSError()]
    async with rapid.singleton(stage, office, retry=1000.0), following(stage) as told:
        await until(lambda: office.tokens and not office.running)
        stage.tell(change(2, WINNER), change(3))
        await until(lambda: change(3) in told and office.running)
    assert office.tokens == [token(1), token(3)]


async def test_one_that_fails_when_it_is_cancelled_is_over(stage: Stage) -> None:
    stage.tell(change(1))
    tokens = []

    async def run(token: FencingToken) -> None:
        tokens.append(token)
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the disk is full")

    with capture_logs() as logs:
        async with rapid.singleton(stage, run, retry=1000.0), following(stage) as told:
            await until(lambda: tokens)
            stage.tell(change(2, WINNER))
            await until(lambda: change(2, WINNER) in told)
    assert tokens == [token(1)]
    assert ["end of its term" in log["event"] for log in logs] == [True]


@pytest.mark.parametrize("error", [OSError("no disk"), asyncio.CancelledError()])
async def test_a_failure_may_end_the_block(stage: Stage, office: Office, error: BaseException) -> None:
    stage.tell(change(1))
    office.failing = [error]
    cancelled = False

    async def block() -> None:
        nonlocal cancelled
        async with rapid.singleton(stage, office, retry=None):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled = True

    with pytest.raises(rapid.StateError if isinstance(error, asyncio.CancelledError) else OSError):
        await block()
    assert cancelled
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert not stage.feed._firsts


async def test_an_error_in_the_block_comes_out_as_it_is(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    async def block() -> None:
        async with rapid.singleton(stage, office):
            await until(lambda: office.running)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await block()
    assert not office.running


async def test_the_block_may_be_cancelled(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    async def block() -> None:
        async with rapid.singleton(stage, office):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await until(lambda: office.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not office.running
    assert not stage.feed._firsts


async def test_a_predicate_that_fails_ends_the_block(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    def where(member: Member) -> bool:
        raise KeyError(member)

    with pytest.raises(KeyError):
        async with rapid.singleton(stage, office, where=where):
            await asyncio.Event().wait()


async def test_a_member_that_fails_ends_the_block(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    async def block() -> None:
        async with rapid.singleton(stage, office):
            await until(lambda: office.running)
            stage.feed.close(ZeroDivisionError())
            await asyncio.Event().wait()

    with pytest.raises(rapid.StateError, match="the member failed"):
        await block()
    assert not office.running


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("retry", {"retry": 0.0}),
        ("retry", {"retry": 3600.0}),
        ("grace", {"grace": 0.0}),
        ("grace", {"grace": -1.0}),
    ],
)
async def test_times_that_are_none(stage: Stage, office: Office, field: str, options: dict[str, Any]) -> None:
    with pytest.raises(rapid.SettingsError, match=f"^{field}: "):
        rapid.singleton(stage, office, **options)


async def test_it_is_entered_once_and_after_the_start(stage: Stage, office: Office) -> None:
    single = rapid.singleton(stage, office)
    async with single:
        pass
    with pytest.raises(rapid.StateError, match="once"):
        await single.__aenter__()
    with pytest.raises(rapid.StateError, match="start"):
        async with rapid.singleton(Cluster(ANY), office):
            pass
