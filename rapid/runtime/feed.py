"""Changes on their way from the protocol's thread to any number of readers on any event loops."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from math import inf
from typing import Self

from rapid.errors import StateError
from rapid.log import log
from rapid.view import (
    Change,
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RejoinDelayed,
    RejoinFailed,
    View,
    ViewChange,
    ViewsSkipped,
)

BUFFER = 1024
"""Changes kept for a slow reader."""


class Feed:
    """Gives every reader every change in order. Any thread; never waits for a reader.

    Readers may wait for each other: those that come ``first`` are given a change before the others
    are, who get it once each of the first ones has come back for the next or was closed.
    """

    def __init__(self, buffer: int = BUFFER) -> None:
        self.lock = threading.Lock()
        self.buffer = buffer
        self.view: View | None = None
        self.told = 0
        """How many changes there were: the number of the last one."""
        self.closed = False
        self.leaving = False
        self.error: BaseException | None = None
        self.callbacks_failed = 0
        self._since_view: list[Change] = []
        # a reader that the application has let go of is not fed any longer
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._firsts: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._dismissed: Future[None] | None = None
        # an event loop does not hold on to a task that waits for one
        self.awaited: set[Reader] = set()

    def publish(self, change: Change) -> None:
        """Give a change to all readers."""
        with self.lock:
            self.told += 1
            match change:
                case ViewChange(view=view) | ViewsSkipped(view=view):
                    self.view = view
                    self._since_view.clear()
                case QuorumRestored():
                    self._since_view.clear()
                case RejoinDelayed():
                    self._since_view = [one for one in self._since_view if not isinstance(one, RejoinDelayed)]
                    self._since_view.append(change)
                case QuorumLost() | Evicted() | RejoinFailed() | OtherCluster(merging=True):
                    self._since_view.append(change)
            for reader in self._readers:
                reader.put(change)

    def callback_failed(self, callback: object, error: BaseException) -> None:
        """A subscriber's callback has raised this; it is called with the next change all the same."""
        with self.lock:
            self.callbacks_failed += 1
        log.error("a subscriber's callback failed", callback=repr(callback), exc_info=error)

    def close(self, error: BaseException | None) -> None:
        """Nothing more will come; readers end after what they have been given, with the error if any."""
        with self.lock:
            self.closed = True
            self.error = error
            self.wake()

    def dismiss(self) -> Future[None]:
        """Those that come first end now, before the member leaves; done when all of them are closed."""
        with self.lock:
            self.leaving = True
            if self._dismissed is None:
                self._dismissed = Future()
                self._dismissed.set_running_or_notify_cancel()
            self._settle_dismissal()
            self.wake()
            return self._dismissed

    def reader(self, *, first: bool = False) -> Changes:
        """A new reader for an event loop."""
        return Changes(self, first=first)

    # the rest is for those who hold the lock

    def standing(self) -> tuple[Change, ...]:
        """The view as it is, as a change, and what was told since that still holds."""
        if self.view is None:
            return ()
        return (ViewChange(self.view, self.view.members, ()), *self._since_view)

    def enter(self, reader: Reader, first: bool) -> None:
        """Feed this one too: the view as it is and what was told since that still holds, then all changes."""
        for change in self.standing():
            reader.put(change)
        self._readers.add(reader)
        if first:
            self._firsts.add(reader)

    def exit(self, reader: Reader) -> None:
        """Feed it no longer; nobody waits for it."""
        self._readers.discard(reader)
        self._firsts.discard(reader)
        self._settle_dismissal()
        self.wake()

    @property
    def passed(self) -> float:
        """The number of the last change that all may be given."""
        return min((first.passed for first in self._firsts), default=inf)

    def wake(self) -> None:
        for reader in self._readers:
            reader.wake()

    def _settle_dismissal(self) -> None:
        if self._dismissed is not None and not self._dismissed.done() and not self._firsts:
            self._dismissed.set_result(None)


