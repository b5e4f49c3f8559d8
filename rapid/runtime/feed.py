"""Changes on their way from the protocol's thread to any number of readers on any event loops."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from typing import Self

from rapid.errors import StateError
from rapid.view import Change, View, ViewChange, ViewsSkipped

BUFFER = 1024
"""Changes kept for a slow reader."""


class Feed:
    """Gives every reader every change in order. Any thread; never waits for a reader."""

    def __init__(self, buffer: int = BUFFER) -> None:
        self.lock = threading.Lock()
        self.buffer = buffer
        self.view: View | None = None
        self.closed = False
        self.error: BaseException | None = None
        # a reader that the application has let go of is not fed any longer
        self._readers: weakref.WeakSet[Changes] = weakref.WeakSet()
        # an event loop does not hold on to a task that waits for one
        self.awaited: set[Changes] = set()

    def publish(self, change: Change) -> None:
        """Give a change to all readers."""
        with self.lock:
            if isinstance(change, ViewChange | ViewsSkipped):
                self.view = change.view
            for reader in self._readers:
                reader.put(change)

    def close(self, error: BaseException | None) -> None:
        """Nothing more will come; readers end after what they have been given, with the error if any."""
        with self.lock:
            self.closed = True
            self.error = error
            for reader in self._readers:
                reader.wake()

    def reader(self) -> Changes:
        """A new reader. It is given the view as it is, if there is one yet, then every change."""
        with self.lock:
            reader = Changes(self)
            if self.view is not None:
                reader.put(ViewChange(self.view, self.view.members, ()))
            self._readers.add(reader)
        return reader


class Changes:
    """An asynchronous iterator over changes, in order; for one reader, on one event loop at a time.

    At most a fixed number of changes waits for the reader. When there are more, all of them are
    replaced by one :class:`ViewsSkipped` with the newest view, and more changes follow that. The
    iteration ends when the member is closed; it raises :class:`StateError` when the member failed.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._waiting: deque[Change] = deque()
        self._wakers: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while True:
            with self._feed.lock:
                if self._waiting:
                    return self._waiting.popleft()
                if self._feed.closed:
                    if self._feed.error is not None:
                        raise StateError(f"the member failed: {self._feed.error!r}") from self._feed.error
                    raise StopAsyncIteration
                loop = asyncio.get_running_loop()
                waker = loop.create_future()
                self._wakers.append((loop, waker))
                self._feed.awaited.add(self)
            await waker

    def put(self, change: Change) -> None:
        """Add a change. The feed's lock is held."""
        waiting = self._waiting
        waiting.append(change)
        if len(waiting) > self._feed.buffer and self._feed.view is not None:
            views = sum(_views(item) for item in waiting)
            waiting.clear()
            waiting.append(ViewsSkipped(self._feed.view, max(0, views - 1)))
        self.wake()

    def wake(self) -> None:
        """Have the reader look again. The feed's lock is held."""
        for loop, waker in self._wakers:
            try:
                loop.call_soon_threadsafe(_resolve, waker)
            except RuntimeError:
                # its loop is closed: nobody waits there any longer
                continue
        self._wakers.clear()
        self._feed.awaited.discard(self)


def _views(change: Change) -> int:
    """How many views the change stands for."""
    if isinstance(change, ViewsSkipped):
        return change.skipped + 1
    return int(isinstance(change, ViewChange))


def _resolve(waker: asyncio.Future[None]) -> None:
    if not waker.done():
        waker.set_result(None)
