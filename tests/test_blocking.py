"""A member for threads: the same calls, which wait; iterators and subscribers on threads of their own."""

from __future__ import annotations

import asyncio
import inspect
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import rapid
from rapid import Change, Settings, View, ViewChange, blocking

ANY = "127.0.0.1:0"


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    until(lambda: not any(thread.name.startswith("rapid") for thread in threading.enumerate()))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.005)


def member(*seeds: blocking.Cluster, **settings: float) -> blocking.Cluster:
    return blocking.Cluster(ANY, seeds=[seed.endpoint for seed in seeds], settings=Settings.local(**settings))


def test_it_takes_what_the_other_takes_and_has_what_the_other_has() -> None:
    assert inspect.signature(blocking.Cluster) == inspect.signature(rapid.Cluster)

    def public(of: type) -> set[str]:
        return {name for name in vars(of) if not name.startswith("_")}

    assert public(blocking.Cluster) == public(rapid.Cluster)
    # of what they return and take, only the waiting differs
    for name in ("start", "leave", "close", "force_new_cluster", "wait_for"):
        ours, theirs = getattr(blocking.Cluster, name), getattr(rapid.Cluster, name)
        assert inspect.signature(ours) == inspect.signature(theirs)
    assert rapid.blocking is blocking


@pytest.mark.parametrize(
    "pinned", [{"merge": True, "bootstrap_expect": 3}, {"cluster_id": "ab" * 16}], ids=["any", "one cluster"]
)
def test_it_passes_on_what_it_is_given(pinned: dict[str, object]) -> None:
    async def seeds() -> list[rapid.Endpoint]:
        return []

    given = {
        "seeds": seeds, "metadata": {"a": "b"}, "settings": Settings.wan(), "advertise": "10.0.0.1:1",
        "judge": rapid.Consecutive(3), "prober": lambda m: None, "tls": object(), "rejoin": False,
        "cluster_name": "cache", **pinned,
    }  # fmt: skip
    of: dict[str, object] = vars(rapid.Cluster("0.0.0.0:7", **given))  # type: ignore[arg-type]  # of many types
    ours: dict[str, object] = vars(blocking.Cluster("0.0.0.0:7", **given)._cluster)  # type: ignore[arg-type]  # too
    names = {f"_{name}" for name in inspect.signature(rapid.Cluster).parameters}
    assert {name: ours[name] for name in names} == {name: of[name] for name in names}


def test_members_come_and_go() -> None:
    with member() as a, member(a) as b:
        assert a.endpoint in b.view
        assert a.wait_for(2, timeout=10).size == 2
        third = member(a)
        first = third.start()
        assert first == third.view
        assert a.wait_for(predicate=lambda view: third.endpoint in view, timeout=10) == third.view
        assert third.node_id == third.view.member(third.endpoint).node_id  # type: ignore[union-attr]  # it is in
        third.leave()
        assert a.wait_for(predicate=lambda view: view.size == 2, timeout=10).version == first.version + 1
        assert a.stats.total()
        third.leave()
        third.close()


def test_changes_are_iterated_over_until_the_end() -> None:
    versions: queue.Queue[int | None] = queue.Queue()

    def follow(changes: blocking.Changes) -> None:
        for change in changes:
            assert isinstance(change, ViewChange)
            versions.put(change.view.version)
        versions.put(None)

    with member() as a:
        threading.Thread(target=follow, args=(a.changes(),)).start()
        assert versions.get(timeout=10) == 1
        with member(a):
            assert versions.get(timeout=10) == 2
        assert versions.get(timeout=10) == 3
        ended = a.changes()
        threading.Timer(0.01, ended.close).start()
        assert [change.view.version for change in ended if isinstance(change, ViewChange)] == [3]
    assert versions.get(timeout=10) is None
    assert a.view.version == 3


def test_subscribers_are_called_on_threads_of_their_own() -> None:
    told: queue.Queue[tuple[int, str]] = queue.Queue()

    def callback(change: Change) -> None:
        assert isinstance(change, ViewChange)
        told.put((change.view.version, threading.current_thread().name))
        raise KeyError("the application's own")

    a = member()
    end = a.subscribe(callback)
    with capture_logs() as logs, a:
        assert told.get(timeout=10) == (1, "rapid subscriber")
        late: list[Change] = []
        a.subscribe(late.append)
        with member(a):
            assert told.get(timeout=10) == (2, "rapid subscriber")
            end()
        a.wait_for(predicate=lambda view: view.version == 3, timeout=10)
        until(lambda: len(late) == 3)
        end()
    assert told.empty()
    assert {log["event"] for log in logs if log["log_level"] == "error"} == {"a subscriber's callback failed"}


