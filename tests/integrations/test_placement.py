"""The example of placement: its rules, its fence, and that under one token each shard has one member."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rapid
from rapid import Cluster, Endpoint, FencingToken, Member, NodeId, View
from tests.runtime.reactor_loop import until

from .clusters import ANY, LOCAL, ROOT, defined_by, until_agreed

pytest.importorskip("ortools", reason="no OR-tools: they come with the extra placement")

from examples.placement import policy
from examples.placement.member import Placing, follow, table
from examples.placement.store import Store, Superseded

CLUSTER = "c" * 32
SHARDS = [(f"{tenant}{number}", 5, tenant) for tenant in "ab" for number in range(4)]
NAMES = {shard for shard, _, _ in SHARDS}


def member(port: int, **metadata: str) -> Member:
    return Member(Endpoint("10.0.0.1", port), NodeId(port.to_bytes(16, "big")), metadata)


def view(version: int, *members: Member, cluster_id: str = CLUSTER) -> View:
    return View(cluster_id, version, "0" * 32, members)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "placement.sqlite"))
    store.declare(SHARDS)
    return store


# the policy


def solved(
    shards: Sequence[tuple[str, int, str]],
    members: Sequence[tuple[str, int, bool]],
    before: dict[str, str],
) -> dict[str, str]:
    tables = sqlite3.connect(":memory:")
    tables.executescript(policy.SCHEMA)
    tables.executemany("INSERT INTO shards VALUES (?, ?, ?)", shards)
    tables.executemany("INSERT INTO members VALUES (2, ?, ?, ?)", members)
    tables.executemany("INSERT INTO placed VALUES (1, ?, ?)", before.items())
    try:
        return policy.solve(tables, 2, 1)
    finally:
        tables.close()


def best(
    shards: Sequence[tuple[str, int, str]], members: Sequence[tuple[str, int, bool]], before: dict[str, str]
) -> tuple[int, int] | None:
    """The cost of the best placement, found by trying every one; None when none keeps the rules."""
    names = [name for name, _, _ in members]
    placements = (
        {shard: where for (shard, _, _), where in zip(shards, places, strict=True)}
        for places in itertools.product(names, repeat=len(shards))
    )
    costs = (cost(now, shards, members, before) for now in placements)
    return min((found for found in costs if found is not None), default=None)


def cost(
    now: dict[str, str],
    shards: Sequence[tuple[str, int, str]],
    members: Sequence[tuple[str, int, bool]],
    before: dict[str, str],
) -> tuple[int, int] | None:
    """The moves, and the load of the busiest; None for a placement that breaks a rule."""
    capacity = {name: 0 if draining else limit for name, limit, draining in members}
    taking = sum(limit > 0 for limit in capacity.values())
    tenants = Counter(tenant for _, _, tenant in shards)
    loads: Counter[str] = Counter()
    spread: Counter[tuple[str, str]] = Counter()
    for shard, load, tenant in shards:
        loads[now[shard]] += load
        spread[now[shard], tenant] += 1
    if any(load > capacity[name] for name, load in loads.items()):
        return None
    if any(count > -(-tenants[tenant] // taking) for (_, tenant), count in spread.items()):
        return None
    moves = sum(now[shard] != was for shard, was in before.items() if was in capacity)
    return moves, max(loads.values())


@given(
    loads=st.lists(st.tuples(st.integers(1, 9), st.sampled_from("xy")), min_size=1, max_size=4),
    members=st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=3),
    before=st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
@settings(max_examples=60)
def test_it_keeps_the_rules_with_the_fewest_moves(
    loads: list[tuple[int, str]], members: list[tuple[int, bool]], before: list[int]
) -> None:
    shards = [(f"s{number}", load, tenant) for number, (load, tenant) in enumerate(loads)]
    able = [(f"m{number}", capacity, draining) for number, (capacity, draining) in enumerate(members)]
    was = {shard: f"m{where}" for (shard, _, _), where in zip(shards, before, strict=False)}
    expected = best(shards, able, was)
    if expected is None:
        with pytest.raises(policy.Unplaceable):
            solved(shards, able, was)
        return
    assert cost(solved(shards, able, was), shards, able, was) == expected


# the store


def test_a_view_is_placed_once(store: Store) -> None:
    now = view(1, member(1), member(2))
    assert store.place(now.token, now) == 0
    placed = store.placed(now.token)
    assert placed.keys() == NAMES
    assert Counter(placed.values()) == {"10.0.0.1:1": 4, "10.0.0.1:2": 4}
    other = dict.fromkeys(NAMES, "10.0.0.1:1")
    assert store.place(now.token, now, lambda *_: other) == 0
    assert store.placed(now.token) == placed


def test_only_what_must_moves(store: Store) -> None:
    first, second = view(1, member(1), member(2)), view(2, member(1), member(2), member(3))
    third = view(3, member(1), member(3))
    store.place(first.token, first)
    before = store.placed(first.token)
    # a tenant's four shards on three members: two at most on each, as it is
    assert store.place(first.token, second) == 0
    assert store.placed(second.token) == before
    assert store.place(first.token, third) == 4
    after = store.placed(third.token)
    stayed = {shard for shard, where in before.items() if where == "10.0.0.1:1"}
    assert {shard: after[shard] for shard in stayed} == dict.fromkeys(stayed, "10.0.0.1:1")


def test_a_leader_of_the_past_is_refused(store: Store) -> None:
    old, new = view(4, member(1), member(2)), view(5, member(2), member(3))
    store.place(new.token, new)
    late = view(6, member(1))
    with pytest.raises(Superseded):
        store.place(old.token, late)
    assert store.placed(late.token) == {}
    stranger = view(9, member(1), cluster_id="d" * 32)
    with pytest.raises(Superseded):
        store.place(stranger.token, stranger)
    # the version alone is no token
    assert store.placed(view(5, cluster_id="d" * 32).token) == {}


def test_an_older_view_is_not_placed_after_a_newer_one(store: Store) -> None:
    newer, older = view(5, member(1)), view(4, member(2))
    store.place(FencingToken(CLUSTER, 3), newer)
    assert store.place(FencingToken(CLUSTER, 3), older) == 0
    assert store.placed(older.token) == {}


def test_what_cannot_be_placed_leaves_all_as_it_is(store: Store) -> None:
    first, second = view(1, member(1)), view(2, member(1, capacity="1"))
    store.place(first.token, first)
    with pytest.raises(policy.Unplaceable):
        store.place(first.token, second)
    assert store.placed(second.token) == {}
    third = view(3, member(1), member(2, draining="yes"))
    store.place(first.token, third)
    assert set(store.placed(third.token).values()) == {"10.0.0.1:1"}


def test_the_database_has_no_room_for_a_second_member(store: Store, tmp_path: Path) -> None:
    now = view(1, member(1), member(2))
    store.place(now.token, now)
    db = sqlite3.connect(tmp_path / "placement.sqlite")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("INSERT INTO placed VALUES (1, 'a0', '10.0.0.1:2')")
    db.close()


# members


class Served(NamedTuple):
    token: FencingToken
    shard: str
    by: str


def served_twice(record: Sequence[Served]) -> dict[tuple[FencingToken, str], set[str]]:
    """What more than one member has served under one token."""
    by = defaultdict(set)
    for token, shard, who in record:
        by[token, shard].add(who)
    return {what: who for what, who in by.items() if len(who) > 1}


def test_two_that_serve_under_one_token_are_found() -> None:
    one, two = FencingToken(CLUSTER, 1), FencingToken(CLUSTER, 2)
    record = [Served(one, "a0", "x"), Served(one, "a0", "x"), Served(two, "a0", "y"), Served(one, "a1", "y")]
    assert served_twice(record) == {}
    assert served_twice([*record, Served(one, "a0", "y")]) == {(one, "a0"): {"x", "y"}}


class Town:
    """Members that place and serve, and a record of all that any of them has ever served."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.record: list[Served] = []
        self.serving: dict[str, tuple[FencingToken, set[str]]] = {}
        self.members: list[Cluster] = []

    @asynccontextmanager
    async def member(self) -> AsyncIterator[Cluster]:
        cluster = Cluster(ANY, seeds=[c.endpoint for c in self.members], settings=LOCAL)
        await cluster.start()
        self.members.append(cluster)
        name = str(cluster.endpoint)

        def serve(token: FencingToken, mine: set[str]) -> None:
            self.record += [Served(token, shard, name) for shard in sorted(mine)]
            self.serving[name] = (token, mine)

        following = asyncio.create_task(follow(cluster, self.store, serve, pause=0.01))
        try:
            async with rapid.singleton(cluster, Placing(cluster, self.store, say=lambda _: None)):
                yield cluster
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await cluster.close()

    def gone(self, cluster: Cluster) -> None:
        self.members.remove(cluster)
        del self.serving[str(cluster.endpoint)]

    def settled(self) -> bool:
        """Whether all are in one view, and every shard is served under its token."""
        views = {cluster.view for cluster in self.members}
        now = [self.serving.get(str(cluster.endpoint)) for cluster in self.members]
        if len(views) != 1 or None in now:
            return False
        token = self.members[0].view.token
        under_it = [mine for found in now if found is not None and found[0] == token for mine in [found[1]]]
        return len(under_it) == len(self.members) and sorted(s for m in under_it for s in m) == sorted(NAMES)


