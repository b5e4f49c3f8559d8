"""Code of the application's that the library calls may raise anything; only its own call ends for that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rapid.detection.judge import Judge, MakeJudge
from rapid.log import log

JUDGE_REPLACED = "a judge raised and is replaced by the default one"
"""The event in the log; only for the first judge of a member, the others are counted."""


def is_own_end(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Whether this, just raised in the task, is the end of the task itself: it must go on.

    The task is cancelled, or its coroutine closed from outside of it. ``CancelledError`` and
    ``GeneratorExit`` may also come from what it called, which has awaited something that was ended so.
    """
    if not isinstance(error, asyncio.CancelledError | GeneratorExit):
        return False
    return task is None or task.cancelling() > 0 or asyncio.current_task(task.get_loop()) is not task


def contained(make: MakeJudge, default: MakeJudge, failed: Callable[[], bool]) -> MakeJudge:
    """Judges that never raise: in place of one that does, or that cannot be made, stands a default one.

    ``failed()`` is called for each, and returns whether it is the first.
    """

    def made() -> Judge:
        return ContainedJudge(make, default, failed)

    return made


class ContainedJudge:
    """One judge of the application's, and what stands in for it once it has raised."""

    def __init__(self, make: MakeJudge, default: MakeJudge, failed: Callable[[], bool]) -> None:
        self._make = make
        self._default = default
        self._failed = failed
        try:
            self._judge = make()
        except BaseException as error:
            self._replace(error)

    def record(self, answered: bool, now: float) -> None:
        """Pass the outcome on."""
        try:
            self._judge.record(answered, now)
        except BaseException as error:
            self._replace(error)
            self._judge.record(answered, now)

    @property
    def faulty(self) -> bool:
        """The verdict; that of the default one begins anew."""
        try:
            return bool(self._judge.faulty)
        except BaseException as error:
            self._replace(error)
            return self._judge.faulty

    def _replace(self, error: BaseException) -> None:
        self._judge = self._default()
        if self._failed():
            log.warning(JUDGE_REPLACED, judge=repr(self._make), exc_info=error)