def test_many_threads_may_wait_at_once() -> None:
    with member() as a, ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(a.wait_for, 2, timeout=10) for _ in range(8)]
        with member(a):
            assert {future.result().version for future in waiting} == {2}


def test_the_last_of_three_goes_on_as_a_new_cluster() -> None:
    a = member(quorum_timeout=0.2)
    a.start()
    others = [member(a, quorum_timeout=0.2) for _ in range(2)]
    for other in others:
        other.start()
    before = a.wait_for(3, timeout=10)
    with pytest.raises(rapid.QuorumError):
        a.force_new_cluster()
    changes = a.changes()
    for other in others:
        other.close()
    assert any(isinstance(change, rapid.QuorumLost) for change in changes)
    view = a.force_new_cluster()
    assert (view.size, view.version) == (1, before.version + 1)
    assert view.cluster_id != before.cluster_id
    a.close()


def test_what_does_not_come_in_time() -> None:
    with member() as a:
        with pytest.raises(rapid.WaitTimeout, match="not of 2 members"):
            a.wait_for(2, timeout=0.01)
        with pytest.raises(ZeroDivisionError):
            a.wait_for(predicate=lambda view: bool(1 // 0))
    with pytest.raises(rapid.StateError, match="closed"):
        a.wait_for(2)


def test_an_error_is_told_without_what_the_facade_had_to_find_out() -> None:
    a = blocking.Cluster(ANY, seeds=["127.0.0.1:1"], settings=Settings.local(join_timeout=0.2))
    calls = {a.force_new_cluster: rapid.StateError, a.start: rapid.JoinError}
    for call, kind in calls.items():
        with pytest.raises(kind) as caught:
            call()
        told = "".join(traceback.format_exception(caught.value))
        assert "no running event loop" not in told
        assert "During handling" not in told
    with member() as b, pytest.raises(rapid.WaitTimeout) as late:
        b.wait_for(2, timeout=0)
    assert "no running event loop" not in "".join(traceback.format_exception(late.value))


def test_a_subscriber_that_can_have_no_thread_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with member() as a:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", fail)
            with pytest.raises(rapid.StateError, match="can't start new thread"):
                a.subscribe(print)
        assert not list(a._cluster._feed._readers)


def test_calls_in_the_wrong_state() -> None:
    a = member()
    calls: list[Callable[[], object]] = [
        lambda: a.view, lambda: a.endpoint, a.changes, a.force_new_cluster, lambda: a.wait_for(1),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(rapid.StateError, match="start"):
            call()
    a.close()
    with pytest.raises(rapid.StateError, match="once"):
        a.start()


async def test_a_thread_that_runs_an_event_loop_is_not_blocked() -> None:
    a = member()
    with pytest.raises(rapid.StateError, match="event loop"):
        a.start()
    view = await asyncio.to_thread(a.start)
    assert view == a.view
    await asyncio.to_thread(a.leave)


def test_after_an_error_in_the_block_it_closes_without_leaving() -> None:
    def block() -> None:
        with member(a):
            a.wait_for(3, timeout=10)
            raise KeyError("mine")

    with member() as a, member(a):
        changes = a.changes()
        with pytest.raises(KeyError, match="mine"):
            block()
        gone = next(change for change in changes if isinstance(change, ViewChange) and change.removed)
        assert [removal.left for removal in gone.removed] == [False]


@pytest.mark.parametrize("blocked", ["wait_for", "changes", "start"])
def test_ctrl_c_interrupts_what_blocks(blocked: str) -> None:
    a = member()
    if blocked == "start":
        b = blocking.Cluster(ANY, seeds=["127.0.0.1:1"], settings=Settings.local())
        call: Callable[[], object] = b.start
    else:
        a.start()
        b = a
        call = {"wait_for": lambda: a.wait_for(2), "changes": lambda: list(a.changes())}[blocked]
    main = threading.get_ident()

    def interrupt() -> None:
        until(lambda: b.stats["streams failed"] if blocked == "start" else b._cluster._feed.awaited)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    thread.join()
    a.close()
    b.leave()


FORK = """
import os, sys
from rapid import StateError, blocking, Settings

before = blocking.Cluster("127.0.0.1:0", settings=Settings.local())
cluster = blocking.Cluster("127.0.0.1:0", settings=Settings.local())
cluster.start()
changes = cluster.changes()
next(changes)
child = os.fork()
if child == 0:
    calls = {
        "start": before.start, "leave": cluster.leave, "close": cluster.close, "view": lambda: cluster.view,
        "endpoint": lambda: cluster.endpoint, "node_id": lambda: cluster.node_id,
        "stats": lambda: cluster.stats, "wait_for": lambda: cluster.wait_for(1), "changes": cluster.changes,
        "subscribe": lambda: cluster.subscribe(print), "force_new_cluster": cluster.force_new_cluster,
        "iterator": lambda: next(changes), "iterator.close": changes.close,
    }
    # a child that ends in the block of its parent's member goes on with what it was about
    cluster.__exit__(None, None, None)
    for name, call in calls.items():
        try:
            call()
        except StateError as error:
            assert "fork" in str(error), error
            print(name)
    try:
        blocking.Cluster("127.0.0.1:0").start()
    except StateError as error:
        print(str(error)[-22:])
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
cluster.leave()
print("parent")
"""


PREFORK = """
import os
from rapid import Settings, StateError, blocking

cluster = blocking.Cluster("127.0.0.1:0")
if os.fork() == 0:
    try:
        cluster.start()
    except StateError:
        with blocking.Cluster("127.0.0.1:0", settings=Settings.local()) as own:
            print(own.view.size, flush=True)
    os._exit(0)
os.wait()
"""


def test_each_worker_that_was_forked_makes_its_own() -> None:
    command = [sys.executable, "-c", PREFORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.stdout == "1\n", done.stderr


def test_after_a_fork_every_call_says_so() -> None:
    # a fork of a process with threads is warned of by newer Pythons, and is what this is about
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.stdout.split("\n") == [
        "start", "leave", "close", "view", "endpoint", "node_id", "stats", "wait_for", "changes", "subscribe",
        "force_new_cluster", "iterator", "iterator.close", "by spawn or forkserver", "parent", "",
    ], done.stderr  # fmt: skip


def test_a_view_is_of_the_same_kind() -> None:
    with member() as a:
        assert isinstance(a.view, View)
        assert a.view.leader() == a.view.members[0]


# what the guide says

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "blocking.md"


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """What the programs in the guide have defined, one after the other."""
    defined: dict[str, Any] = {"__name__": "guide"}
    for program in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(program, GUIDE, "exec"), defined)
    return defined


def test_the_guides_work_is_done_by_two(guide: dict[str, Any]) -> None:
    assert guide["work"](ANY) == 1
    with member() as a:
        assert guide["work"](ANY, str(a.endpoint)) == 2


def test_the_guides_follower_sees_what_happens(guide: dict[str, Any]) -> None:
    seen: list[str] = []
    with member() as a:
        thread = threading.Thread(target=guide["follow"], args=(a, seen))
        thread.start()
        with member(a):
            until(lambda: len(seen) == 2)
        until(lambda: len(seen) == 3)
    thread.join()
    assert seen == [
        "view 1: 1 joined, 0 are gone", "view 2: 1 joined, 0 are gone", "view 3: 0 joined, 1 are gone",
    ]  # fmt: skip


def test_the_guides_application_answers(guide: dict[str, Any]) -> None:
    worker = types.SimpleNamespace()
    guide["SEEDS"].clear()
    guide["post_fork"](None, worker)
    application = guide["Application"](guide["Cache"](worker.cluster))
    said: list[object] = []
    assert application({"PATH_INFO": "/alice"}, lambda *answer: said.append(answer)) == []
    assert said == [("307 Temporary Redirect", [("Location", "http://127.0.0.1/alice")])]
    guide["worker_exit"](None, worker)


def test_the_guides_steps_are_taken_by_the_leader(guide: dict[str, Any]) -> None:
    stop = threading.Event()
    tokens: dict[rapid.Endpoint, list[rapid.FencingToken]] = {}
    with member() as a, member(a) as b, ThreadPoolExecutor(2) as threads:
        a.wait_for(2, timeout=10)
        b.wait_for(2, timeout=10)
        leader = a.view.leader()
        assert leader is not None
        for cluster in (a, b):
            steps = tokens.setdefault(cluster.endpoint, [])
            threads.submit(guide["lead"], cluster, steps.append, stop, 0.001)
        until(lambda: len(tokens[leader.endpoint]) > 10)
        stop.set()
        assert tokens.pop(leader.endpoint)[-1] == a.view.token
        assert list(tokens.values()) == [[]]