async def test_no_shard_is_served_by_two_members_under_one_token(store: Store) -> None:
    town = Town(store)
    tokens = set()
    async with AsyncExitStack() as stack:

        async def settle(size: int) -> None:
            await until_agreed(town.members)
            assert len(town.members) == size
            await until(town.settled)
            tokens.add(town.members[0].view.token)

        for size in (1, 2, 3, 4):
            await stack.enter_async_context(town.member())
            await settle(size)
        # the leader leaves, another one is killed, and one more comes at the same time
        leader = town.members[0].view.leader()
        assert leader is not None
        (leading,) = [c for c in town.members if c.endpoint == leader.endpoint]
        await leading.leave()
        town.gone(leading)
        await settle(3)
        killed = town.members[-1]
        await asyncio.gather(killed.close(), stack.enter_async_context(town.member()))
        town.gone(killed)
        await settle(3)
        late = view(town.members[0].view.version + 1, member(1), cluster_id=town.members[0].view.cluster_id)
        with pytest.raises(Superseded):
            store.place(FencingToken(late.cluster_id, 1), late)
    assert len(tokens) >= 6
    assert served_twice(town.record) == {}
    # each shard was served under every token at which they had settled
    assert {(s.token, s.shard) for s in town.record} >= set(itertools.product(tokens, NAMES))


def test_the_table() -> None:
    text = table(view(7, member(1), member(2)), {"a0": "10.0.0.1:2", "a1": "10.0.0.1:2"}, 1)
    lines = [line.split() for line in text.splitlines()]
    assert lines == [
        ["view", "7:", "2", "shards", "on", "2", "members,", "1", "moved"],
        ["10.0.0.1:1", "0"],
        ["10.0.0.1:2", "2", "a0", "a1"],
    ]


async def test_the_program_leaves_at_ctrl_c(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.placement", str(tmp_path / "placement.sqlite"), ANY,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = b""
        while not line.startswith(b"serving"):
            line = await process.stdout.readline()
            assert line, "it has ended"
        # it is alone, so it has led and solved; a solver may take the handler of the signal away
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_the_guide() -> None:
    first = defined_by("placement.md")["first"]
    assert first["a1"] != first["a2"]
    assert first.keys() == {"a1", "a2", "b1"}
