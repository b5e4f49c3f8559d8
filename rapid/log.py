"""The library's log: the standard logger ``rapid``, or structlog's where the application has configured that.

Nothing is printed unless the application says where. An event that no handler would take costs two
comparisons: no thread is started, and structlog is not imported. All others are handed to a thread of
their own: a handler that blocks or raises holds up nothing else.

structlog is used only where the application has configured it, and so has imported it. To import it here
takes as long as a third of a member's start, or more than all of it where rich is installed, and would
happen on a thread: a child that is forked meanwhile could never import it.
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
from types import FrameType
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

METHODS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
}
"""What structlog's loggers call the levels, whatever the application has named them."""

Emit = Callable[[], None]


class Log:
    """Takes an event and its fields, at the usual levels, from any thread. It never blocks, nor raises.

    ``exc_info`` is an exception. ``records`` count as dropped when their handlers have raised, too.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.configure: Callable[[], None] | None = None
        """Called once, with the first record, to configure structlog."""
        self.lowest = logging.NOTSET
        """The level below which nothing is logged before ``configure`` was called."""
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

    def is_enabled_for(self, level: int) -> bool:
        """Whether anybody would be given an event of this level: what costs to tell is computed only then."""
        if self.configure is not None:
            return level >= self.lowest
        if _is_structlog_configured():
            return not _is_left_out_by_structlog(level)
        return LOGGER.isEnabledFor(level) and _would_be_taken(level)

    def relay(self, logger: logging.Logger, handle: Emit, level: int) -> None:
        """Have what others log emitted like the library's own, unless no handler would take it."""
        if _would_be_taken(level, logger):
            self._hand_over(handle)

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
            if not self.is_enabled_for(level):
                return
            if self.configure is not None or _is_structlog_configured():
                self._hand_over(lambda: self._emit_structured(level, event, fields))
            else:
                # made here, with the time, the thread and the line of the caller
                record = _record(level, event, fields, sys._getframe(2))
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
        wrapper = structlog.get_config()["wrapper_class"]
        if isinstance(wrapper, type) and issubclass(wrapper, structlog.stdlib.AsyncBoundLogger):
            # it needs an event loop, and somebody who awaits what its methods give
            plain = structlog.stdlib.BoundLogger
            logger = structlog.wrap_logger(None, wrapper_class=plain, logger_factory_args=("rapid",))
        else:
            logger = structlog.get_logger("rapid")
        getattr(logger, METHODS[level])(event, **fields)


def _tell_of_dropped(log: Log, records: int) -> None:
    log.warning(DROPPED, records=records)


def _is_structlog_configured() -> bool:
    structlog = sys.modules.get("structlog")
    return structlog is not None and structlog.is_configured()


def _is_left_out_by_structlog(level: int) -> bool:
    """Whether the application's configuration of structlog has a level, and this one is below it."""
    import structlog

    # what such a class does with levels below its own: one and the same function, that does nothing
    nothing = structlog.make_filtering_bound_logger(logging.CRITICAL).debug
    return getattr(structlog.get_config()["wrapper_class"], METHODS[level], None) is nothing


def _would_be_taken(level: int, by: logging.Logger = LOGGER) -> bool:
    """Whether a handler of the application's would be given a record of this level.

    Without one, the standard library's handler of last resort would print it.
    """
    for method in (by.handle, by.callHandlers):
        # monitoring may have put a function of its own in the place of these, as sentry-sdk does
        if getattr(method, "__globals__", None) is not vars(logging):
            return True
    if by is LOGGER and by.filters:
        # one of them may keep what it is asked about
        return True
    logger: logging.Logger | None = by
    while logger is not None:
        for handler in logger.handlers:
            if level >= handler.level and not isinstance(handler, logging.NullHandler):
                return True
        logger = logger.parent if logger.propagate else None
    return False


def _record(level: int, event: str, fields: dict[str, Any], caller: FrameType) -> logging.LogRecord:
    """A record whose message has the event and its fields, which are also attributes of it."""
    fields = dict(fields)
    error: BaseException | None = fields.pop("exc_info", None)
    message = " ".join([event, *(f"{name}={_shown(value)}" for name, value in fields.items())])
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    code = caller.f_code
    record = LOGGER.makeRecord(
        LOGGER.name, level, code.co_filename, caller.f_lineno, message, (), exc_info, code.co_name
    )
    # given as `extra` these would be an error where a factory of the application's has made the same ones
    vars(record).update(event=event, fields=fields)
    return record


def _shown(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    text = str(value)
    return text if text and text.isprintable() and " " not in text else repr(text)


log = Log()
flush, flushed = log.flush, log.flushed


def configured_by(configure: Callable[[], None], lowest: int = logging.NOTSET) -> None:
    """Have structlog configured once it is needed: for a program of its own, not for a library.

    ``lowest`` is the level below which that configuration leaves everything out.
    """
    log.configure, log.lowest = configure, lowest
