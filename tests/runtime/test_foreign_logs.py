"""gRPC and asyncio log on the library's thread: handlers of theirs must not hold it up."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from asyncio import log as asyncio_log
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rapid.log import log
from rapid.runtime.foreign_logs import LOGGERS, relayed

BLOCKED = """
import logging, threading

gate, entered = threading.Event(), threading.Event()


class Blocking(logging.Handler):
    def emit(self, record):
        entered.set()
        gate.wait()


logger = logging.getLogger("grpc")
logger.setLevel(logging.DEBUG)

from rapid import Settings, blocking
from rapid.runtime.reactor import reactor

S = Settings.local()
with blocking.Cluster("127.0.0.1:0", settings=S) as a:
    logger.addHandler(Blocking())
    # not every gRPC logs a line of its own there
    line = logging.getLogger("grpc._cython.cygrpc").debug
    reactor()._loop.call_soon_threadsafe(line, "on the thread of the library")
    with blocking.Cluster("127.0.0.1:0", seeds=[a.endpoint], settings=S) as b:
        print(a.wait_for(2, timeout=20).size, entered.wait(20))
        gate.set()
"""


def test_a_member_goes_on_while_a_handler_of_grpcs_debug_lines_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED], capture_output=True, text=True, timeout=40, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 True\n", "")


@contextmanager
def handling(name: str) -> Iterator[list[tuple[str, str]]]:
    """What a handler of this logger is given, and on which thread."""
    seen: list[tuple[str, str]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.getMessage(), threading.current_thread().name))

    logger, handler = logging.getLogger(name), Handler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield seen
    logger.setLevel(level)
    logger.removeHandler(handler)


def on_a_thread(do: threading.Thread) -> None:
    do.start()
    do.join()


@pytest.mark.parametrize("name", LOGGERS)
def test_what_is_logged_there_is_handled_on_the_logs_thread(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "queued", True)

    def work() -> None:
        with relayed():
            logging.getLogger(name).warning("in it")
        logging.getLogger(name).warning("after it")

    with handling(name) as seen:
        on_a_thread(threading.Thread(target=work, name="of the library"))
        logging.getLogger(name).warning("elsewhere")
        assert log.flush()
    assert sorted(seen) == [
        ("after it", "of the library"),
        ("elsewhere", threading.current_thread().name),
        ("in it", "rapid log"),
    ]


def test_filters_of_the_applications_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "queued", True)
    logger, asked = logging.getLogger(LOGGERS[0]), []

    def quiet(record: logging.LogRecord) -> bool:
        asked.append(record.getMessage())
        return "noise" not in record.getMessage()

    def work() -> None:
        with relayed():
            logger.warning("noise")
            logger.warning("news")

    with relayed():
        pass
    logger.addFilter(quiet)
    try:
        with handling(LOGGERS[0]) as seen:
            on_a_thread(threading.Thread(target=work))
            assert log.flush()
    finally:
        logger.removeFilter(quiet)
    assert seen == [("news", "rapid log")]
    assert asked == ["noise", "news"]


def test_the_last_resort_is_not_asked_for_what_asyncio_logs_there() -> None:
    program = (
        "import logging, threading\n"
        "from rapid.runtime.foreign_logs import relayed\n"
        "def work():\n"
        "    with relayed():\n"
        "        logging.getLogger('asyncio').error('an event')\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "from rapid.log import flush; flush(10)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=40, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_loggers_are_those_that_exist() -> None:
    """Of a name that gRPC no longer uses nothing would be relayed."""
    import grpc.aio

    assert asyncio_log.logger.name in LOGGERS
    assert grpc.aio._call._LOGGER.name in LOGGERS
    assert "grpc._cython.cygrpc" in logging.root.manager.loggerDict
