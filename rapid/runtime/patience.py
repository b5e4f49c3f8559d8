"""A limit to what is waited for again and again."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Patience:
    """``with patience: await ...`` raises TimeoutError after ``seconds``, as asyncio.timeout does.

    One wait at a time, any number in turn, for which one timer does that is set anew only when it
    fires: a stream whose writes all end at once pays next to nothing. :meth:`close` stops the timer.
    """

    __slots__ = ("_expired", "_task", "_timer", "_until", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._until = 0.0
        self._expired = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._until = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._look)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        expired, self._expired = self._expired, False
        # somebody else may have cancelled it, too
        if expired and task is not None and not task.uncancel() and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        loop = asyncio.get_running_loop()
        if self._until <= loop.time():
            self._expired = True
            self._task.cancel()
        else:
            self._timer = loop.call_at(self._until, self._look)
