"""What others are told before and after what runs on the leader has ended."""

from __future__ import annotations

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

import rapid
from rapid import Change, Evicted, FencingToken, QuorumLost, ViewChange, ViewsSkipped
from tests.runtime.reactor_loop import until

from .stage import CLUSTER, LOSER, ME, WINNER, Office, Stage, change, following, token, view


@pytest.mark.parametrize(
    "end", [change(2, WINNER), QuorumLost(1), Evicted(CLUSTER, 2), ViewsSkipped(view(3), 1)]
)
async def test_others_are_told_of_the_end_after_it(stage: Stage, office: Office, end: Change) -> None:
    stage.tell(change(1))
    office.may_end.clear()
    async with rapid.singleton(stage, office), following(stage) as told:
        await until(lambda: office.running and told)
        late = stage.feed.reader()
        stage.tell(end)
        await until(lambda: len(late._waiting) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert end not in told
        assert office.running
        office.may_end.set()
        running: list[bool] = []
        async for item in late:
            if item == end:
                running.append(office.running and len(office.tokens) == 1)
                break
        assert running == [False]
        await until(lambda: end in told)


async def test_readers_on_other_threads_are_told_after_it_too(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    running: list[bool] = []
    reading = threading.Event()

    async def read() -> None:
        async for item in stage.feed.reader():
            reading.set()
            if item == change(2, WINNER):
                running.append(office.running)
                return

    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        thread = threading.Thread(target=lambda: asyncio.run(read()))
        thread.start()
        await asyncio.to_thread(reading.wait)
        stage.tell(change(2, WINNER))
        await asyncio.to_thread(thread.join)
    assert running == [False]


async def test_it_may_follow_the_changes_itself(stage: Stage) -> None:
    stage.tell(change(1))
    seen: list[Change] = []

    async def run(token: FencingToken) -> None:
        async for item in stage.feed.reader():
            seen.append(item)

    async with rapid.singleton(stage, run), following(stage) as told:
        await until(lambda: seen)
        stage.tell(change(2, LOSER))
        await until(lambda: change(2, LOSER) in seen)
        stage.tell(change(3, WINNER))
        await until(lambda: change(3, WINNER) in told)
    assert seen == [ViewChange(view(1), (ME,), ()), change(2, LOSER)]


async def test_one_that_does_not_end_holds_the_others_up_for_its_grace_only(
    stage: Stage, office: Office
) -> None:
    stage.tell(change(1))
    office.may_end.clear()
    with capture_logs() as logs:
        async with rapid.singleton(stage, office, grace=0.05), following(stage) as told:
            await until(lambda: office.running)
            stage.tell(change(2, WINNER))
            await until(lambda: change(2, WINNER) in told)
            assert office.running
            # in the next term it is not called before the earlier call is over
            stage.tell(change(3), change(4, WINNER), change(5))
            await until(lambda: change(5) in told)
            assert office.tokens == [token(1)]
            office.may_end.set()
            await until(lambda: len(office.tokens) == 2)
    assert office.tokens == [token(1), token(5)]
    [entry] = [log for log in logs if "does not end" in log["event"]]
    assert entry["grace"] == 0.05


async def test_the_block_ends_after_it(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    ended = asyncio.Event()

    async def block() -> None:
        async with rapid.singleton(stage, office, grace=0.01):
            await until(lambda: office.running)
        ended.set()

    office.may_end.clear()
    task = asyncio.create_task(block())
    await until(lambda: stage.feed._firsts)
    await until(lambda: not stage.feed._firsts)
    assert office.running
    assert not ended.is_set()
    office.may_end.set()
    await task
    assert not office.running