class Reader:
    """What one reader is still to be given. Its subclasses say how to wait for it.

    At most a fixed number of changes waits for the reader. When there are more, all of them are
    replaced by one :class:`ViewsSkipped` with the newest view, and more changes follow that. The
    iteration ends when the member is closed; it raises :class:`StateError` when the member failed.
    """

    def __init__(self, feed: Feed, *, first: bool = False) -> None:
        self._feed = feed
        self._first = first
        self._waiting: deque[tuple[int, Change]] = deque()
        self._wakers: dict[Callable[[], object], None] = {}
        """Of those that wait, in the order in which they came."""
        self._closed = False
        with feed.lock:
            self._taken = self.passed = feed.told
            feed.enter(self, first)

    def close(self) -> None:
        """Take no more; the iteration ends. Any thread, any number of times."""
        with self._feed.lock:
            self._closed = True
            self.wake()
            self._feed.exit(self)

    # with the feed's lock held

    def put(self, change: Change) -> None:
        """Add a change."""
        feed, waiting = self._feed, self._waiting
        waiting.append((feed.told, change))
        if len(waiting) > feed.buffer and feed.view is not None:
            views = sum(_views(item) for _, item in waiting)
            waiting.clear()
            waiting.append((feed.told, ViewsSkipped(feed.view, max(0, views - 1))))
        self.wake()

    def take(self) -> Change | None:
        """The next change; None when there is none yet, or never more."""
        feed = self._feed
        if self._first and self.passed < self._taken:
            self.passed = self._taken
            feed.wake()
        if self._closed or not self._waiting or (self._first and feed.leaving):
            return None
        number, change = self._waiting[0]
        if not self._first and number > feed.passed:
            return None
        self._waiting.popleft()
        self._taken = number
        return change

    @property
    def ended(self) -> bool:
        """Whether nothing is to be waited for when :meth:`take` gave None; StateError after a failure."""
        feed = self._feed
        if self._closed or (self._first and feed.leaving):
            return True
        if feed.closed and not self._waiting and feed.error is not None:
            raise StateError(f"the member failed: {feed.error!r}") from feed.error
        return feed.closed and not self._waiting

    def call_when_woken(self, waker: Callable[[], object]) -> None:
        """Call it, once, when it is time to look again; any thread may do so, and it must not block."""
        self._wakers[waker] = None
        self._feed.awaited.add(self)

    def wake(self) -> None:
        """Have the reader look again."""
        for waker in self._wakers:
            waker()
        self._wakers.clear()
        self._feed.awaited.discard(self)

    def stop_waiting(self, waker: Callable[[], object]) -> None:
        """Whoever waited with this has been woken, or has given up."""
        with self._feed.lock:
            self._wakers.pop(waker, None)
            if not self._wakers:
                self._feed.awaited.discard(self)


class Changes(Reader):
    """An asynchronous iterator over changes, in order; for one reader, on one event loop at a time.

    At most a fixed number of changes waits for the reader. When there are more, all of them are
    replaced by one :class:`ViewsSkipped` with the newest view, and more changes follow that. The
    iteration ends when the member is closed; it raises :class:`StateError` when the member failed.
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while True:
            with self._feed.lock:
                change = self.take()
                if change is not None:
                    return change
                if self.ended:
                    raise StopAsyncIteration
                loop = asyncio.get_running_loop()
                woken = loop.create_future()
                waker = partial(_resolve_soon, loop, woken)
                self.call_when_woken(waker)
            try:
                await woken
            finally:
                self.stop_waiting(waker)


def _views(change: Change) -> int:
    """How many views the change stands for."""
    if isinstance(change, ViewsSkipped):
        return change.skipped + 1
    return int(isinstance(change, ViewChange))


def _resolve_soon(loop: asyncio.AbstractEventLoop, waker: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_resolve, waker)
    except RuntimeError:
        # its loop is closed: nobody waits there any longer
        return


def _resolve(waker: asyncio.Future[None]) -> None:
    if not waker.done():
        waker.set_result(None)
