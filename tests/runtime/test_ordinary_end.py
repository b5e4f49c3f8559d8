"""A program that simply ends leaves the cluster: the others are told, and need not find out."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

import rapid
from rapid import Cluster, JoinError, Settings, StateError, blocking
from rapid.protocol.messages import Admitted, Decided, Facts, Message, Snapshot
from rapid.protocol.node import Node
from rapid.view import ViewChange

from .reactor_loop import until

ANY = "127.0.0.1:0"
LOCAL = Settings.local()
# the time that a silent or refusing member takes to be removed is far above this
PATIENT = Settings.local(probe_interval=5.0, probe_retry=4.0)

PROGRAM = """
import asyncio, atexit, multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
import rapid
from rapid import blocking

S = rapid.Settings.local()
SEED = sys.argv[1]


def started():
    cluster = blocking.Cluster("127.0.0.1:0", seeds=[SEED], settings=S)
    cluster.start()
    return cluster


def in_worker(keep=[]):
    keep.append(started())


def nothing():
    pass


def terminated():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.kill(os.getpid(), signal.SIGTERM)


def interrupted():
    signal.raise_signal(signal.SIGINT)


async def in_block(what):
    async with rapid.Cluster("127.0.0.1:0", seeds=[SEED], settings=S) as cluster:
        asyncio.get_running_loop().call_soon(what)
        await asyncio.sleep(60)


def in_blocking(what):
    with blocking.Cluster("127.0.0.1:0", seeds=[SEED], settings=S):
        what()
        time.sleep(60)


async def never_left():
    await rapid.Cluster("127.0.0.1:0", seeds=[SEED], settings=S).start()


async def subscribed():
    cluster = rapid.Cluster("127.0.0.1:0", seeds=[SEED], settings=S)
    await cluster.start()
    cluster.subscribe(lambda change: None)
    sys.exit(4)


def fork(worker):
    process = multiprocessing.get_context("fork").Process(target=worker)
    process.start()
    process.join()
    sys.exit(process.exitcode)


def pool():
    forked = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=forked, initializer=in_worker) as pool:
        pool.submit(nothing).result()


def main(how):
    match how:
        case "main returns":
            keep.append(started())
        case "an exception":
            keep.append(started())
            raise ValueError("of the application")
        case "sys.exit":
            keep.append(started())
            sys.exit(3)
        case "atexit before the start":
            cluster = blocking.Cluster("127.0.0.1:0", seeds=[SEED], settings=S)
            atexit.register(cluster.leave)
            cluster.start()
        case "atexit after the start":
            atexit.register(started().leave)
        case "another thread goes on":
            cluster = started()
            threading.Thread(target=lambda: (time.sleep(0.3), cluster.view.size == 2 or os._exit(9))).start()
        case "asyncio.run returns":
            asyncio.run(never_left())
        case "sys.exit in a coroutine":
            asyncio.run(subscribed())
        case "a forked worker returns":
            fork(in_worker)
        case "a pool's worker":
            pool()
        case "SIGTERM raises SystemExit in async with":
            asyncio.run(in_block(terminated))
        case "Ctrl-C in async with":
            asyncio.run(in_block(interrupted))
        case "SIGTERM raises SystemExit in with":
            in_blocking(terminated)
        case "Ctrl-C in with":
            in_blocking(interrupted)


