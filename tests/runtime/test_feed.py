"""Every view once, in order; a slow reader costs a bounded buffer and nobody else's time."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from rapid.errors import StateError
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.runtime.feed import Changes, Feed
from rapid.view import Change, Evicted, QuorumLost, QuorumRestored, View, ViewChange, ViewsSkipped

MEMBER = Member(Endpoint("a", 1), NodeId(b"n" * 16))


def view(version: int) -> View:
    return View("c" * 32, version, "d" * 32, (MEMBER,))


def change(version: int) -> ViewChange:
    return ViewChange(view(version), (), ())


async def rest(feed: Feed, *readers: object) -> list[list[Change]]:
    feed.close(None)
    return [[item async for item in reader] for reader in readers]  # type: ignore[attr-defined]  # Changes


async def test_a_reader_is_given_the_view_as_it_is_and_then_every_change() -> None:
    feed = Feed()
    early = feed.reader()
    feed.publish(change(1))
    late = feed.reader()
    feed.publish(change(2))
    feed.publish(Evicted("c" * 32, 3))
    one, two = await rest(feed, early, late)
    assert one == [change(1), change(2), Evicted("c" * 32, 3)]
    assert two == [ViewChange(view(1), (MEMBER,), ()), change(2), Evicted("c" * 32, 3)]


async def test_a_slow_reader_is_given_one_skip_with_the_newest_view() -> None:
    feed = Feed(buffer=4)
    slow = feed.reader()
    for version in range(1, 6):
        feed.publish(change(version))
    feed.publish(change(6))
    [items] = await rest(feed, slow)
    assert items == [ViewsSkipped(view(5), 4), change(6)]


async def test_skips_add_up() -> None:
    feed = Feed(buffer=3)
    slow = feed.reader()
    for version in range(1, 9):
        feed.publish(QuorumLost(version))
        feed.publish(change(version))
    [items] = await rest(feed, slow)
    views = [item for item in items if isinstance(item, ViewChange | ViewsSkipped)]
    told = sum(item.skipped + 1 if isinstance(item, ViewsSkipped) else 1 for item in views)
    assert told == 8
    assert views[-1].view == view(8)


async def test_readers_on_two_loops_at_once() -> None:
    feed = Feed()
    far: list[Change] = []
    near: list[Change] = []
    reading = threading.Event()

    async def read(into: list[Change]) -> None:
        reader = feed.reader()
        reading.set()
        async for item in reader:
            into.append(item)

    other = threading.Thread(target=lambda: asyncio.run(read(far)))
    other.start()
    here = asyncio.create_task(read(near))
    await asyncio.sleep(0)
    await asyncio.to_thread(reading.wait)
    for version in range(1, 200):
        feed.publish(change(version))
        await asyncio.sleep(0)
    feed.close(None)
    await here
    await asyncio.to_thread(other.join)
    assert near == [change(version) for version in range(1, 200)]
    versions = [item.view.version for item in far if isinstance(item, ViewChange)]
    assert versions == list(range(versions[0], 200))
    assert len(versions) == len(far)


async def test_a_reader_on_a_closed_loop_hurts_nobody() -> None:
    feed = Feed()
    reader = feed.reader()

    async def wait_a_little() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(reader)

    await asyncio.to_thread(lambda: asyncio.run(wait_a_little()))
    feed.publish(change(1))
    assert await anext(reader) == change(1)


async def test_an_abandoned_reader_is_not_fed() -> None:
    feed = Feed()
    reader = feed.reader()
    feed.publish(change(1))
    await anext(reader)
    del reader
    gc.collect()
    assert len(feed._readers) == 0


async def test_a_failure_is_raised_after_what_came_before() -> None:
    feed = Feed()
    reader = feed.reader()
    feed.publish(change(1))
    feed.close(ZeroDivisionError("the core"))
    assert await anext(reader) == change(1)
    with pytest.raises(StateError, match="the member failed: ZeroDivisionError"):
        await anext(reader)


# what was told since the view


async def test_a_late_reader_is_told_what_the_view_has_met_with() -> None:
    feed = Feed()
    feed.publish(change(1))
    feed.publish(QuorumLost(1))
    lost = feed.reader()
    feed.publish(change(2))
    feed.publish(QuorumRestored(2))
    restored = feed.reader()
    feed.publish(Evicted("c" * 32, 3))
    evicted = feed.reader()
    now = ViewChange(view(2), (MEMBER,), ())
    at_the_end = Evicted("c" * 32, 3)
    assert await rest(feed, lost, restored, evicted) == [
        [ViewChange(view(1), (MEMBER,), ()), QuorumLost(1), change(2), QuorumRestored(2), at_the_end],
        [now, at_the_end],
        [now, at_the_end],
    ]


# those that come first


def waits(reader: Changes) -> bool:
    """Whether it would have to wait for its next change."""
    with reader._feed.lock:
        return not reader.ended and reader.take() is None


async def test_others_are_given_a_change_once_the_first_comes_back_for_the_next() -> None:
    feed = Feed()
    early = feed.reader()
    first = feed.reader(first=True)
    feed.publish(change(1))
    late = feed.reader()
    assert waits(early)
    assert waits(late)
    assert await anext(first) == change(1)
    assert waits(early)
    assert waits(late)
    other = asyncio.create_task(anext(early))
    back = asyncio.create_task(anext(first))
    assert await other == change(1)
    assert await anext(late) == ViewChange(view(1), (MEMBER,), ())
    feed.publish(change(2))
    assert await back == change(2)
    assert waits(early)


async def test_first_ones_do_not_wait_for_each_other_and_the_rest_for_all_of_them() -> None:
    feed = Feed()
    one, two, other = feed.reader(first=True), feed.reader(first=True), feed.reader()
    feed.publish(change(1))
    feed.publish(change(2))
    assert [await anext(one), await anext(one)] == [change(1), change(2)]
    assert await anext(two) == change(1)
    assert waits(other)
    assert await anext(two) == change(2)
    assert await anext(other) == change(1)
    assert waits(other)
    two.close()
    assert waits(other)
    one.close()
    assert await anext(other) == change(2)


async def test_a_first_reader_that_joins_late_holds_nothing_back_that_was_told_before() -> None:
    feed = Feed()
    other = feed.reader()
    feed.publish(change(1))
    first = feed.reader(first=True)
    assert await anext(other) == change(1)
    assert await anext(first) == ViewChange(view(1), (MEMBER,), ())


async def test_the_end_comes_after_what_is_held_back() -> None:
    feed = Feed()
    first, other = feed.reader(first=True), feed.reader()
    feed.publish(change(1))
    feed.close(None)
    assert waits(other)
    assert [item async for item in first] == [change(1)]
    assert [item async for item in other] == [change(1)]


async def test_what_is_held_back_is_bounded_too() -> None:
    feed = Feed(buffer=4)
    first, other = feed.reader(first=True), feed.reader()
    for version in range(1, 6):
        feed.publish(change(version))
    assert waits(other)
    first.close()
    assert await anext(other) == ViewsSkipped(view(5), 4)


async def test_those_that_come_first_end_before_a_member_leaves() -> None:
    feed = Feed()
    feed.publish(change(1))
    first, other = feed.reader(first=True), feed.reader()
    gone = feed.dismiss()
    assert not gone.done()
    assert [item async for item in first] == []
    assert not gone.done()
    first.close()
    assert gone.done()
    assert feed.dismiss().done()
    feed.publish(change(2))
    assert [item async for item in feed.reader(first=True)] == []
    assert await anext(other) == ViewChange(view(1), (MEMBER,), ())
    assert await anext(other) == change(2)


async def test_a_reader_that_is_closed_while_it_waits_ends() -> None:
    feed = Feed()
    reader = feed.reader()
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    reader.close()
    with pytest.raises(StopAsyncIteration):
        await waiting
    reader.close()
    feed.publish(change(1))
    assert [item async for item in reader] == []


async def test_a_wait_that_was_cancelled_leaves_nothing_behind() -> None:
    feed = Feed()
    feed.publish(change(1))
    reader = feed.reader()
    await anext(reader)
    for _ in range(100):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(reader)
    assert not reader._wakers
    assert not feed.awaited
    waiting = [asyncio.ensure_future(anext(reader)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait(waiting[:1])
    assert reader in feed.awaited, "the others still wait"
    feed.publish(change(2))
    feed.publish(change(3))
    assert await asyncio.gather(*waiting[1:]) == [change(2), change(3)]
    assert not reader._wakers
    assert not feed.awaited


async def test_a_change_that_comes_as_its_wait_is_cancelled_is_given_to_the_next_one() -> None:
    feed = Feed()
    feed.publish(change(1))
    reader = feed.reader()
    await anext(reader)
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    feed.publish(change(2))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await anext(reader) == change(2)
