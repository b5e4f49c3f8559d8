"""The application's own check of the members that this one watches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from rapid.log import log
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Member
from rapid.runtime.contained import is_own_end

Prober = Callable[[Member], Awaitable[bool]]
"""Says whether a member is well. Awaited on the library's own event loop and thread: it must not
block, and cannot use what belongs to another event loop."""

DEPARTURE = 0.25
"""Seconds that probers may take to end when they are cancelled at :meth:`Checks.close`."""


class Checks:
    """Runs the prober for one member after another's probe, at most once at a time for each member.

    ``done(member, sequence, passed)`` is called on the event loop at each check's end. One that takes
    longer than ``timeout`` seconds is cancelled; that, an exception, and an answer that is no bool
    count as a failure, in ``stats`` too, and are logged as a warning once for each member. A check
    that is asked for while one of the same member is running cancels that, and takes its place.
    """

    def __init__(
        self,
        prober: Prober,
        timeout: float,
        done: Callable[[Member, int, bool], None],
        stats: Counter[str],
    ) -> None:
        self._prober = prober
        self._timeout = timeout
        self._done = done
        self._stats = stats
        self._running: dict[Member, asyncio.Task[None]] = {}
        self._waiting: dict[Member, int] = {}
        self._warned: set[Member] = set()
        self._closed = False

    def begin(self, member: Member, sequence: int) -> None:
        """Check this member, for its probe of this number."""
        if self._closed:
            return
        running = self._running.get(member)
        if running is None:
            self._start(member, sequence)
        else:
            # one that does not end when it is cancelled holds up only its own member's checks
            self._waiting[member] = sequence
            running.cancel()

    def forget_strangers(self, configuration: Configuration) -> None:
        """Keep nothing of those who are not in this configuration."""
        self._warned = {
            member
            for member in self._warned
            if (held := configuration.member(member.endpoint)) and held.node_id == member.node_id
        }

    async def close(self) -> None:
        """Cancel what is running; nothing is called after. A prober that does not end is left behind."""
        self._closed = True
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            _, left = await asyncio.wait(running, timeout=DEPARTURE)
            if left:
                log.warning("probers did not end when they were cancelled", probers=len(left))

    def _start(self, member: Member, sequence: int) -> None:
        task = asyncio.get_running_loop().create_task(self._run(member, sequence))
        self._running[member] = task
        task.add_done_callback(lambda _: self._ended(member))

    def _ended(self, member: Member) -> None:
        del self._running[member]
        sequence = self._waiting.pop(member, None)
        if sequence is not None and not self._closed:
            self._start(member, sequence)

    async def _run(self, member: Member, sequence: int) -> None:
        passed = await self._passes(member)
        if not self._closed:
            self._done(member, sequence, passed)

    async def _passes(self, member: Member) -> bool:
        limit, task = asyncio.timeout(self._timeout), asyncio.current_task()
        try:
            async with limit:
                answer = await self._prober(member)
        except BaseException as error:
            if is_own_end(error, task):
                raise
            if limit.expired():
                self._warn(member, "checks late", f"it took longer than {self._timeout} s")
            else:
                self._warn(member, "checks raised", repr(error), error)
            return False
        if not isinstance(answer, bool):
            self._warn(member, "checks raised", f"it returned {answer!r} and not a bool")
            return False
        self._stats["checks passed" if answer else "checks failed"] += 1
        return answer

    def _warn(self, member: Member, count: str, reason: str, error: BaseException | None = None) -> None:
        self._stats[count] += 1
        if member not in self._warned:
            self._warned.add(member)
            log.warning(
                "the prober gave no answer, which counts as a failure of the member",
                member=str(member.endpoint),
                reason=reason,
                exc_info=error,
            )
