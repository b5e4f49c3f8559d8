"""At the end of the process its members leave: an ordinary end is not a failure that others must detect."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from concurrent.futures import Future, wait
from typing import Protocol

from rapid.log import flush

MARGIN = 0.5
"""Seconds beyond its own limit that a member is given to free its port."""


class Leaver(Protocol):
    """What leaves at the end of the process."""

    @property
    def exit_timeout(self) -> float: ...
    def retire(self) -> Future[None]: ...
    def __str__(self) -> str: ...


_members: set[Leaver] = set()
_pid: int | None = None


def register(member: Leaver) -> None:
    """Have this member leave when the process ends, unless :func:`unregister` comes first. Any thread."""
    global _pid
    if _pid != os.getpid():
        # the members of the process that this one was forked from are not its own
        _members.clear()
        _pid = os.getpid()
        atexit.register(leave_all)
        _register_in_worker()
    _members.add(member)


def unregister(member: Leaver) -> None:
    """It has ended."""
    _members.discard(member)


def leave_all() -> None:
    """All members of this process leave at the same time; returns when they have, or at their limits."""
    if _pid != os.getpid():
        return
    members = list(_members)
    _members.clear()
    wait(
        [member.retire() for member in members],
        timeout=max((member.exit_timeout for member in members), default=0.0) + MARGIN,
    )
    flush()
    for member in members:
        warnings.warn(
            f"{member} was not closed before the process ended, and has left only then: use `async with`, "
            "`with`, or call leave()",
            ResourceWarning,
            stacklevel=2,
        )


def _register_in_worker() -> None:
    """The children of multiprocessing end without the functions that atexit knows."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        # after its own children, which may still work
        Finalize(None, leave_all, exitpriority=-1)
