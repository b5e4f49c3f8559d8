"""The event loop that the members of a process run on, on a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from rapid.errors import StateError
from rapid.log import log
from rapid.runtime.foreign_logs import relayed

_REST = 1.0
"""Seconds that ended calls have to come to rest before the thread ends."""

EXIT_CONTAINED = "something on the library's thread asked the process to exit, and was ignored"
THREAD_LOST = "the library's thread has failed: its members are closed"
UNHANDLED = "an exception on the library's loop was not handled"
"""Events in the log."""

Lost = Callable[[BaseException], None]


def _nothing_to_do(error: BaseException) -> None:
    """For a user of the loop that has nothing to end."""


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the loop tells of callbacks and tasks that have raised."""
    log.error(UNHANDLED, reason=str(context.get("message")), exc_info=context.get("exception"))


class Reactor:
    """One event loop, run by a thread for as long as it has users. Any thread may call it.

    The loop is kept when its last user leaves and run again for the next one: gRPC completes
    calls on their loop even after they were cancelled, and complains about one that is closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: list[Lost] = []
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._stopped = False
        """The loop's present run was ended on purpose."""
        self._loop = asyncio.new_event_loop()
        # asyncio's own would log on this thread, where handlers may block
        self._loop.set_exception_handler(_report)
        atexit.register(self._exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._disown)

    def enter(self, lost: Lost = _nothing_to_do) -> asyncio.AbstractEventLoop:
        """Become a user; the loop is running, or about to.

        ``lost(error)`` is called when the thread fails before :meth:`leave`: on that thread, and the loop
        runs nothing any more. Raises :class:`StateError` when the process can start no thread.
        """
        with self._lock:
            if not self._users:
                thread = threading.Thread(target=self._run, args=(self._thread,), name="rapid", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    why = f"the library's thread cannot be started: {error}; the process has too many"
                    raise StateError(why) from error
                self._thread = thread
            self._users.append(lost)
        return self._loop

    def leave(self, lost: Lost = _nothing_to_do) -> None:
        """Stop being a user; with the last one the thread ends, soon."""
        with self._lock:
            if lost in self._users:
                self._users.remove(lost)
                if not self._users:
                    asyncio.run_coroutine_threadsafe(self._finish(), self._loop)

    def _run(self, previous: threading.Thread | None) -> None:
        try:
            if previous is not None:
                previous.join()
            with relayed():
                self._run_loop()
        except BaseException as error:
            self._fail(error)

    def _run_loop(self) -> None:
        while not self._stopped:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                # these pass through a loop; what else was due is run when it goes on
                log.exception(EXIT_CONTAINED)
        self._stopped = False

    def _fail(self, error: BaseException) -> None:
        """The loop cannot go on: the next member that starts has a new one."""
        global _reactor
        with self._lock:
            users, self._users = self._users, []
            if _reactor is not None and _reactor[1] is self:
                _reactor = None
        log.error(THREAD_LOST, exc_info=error)
        for lost in users:
            lost(error)

    async def _finish(self) -> None:
        """Let the calls that gRPC still ends come to rest, else they complain at the process's exit."""
        if rest := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(rest, timeout=_REST)
        self._stopped = True
        self._loop.stop()

    def _exit(self) -> None:
        if os.getpid() != self._pid:
            return
        # there are users still only when they did not end in time
        if self._thread is not None and not self._users:
            self._thread.join(2 * _REST)
        if not self._loop.is_running():
            self._loop.close()

    def _disown(self) -> None:
        """In a forked child: never close the loop, which would unregister what the parent's waits for."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._loop))


def _require_threads() -> None:
    """Raise :class:`StateError` where what looks like a thread is none: its first wait would never end."""
    gevent, eventlet = (sys.modules.get(name) for name in ("gevent.monkey", "eventlet.patcher"))
    if gevent is not None and gevent.is_module_patched("threading"):
        patch = "gevent.monkey.patch_all"
    elif eventlet is not None and eventlet.is_monkey_patched("thread"):
        patch = "eventlet.monkey_patch"
    else:
        return
    raise StateError(
        f"{patch}() has replaced the threads of this process, and the library needs one: "
        f"call {patch}(thread=False), or have `rapid agent` be the member, in a process of its own"
    )


_reactor: tuple[int, Reactor] | None = None


def reactor() -> Reactor:
    """The reactor of this process. StateError in the child of a process that had one.

    gRPC's threads are not in the child, though all its state says so: it would crash. StateError as
    well in a process whose threads were replaced, by gevent or eventlet.
    """
    global _reactor
    _require_threads()
    if _reactor is None:
        _reactor = os.getpid(), Reactor()
    made_by, found = _reactor
    if made_by != os.getpid():
        raise StateError(
            f"process {os.getpid()} was forked from {made_by} after a member had been started there, and "
            "gRPC does not survive that: start none before the fork, or processes by spawn or forkserver"
        )
    return found


@asynccontextmanager
async def loaded(module: str) -> AsyncIterator[None]:
    """Have a module imported on the library's thread, which runs until the block has ended.

    The caller's event loop goes on meanwhile: gRPC and what uses it take up to a quarter of a second.
    Raises what the import does, and :class:`StateError` as :func:`reactor` and :meth:`Reactor.enter` do.
    """
    done: Future[None] = Future()
    # who waits can go, and the import is not interrupted
    done.set_running_or_notify_cancel()

    def lost(error: BaseException) -> None:
        if not done.done():
            done.set_exception(error)

    def load() -> None:
        try:
            import_module(module)
        except BaseException as error:
            lost(error)
        else:
            done.set_result(None)

    found = reactor()
    found.enter(lost).call_soon_threadsafe(load)
    try:
        await asyncio.wrap_future(done)
        yield
    finally:
        found.leave(lost)
