"""The library's log: the standard logger ``rapid``, or structlog's where the application has configured that.

Nothing is printed unless the application says where. What is logged is handed to a thread of its own:
a handler that blocks or raises holds up nothing else.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

LOGGER = logging.getLogger("rapid")
LOGGER.addHandler(logging.NullHandler())

LIMIT = 1000
"""Records that wait for the thread; what is logged beyond that is dropped and counted."""
IDLE = 1.0
"""Seconds after the last record that the thread ends."""
FLUSH_TIMEOUT = 0.5
"""Seconds that the end of a process or of a member waits for what was logged before."""
DROPPED = "log records were dropped: the application's handlers are too slow, or have raised"
"""The event in the log that tells of it, with how many."""

Emit = Callable[[], None]


class Log:
    """Takes an event and its fields, at the usual levels, from any thread. It never blocks, nor raises.

    ``exc_info`` is an exception. ``records`` count as dropped when their handlers have raised, too.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.configure: Callable[[], None] | None = None
        """Called once, with the first record, to configure structlog."""
        self.queued = True
        """Whether a thread of its own emits what is logged. Otherwise that happens at once, for tests."""
        self._limit = limit
        self._at_exit = False
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """The thread of a parent is not in its child."""
        self._lock = threading.RLock()
        self._queue: SimpleQueue[Emit | Future[None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._dropped = 0

    def debug(self, event: str, **fields: Any) -> None:
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error, with the exception that is being handled."""
        self._log(logging.ERROR, event, {**fields, "exc_info": sys.exception()})

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> bool:
        """Wait until what was logged so far is emitted; whether it is, after so many seconds."""
        flushed = self.flushed()
        try:
            flushed.result(timeout)
        except TimeoutError:
            return False
        return True

    def flushed(self) -> Future[None]:
        """Done when what was logged so far is emitted."""
        flushed: Future[None] = Future()
        flushed.set_running_or_notify_cancel()
        with self._lock:
            if self._thread is not None:
                self._queue.put(flushed)
                return flushed
        flushed.set_result(None)
        return flushed

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        try:
            if self.configure is not None or _is_structlog_configured():
                self._hand_over(lambda: self._emit_structured(level, event, fields))
            elif LOGGER.isEnabledFor(level):
                record = _record(level, event, fields)
                self._hand_over(lambda: LOGGER.handle(record))
        except BaseException:
            # a filter or a factory of the application's
            self._drop(1)

    def _hand_over(self, emit: Emit) -> None:
        if not self.queued:
            self._emit(emit)
            return
        # nobody holds the lock for longer than a moment
        with self._lock:
            if self._queue.qsize() >= self._limit or not self._is_running():
                self._dropped += 1
            else:
                self._queue.put(emit)

    def _is_running(self) -> bool:
        """Whether the thread is there: it is started with the first record. With the lock held."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="rapid log", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
            if not self._at_exit:
                self._at_exit = True
                atexit.register(self.flush)
        return True

    def _drop(self, records: int) -> None:
        with self._lock:
            self._dropped += records

    # on the thread

    def _run(self) -> None:
        while True:
            try:
                item = self._queue.get(timeout=IDLE)
            except Empty:
                with self._lock:
                    if self._queue.empty():
                        self._thread = None
                        return
                continue
            if isinstance(item, Future):
                item.set_result(None)
                continue
            if self._emit(item) and self._dropped and self._queue.qsize() < self._limit:
                with self._lock:
                    dropped, self._dropped = self._dropped, 0
                _tell_of_dropped(self, dropped)

    def _emit(self, emit: Emit) -> bool:
        """Whether the handlers have taken it."""
        try:
            emit()
        except BaseException:
            self._drop(1)
            return False
        return True

    def _emit_structured(self, level: int, event: str, fields: dict[str, Any]) -> None:
        import structlog

        configure, self.configure = self.configure, None
        if configure is not None:
            configure()
        emit = getattr(structlog.get_logger("rapid"), logging.getLevelName(level).lower())
        emit(event, **fields)


def _tell_of_dropped(log: Log, records: int) -> None:
    log.warning(DROPPED, records=records)


def _is_structlog_configured() -> bool:
    structlog = sys.modules.get("structlog")
    return structlog is not None and structlog.is_configured()


def _record(level: int, event: str, fields: dict[str, Any]) -> logging.LogRecord:
    """A record whose message has the event and its fields, which are also attributes of it."""
    fields = dict(fields)
    error: BaseException | None = fields.pop("exc_info", None)
    message = " ".join([event, *(f"{name}={_shown(value)}" for name, value in fields.items())])
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    more = {"event": event, "fields": fields}
    return LOGGER.makeRecord(LOGGER.name, level, __file__, 0, message, (), exc_info, extra=more)


def _shown(value: object) -> str:
    text = str(value)
    return text if text.isprintable() and " " not in text else repr(text)


log = Log()
flush, flushed = log.flush, log.flushed


def configured_by(configure: Callable[[], None]) -> None:
    """Have structlog configured once it is needed: for a program of its own, not for a library."""
    log.configure = configure
