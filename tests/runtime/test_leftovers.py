"""A process may start and end any number of members, and wait any number of times: nothing is left of it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections import Counter

import pytest

import rapid
from rapid import Cluster, Settings, blocking
from rapid.runtime import process_exit
from rapid.runtime.membership import Membership

from .reactor_loop import until

ANY = "127.0.0.1:0"
LOCAL = Settings.local()


VALUES = ("rapid.protocol.messages", "rapid.protocol.outputs")
"""The codec remembers some of them, up to a limit."""


def ours() -> Counter[str]:
    """How many objects there are of the types that a running member consists of."""
    gc.collect()
    return Counter(type(thing).__qualname__ for thing in gc.get_objects() if _is_state(thing))


def _is_state(thing: object) -> bool:
    module = str(getattr(type(thing), "__module__", ""))
    return module.startswith(("rapid.runtime.", "rapid.protocol.")) and module not in VALUES


async def once(founder: Cluster) -> weakref.ref[Membership]:
    async with Cluster(ANY, seeds=[founder.endpoint], settings=LOCAL) as member:
        seen: list[rapid.Change] = []
        end = member.subscribe(seen.append)
        member.subscribe(seen.append)
        changes = member.changes()
        await member.wait_for(2)
        with pytest.raises(rapid.WaitTimeout):
            await member.wait_for(9, timeout=0)
        await anext(changes)
        end()
        assert member._membership is not None
        return weakref.ref(member._membership)


async def test_nothing_is_left_of_members_that_have_ended() -> None:
    async with Cluster(ANY, settings=LOCAL) as founder:
        for _ in range(3):
            await once(founder)
        await until(lambda: founder.view.size == 1)
        before, registered = ours(), len(process_exit._members)
        ended = [await once(founder) for _ in range(12)]
        await until(lambda: founder.view.size == 1)
        # the streams of both sides end soon after
        await until(lambda: gc.collect() >= 0 and not [one for one in ended if one() is not None])
        assert len(process_exit._members) == registered
        await until(lambda: not ours() - before)


async def test_waits_that_time_out_leave_nothing_at_the_member() -> None:
    async with Cluster(ANY, settings=LOCAL) as cluster:
        changes = cluster.changes()
        await anext(changes)
        feed = cluster._feed
        for _ in range(300):
            with pytest.raises(rapid.WaitTimeout):
                await cluster.wait_for(2, timeout=0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(changes)
        gc.collect()
        assert not feed.awaited
        assert len(feed._readers) == 1


def test_blocking_waits_that_time_out_leave_nothing_at_the_member() -> None:
    with blocking.Cluster(ANY, settings=LOCAL) as cluster:
        threads = threading.active_count()
        for _ in range(30):
            with pytest.raises(rapid.WaitTimeout):
                cluster.wait_for(2, timeout=0)
        ends = [cluster.subscribe(lambda change: None) for _ in range(10)]
        for end in ends:
            end()
        deadline = threading.Event()
        while threading.active_count() > threads:
            deadline.wait(0.01)
        gc.collect()
        assert not cluster._cluster._feed.awaited
        assert not list(cluster._cluster._feed._readers)
