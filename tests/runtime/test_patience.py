"""A limit to waits in turn."""

from __future__ import annotations

import asyncio

import pytest

from rapid.runtime.patience import Patience


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_wait_that_takes_too_long_is_ended() -> None:
    patience = Patience(0.01)
    for _ in range(2):
        with pytest.raises(TimeoutError), patience:
            await forever()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_waits_in_turn_have_each_their_time() -> None:
    loop = asyncio.get_running_loop()
    patience = Patience(0.2)
    began = loop.time()
    for _ in range(8):
        with patience:
            await asyncio.sleep(0.05)
    assert loop.time() - began > patience.seconds
    began = loop.time()
    with pytest.raises(TimeoutError), patience:
        await forever()
    assert loop.time() - began >= patience.seconds


async def test_what_ends_by_itself_is_left_alone() -> None:
    patience = Patience(0.01)
    with pytest.raises(ValueError, match="its own"), patience:
        raise ValueError("its own")
    # the timer finds nobody waiting
    await asyncio.sleep(0.03)
    with patience:
        assert await asyncio.sleep(0, "value") == "value"


async def test_who_cancels_the_task_is_heard() -> None:
    patience = Patience(60)

    async def wait() -> None:
        with patience:
            await forever()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    patience.close()


async def test_a_closed_one_has_no_timer() -> None:
    patience = Patience(0.01)
    with patience:
        await asyncio.sleep(0)
    patience.close()
    patience.close()
    assert patience._timer is None
