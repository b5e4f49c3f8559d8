"""What is logged goes where the application says, and neither blocks nor ends what has logged it."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from rapid.log import DROPPED, LIMIT, LOGGER, Log


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """Structlog as it is where the application has not configured it."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def handled() -> Iterator[list[logging.LogRecord]]:
    """What a handler of the application's is given."""
    records: list[logging.LogRecord] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Handler()
    LOGGER.addHandler(handler)
    yield records
    LOGGER.removeHandler(handler)


@pytest.mark.usefixtures("unconfigured")
def test_what_is_logged_goes_to_the_standard_logger(handled: list[logging.LogRecord]) -> None:
    log = Log()
    log.warning("it is late", seconds=2, reason="no answer\nyet")
    try:
        1 // 0  # noqa: B018 - what it raises is what is wanted
    except ZeroDivisionError:
        log.exception("it failed")
    assert log.flush()
    late, failed = handled
    assert (late.name, late.levelname) == ("rapid", "WARNING")
    assert late.getMessage() == "it is late seconds=2 reason='no answer\\nyet'"
    fields: Any = late
    assert (fields.event, fields.fields) == ("it is late", {"seconds": 2, "reason": "no answer\nyet"})
    assert failed.exc_info is not None
    assert failed.exc_info[0] is ZeroDivisionError
    assert "ZeroDivisionError" in logging.Formatter().format(failed)


@pytest.mark.usefixtures("unconfigured")
def test_a_list_reads_as_one_word_and_what_could_be_misread_is_quoted(
    handled: list[logging.LogRecord],
) -> None:
    log = Log()
    log.warning("an event", some=["a:1", "b:2"], none=[], empty="", text="a b\x1b[0m", missing=None)
    log.flush()
    [record] = handled
    assert record.getMessage() == "an event some=[a:1,b:2] none=[] empty='' text='a b\\x1b[0m' missing=None"
    assert "\n" not in logging.Formatter("%(levelname)s:%(name)s:%(message)s").format(record)


@pytest.mark.usefixtures("unconfigured")
def test_a_record_is_of_the_place_the_thread_and_the_time_of_its_event(
    handled: list[logging.LogRecord],
) -> None:
    before = time.time()
    log = Log()
    log.warning("an event")
    after = time.time()
    log.flush()
    [record] = handled
    assert (record.pathname, record.funcName) == (
        __file__,
        "test_a_record_is_of_the_place_the_thread_and_the_time_of_its_event",
    )
    assert record.threadName == threading.current_thread().name
    assert before <= record.created <= after


@pytest.mark.usefixtures("unconfigured")
def test_an_applications_record_factory_may_have_attributes_of_the_same_names(
    handled: list[logging.LogRecord],
) -> None:
    plain = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.event = record.fields = record.trace = "the application's"
        return record

    logging.setLogRecordFactory(factory)
    try:
        log = Log()
        log.warning("an event", n=1)
        assert log.flush()
    finally:
        logging.setLogRecordFactory(plain)
    made: list[Any] = list(handled)
    assert [(record.event, record.fields, record.trace) for record in made] == [
        ("an event", {"n": 1}, "the application's")
    ]


@pytest.mark.usefixtures("unconfigured")
def test_the_applications_names_for_levels_lose_nothing() -> None:
    log = Log()
    logging.addLevelName(logging.WARNING, "W")
    try:
        with capture_logs() as logs:
            log.warning("an event")
            log.flush()
    finally:
        logging.addLevelName(logging.WARNING, "WARNING")
    assert [line["event"] for line in logs] == ["an event"]


# what nobody would be given costs nothing


