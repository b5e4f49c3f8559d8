"""What happens, for any number of readers on one event loop, each at its own pace."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from rapid.agent.reports import Report, now

KEPT = 1024
"""Reports that are kept for readers who are slow, or were gone for a moment."""


class Events:
    """Reports in order, numbered from 1; the last ``kept`` can still be read."""

    def __init__(self, kept: int = KEPT) -> None:
        self._reports: deque[Report] = deque(maxlen=kept)
        self.last = 0
        """The number of the newest."""
        self._closed = False
        self._news = asyncio.Event()

    def append(self, report: Report) -> None:
        """Give it to all readers."""
        self.last += 1
        self._reports.append(report)
        self._wake()

    def close(self) -> None:
        """Nothing more will come; readers end after what there is."""
        self._closed = True
        self._wake()

    def holds(self, after: int) -> bool:
        """Whether all that came after this number can be read."""
        return self.last - len(self._reports) <= after <= self.last

    async def follow(self, after: int, silence: float) -> AsyncIterator[tuple[int, Report | None]]:
        """Each report with a number above ``after``; None after ``silence`` seconds without any.

        A reader that falls so far behind that reports are gone is told how many.
        """
        while True:
            while after < self.last:
                first = self.last - len(self._reports) + 1
                if after + 1 < first:
                    yield first - 1, now("reports skipped", skipped=first - 1 - after)
                    after = first - 1
                    continue
                after += 1
                yield after, self._reports[after - first]
            if self._closed:
                return
            news = self._news
            try:
                async with asyncio.timeout(silence):
                    await news.wait()
            except TimeoutError:
                yield after, None

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
