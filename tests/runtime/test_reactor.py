"""The library's thread: when it cannot begin, is told to exit, or is lost, nobody waits for ever."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from rapid import BindError, Cluster, Settings, StateError
from rapid.runtime import reactor as module
from rapid.runtime.reactor import EXIT_CONTAINED, THREAD_LOST

from .reactor_loop import until

ANY = "127.0.0.1:0"
LOCAL = Settings.local()


def loop_of(cluster: Cluster) -> asyncio.AbstractEventLoop:
    assert cluster._membership is not None
    return cluster._membership._driver._loop


@pytest.fixture
def a_reactor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test does to the thread is not done to that of the other tests."""
    monkeypatch.setattr(module, "_reactor", None)


@pytest.mark.usefixtures("a_reactor_of_its_own")
async def test_a_thread_that_cannot_start_is_an_error_and_a_later_start_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        for start in (Cluster(ANY, settings=LOCAL).start, Cluster(ANY, settings=LOCAL).bind):
            with pytest.raises(StateError, match="can't start new thread"):
                await start()
    async with Cluster(ANY, settings=LOCAL) as cluster:
        assert cluster.view.size == 1


@pytest.mark.parametrize(
    ("module_name", "asked", "of", "remedy"),
    [
        ("gevent.monkey", "is_module_patched", "threading", "gevent.monkey.patch_all(thread=False)"),
        ("eventlet.patcher", "is_monkey_patched", "thread", "eventlet.monkey_patch(thread=False)"),
    ],
)
@pytest.mark.parametrize("patched", [False, True])
async def test_a_process_whose_threads_are_replaced_is_told_what_to_do(
    module_name: str, asked: str, of: str, remedy: str, patched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    patcher = SimpleNamespace(**{asked: lambda what: patched and what == of})
    monkeypatch.setitem(sys.modules, module_name, patcher)
    cluster = Cluster(ANY, settings=LOCAL)
    if patched:
        with pytest.raises(StateError, match=re.escape(remedy)):
            await cluster.start()
    else:
        async with cluster:
            assert cluster.view.size == 1


@pytest.mark.parametrize("error", [SystemExit("stop"), KeyboardInterrupt()])
async def test_what_asks_the_process_to_exit_on_the_thread_is_logged_and_the_members_go_on(
    error: BaseException,
) -> None:
    def leave_the_loop() -> None:
        raise error

    async with Cluster(ANY, settings=LOCAL) as cluster:
        with capture_logs() as logs:
            for _ in range(3):
                loop_of(cluster).call_soon_threadsafe(leave_the_loop)
            await until(lambda: len(logs) == 3)
        assert {line["event"] for line in logs} == {EXIT_CONTAINED}
        async with Cluster(ANY, seeds=[cluster.endpoint], settings=LOCAL) as other:
            assert other.view.size == 2


async def test_a_loop_that_is_stopped_by_others_goes_on() -> None:
    async with Cluster(ANY, settings=LOCAL) as cluster:
        loop = loop_of(cluster)
        loop.call_soon_threadsafe(loop.stop)
        async with Cluster(ANY, seeds=[cluster.endpoint], settings=LOCAL) as other:
            assert other.view.size == 2


LOST = """
import asyncio, threading
from structlog.testing import capture_logs
import rapid
from rapid.integrations.health import live

S = rapid.Settings.local()
lonely = rapid.Settings.local(join_timeout=80000)


async def outcome(awaitable):
    try:
        return await awaitable
    except Exception as error:
        return type(error).__name__


async def main():
    a, b = rapid.Cluster("127.0.0.1:0", settings=S), rapid.Cluster("127.0.0.1:1", settings=lonely)
    joiner = rapid.Cluster("127.0.0.1:0", seeds=["127.0.0.1:1"], settings=lonely)
    await a.start()
    changes = a.changes()
    await anext(changes)
    told = []
    waits = [
        asyncio.create_task(outcome(wait))
        for wait in (anext(changes), a.wait_for(2), joiner.start())
    ]
    while not joiner.stats["streams failed"]:
        await asyncio.sleep(0.01)
    loop = a._membership._driver._loop

    def fail(*args):
        raise MemoryError

    loop._run_once = fail
    loop.call_soon_threadsafe(lambda: None)
    print(*await asyncio.gather(*waits))
    ends = a.leave, a.close, a.force_new_cluster
    print(live(a)[0], *[await outcome(end()) for end in ends])
    async with rapid.Cluster("127.0.0.1:0", settings=S) as again:
        print(again.view.size)


asyncio.run(main())
"""


def test_a_thread_that_is_lost_ends_every_wait_and_a_later_start_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST], capture_output=True, text=True, timeout=40, check=False
    )
    assert [line for line in done.stdout.splitlines() if THREAD_LOST not in line][-3:] == [
        "StateError StateError StateError", "503 None None StateError", "1",
    ], done.stdout + done.stderr  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_child_that_ends_does_not_end_the_loop_of_its_parent() -> None:
    """Both wait with the same epoll: what the child closed would be unregistered for the parent, too."""
    program = (
        "import os, sys\n"
        "from rapid import Settings, blocking\n"
        "from rapid.runtime.reactor import reactor\n"
        "S = Settings.local()\n"
        "with blocking.Cluster('127.0.0.1:0', settings=S): pass\n"
        "reactor()._thread.join()\n"
        "if not (child := os.fork()): sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "with blocking.Cluster('127.0.0.1:0', settings=S) as again: print(again.view.size)\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "1\n", done.stderr


async def test_close_does_not_wait_for_ever_for_a_thread_that_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rapid.cluster.CLOSE_TIMEOUT", 0.1)
    blocked = threading.Event()
    cluster = Cluster(ANY, settings=LOCAL)
    await cluster.start()
    loop_of(cluster).call_soon_threadsafe(blocked.wait)
    with capture_logs() as logs:
        await cluster.close()
    assert [line["event"] for line in logs] == [
        "a member is closed and has not ended in time: something blocks the library's thread"
    ]
    blocked.set()
    await until(lambda: cluster._feed.closed)


async def test_a_start_does_not_wait_for_ever_for_a_thread_that_is_blocked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rapid.cluster.CLOSE_TIMEOUT", 0.1)
    blocked = threading.Event()
    async with Cluster(ANY, settings=LOCAL) as blocker:
        monkeypatch.setattr("rapid.cluster.BIND_TIMEOUT", 0.1)
        loop_of(blocker).call_soon_threadsafe(blocked.wait)
        with pytest.raises(BindError, match="blocks the library's thread"):
            await Cluster(ANY, settings=LOCAL).start()
        blocked.set()
