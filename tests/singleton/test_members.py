"""Singletons of real members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import rapid
from rapid import Cluster, Endpoint, FencingToken, Settings
from tests.runtime.reactor_loop import until

from .stage import ANY


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
