"""Processes that share the work of a command."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of so many processes, which ends at once, and without a word, when the block is broken off."""
    ignored = (signal.SIGINT, signal.SIG_IGN)
    before = threading.excepthook
    try:
        with ProcessPoolExecutor(processes, initializer=signal.signal, initargs=ignored) as workers:
            try:
                yield workers
            except (KeyboardInterrupt, GeneratorExit):
                # the pool's thread raises over futures that are cancelled already when its processes end
                threading.excepthook = _say_nothing
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
    finally:
        threading.excepthook = before


def _say_nothing(_: object) -> None:
    """In place of a traceback."""
