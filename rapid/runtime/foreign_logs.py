"""What gRPC and asyncio log on the library's thread, which a handler of theirs must not block either."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rapid.log import log

LOGGERS = ("asyncio", "concurrent.futures", "grpc._cython.cygrpc", "grpc.aio._call")
"""The loggers of the code that runs on the library's thread. Children do not share a logger's filters."""

_threads: set[int] = set()


class _Relay(logging.Filter):
    """Hands the records of the library's threads over to the thread of its log; lets all others pass."""

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__()
        self._logger = logger
        self._relaying: set[int] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if threading.get_ident() not in _threads or id(record) in self._relaying:
            return True
        log.relay(self._logger, lambda: self._handle(record), record.levelno)
        return False

    def _handle(self, record: logging.LogRecord) -> None:
        self._relaying.add(id(record))
        try:
            # the filters after this one are asked as well
            self._logger.handle(record)
        finally:
            self._relaying.discard(id(record))


@contextmanager
def relayed() -> Iterator[None]:
    """Within this context no handler is called on this thread for what others log on it."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Relay) for one in logger.filters):
            logger.addFilter(_Relay(logger))
    _threads.add(threading.get_ident())
    try:
        yield
    finally:
        _threads.discard(threading.get_ident())
