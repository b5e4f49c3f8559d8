"""Options that contradict each other are refused; a membership that is over ends, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from structlog.testing import capture_logs

import rapid
from rapid import Change, Cluster, Evicted, RejoinDelayed, RejoinFailed, Settings, SettingsError, blocking
from rapid.agent.configuration import Configuration
from rapid.integrations.standing import standing
from rapid.standing import State

from .reactor_loop import until
from .test_addresses import V4, free_port, member, until_all_agree

LOCAL = Settings.local()
SEED, ID = "127.0.0.1:7400", "c0" * 16
ENDED = "the member could not join again and is closed"
"""The event in the log of a member that has given up."""


# options


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"seeds": (SEED,), "merge": True, "cluster_id": ID}, "merge"),
        ({"seeds": (SEED,), "bootstrap_expect": 2, "cluster_id": ID}, "bootstrap_expect"),
        ({"bootstrap_expect": 2}, "bootstrap_expect"),
        ({"cluster_id": ID}, "cluster_id"),
        ({"bootstrap_expect": 0}, "bootstrap_expect"),
        ({"seeds": (SEED,), "cluster_id": "c0"}, "cluster_id"),
    ],
)
def test_what_contradicts_itself_is_refused_everywhere(options: dict[str, Any], field: str) -> None:
    makers: list[Callable[[], object]] = [
        lambda: Cluster(V4, **options),
        lambda: blocking.Cluster(V4, **options),
        lambda: Configuration(listen=V4, **options).cluster(),
    ]
    for make in makers:
        with pytest.raises(SettingsError) as refused:
            make()
        assert refused.value.field == field


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": (SEED,), "merge": True, "bootstrap_expect": 3, "rejoin": False},
        {"seeds": (SEED,), "cluster_id": ID, "rejoin": False},
        {"merge": True},
    ],
)
def test_what_goes_together_is_taken(options: dict[str, Any]) -> None:
    Cluster(V4, **options)


@pytest.mark.parametrize("value", [0.0, -1.0, 86400.0, float("nan"), float("-inf")])
@pytest.mark.parametrize("name", ["join_timeout", "rejoin_timeout", "join_warning"])
def test_times_that_make_no_sense(name: str, value: float) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.lan(**{name: value})
    assert refused.value.field == name


# an evicted member that finds nothing to come back to


class Outcast:
    """A member that the others find unwell for as long as it says so, and what it is told."""

    def __init__(self) -> None:
        self.well = True
        self.told: list[Change] = []

    async def check(self, of: rapid.Member) -> bool:
        return self.well or of.endpoint != self.cluster.endpoint

    async def start(self, stack: AsyncExitStack, **settings: float) -> list[Cluster]:
        """Two others are there; they are given back."""
        first = await member(stack, V4, prober=self.check)
        second = await member(stack, V4, [first.endpoint], prober=self.check)
        self.cluster = await member(stack, V4, [first.endpoint], settings=Settings.local(**settings))
        await until_all_agree([first, second, self.cluster])
        return [first, second]

    async def put_out(self, others: list[Cluster]) -> None:
        """Evicted, and then the others are closed, so that nobody can let it in again."""
        self.cluster.subscribe(self.told.append)
        self.well = False
        await until(lambda: any(isinstance(change, Evicted) for change in self.told))
        for other in others:
            await other.close()


async def test_the_changes_end_when_it_could_not_join_again() -> None:
    outcast = Outcast()
    async with AsyncExitStack() as stack:
        others = await outcast.start(stack, rejoin_timeout=2.0, join_warning=0.5)
        cluster = outcast.cluster
        seen: list[Change] = []

        async def read() -> None:
            async for change in cluster.changes():
                seen.append(change)

        reader = asyncio.create_task(read())
        with capture_logs() as logs:
            await outcast.put_out(others)
            await asyncio.wait_for(reader, 15.0)
            await until(lambda: isinstance(outcast.told[-1], RejoinFailed))
        for changes in (seen, outcast.told):
            kinds = [type(change) for change in changes]
            assert kinds[kinds.index(Evicted) :][:2] == [Evicted, RejoinDelayed]
            assert kinds[-1] is RejoinFailed
        failed = seen[-1]
        assert isinstance(failed, RejoinFailed)
        assert failed.reason.startswith("no cluster has let this process in again within ")

        warned = [log for log in logs if log["event"] == "joining takes long"]
        assert {log["log_level"] for log in warned} == {"warning"}
        assert all(log["reason"] and log["seconds"] >= 0.5 for log in warned)
        [ended] = [log for log in logs if log["event"] == ENDED]
        assert ended["log_level"] == "warning"
        assert ended["reason"].startswith(failed.reason)

        now = standing(cluster)
        assert (now.state, now.reason) == (State.CLOSED, failed.reason)
        late = [change async for change in cluster.changes()]
        assert late[-1] == failed, "also who reads later is told"
        await cluster.leave()
        await cluster.close()
        await cluster.close()


async def test_one_that_is_pinned_to_a_cluster_that_is_no_more_ends() -> None:
    """Another cluster is at the addresses that it knows."""
    outcast = Outcast()
    async with AsyncExitStack() as stack:
        first = await member(stack, V4, prober=outcast.check)
        second = await member(stack, V4, [first.endpoint], prober=outcast.check)
        places = [first.endpoint, second.endpoint]
        outcast.cluster = cluster = await member(stack, V4, places, cluster_id=first.view.cluster_id)
        await until_all_agree([first, second, cluster])
        await outcast.put_out([first, second])
        others = [
            await stack.enter_async_context(Cluster(place, seeds=places[:1], settings=LOCAL))
            for place in places
        ]
        await until_all_agree(others)
        with capture_logs() as logs:
            await until(lambda: standing(cluster).state is State.CLOSED)
        [reason] = [log["reason"] for log in logs if log["event"] == ENDED]
        assert "refused: its cluster is " in reason


async def test_what_it_waits_for_is_known_while_it_waits() -> None:
    outcast = Outcast()
    async with AsyncExitStack() as stack:
        others = await outcast.start(stack, join_warning=0.3)
        await outcast.put_out(others)
        await until(lambda: sum(isinstance(change, RejoinDelayed) for change in outcast.told) > 1)
        now = standing(outcast.cluster)
        assert now.state is State.EVICTED
        latest = [change for change in outcast.told if isinstance(change, RejoinDelayed)][-1]
        assert now.reason is not None
        assert latest.waited > 0.3
        late = [change async for change in _first(outcast.cluster, 3)]
        assert [type(change) for change in late][1:] == [Evicted, RejoinDelayed], "one of them, the latest"
        # it can leave all the same
        await outcast.cluster.leave()
        assert standing(outcast.cluster).state is State.CLOSED


async def _first(cluster: Cluster, count: int) -> Any:
    changes = cluster.changes()
    for _ in range(count):
        yield await anext(changes)
    changes.close()


async def test_an_operator_has_it_go_on_alone() -> None:
    outcast = Outcast()
    async with AsyncExitStack() as stack:
        others = await outcast.start(stack)
        cluster = outcast.cluster
        before = cluster.view
        await outcast.put_out(others)
        view = await cluster.force_new_cluster()
        assert (view.size, view.cluster_id != before.cluster_id) == (1, True)
        assert view.version > before.version
        assert standing(cluster).state is State.MEMBER
        newcomer = await member(stack, V4, [cluster.endpoint], cluster_id=before.cluster_id)
        await until_all_agree([cluster, newcomer])


async def test_it_is_refused_that_while_members_answer() -> None:
    outcast = Outcast()
    async with AsyncExitStack() as stack:
        others = await outcast.start(stack)
        await outcast.put_out([])
        with pytest.raises(rapid.QuorumError, match="is a member of cluster"):
            await outcast.cluster.force_new_cluster()
        outcast.well = True
        await until_all_agree([*others, outcast.cluster])


# a start


async def test_a_start_that_takes_long_says_what_it_waits_for() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    settings = Settings.local(join_warning=0.2, join_timeout=float("inf"))
    cluster = Cluster(V4, seeds=[nobody], settings=settings)
    with capture_logs() as logs:
        starting = asyncio.create_task(cluster.start())
        await until(lambda: sum(log["event"] == "joining takes long" for log in logs) > 2)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    reasons = {log["reason"] for log in logs if log["event"] == "joining takes long"}
    assert any(nobody in reason for reason in reasons)


def lone(here: str, *others: Cluster) -> tuple[list[Cluster], Any]:
    """The seeds of a process at this address: itself, and the others once the list holds something."""
    there: list[Cluster] = []

    async def provide() -> list[str | rapid.Endpoint]:
        return [here, *(other.endpoint for other in others if there)]

    return there, provide


CURIOUS = Settings.local(outreach_interval=0.05)


async def test_a_start_that_waits_for_the_expected_number_says_so() -> None:
    settings = Settings.local(join_warning=0.2, join_timeout=float("inf"))
    async with AsyncExitStack() as stack:
        first = await member(stack, V4)
        second = Cluster(V4, seeds=[first.endpoint], bootstrap_expect=3, settings=settings)
        with capture_logs() as logs:
            starting = asyncio.create_task(second.start())
            what = "the view holds 2 of the 3 processes expected"
            await until(lambda: any(log.get("reason") == what for log in logs))
            third = await member(stack, V4, [first.endpoint])
            assert third.endpoint in await starting
        await second.leave()


async def test_a_merge_that_fails_is_logged_and_the_member_stays_ready() -> None:
    async with AsyncExitStack() as stack:
        other = [await member(stack, V4, settings=Settings.local(h=8))]
        other += [await member(stack, V4, [other[0].endpoint], settings=Settings.local(h=8))]
        await until_all_agree(other)
        here = f"127.0.0.1:{free_port()}"
        known, provide = lone(here, *other)
        one = await member(stack, here, provide, settings=CURIOUS, merge=True)
        what = "another cluster has not let this member in, which stays in its own"
        with capture_logs() as logs:
            known.append(one)
            await until(lambda: any(log["event"] == what for log in logs))
        [first, *_] = [log for log in logs if log["event"] == what]
        assert "its h is 9, this cluster's is 8" in first["reason"]
        assert (standing(one).state, one.view.size) == (State.MEMBER, 1)


async def test_a_member_that_goes_over_to_another_cluster_is_told_so_at_that_moment() -> None:
    async with AsyncExitStack() as stack:
        other = [await member(stack, V4)]
        other += [await member(stack, V4, [other[0].endpoint])]
        await until_all_agree(other)
        here = f"127.0.0.1:{free_port()}"
        known, provide = lone(here, *other)
        one = await member(stack, here, provide, settings=CURIOUS, merge=True)
        told: list[Change] = []
        one.subscribe(told.append)
        old = one.view.cluster_id
        known.append(one)
        await until_all_agree([*other, one])
        await until(lambda: len(told) > 2)
        kinds = [type(change) for change in told[:3]]
        assert kinds == [rapid.ViewChange, rapid.OtherCluster, rapid.ViewsSkipped]
        assert one.view.cluster_id == other[0].view.cluster_id != old
