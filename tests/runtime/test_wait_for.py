"""Waiting for a view: what comes in time, what does not, and what ends the wait."""

from __future__ import annotations

import asyncio

import pytest

import rapid
from rapid import Cluster, Settings, View

from .reactor_loop import until

ANY = "127.0.0.1:0"


async def test_it_waits_for_a_view_of_some_size_or_kind() -> None:
    async with Cluster(ANY, settings=Settings.local()) as a:
        assert await a.wait_for(1) == a.view
        waiting = asyncio.create_task(a.wait_for(2))
        picky = asyncio.create_task(a.wait_for(predicate=lambda view: view.size == 2))
        async with Cluster(ANY, seeds=[a.endpoint], settings=Settings.local()) as b:
            assert (await waiting).size == 2
            assert b.endpoint in await picky
        with pytest.raises(rapid.WaitTimeout, match="1 members at version 3, and it was not of 5 members"):
            await a.wait_for(5, timeout=0.01)
        with pytest.raises(TimeoutError, match="the predicate did not hold within 0.01 s"):
            await a.wait_for(1, timeout=0.01, predicate=lambda view: False)
        with pytest.raises(TimeoutError, match="^mine$"):
            await a.wait_for(timeout=10, predicate=_that_raises)
        waiting = asyncio.create_task(a.wait_for(2))
        await until(lambda: a._feed.awaited)
    with pytest.raises(rapid.StateError, match="closed before"):
        await waiting
    with pytest.raises(rapid.StateError):
        await Cluster(ANY).wait_for(1)


def _that_raises(view: View) -> bool:
    raise TimeoutError("mine")