keep = []
main(sys.argv[2])
"""

ENDS = {
    "main returns": 0,
    "an exception": 1,
    "sys.exit": 3,
    "atexit before the start": 0,
    "atexit after the start": 0,
    "another thread goes on": 0,
    "asyncio.run returns": 0,
    "sys.exit in a coroutine": 4,
    "a forked worker returns": 0,
    "a pool's worker": 0,
    "SIGTERM raises SystemExit in async with": 0,
    "Ctrl-C in async with": -signal.SIGINT,
    "SIGTERM raises SystemExit in with": 0,
    "Ctrl-C in with": -signal.SIGINT,
}


@contextmanager
def founder() -> Iterator[tuple[blocking.Cluster, blocking.Changes]]:
    """A member that does not find out by itself, within a test, that another has failed."""
    with blocking.Cluster(ANY, settings=PATIENT) as cluster:
        changes = cluster.changes()
        next(changes)
        yield cluster, changes


def removal(changes: blocking.Changes) -> rapid.Removal:
    """The next one; it was not there for long."""
    for change in changes:
        assert isinstance(change, ViewChange)
        if change.removed:
            return change.removed[0]
    raise AssertionError("closed")


@pytest.mark.parametrize("how", ENDS)
def test_a_program_that_ends_has_left(how: str) -> None:
    with founder() as (cluster, changes):
        done = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, str(cluster.endpoint), how],
            capture_output=True, text=True, timeout=40, check=False,
        )  # fmt: skip
        assert done.returncode == ENDS[how], done.stderr
        assert removal(changes).left
        assert "ignored" not in done.stderr


def test_what_was_not_closed_is_named_in_a_warning() -> None:
    with founder() as (cluster, changes):
        command = [sys.executable, "-W", "default", "-c", PROGRAM, str(cluster.endpoint), "main returns"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
        member = removal(changes).endpoint
        assert f"the member {member} was not closed before the process ended" in done.stderr


def test_a_member_whose_departure_nobody_agrees_on_holds_the_process_up_for_exit_timeout_only() -> None:
    program = (
        "import sys, rapid\n"
        "from rapid import blocking\n"
        "S = rapid.Settings.local(exit_timeout=0.2, leave_timeout=80000, probe_interval=80000)\n"
        "a = blocking.Cluster('127.0.0.1:0', settings=S)\n"
        "a.start()\n"
        "b = blocking.Cluster('127.0.0.1:0', seeds=[a.endpoint], settings=S)\n"
        "b.start()\n"
        "a.wait_for(2)\n"
        "a._cluster._membership._driver._core.receive = lambda *args, **kwargs: None\n"
        "b._cluster._membership._driver._core.receive = lambda *args, **kwargs: None\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=20, check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


async def test_a_cluster_that_is_let_go_of_says_that_its_member_goes_on() -> None:
    cluster = Cluster(ANY, settings=LOCAL)
    await cluster.start()
    membership = cluster._membership
    assert membership is not None
    with pytest.warns(ResourceWarning, match=f"the member {cluster.endpoint} goes on"):
        del cluster
    await asyncio.wrap_future(membership.stop())


# blocks and starts within this process


@pytest.fixture
async def others() -> AsyncIterator[list[rapid.Change]]:
    """What a founder is told, which does not find out by itself that another has failed."""
    async with Cluster(ANY, settings=PATIENT) as cluster:
        told: list[rapid.Change] = []
        cluster.subscribe(told.append)
        await until(lambda: told)
        yield told


def joining(told: list[rapid.Change], **more: object) -> Cluster:
    first = told[0]
    assert isinstance(first, ViewChange)
    return Cluster(ANY, seeds=[first.view.members[0].endpoint], **{"settings": LOCAL, **more})  # type: ignore[arg-type]  # as given


def gone(told: list[rapid.Change]) -> list[bool]:
    return [one.left for change in told if isinstance(change, ViewChange) for one in change.removed]


async def test_a_block_that_is_cancelled_has_left(others: list[rapid.Change]) -> None:
    async def hold() -> None:
        async with joining(others):
            await asyncio.sleep(60)

    task = asyncio.create_task(hold())
    await until(lambda: len(others) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: gone(others) == [True])


async def test_a_block_that_times_out_has_left(others: list[rapid.Change]) -> None:
    async def hold() -> None:
        async with asyncio.timeout(None) as limit, joining(others):
            limit.reschedule(0)
            await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await hold()
    await until(lambda: gone(others) == [True])


async def test_a_second_cancellation_closes_at_once(others: list[rapid.Change]) -> None:
    cluster = joining(others, settings=Settings.local(exit_timeout=8000))
    entered = asyncio.Event()

    async def hold() -> None:
        async with cluster:
            entered.set()
            # the departure is never agreed on
            assert cluster._membership is not None
            core = cluster._membership._driver._core
            core.receive = lambda *args, **kwargs: None  # type: ignore[union-attr,method-assign]  # it is deaf
            await asyncio.sleep(60)

    task = asyncio.create_task(hold())
    await entered.wait()
    task.cancel()
    await until(lambda: cluster._leaving)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cluster._feed.closed


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_a_block_that_the_process_is_ended_in_has_left(
    others: list[rapid.Change], error: type[BaseException]
) -> None:
    cluster = joining(others)
    await cluster.__aenter__()
    await cluster.__aexit__(error, error(), None)
    await until(lambda: gone(others) == [True])


async def test_a_block_of_a_generator_that_is_closed_has_left(others: list[rapid.Change]) -> None:
    async def members() -> AsyncIterator[Cluster]:
        async with joining(others) as cluster:
            yield cluster

    generator = members()
    cluster = await anext(generator)
    await generator.aclose()  # type: ignore[attr-defined]  # an async generator has it
    await until(lambda: gone(others) == [True])
    await until(lambda: cluster._feed.closed)


async def test_a_block_that_fails_is_closed_without_leaving(others: list[rapid.Change]) -> None:
    cluster = joining(others)

    async def fail() -> None:
        async with cluster:
            await until(lambda: len(others) == 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert not cluster._leaving


async def test_a_start_that_waits_for_more_than_come_leaves_what_it_had_entered(
    others: list[rapid.Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapid.cluster.GRACE", 0.1)
    cluster = joining(others, settings=Settings.local(join_timeout=0.5, join_attempt=0.1), bootstrap_expect=3)
    with pytest.raises(JoinError, match="2 of the 3"):
        await cluster.start()
    await until(lambda: gone(others) == [True])


SLOW = Settings.local(
    probe_interval=5.0, probe_retry=4.0, join_quiet=0.5, batch_quiet=0.5, batch_limit=1.0
)  # fmt: skip
"""It lets nobody in sooner than half a second after it was asked, and finds out nothing by itself."""
HASTY = Settings.local(join_timeout=0.2, join_attempt=0.2, exit_timeout=20.0)


@asynccontextmanager
async def slow_founder(told: list[rapid.Change]) -> AsyncIterator[Cluster]:
    async with Cluster(ANY, settings=SLOW) as cluster:
        cluster.subscribe(told.append)
        await until(lambda: told)
        yield cluster


async def start_in_vain(seed: rapid.Endpoint) -> None:
    with pytest.raises(JoinError):
        await Cluster(ANY, seeds=[seed], settings=HASTY).start()


def start_in_vain_blocking(seed: rapid.Endpoint) -> None:
    with pytest.raises(JoinError):
        blocking.Cluster(ANY, seeds=[seed], settings=HASTY).start()


@pytest.mark.parametrize("joiners", [1, 6])
async def test_a_start_whose_deadline_falls_into_its_admission_leaves_no_dead_member(joiners: int) -> None:
    told: list[rapid.Change] = []
    async with slow_founder(told) as cluster:
        await asyncio.gather(*(start_in_vain(cluster.endpoint) for _ in range(joiners)))
        await until(lambda: gone(told) == [True] * joiners)
        assert cluster.view.size == 1


async def test_a_blocking_start_whose_deadline_falls_into_its_admission_leaves_no_dead_member() -> None:
    told: list[rapid.Change] = []
    async with slow_founder(told) as cluster:
        await asyncio.to_thread(start_in_vain_blocking, cluster.endpoint)
        await until(lambda: gone(told) == [True])


async def test_a_start_that_was_let_in_without_learning_of_it_leaves(
    others: list[rapid.Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Node.receive

    def receive(node: Node, message: Message, now: float, reply_to: Hashable | None = None) -> None:
        answer = isinstance(message, Admitted | Snapshot | Decided | Facts)
        if not (answer and node._joining is not None and node._joining._withdrawn_until is None):
            real(node, message, now, reply_to)

    monkeypatch.setattr(Node, "receive", receive)
    with pytest.raises(JoinError):
        await joining(others, settings=HASTY).start()
    await until(lambda: gone(others) == [True])


async def test_nobody_is_told_of_the_view_that_a_failed_start_was_let_in_to() -> None:
    told: list[rapid.Change] = []
    async with slow_founder(told) as cluster:
        late = Cluster(ANY, seeds=[cluster.endpoint], settings=HASTY)
        with pytest.raises(JoinError):
            await late.start()
        with pytest.raises(StateError):
            _ = late.view
        await until(lambda: gone(told) == [True])


@pytest.mark.parametrize("after", [0.0, 0.01, 0.03, 0.06, 0.1, 0.2])
async def test_a_start_that_is_cancelled_leaves_what_it_had_entered(
    others: list[rapid.Change], after: float
) -> None:
    cluster = joining(others)
    try:
        async with asyncio.timeout(after):
            await cluster.start()
    except TimeoutError:
        pass
    else:
        await cluster.leave()
    assert cluster._feed.closed
    async with joining(others) as later:
        # it is in the first view without the other one, or the other one never was in
        assert later.view.size <= 3
        await later.wait_for(predicate=lambda view: view.size == 2)
    assert all(gone(others))
