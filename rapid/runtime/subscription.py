"""Views and other changes by callback."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from rapid.errors import StateError
from rapid.log import log
from rapid.runtime.feed import Feed
from rapid.view import Change

Callback = Callable[[Change], Awaitable[None] | None]


class Subscription:
    """Calls back on one loop with what a reader of its own gives."""

    def __init__(self, feed: Feed, callback: Callback) -> None:
        self._changes = feed.reader()
        self._callback = callback
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        self._calling = False

    def begin(self) -> None:
        if not self._ended:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._run())

    def end(self) -> None:
        """No callback begins after this. Any thread, any number of times."""
        self._ended = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        # a callback that has begun is let go on to its end
        if self._task is not None and not self._calling:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            async for change in self._changes:
                if self._ended:
                    return
                self._calling = True
                try:
                    result = self._callback(change)
                    if inspect.isawaitable(result):
                        await result
                except Exception:
                    log.exception("a subscriber's callback failed", callback=repr(self._callback))
                self._calling = False
        except StateError as error:
            log.error("a subscription has ended", reason=str(error))
