"""What the log says of a member's life, in one line an event, and for programs in its fields."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import structlog

import rapid
from rapid import Cluster, Endpoint, Settings
from rapid.log import LOGGER
from rapid.overlay.cut import Removal
from rapid.overlay.member import ClusterId, Member, NodeId
from rapid.protocol.outputs import Left, OtherCluster, QuorumLost, QuorumRestored
from rapid.runtime.lifecycle import NAMED, Lifecycle
from rapid.view import View, ViewChange, ViewsSkipped

from .reactor_loop import until

ANY = "127.0.0.1:0"
LOCAL = Settings.local()
ME = Endpoint("127.0.0.1", 1)


class Records(logging.Handler):
    """What a handler on the logger is given."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def events(self, local: object = ME) -> list[tuple[str, str, dict[str, Any]]]:
        """Level, event and fields of one member's."""
        return [
            (record.levelname, record.event, {k: v for k, v in record.fields.items() if k != "local"})
            for record in self.records
            if record.fields.get("local") == str(local)
        ]

    def names(self, local: object) -> list[tuple[str, str]]:
        return [(level, event) for level, event, _ in self.events(local)]


@pytest.fixture
def logged() -> Iterator[Records]:
    """All that is logged, by a program that uses the standard logging."""
    structlog.reset_defaults()
    handler, level = Records(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    yield handler
    LOGGER.setLevel(level)
    LOGGER.removeHandler(handler)


async def test_a_member_that_joins_and_leaves(logged: Records) -> None:
    async with Cluster(ANY, settings=LOCAL) as a:
        async with Cluster(ANY, seeds=[a.endpoint], settings=LOCAL) as b:
            await a.wait_for(2, timeout=20)
        await a.wait_for(predicate=lambda view: view.size == 1, timeout=20)
    assert logged.names(a.endpoint) == [
        ("DEBUG", "listening"),
        ("INFO", "joined"),
        ("INFO", "view changed"),
        ("INFO", "view changed"),
        ("INFO", "left"),
        ("DEBUG", "closed"),
    ]
    of_b = {event: fields for _, event, fields in logged.events(b.endpoint)}
    assert of_b["seeds looked up"] == {"seeds": [str(a.endpoint)]}
    assert of_b["listening"] == {"node_id": str(b.node_id)}
    assert of_b["joined"] == {
        "cluster_id": a.view.cluster_id, "version": 2, "size": 2, "rejoined": False
    }  # fmt: skip
    assert of_b["left"] == {"agreed": True}
    changes = [fields for _, event, fields in logged.events(a.endpoint) if event == "view changed"]
    assert [change["joined"] for change in changes] == [[str(b.endpoint)], []]
    assert [change["left"] for change in changes] == [[], [str(b.endpoint)]]
    assert [(change["version"], change["size"]) for change in changes] == [(2, 2), (3, 1)]


async def test_members_that_fail_until_the_quorum_is_lost(logged: Records) -> None:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(Cluster(ANY, settings=LOCAL))
        others = []
        for _ in range(4):
            other = await stack.enter_async_context(Cluster(ANY, seeds=[a.endpoint], settings=LOCAL))
            others.append(other)
        await a.wait_for(5, timeout=30)
        await others[0].close()
        await a.wait_for(predicate=lambda view: view.size == 4, timeout=30)
        failed = [fields["failed"] for _, _, fields in logged.events(a.endpoint) if fields.get("failed")]
        assert failed == [[str(others[0].endpoint)]]
        assert logged.names(others[0].endpoint)[-1] == ("INFO", "closed without leaving")
        for other in others[1:]:
            await other.close()
        await until(lambda: ("WARNING", "quorum lost") in logged.names(a.endpoint))
        await a.close()


async def test_an_eviction_and_the_way_back(logged: Records) -> None:
    well = asyncio.Event()
    well.set()
    outcast: list[Cluster] = []

    async def check(member: Member) -> bool:
        return well.is_set() or member.endpoint != outcast[0].endpoint

    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(Cluster(ANY, settings=LOCAL, prober=check))
        b = Cluster(ANY, seeds=[a.endpoint], settings=LOCAL, prober=check)
        await stack.enter_async_context(b)
        settings = Settings.local(join_warning=0.2)
        c = await stack.enter_async_context(Cluster(ANY, seeds=[a.endpoint], settings=settings))
        outcast.append(c)
        await a.wait_for(3, timeout=20)
        well.clear()
        await until(lambda: ("WARNING", "joining takes long") in logged.names(c.endpoint))
        well.set()
        await until(lambda: [event for _, event in logged.names(c.endpoint)].count("joined") == 2)
    evicted = next(fields for _, event, fields in logged.events(c.endpoint) if event == "evicted")
    assert evicted["rejoining"] is True
    waited = next(fields for _, event, fields in logged.events(c.endpoint) if event == "joining takes long")
    assert waited["rejoining"] is True
    assert waited["reason"]
    joined = [fields["rejoined"] for _, event, fields in logged.events(c.endpoint) if event == "joined"]
    assert joined == [False, True]


# one event after the other


def view(version: int, *ports: int, cluster: str = "c" * 32) -> View:
    members = tuple(Member(Endpoint("127.0.0.1", port), NodeId(port), {}) for port in ports)
    return View(cluster, version, "d" * 32, members)


def first(lifecycle: Lifecycle, now: View) -> None:
    lifecycle.listening(ME, NodeId(1))
    lifecycle.viewed(ViewChange(now, now.members, ()))


def test_of_many_members_some_are_named_and_the_others_are_counted(logged: Records) -> None:
    lifecycle, ports = Lifecycle(), range(2, 2 + NAMED + 30)
    first(lifecycle, view(1, 1))
    joined = view(2, 1, *ports)
    lifecycle.viewed(ViewChange(joined, joined.members[1:], ()))
    gone = tuple(Removal(member.endpoint, member.node_id) for member in joined.members[1:])
    lifecycle.viewed(ViewChange(view(3, 1), (), gone))
    for field, (_, event, fields) in zip(("joined", "failed"), logged.events()[-2:], strict=True):
        assert event == "view changed"
        assert len(fields[field]) == NAMED + 1
        assert fields[field][0] == "127.0.0.1:2"
        assert fields[field][-1] == "30 more"


def test_views_that_were_skipped_say_who_came_and_went(logged: Records) -> None:
    lifecycle = Lifecycle()
    first(lifecycle, view(1, 1, 2))
    lifecycle.viewed(ViewsSkipped(view(5, 1, 3), 3))
    level, event, fields = logged.events()[-1]
    assert (level, event) == ("INFO", "views skipped")
    assert (fields["skipped"], fields["joined"], fields["removed"]) == (3, ["127.0.0.1:3"], ["127.0.0.1:2"])


def test_another_cluster_is_trouble_and_going_there_is_life(logged: Records) -> None:
    lifecycle, there = Lifecycle(), Endpoint("127.0.0.1", 9)
    first(lifecycle, view(1, 1))
    lifecycle.happened(OtherCluster(there, ClusterId(5), 7, merging=False), [])
    lifecycle.happened(OtherCluster(there, ClusterId(5), 7, merging=True), [])
    lifecycle.viewed(ViewsSkipped(view(8, 1, 9, cluster=str(ClusterId(5))), 0))
    assert logged.names(ME)[-3:] == [
        ("WARNING", "another cluster was found"),
        ("INFO", "merging into another cluster"),
        ("INFO", "now in another cluster"),
    ]
    assert logged.events()[-1][2]["previous"] == "c" * 32


def test_a_quorum_comes_and_goes(logged: Records) -> None:
    lifecycle = Lifecycle()
    first(lifecycle, view(4, 1, 2))
    lifecycle.happened(QuorumLost(4), [])
    lifecycle.happened(QuorumRestored(4), [])
    assert logged.events()[-2:] == [
        ("WARNING", "quorum lost", {"version": 4, "size": 2}),
        ("INFO", "quorum restored", {"version": 4, "size": 2}),
    ]


def test_a_departure_that_nobody_agreed_on_is_none_that_was(logged: Records) -> None:
    lifecycle = Lifecycle()
    first(lifecycle, view(4, 1, 2))
    lifecycle.happened(Left(agreed=False), [])
    lifecycle.ended(None)
    assert [event[:2] for event in logged.events()[-2:]] == [("INFO", "left"), ("DEBUG", "closed")]
    assert logged.events()[-2][2] == {"agreed": False}


def test_who_never_listened_has_no_end(logged: Records) -> None:
    Lifecycle().ended(rapid.BindError("in use"))
    assert logged.records == []


def test_lists_are_not_made_where_nobody_would_read_them(
    logged: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapid.runtime.lifecycle._named", None)
    LOGGER.setLevel(logging.WARNING)
    lifecycle = Lifecycle()
    first(lifecycle, view(1, 1))
    lifecycle.viewed(ViewChange(view(2, 1, 2), (), ()))
    assert logged.records == []
