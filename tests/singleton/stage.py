"""A cluster of which the test says what happens, and what is to run on its leader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rapid import Change, Changes, Endpoint, FencingToken, Member, NodeId, View, ViewChange
from rapid.runtime.feed import Feed

ANY = "127.0.0.1:0"
CLUSTER, OTHER = "c" * 32, "d" * 32
ME = Member(Endpoint("a", 1), NodeId(b"a" * 16))
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
