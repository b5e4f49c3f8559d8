"""Views and other changes by callback."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

from rapid.errors import StateError
from rapid.log import log
from rapid.runtime.contained import is_own_end
from rapid.runtime.feed import Feed
from rapid.view import Change

Callback = Callable[[Change], Awaitable[None] | None]


class Subscription:
    """Calls back on one loop with what a reader of its own gives."""

    def __init__(self, feed: Feed, callback: Callback) -> None:
        self._feed = feed
        self._changes = feed.reader()
        self._callback = callback
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    def begin(self) -> None:
        if not self._ended:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def end(self) -> None:
        """No callback begins after this. Any thread, any number of times."""
        self._ended = True
        self._changes.close()

    async def _run(self) -> None:
        try:
            async for change in self._changes:
                if self._ended or not await self._call(change):
                    return
        except StateError as error:
            log.error("a subscription has ended", reason=str(error))

    async def _call(self, change: Change) -> bool:
        """Whether more may follow: the callback may turn the cancellation of its task into an error."""
        task = asyncio.current_task()
        try:
            result = self._callback(change)
            if inspect.isawaitable(result):
                await result
        except BaseException as error:
            if is_own_end(error, task):
                raise
            self._feed.callback_failed(self._callback, error)
        return task is None or not task.cancelling()
