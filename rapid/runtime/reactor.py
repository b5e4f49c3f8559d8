"""The event loop that the members of a process run on, on a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading

from rapid.errors import StateError

_REST = 1.0
"""Seconds that ended calls have to come to rest before the thread ends."""


class Reactor:
    """One event loop, run by a thread for as long as it has users. Any thread may call it.

    The loop is kept when its last user leaves and run again for the next one: gRPC completes
    calls on their loop even after they were cancelled, and complains about one that is closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._loop = asyncio.new_event_loop()
        atexit.register(self._exit)

    def enter(self) -> asyncio.AbstractEventLoop:
        """Become a user; the loop is running, or about to."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._thread = threading.Thread(
                    target=self._run, args=(self._thread,), name="rapid", daemon=True
                )
                self._thread.start()
        return self._loop

    def leave(self) -> None:
        """Stop being a user; with the last one the thread ends, soon."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                asyncio.run_coroutine_threadsafe(self._finish(), self._loop)

    def _run(self, previous: threading.Thread | None) -> None:
        if previous is not None:
            previous.join()
        self._loop.run_forever()

    async def _finish(self) -> None:
        """Let the calls that gRPC still ends come to rest, else they complain at the process's exit."""
        if rest := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(rest, timeout=_REST)
        self._loop.stop()

    def _exit(self) -> None:
        if self._thread is not None:
            self._thread.join(2 * _REST)
        if not self._loop.is_running():
            self._loop.close()


_reactor: tuple[int, Reactor] | None = None


def reactor() -> Reactor:
    """The reactor of this process. StateError in the child of a process that had one.

    gRPC's threads are not in the child, though all its state says so: it would crash.
    """
    global _reactor
    if _reactor is None:
        _reactor = os.getpid(), Reactor()
    made_by, found = _reactor
    if made_by != os.getpid():
        raise StateError(
            f"process {os.getpid()} was forked from {made_by} after a member had been started there, and "
            "gRPC does not survive that: start none before the fork, or processes by spawn or forkserver"
        )
    return found
