"""What runs on one member at a time: on the leader, as long as it is one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rapid.errors import SettingsError, StateError
from rapid.log import log
from rapid.overlay.member import NodeId
from rapid.runtime.contained import is_own_end
from rapid.runtime.feed import Changes
from rapid.token import FencingToken
from rapid.view import (
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RejoinFailed,
    View,
    ViewChange,
    ViewsSkipped,
)

if TYPE_CHECKING:
    from rapid.placement import Where


LONGEST = 32
"""The pause between tries grows to this many times the first."""

Run = Callable[[FencingToken], Awaitable[object]]


class Membership(Protocol):
    """What is needed of a :class:`rapid.Cluster`."""

    @property
    def node_id(self) -> NodeId: ...
    def _first_reader(self) -> Changes: ...


class singleton:
    """Run an async function on the leader only: ``async with rapid.singleton(cluster, run):``.

    While the block goes on, and as long as this member is ``view.leader(role=role, where=where,
    name=name)`` of its newest view, ``run(token)`` goes on too, as a task of the block. It is
    cancelled when another member leads, when this one is evicted, leaves, is closed or goes over to
    another cluster, when views were skipped, and when the quorum is lost, unless
    ``stop_on_quorum_lost`` is False. It is called again when this member leads again. Once it has
    returned it is not called again in the same term. The token is that of the view in which the call
    began: give it to whatever ``run`` changes.

    **This does not make sure that it runs on one member only.** A leader that is cut off does not
    know yet that there is a new one; only a resource that checks the token keeps it out. In this
    process alone the order is certain: readers and subscribers of ``cluster``, but not
    ``cluster.view``, are given what ends ``run`` after it has ended, or when it is not done ``grace``
    seconds after it was cancelled. It is never called before an earlier call has ended.

    What ``run`` raises, whatever it is, is logged, and it is called anew after ``retry`` seconds, more
    each time up to 32 times that; with ``retry=None`` it cancels the block and is raised from it.

    Raises :class:`SettingsError` for ``retry`` and ``grace`` that are no times; on entering,
    :class:`StateError` when the member has not started.
    """

    def __init__(
        self,
        cluster: Membership,
        run: Run,
        *,
        role: str | None = None,
        where: Where | None = None,
        name: str = "",
        stop_on_quorum_lost: bool = True,
        retry: float | None = 1.0,
        grace: float = 5.0,
    ) -> None:
        if retry is not None and not 0 < retry < 3600:
            raise SettingsError("retry", f"{retry} s; take more than 0 and less than an hour, or None")
        if not 0 < grace < 86400:
            raise SettingsError("grace", f"{grace} s; take more than 0 and less than a day")
        self._cluster = cluster
        self._run = run
        self._role = role
        self._where = where
        self._name = name
        self._stop_on_quorum_lost = stop_on_quorum_lost
        self._retry = retry
        self._grace = grace
        self._view: View | None = None
        """The view that this member leads, if it does."""
        self._token: FencingToken | None = None
        self._terms: list[asyncio.Task[None]] = []
        """The last one, and those before it that did not end in time."""
        self._patience_ends = 0.0
        self._tasks: asyncio.TaskGroup | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def token(self) -> FencingToken | None:
        """What ``run`` was called with, while it goes on; None while it does not."""
        return self._token

    async def __aenter__(self) -> Self:
        if self._tasks is not None:
            raise StateError("a singleton is entered once; make a new one")
        changes = self._cluster._first_reader()
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._following = self._tasks.create_task(self._follow(changes))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End ``run`` if it goes on, and wait until it has ended."""
        assert self._tasks is not None, "it was entered"
        assert self._following is not None, "it was entered"
        self._following.cancel()
        cancelled = isinstance(error, asyncio.CancelledError)
        try:
            await self._tasks.__aexit__(*((kind, error, trace) if cancelled else (None, None, None)))
        except BaseExceptionGroup as group:
            failure = group.exceptions[0]
            if error is not None and not cancelled:
                log.error("a singleton failed while its block did", singleton=self._name, exc_info=failure)
                return
            raise failure from None

    async def _follow(self, changes: Changes) -> None:
        """Begin and end terms as the changes want it; the other readers wait until that is done."""
        last: View | None = None
        try:
            async for change in changes:
                match change:
                    case ViewChange(view=view) | ViewsSkipped(view=view):
                        last = view
                        # another one may have led in a view that was skipped, with a token above ours
                        if not self._leads(view) or isinstance(change, ViewsSkipped):
                            await self._end()
                        self._begin(view)
                    case QuorumLost() if self._stop_on_quorum_lost:
                        await self._end()
                    case QuorumRestored() if last is not None:
                        self._begin(last)
                    case Evicted() | RejoinFailed() | OtherCluster(merging=True):
                        last = None
                        await self._end()
        finally:
            try:
                await self._end()
            finally:
                changes.close()

    def _leads(self, view: View) -> bool:
        try:
            leader = view.leader(role=self._role, where=self._where, name=self._name)
        except Exception:
            raise
        except BaseException as error:
            # as itself it would end the task without a word, or the loop
            raise StateError(f"{self._where!r} raised {error!r}") from error
        return leader is not None and leader.node_id == self._cluster.node_id

    def _begin(self, view: View) -> None:
        """Have ``run`` go on in this view, if this member leads it."""
        if not self._leads(view):
            return
        going, self._view = self._view is not None, view
        if not going:
            assert self._tasks is not None, "it was entered"
            self._terms = [term for term in self._terms if not term.done()]
            self._terms.append(self._tasks.create_task(self._hold_office(set(self._terms))))

    async def _end(self) -> None:
        """End the term, if there is one; ``run`` has ended then, or has used up its grace."""
        now = asyncio.get_running_loop().time()
        if self._view is not None:
            self._view = None
            self._terms[-1].cancel()
            self._patience_ends = now + self._grace
        if self._terms and not self._terms[-1].done() and now < self._patience_ends:
            await asyncio.wait(self._terms[-1:], timeout=self._patience_ends - now)
            if not self._terms[-1].done():
                log.error(
                    "a singleton was cancelled and does not end: it goes on after its term",
                    singleton=self._name, run=repr(self._run), grace=self._grace,
                )  # fmt: skip

    async def _hold_office(self, before: set[asyncio.Task[None]]) -> None:
        """Run, once the terms before are over, until the end of the term or of what is to be run."""
        if before:
            await asyncio.wait(before)
        task = asyncio.current_task()
        assert task is not None, "this runs in one"
        clock = asyncio.get_running_loop().time
        pause = self._retry
        while self._view is not None:
            self._token, began = self._view.token, clock()
            failure: Exception
            try:
                await self._run(self._token)
                return
            except Exception as error:
                failure = error
            except BaseException as error:
                if is_own_end(error, task):
                    raise
                cancelled = isinstance(error, asyncio.CancelledError)
                what = "was cancelled, and not by its singleton" if cancelled else f"raised {error!r}"
                failure = StateError(f"{self._run!r} {what}")
                failure.__cause__ = error
            finally:
                self._token = None
            if self._retry is None or pause is None:
                raise failure
            if task.cancelling():
                log.error("a singleton failed at the end of its term", singleton=self._name, exc_info=failure)
                return
            if clock() - began > LONGEST * self._retry:
                pause = self._retry
            log.error("a singleton failed and is run again", singleton=self._name, exc_info=failure)
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(2 * pause, LONGEST * self._retry)
