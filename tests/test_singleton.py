"""What runs on the leader only: when it begins and ends, and what others are told before and after."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import rapid
from rapid import (
    Change,
    Changes,
    Cluster,
    Endpoint,
    Evicted,
    FencingToken,
    Member,
    NodeId,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    Settings,
    View,
    ViewChange,
    ViewsSkipped,
)
from rapid.runtime.feed import Feed

from .runtime.reactor_loop import until

ANY = "127.0.0.1:0"
CLUSTER, OTHER = "c" * 32, "d" * 32
ME = Member(Endpoint("a", 1), NodeId(b"a" * 16))
ALONE = (ME,)
LOSER = next(
    member
    for member in (Member(Endpoint("z", n), NodeId(n.to_bytes(16, "big"))) for n in range(100))
    if View(CLUSTER, 1, "", (ME, member)).leader() == ME
)
WINNER = next(
    member
    for member in (Member(Endpoint("z", n), NodeId(n.to_bytes(16, "big"))) for n in range(100))
    if View(CLUSTER, 1, "", (ME, member)).leader() == member
)


def view(version: int, *others: Member, cluster_id: str = CLUSTER) -> View:
    return View(cluster_id, version, "e" * 32, (ME, *others))


def change(version: int, *others: Member) -> ViewChange:
    return ViewChange(view(version, *others), (), ())


def token(version: int, cluster_id: str = CLUSTER) -> FencingToken:
    return FencingToken(cluster_id, version)


class Stage:
    """A cluster of which the test says what happens."""

    def __init__(self) -> None:
        self.feed = Feed()
        self.node_id = ME.node_id

    def _first_reader(self) -> Changes:
        return self.feed.reader(first=True)

    def tell(self, *changes: Change) -> None:
        for item in changes:
            self.feed.publish(item)


class Office:
    """Runs until it is cancelled; never twice at once."""

    def __init__(self) -> None:
        self.tokens: list[FencingToken] = []
        self.running = False
        self.overlapped = False
        self.failing: list[BaseException] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.returns = asyncio.Event()

    async def __call__(self, token: FencingToken) -> None:
        self.overlapped |= self.running
        self.running = True
        self.tokens.append(token)
        try:
            if self.failing:
                raise self.failing.pop(0)
            await self.returns.wait()
        finally:
            while not self.may_end.is_set():  # stubborn: it does not end before
                try:
                    await self.may_end.wait()
                except asyncio.CancelledError:
                    continue
            self.running = False


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    made.feed.close(None)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    made = Office()
    yield made
    assert not made.overlapped


@asynccontextmanager
async def following(stage: Stage) -> AsyncIterator[list[Change]]:
    """What another reader has been given so far."""
    told: list[Change] = []

    async def follow() -> None:
        async for item in stage.feed.reader():
            told.append(item)

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)
    yield told
    task.cancel()


# terms


async def test_it_runs_with_the_token_of_the_view_that_is_led(stage: Stage, office: Office) -> None:
    stage.tell(change(7, LOSER))
    async with rapid.singleton(stage, office) as single:
        await until(lambda: office.running)
        assert office.tokens == [token(7)]
        assert single.token == token(7)
    assert not office.running
    assert single.token is None


async def test_it_does_not_run_on_a_member_that_does_not_lead(stage: Stage, office: Office) -> None:
    stage.tell(change(1, WINNER))
    async with rapid.singleton(stage, office), following(stage) as told:
        stage.tell(change(2, WINNER, LOSER))
        await until(lambda: change(2, WINNER, LOSER) in told)
        assert office.tokens == []


async def test_one_call_goes_on_as_long_as_this_member_leads(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office) as single, following(stage) as told:
        stage.tell(change(2, LOSER), change(3))
        await until(lambda: change(3) in told)
        assert office.running
        assert office.tokens == [token(1)]
        assert single.token == token(1)


async def test_it_begins_again_with_a_new_token_when_it_leads_again(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.tell(change(2, WINNER))
        await until(lambda: not office.running)
        stage.tell(change(3))
        await until(lambda: office.running)
    assert office.tokens == [token(1), token(3)]


async def test_when_views_were_skipped_another_may_have_led(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.tell(ViewsSkipped(view(4), 2))
        await until(lambda: len(office.tokens) == 2)
        stage.tell(ViewsSkipped(view(5, cluster_id=OTHER), 0))
        await until(lambda: len(office.tokens) == 3)
    assert office.tokens == [token(1), token(4), token(5, OTHER)]


async def test_it_stops_while_the_quorum_is_lost(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.tell(QuorumLost(1))
        await until(lambda: not office.running)
        stage.tell(change(2, LOSER), QuorumRestored(2))
        await until(lambda: office.running)
        stage.tell(QuorumLost(2))
        await until(lambda: not office.running)
        stage.tell(QuorumRestored(2))
        await until(lambda: office.running)
    assert office.tokens == [token(1), token(2), token(2)]


async def test_it_does_not_begin_when_the_quorum_was_lost_before(stage: Stage, office: Office) -> None:
    stage.tell(change(1), QuorumLost(1))
    async with rapid.singleton(stage, office), following(stage) as told:
        await until(lambda: QuorumLost(1) in told)
        assert not office.running
        stage.tell(change(2), QuorumRestored(2))
        await until(lambda: office.running)
    assert office.tokens[-1] == token(2)


async def test_it_may_go_on_without_a_quorum(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office, stop_on_quorum_lost=False), following(stage) as told:
        stage.tell(QuorumLost(1))
        await until(lambda: QuorumLost(1) in told)
        assert office.running
        assert len(office.tokens) == 1


@pytest.mark.parametrize(
    "end",
    [
        Evicted(CLUSTER, 2, rejoining=True),
        Evicted(CLUSTER, 2),
        OtherCluster(Endpoint("b", 1), OTHER, 9, merging=True),
    ],
)
async def test_it_stops_when_this_process_is_no_member_any_longer(
    stage: Stage, office: Office, end: Change
) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.node_id = NodeId(b"b" * 16)  # it comes back as a new one
        stage.tell(end)
        await until(lambda: not office.running)
        stage.tell(ViewsSkipped(View(OTHER, 9, "e" * 32, (Member(ME.endpoint, stage.node_id),)), 0))
        await until(lambda: office.running)
    assert office.tokens == [token(1), token(9, OTHER)]


async def test_another_cluster_that_is_just_there_ends_nothing(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    other = OtherCluster(Endpoint("b", 1), OTHER, 9, merging=False)
    async with rapid.singleton(stage, office), following(stage) as told:
        stage.tell(other)
        await until(lambda: other in told)
        assert office.running


async def test_it_ends_with_the_member_and_the_block_goes_on(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.feed.close(None)
        await until(lambda: not office.running)


async def test_what_has_returned_is_not_called_again_in_the_same_term(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    office.returns.set()
    async with rapid.singleton(stage, office) as single, following(stage) as told:
        stage.tell(change(2, LOSER))
        await until(lambda: change(2, LOSER) in told)
        assert office.tokens == [token(1)]
        assert single.token is None
        stage.tell(change(3, WINNER), change(4))
        await until(lambda: len(office.tokens) == 2)
    assert office.tokens == [token(1), token(4)]


async def test_roles_and_names_choose_the_leader(office: Office) -> None:
    stage = Stage()
    mine = Member(ME.endpoint, ME.node_id, {"role": "db"})
    stage.tell(ViewChange(View(CLUSTER, 1, "", (mine, WINNER)), (), ()))
    async with rapid.singleton(stage, office, role="db"):
        await until(lambda: office.running)
    async with rapid.singleton(stage, office, where=lambda m: m == mine):
        await until(lambda: len(office.tokens) == 2)
    name = next(n for n in map(str, range(99)) if View(CLUSTER, 1, "", (ME, WINNER)).leader(name=n) == ME)
    async with rapid.singleton(stage, office, name=name):
        await until(lambda: len(office.tokens) == 3)
    stage.feed.close(None)


# what comes before what


@pytest.mark.parametrize(
    "end", [change(2, WINNER), QuorumLost(1), Evicted(CLUSTER, 2), ViewsSkipped(view(3), 1)]
)
async def test_others_are_told_of_the_end_after_it(stage: Stage, office: Office, end: Change) -> None:
    stage.tell(change(1))
    office.may_end.clear()
    async with rapid.singleton(stage, office), following(stage) as told:
        await until(lambda: office.running and told)
        late = stage.feed.reader()
        stage.tell(end)
        await until(lambda: len(late._waiting) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert end not in told
        assert office.running
        office.may_end.set()
        running: list[bool] = []
        async for item in late:
            if item == end:
                running.append(office.running and len(office.tokens) == 1)
                break
        assert running == [False]
        await until(lambda: end in told)


async def test_readers_on_other_threads_are_told_after_it_too(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    running: list[bool] = []
    reading = threading.Event()

    async def read() -> None:
        async for item in stage.feed.reader():
            reading.set()
            if item == change(2, WINNER):
                running.append(office.running)
                return

    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        thread = threading.Thread(target=lambda: asyncio.run(read()))
        thread.start()
        await asyncio.to_thread(reading.wait)
        stage.tell(change(2, WINNER))
        await asyncio.to_thread(thread.join)
    assert running == [False]


async def test_it_may_follow_the_changes_itself(stage: Stage) -> None:
    stage.tell(change(1))
    seen: list[Change] = []

    async def run(token: FencingToken) -> None:
        async for item in stage.feed.reader():
            seen.append(item)

    async with rapid.singleton(stage, run), following(stage) as told:
        await until(lambda: seen)
        stage.tell(change(2, LOSER))
        await until(lambda: change(2, LOSER) in seen)
        stage.tell(change(3, WINNER))
        await until(lambda: change(3, WINNER) in told)
    assert seen == [ViewChange(view(1), (ME,), ()), change(2, LOSER)]


async def test_one_that_does_not_end_holds_the_others_up_for_its_grace_only(
    stage: Stage, office: Office
) -> None:
    stage.tell(change(1))
    office.may_end.clear()
    with capture_logs() as logs:
        async with rapid.singleton(stage, office, grace=0.05), following(stage) as told:
            await until(lambda: office.running)
            stage.tell(change(2, WINNER))
            await until(lambda: change(2, WINNER) in told)
            assert office.running
            # in the next term it is not called before the earlier call is over
            stage.tell(change(3), change(4, WINNER), change(5))
            await until(lambda: change(5) in told)
            assert office.tokens == [token(1)]
            office.may_end.set()
            await until(lambda: len(office.tokens) == 2)
    assert office.tokens == [token(1), token(5)]
    [entry] = [log for log in logs if "does not end" in log["event"]]
    assert entry["grace"] == 0.05


async def test_the_block_ends_after_it(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    ended = asyncio.Event()

    async def block() -> None:
        async with rapid.singleton(stage, office, grace=0.01):
            await until(lambda: office.running)
        ended.set()

    office.may_end.clear()
    task = asyncio.create_task(block())
    await until(lambda: stage.feed._firsts)
    await until(lambda: not stage.feed._firsts)
    assert office.running
    assert not ended.is_set()
    office.may_end.set()
    await task
    assert not office.running


# failures


async def test_what_fails_is_run_again_until_it_does_not(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    office.failing = [ZeroDivisionError(), asyncio.CancelledError(), OSError("no disk")]
    with capture_logs() as logs:
        async with rapid.singleton(stage, office, retry=0.001):
            await until(lambda: len(office.tokens) == 4)
            assert office.running
            stage.tell(change(2, LOSER))
            office.returns.set()
            await until(lambda: not office.running)
    assert office.tokens == [token(1)] * 4
    failures = [type(log["exc_info"]) for log in logs]
    assert failures == [ZeroDivisionError, rapid.StateError, OSError]


async def test_a_retry_has_the_token_of_the_newest_view(stage: Stage) -> None:
    stage.tell(change(1))
    tokens = []
    fail = asyncio.Event()

    async def run(token: FencingToken) -> None:
        tokens.append(token)
        await fail.wait()
        if len(tokens) < 2:
            raise OSError

    async with rapid.singleton(stage, run, retry=0.001), following(stage) as told:
        await until(lambda: tokens)
        stage.tell(change(2, LOSER))
        await until(lambda: change(2, LOSER) in told)
        fail.set()
        await until(lambda: len(tokens) == 2)
    assert tokens == [token(1), token(2)]


async def test_a_term_may_end_between_two_tries(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    office.failing = [OSError()]
    async with rapid.singleton(stage, office, retry=1000.0), following(stage) as told:
        await until(lambda: office.tokens and not office.running)
        stage.tell(change(2, WINNER), change(3))
        await until(lambda: change(3) in told and office.running)
    assert office.tokens == [token(1), token(3)]


async def test_one_that_fails_when_it_is_cancelled_is_over(stage: Stage) -> None:
    stage.tell(change(1))
    tokens = []

    async def run(token: FencingToken) -> None:
        tokens.append(token)
        try:
            await asyncio.Event().wait()
        finally:
            raise OSError("the disk is full")

    with capture_logs() as logs:
        async with rapid.singleton(stage, run, retry=1000.0), following(stage) as told:
            await until(lambda: tokens)
            stage.tell(change(2, WINNER))
            await until(lambda: change(2, WINNER) in told)
    assert tokens == [token(1)]
    assert ["end of its term" in log["event"] for log in logs] == [True]


@pytest.mark.parametrize("error", [OSError("no disk"), asyncio.CancelledError()])
async def test_a_failure_may_end_the_block(stage: Stage, office: Office, error: BaseException) -> None:
    stage.tell(change(1))
    office.failing = [error]
    cancelled = False

    async def block() -> None:
        nonlocal cancelled
        async with rapid.singleton(stage, office, retry=None):
            try:
                await asyncio.Event().wait()
            finally:
                cancelled = True

    with pytest.raises(rapid.StateError if isinstance(error, asyncio.CancelledError) else OSError):
        await block()
    assert cancelled
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()
    assert not stage.feed._firsts


async def test_an_error_in_the_block_comes_out_as_it_is(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    async def block() -> None:
        async with rapid.singleton(stage, office):
            await until(lambda: office.running)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await block()
    assert not office.running


async def test_the_block_may_be_cancelled(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    async def block() -> None:
        async with rapid.singleton(stage, office):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await until(lambda: office.running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not office.running
    assert not stage.feed._firsts


async def test_a_predicate_that_fails_ends_the_block(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    def where(member: Member) -> bool:
        raise KeyError(member)

    with pytest.raises(KeyError):
        async with rapid.singleton(stage, office, where=where):
            await asyncio.Event().wait()


async def test_a_member_that_fails_ends_the_block(stage: Stage, office: Office) -> None:
    stage.tell(change(1))

    async def block() -> None:
        async with rapid.singleton(stage, office):
            await until(lambda: office.running)
            stage.feed.close(ZeroDivisionError())
            await asyncio.Event().wait()

    with pytest.raises(rapid.StateError, match="the member failed"):
        await block()
    assert not office.running


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("retry", {"retry": 0.0}),
        ("retry", {"retry": 3600.0}),
        ("grace", {"grace": 0.0}),
        ("grace", {"grace": -1.0}),
    ],
)
async def test_times_that_are_none(stage: Stage, office: Office, field: str, options: dict[str, Any]) -> None:
    with pytest.raises(rapid.SettingsError, match=f"^{field}: "):
        rapid.singleton(stage, office, **options)


async def test_it_is_entered_once_and_after_the_start(stage: Stage, office: Office) -> None:
    single = rapid.singleton(stage, office)
    async with single:
        pass
    with pytest.raises(rapid.StateError, match="once"):
        await single.__aenter__()
    with pytest.raises(rapid.StateError, match="start"):
        async with rapid.singleton(Cluster(ANY), office):
            pass


# with real members


class Ledger:
    """What ran where, as it happened; a resource that checks tokens."""

    def __init__(self) -> None:
        self.running: set[Endpoint] = set()
        self.most = 0
        self.tokens: list[FencingToken] = []

    def job(self, cluster: Cluster) -> Any:
        async def run(token: FencingToken) -> None:
            self.tokens.append(token)
            self.running.add(cluster.endpoint)
            self.most = max(self.most, len(self.running))
            try:
                await asyncio.Event().wait()
            finally:
                self.running.discard(cluster.endpoint)

        return run


def led_by(clusters: list[Cluster]) -> Cluster:
    leader = clusters[0].view.leader()
    assert leader is not None
    return next(cluster for cluster in clusters if cluster.endpoint == leader.endpoint)


@asynccontextmanager
async def members(count: int, ledger: Ledger, **settings: float) -> AsyncIterator[list[Cluster]]:
    """Members that agree, each with its singleton."""
    async with AsyncExitStack() as stack:
        clusters: list[Cluster] = []
        for _ in range(count):
            cluster = Cluster(
                ANY,
                seeds=[clusters[0].endpoint] if clusters else [],
                settings=Settings.local(**settings),
            )
            clusters.append(await stack.enter_async_context(cluster))
            await stack.enter_async_context(rapid.singleton(cluster, ledger.job(cluster)))
        for cluster in clusters:
            await cluster.wait_for(count, timeout=15)
        yield clusters


async def test_one_of_three_runs_it_and_another_when_that_is_gone() -> None:
    ledger = Ledger()
    async with members(3, ledger) as clusters:
        leader = led_by(clusters)
        await until(lambda: ledger.running == {leader.endpoint})
        before = ledger.tokens[-1]
        await leader.close()
        rest = [cluster for cluster in clusters if cluster is not leader]
        await rest[0].wait_for(predicate=lambda view: leader.endpoint not in view, timeout=15)
        await until(lambda: ledger.running == {led_by(rest).endpoint})
        assert ledger.tokens[-1] > before
        with pytest.raises(rapid.StateError):
            await leader.leave()


async def test_a_leader_that_leaves_has_ended_before_another_begins() -> None:
    ledger = Ledger()
    async with members(3, ledger) as clusters:
        leader = led_by(clusters)
        await until(lambda: ledger.running == {leader.endpoint})
        before = ledger.tokens[-1]
        ledger.most = 0
        await leader.leave()
        rest = [cluster for cluster in clusters if cluster is not leader]
        await until(lambda: ledger.running == {led_by(rest).endpoint})
        assert ledger.most == 1
        assert ledger.tokens[-1] > before


async def test_the_last_of_two_stops_when_the_other_is_silent() -> None:
    ledger = Ledger()
    async with members(2, ledger, quorum_timeout=0.2) as clusters:
        leader = led_by(clusters)
        await until(lambda: ledger.running == {leader.endpoint})
        other = next(cluster for cluster in clusters if cluster is not leader)
        await other.close()
        await until(lambda: not ledger.running)
        assert leader.view.size == 2
        await leader.close()


# what the guide says

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "leader-and-sharding.md"


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """What the programs in the guide have defined, one after the other."""
    defined: dict[str, Any] = {"__name__": "guide"}
    for program in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(program, GUIDE, "exec"), defined)
    return defined


async def test_the_guides_program_reports_on_one_member(
    guide: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    program = asyncio.create_task(guide["main"](ANY))
    said = ""

    def has_reported() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return "reporting, as of" in said and "ViewChange(" in said

    await until(has_reported)
    reported = re.search("reporting, as of (.*)", said)
    assert reported is not None
    assert FencingToken.parse(reported[1]).version == 1
    program.cancel()
    with pytest.raises(asyncio.CancelledError):
        await program


def test_the_guides_store_refuses_the_old_and_the_strange(guide: dict[str, Any], tmp_path: Path) -> None:
    store = guide["Store"](str(tmp_path / "db"), CLUSTER)

    def rows() -> list[tuple[str, str]]:
        return store._db.execute("SELECT * FROM rows").fetchall()  # type: ignore[no-any-return]  # the guide's

    store.write(token(3), "k", "three")
    store.write(token(3), "k", "three again")
    store.write(token(5), "k", "five")
    for old in (token(4), token(6, OTHER)):
        with pytest.raises(PermissionError):
            store.write(old, "k", "late")
        assert rows() == [("k", "five")]
    store.adopt(token(6, OTHER))
    store.write(token(6, OTHER), "k", "six")
    with pytest.raises(PermissionError):
        store.write(token(7), "k", "from the old cluster")
    assert rows() == [("k", "six")]
    store._db.close()


async def test_the_guides_shards_are_held_twice_and_handed_over(guide: dict[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        clusters: list[Cluster] = []
        held: list[set[str]] = []
        tasks: list[asyncio.Task[None]] = []

        async def enter() -> None:
            mine: set[str] = set()

            async def take(shard: str, token: FencingToken) -> None:
                mine.add(shard)

            async def drop(shard: str) -> None:
                mine.remove(shard)

            cluster = Cluster(
                ANY, seeds=[clusters[0].endpoint] if clusters else [], settings=Settings.local(),
                metadata={"role": "cache", "zone": str(len(clusters))},
            )  # fmt: skip
            clusters.append(await stack.enter_async_context(cluster))
            held.append(mine)
            tasks.append(asyncio.create_task(guide["rebalance"](cluster, take, drop)))

        for count in range(1, 4):
            await enter()
            await until(lambda count=count: sum(map(len, held)) == min(count, 2) * 256)  # type: ignore[misc]  # a default
        assert all(any(shard in mine for mine in held) for shard in guide["SHARDS"])
        view = await clusters[0].wait_for(3)
        assert {guide["describe"](cluster.view) for cluster in clusters} == {guide["describe"](view)}
        one = View(CLUSTER, 1, "", view.members[:2])
        assert len(guide["report_moves"](one, view)) > 40
    for task in tasks:
        await task
