"""Reports for many readers."""

from __future__ import annotations

import asyncio
from typing import Any

from rapid.agent.events import Events

FOREVER = 3600.0


def report(number: int) -> dict[str, Any]:
    return {"t": 0.0, "event": "view", "version": number}


async def read(events: Events, after: int = 0) -> list[tuple[int, Any]]:
    return [
        (number, None if news is None else news.get("version", news.get("skipped")))
        async for number, news in events.follow(after, FOREVER)
    ]


async def test_every_reader_is_given_every_report_in_order() -> None:
    events = Events()
    events.append(report(1))
    readers = [asyncio.create_task(read(events)), asyncio.create_task(read(events, after=1))]
    await asyncio.sleep(0)
    for number in (2, 3):
        events.append(report(number))
        await asyncio.sleep(0)
    events.close()
    assert await asyncio.gather(*readers) == [[(1, 1), (2, 2), (3, 3)], [(2, 2), (3, 3)]]
    assert await read(events, after=2) == [(3, 3)]


async def test_a_reader_that_is_too_late_is_told_how_many_are_gone() -> None:
    events = Events(kept=3)
    for number in range(1, 11):
        events.append(report(number))
    events.close()
    assert [events.holds(number) for number in (0, 6, 7, 10, 11)] == [False, False, True, True, False]
    assert await read(events, after=2) == [(7, 5), (8, 8), (9, 9), (10, 10)]


async def test_a_reader_falls_behind_while_it_reads() -> None:
    events = Events(kept=2)
    events.append(report(1))
    reading = events.follow(0, FOREVER)
    assert (await anext(reading))[0] == 1
    for number in (2, 3, 4, 5):
        events.append(report(number))
    number, news = await anext(reading)
    assert news is not None
    assert (number, news["event"], news["skipped"]) == (3, "reports skipped", 2)
    assert (await anext(reading))[0] == 4


async def test_silence_is_broken() -> None:
    events = Events()
    events.append(report(1))
    reading = events.follow(1, 0.01)
    assert await anext(reading) == (1, None)
    assert await anext(reading) == (1, None)