@contextmanager
def without_handlers() -> Iterator[None]:
    """As in a program that has configured nothing: pytest has handlers of its own."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        yield
    finally:
        root.handlers = before


@pytest.mark.usefixtures("unconfigured")
def test_without_a_handler_that_would_take_it_no_thread_is_started() -> None:
    log = Log()
    deaf = logging.StreamHandler()
    deaf.setLevel(logging.CRITICAL)
    with without_handlers():
        log.error("an event")
        assert not log.is_enabled_for(logging.ERROR)
        LOGGER.addHandler(deaf)
        try:
            log.error("an event")
        finally:
            LOGGER.removeHandler(deaf)
    assert log._thread is None


@pytest.mark.usefixtures("unconfigured")
def test_a_logger_that_does_not_propagate_has_only_its_own_handlers() -> None:
    log = Log()
    assert log.is_enabled_for(logging.ERROR), "pytest's handlers are the root's"
    LOGGER.propagate = False
    try:
        assert not log.is_enabled_for(logging.ERROR)
    finally:
        LOGGER.propagate = True


@pytest.mark.usefixtures("unconfigured")
def test_monitoring_in_the_place_of_handlers_is_given_what_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """As sentry-sdk does it, which adds no handler."""
    seen: list[str] = []
    original = logging.Logger.callHandlers

    def watched(self: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record.getMessage())
        original(self, record)

    monkeypatch.setattr(logging.Logger, "callHandlers", watched)
    log = Log()
    with without_handlers():
        log.error("an event")
        log.flush()
    assert seen == ["an event"]


@pytest.mark.usefixtures("unconfigured")
def test_structlogs_own_level_is_asked_before_a_thread_is_started() -> None:
    out = io.StringIO()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(out),
    )
    log = Log()
    log.info("an event")
    assert log._thread is None
    log.warning("trouble")
    log.flush()
    assert "trouble" in out.getvalue()
    assert "an event" not in out.getvalue()


@pytest.mark.usefixtures("unconfigured")
def test_structlogs_configuration_is_asked_for_at_its_lowest_level() -> None:
    asked: list[str] = []
    log = Log()
    log.configure, log.lowest = lambda: asked.append("now"), logging.WARNING
    with capture_logs():
        log.info("an event")
        assert asked == []
        log.warning("trouble")
        log.flush()
    assert asked == ["now"]


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize(
    "wrapper", [structlog.stdlib.BoundLogger, structlog.stdlib.AsyncBoundLogger, structlog.BoundLogger]
)
def test_an_applications_structlog_on_the_standard_logging_is_followed(
    wrapper: type, handled: list[logging.LogRecord]
) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.add_logger_name,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=wrapper,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    log = Log()
    log.warning("an event", seconds=2)
    assert log.flush()
    assert [record.getMessage() for record in handled] == [
        '{"event": "an event", "logger": "rapid", "seconds": 2}'
    ]


@pytest.mark.usefixtures("unconfigured")
def test_what_is_below_the_loggers_level_costs_nothing(handled: list[logging.LogRecord]) -> None:
    log = Log()
    log.debug("a message was rejected", reason="an odd one")
    assert log._thread is None
    log.warning("a thread now")
    log.flush()
    assert [record.levelname for record in handled] == ["WARNING"]


def test_what_is_logged_goes_to_structlog_where_that_is_configured() -> None:
    log = Log()
    with capture_logs() as logs:
        log.warning("it is late", seconds=2)
        assert log.flush()
    assert logs == [{"event": "it is late", "seconds": 2, "log_level": "warning"}]


def test_the_configuration_is_asked_for_once_and_not_before_it_is_needed() -> None:
    asked: list[str] = []
    log = Log()
    log.configure = lambda: asked.append("now")
    assert asked == []
    with capture_logs():
        log.warning("one")
        log.warning("two")
        log.flush()
    assert asked == ["now"]


@pytest.mark.usefixtures("unconfigured")
def test_a_handler_that_blocks_holds_up_nobody_and_what_is_too_much_is_counted(
    handled: list[logging.LogRecord],
) -> None:
    gate, entered = threading.Event(), threading.Event()

    class Blocking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            entered.set()
            gate.wait()

    handler, log = Blocking(), Log(limit=10)
    LOGGER.addHandler(handler)
    try:
        log.warning("first")
        assert entered.wait(15)
        for number in range(30):
            log.warning("more", number=number)
        assert not log.flush(timeout=0)
        gate.set()
        assert log.flush(15)
        # that of the dropped ones is logged after those that waited
        assert log.flush(15)
    finally:
        gate.set()
        LOGGER.removeHandler(handler)
    told = [record for record in handled if getattr(record, "event", "") == DROPPED]
    assert sum(record.fields["records"] for record in told) + len(handled) - len(told) == 31  # type: ignore[attr-defined]  # given as extra


class Odd(BaseException):
    """Of the application's own."""


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError, Odd])
def test_a_handler_that_raises_ends_nothing(
    error: type[BaseException], handled: list[logging.LogRecord]
) -> None:
    class Raising(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == "raise":
                raise error

    handler, log = Raising(), Log()
    LOGGER.addHandler(handler)
    try:
        log.warning("raise")
        log.warning("raise")
        log.warning("go on")
        assert log.flush()
        assert log.flush()
    finally:
        LOGGER.removeHandler(handler)
    assert [getattr(record, "event", "") for record in handled] == ["raise", "raise", "go on", DROPPED]
    assert handled[-1].getMessage().endswith("records=2")


@pytest.mark.usefixtures("unconfigured")
def test_the_thread_ends_when_nothing_is_logged_and_begins_again(
    handled: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapid.log.IDLE", 0.01)
    log = Log()
    for number in (1, 2):
        log.warning("an event", number=number)
        deadline = time.monotonic() + 15
        while log._thread is not None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert len(handled) == number
        assert log.flush(), "there is nothing to wait for"


@pytest.mark.usefixtures("unconfigured")
def test_a_filter_that_raises_ends_nothing(handled: list[logging.LogRecord]) -> None:
    def refuse(record: logging.LogRecord) -> bool:
        raise SystemExit

    log = Log()
    LOGGER.addFilter(refuse)
    try:
        log.warning("one")
        assert log.flush()
    finally:
        LOGGER.removeFilter(refuse)
    log.warning("two")
    assert log.flush()
    assert log.flush()
    assert [getattr(record, "event", "") for record in handled] == ["two", DROPPED]


@pytest.mark.usefixtures("unconfigured")
def test_where_no_thread_can_be_started_what_is_logged_is_dropped_and_counted(
    handled: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    log = Log()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        log.warning("one")
    log.warning("two")
    assert log.flush()
    assert log.flush()
    assert [getattr(record, "event", "") for record in handled] == ["two", DROPPED]


def run(program: str, *, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=30, check=False)


def test_nothing_is_printed_by_default_and_structlog_is_not_loaded() -> None:
    done = run(
        "import sys\n"
        "from rapid.log import log\n"
        "log.error('an event', exc_info=ValueError('bad'))\n"
        "log.flush()\n"
        "sys.exit('structlog' in sys.modules)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_nobody_takes_starts_no_thread_and_the_last_resort_prints_nothing() -> None:
    """Also where dictConfig has taken the NullHandler away."""
    done = run(
        "import logging.config, threading\n"
        "from rapid.log import log\n"
        "log.error('an event')\n"
        "logging.config.dictConfig({'version': 1, 'loggers': {'rapid': {'level': 'DEBUG'}}})\n"
        "assert not logging.getLogger('rapid').handlers\n"
        "log.error('an event')\n"
        "assert threading.active_count() == 1\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_structlog_that_is_loaded_and_not_configured_prints_nothing() -> None:
    done = run("import structlog\nfrom rapid.log import log\nlog.error('an event')\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_was_logged_is_there_when_the_process_has_ended() -> None:
    done = run(
        "import logging\nlogging.basicConfig()\nfrom rapid.log import log\nlog.error('an event', n=1)\n"
    )
    assert (done.returncode, done.stderr) == (0, "ERROR:rapid:an event n=1\n")


def test_a_forked_child_logs_too() -> None:
    done = run(
        "import logging, os\n"
        "logging.basicConfig()\n"
        "from rapid.log import log\n"
        "log.error('of the parent')\n"
        "log.flush()\n"
        "if not (child := os.fork()):\n"
        "    log.error('of the child')\n"
        "    log.flush()\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    assert done.stderr == "ERROR:rapid:of the parent\nERROR:rapid:of the child\n"


def test_a_member_whose_output_nobody_reads_stays_one() -> None:
    """Its log is full of debug lines; it goes on to answer, and its calls return."""
    read, write = os.pipe()
    program = (
        "import logging, os, sys\n"
        "from rapid import Settings, blocking\n"
        "from rapid.log import LOGGER, log\n"
        "LOGGER.setLevel(logging.DEBUG)\n"
        "LOGGER.addHandler(logging.StreamHandler(sys.stdout))\n"
        "S = Settings.local()\n"
        "with blocking.Cluster('127.0.0.1:0', settings=S) as a:\n"
        "    driver = a._cluster._membership._driver\n"
        f"    for _ in range({9 * LIMIT}):\n"
        "        driver.call(lambda: log.debug('a message was rejected', sender='x' * 200))\n"
        "    with blocking.Cluster('127.0.0.1:0', seeds=[a.endpoint], settings=S) as b:\n"
        "        os.write(2, str(a.wait_for(2, timeout=20).size).encode())\n"
        "os._exit(0)\n"
    )
    try:
        done = run(program, stdout=write)
    finally:
        os.close(read)
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "2")


def test_a_quiet_member_does_not_load_structlog() -> None:
    done = run(
        "import asyncio, sys, rapid\n"
        "async def main():\n"
        "    async with rapid.Cluster('127.0.0.1:0') as cluster:\n"
        "        assert cluster.view.size == 1\n"
        "asyncio.run(main())\n"
        "sys.exit('structlog' in sys.modules)\n"
    )
    assert done.returncode == 0
