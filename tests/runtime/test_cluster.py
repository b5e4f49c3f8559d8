"""Clusters of real members in this process, over real sockets."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

import rapid
from rapid import Cluster, Endpoint, Member, Settings, ViewChange
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, NodeId
from rapid.proto.codec import Encoder
from rapid.proto.frames import FrameWriter
from rapid.protocol.messages import Facts, Message, Probe, Snapshot
from rapid.runtime.membership import Membership

from .reactor_loop import until

ANY = "127.0.0.1:0"


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 10
    while any(thread.name == "rapid" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the runtime's thread lives on"
        time.sleep(0.005)


async def test_one_founds_and_reads_its_view() -> None:
    async with Cluster(ANY, metadata={"role": "cache"}) as cluster:
        view = cluster.view
        assert view.version == 1
        assert view.endpoints == (cluster.endpoint,)
        assert cluster.endpoint.port != 0
        assert cluster.endpoint in view
        member = view.member(cluster.endpoint)
        assert member is not None
        assert member.node_id == cluster.node_id
        assert member.metadata == {"role": "cache"}
        first = await anext(cluster.changes())
        assert first == ViewChange(view, view.members, ())


async def test_one_can_listen_before_it_joins() -> None:
    told: list[rapid.Change] = []
    async with Cluster(ANY) as a:
        b = Cluster(ANY, seeds=[a.endpoint])
        b.subscribe(told.append)
        endpoint = await b.bind()
        assert (b.endpoint, endpoint.port != 0) == (endpoint, True)
        with pytest.raises(rapid.StateError, match="before start"):
            b.view  # noqa: B018 - it raises
        # one that asks it is not let in, and comes in by another way
        async with Cluster(ANY, seeds=[endpoint, a.endpoint]) as c:
            assert {a.endpoint, c.endpoint} == set(c.view.endpoints)
            assert b.stats["streams accepted"] > 0
            assert told == []
            view = await b.start()
            assert endpoint in view
            await until(lambda: a.view == b.view == c.view and bool(told))
            await b.leave()


async def test_it_listens_and_starts_once() -> None:
    cluster = Cluster(ANY)
    await cluster.bind()
    with pytest.raises(rapid.StateError, match="listens once"):
        await cluster.bind()
    assert (await cluster.start()).size == 1
    for again in (cluster.bind, cluster.start):
        with pytest.raises(rapid.StateError, match="once"):
            await again()
    assert cluster.view.size == 1
    await cluster.close()


async def test_an_address_that_is_taken_ends_it_before_it_starts() -> None:
    async with Cluster(ANY) as holder:
        cluster = Cluster(holder.endpoint)
        with pytest.raises(rapid.BindError):
            await cluster.bind()
        with pytest.raises(rapid.StateError, match="once"):
            await cluster.start()


async def test_one_that_only_listens_can_be_closed() -> None:
    cluster = Cluster(ANY)
    endpoint = await cluster.bind()
    await cluster.close()
    with pytest.raises(rapid.StateError, match="once"):
        await cluster.start()
    async with Cluster(endpoint) as successor:
        assert successor.endpoint == endpoint


async def test_a_start_does_not_wait_for_a_bind_under_way() -> None:
    cluster = Cluster(ANY)
    binding = asyncio.create_task(cluster.bind())
    await asyncio.sleep(0)
    with pytest.raises(rapid.StateError, match="not returned yet"):
        await cluster.start()
    await binding
    assert (await cluster.start()).size == 1
    await cluster.close()


async def test_three_agree_and_are_told_every_view_once() -> None:
    async with Cluster(ANY) as a:
        told = a.changes()
        async with Cluster(ANY, seeds=[a.endpoint]) as b, Cluster(ANY, seeds=[str(a.endpoint)]) as c:
            await until(lambda: a.view.size == b.view.size == c.view.size == 3)
            assert a.view == b.view == c.view
            gone = {b.endpoint, c.endpoint}
        await until(lambda: a.view.size == 1)
    versions: list[int] = []
    members: set[Member] = set()
    left: set[Endpoint] = set()
    async for change in told:
        assert isinstance(change, ViewChange)
        versions.append(change.view.version)
        members = {m for m in members if m.endpoint not in {r.endpoint for r in change.removed}}
        members |= set(change.joined)
        assert members == set(change.view.members)
        left |= {removal.endpoint for removal in change.removed if removal.left}
    assert versions == list(range(1, len(versions) + 1))
    assert left == gone


async def test_a_member_that_stops_without_a_word_is_removed_by_the_others() -> None:
    async with Cluster(ANY) as a, Cluster(ANY, seeds=[a.endpoint]) as b:
        c = Cluster(ANY, seeds=[a.endpoint])
        await c.start()
        await until(lambda: a.view == b.view == c.view)
        changes = a.changes()
        await anext(changes)
        await c.close()
        change = await anext(changes)
        assert isinstance(change, ViewChange)
        [removal] = change.removed
        assert (removal.endpoint, removal.node_id, removal.left) == (c.endpoint, c.node_id, False)


async def test_the_last_of_two_says_that_it_has_no_quorum() -> None:
    settings = Settings.local(quorum_timeout=0.2)
    a = Cluster(ANY, settings=settings)
    await a.start()
    b = Cluster(ANY, seeds=[a.endpoint], settings=settings)
    await b.start()
    changes = a.changes()
    before = a.view
    await anext(changes)
    await b.close()
    assert await anext(changes) == rapid.QuorumLost(before.version)
    assert a.view == before
    await a.close()
    assert [change async for change in changes] == []


async def test_a_blocked_application_loop_changes_no_view() -> None:
    async with (
        Cluster(ANY) as a,
        Cluster(ANY, seeds=[a.endpoint]) as b,
        Cluster(ANY, seeds=[a.endpoint]) as c,
    ):
        await until(lambda: a.view == b.view == c.view and a.view.size == 3)
        before = a.view
        readers = [cluster.changes() for cluster in (a, b, c)]
        for reader in readers:
            await anext(reader)
        time.sleep(10)  # noqa: ASYNC251 - what an application must not do, and does
        for cluster, reader in zip((a, b, c), readers, strict=True):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(reader)
            assert cluster.view == before


async def test_subscribers_are_called_on_their_loop_in_order() -> None:
    here = threading.get_ident()
    plain: list[tuple[int, int]] = []
    slow: list[int] = []

    async def async_callback(change: rapid.Change) -> None:
        await asyncio.sleep(0)
        assert isinstance(change, ViewChange)
        slow.append(change.view.version)

    def failing(change: rapid.Change) -> None:
        raise ValueError("the application's own")

    a = Cluster(ANY)
    a.subscribe(failing)

    def plainly(change: rapid.Change) -> None:
        assert isinstance(change, ViewChange)
        plain.append((change.view.version, threading.get_ident()))

    a.subscribe(plainly)
    await a.start()
    end = a.subscribe(async_callback)
    async with Cluster(ANY, seeds=[a.endpoint]):
        await until(lambda: slow == [1, 2] and [version for version, _ in plain] == [1, 2])
        end()
    await until(lambda: len(plain) == 3)
    assert slow == [1, 2]
    assert {thread for _, thread in plain} == {here}
    await a.leave()


async def test_several_readers_at_once() -> None:
    async with Cluster(ANY) as a:

        async def read() -> list[int]:
            return [change.view.version async for change in a.changes() if isinstance(change, ViewChange)]

        readers = [asyncio.create_task(read()) for _ in range(3)]
        async with Cluster(ANY, seeds=[a.endpoint]):
            await until(lambda: a.view.size == 2)
    results = await asyncio.gather(*readers)
    assert results[0][:2] == [1, 2]
    assert results[0] == results[1] == results[2]


async def test_advertise_differs_from_listen() -> None:
    async with Cluster("0.0.0.0:0", advertise="127.0.0.1:0") as a:
        assert a.endpoint.host == "127.0.0.1"
        async with Cluster(ANY, seeds=[a.endpoint]) as b:
            assert a.endpoint in b.view


async def test_a_restart_on_the_same_address_is_a_new_member() -> None:
    async with Cluster(ANY) as a, Cluster(ANY, seeds=[a.endpoint]):
        first = Cluster(ANY, seeds=[a.endpoint])
        await first.start()
        await first.close()
        async with Cluster(first.endpoint, seeds=[a.endpoint]) as second:
            assert second.node_id != first.node_id
            member = second.view.member(first.endpoint)
            assert member is not None
            assert member.node_id == second.node_id


# errors, for the caller


async def test_a_port_in_use() -> None:
    async with Cluster(ANY) as a:
        with pytest.raises(rapid.BindError, match="in use"):
            await Cluster(a.endpoint).start()


@pytest.mark.parametrize(
    ("seed", "trouble"),
    [("127.0.0.1:1", "connection refused"), ("no-such-host.invalid:7400", "does not resolve")],
)
async def test_a_seed_that_cannot_be_reached(seed: str, trouble: str) -> None:
    cluster = Cluster(ANY, seeds=[seed], settings=Settings.local(join_timeout=0.8))
    with pytest.raises(rapid.JoinError, match=trouble):
        await cluster.start()
    with pytest.raises(rapid.StateError):
        await cluster.start()


@pytest.mark.parametrize("listen", ["", "nonsense", "::1:7400", "127.0.0.1:99999", "0.0.0.0:7400", "[::]:0"])
def test_a_bad_address(listen: str) -> None:
    with pytest.raises(rapid.EndpointError):
        Cluster(listen)


@pytest.mark.parametrize("seed", ["nonsense", "127.0.0.1:0", "0.0.0.0:7400"])
def test_a_bad_seed(seed: str) -> None:
    with pytest.raises(rapid.EndpointError):
        Cluster(ANY, seeds=[seed])


def test_metadata_that_is_too_large() -> None:
    with pytest.raises(rapid.MetadataError):
        Cluster(ANY, metadata={"k": "v" * 16384})


def test_h_above_k() -> None:
    with pytest.raises(rapid.SettingsError, match=r"^h: "):
        Settings.lan(k=5, h=9)


async def test_calls_in_the_wrong_state() -> None:
    cluster = Cluster(ANY)
    for call in (lambda: cluster.view, lambda: cluster.endpoint, lambda: cluster.node_id, cluster.changes):
        with pytest.raises(rapid.StateError):
            call()
    with pytest.raises(rapid.StateError):
        await cluster.force_new_cluster()
    await cluster.start()
    with pytest.raises(rapid.StateError):
        await cluster.start()
    await cluster.close()
    await cluster.close()
    assert cluster.view.size == 1, "the last view stays"
    with pytest.raises(rapid.StateError):
        await cluster.force_new_cluster()


async def test_there_is_nothing_to_leave_before_the_start_and_after_the_end() -> None:
    never = Cluster(ANY)
    await never.leave()
    with pytest.raises(rapid.StateError, match="once"):
        await never.start()
    async with Cluster(ANY) as cluster:
        await asyncio.gather(cluster.leave(), cluster.leave())
        await cluster.leave()
        await cluster.close()
        await cluster.leave()
    failed = Cluster(ANY, seeds=["127.0.0.1:1"], settings=Settings.local(join_timeout=0.2))
    with pytest.raises(rapid.JoinError):
        await failed.start()
    await failed.leave()


async def test_a_member_that_leaves_while_it_starts_is_closed() -> None:
    cluster = Cluster(ANY, seeds=["127.0.0.1:1"])
    starting = asyncio.create_task(cluster.start())
    await until(lambda: cluster.stats["streams failed"])
    await cluster.leave()
    with pytest.raises(rapid.StateError, match="closed"):
        await starting


async def test_a_start_that_is_cancelled_frees_the_port() -> None:
    cluster = Cluster(ANY, seeds=["127.0.0.1:1"])
    starting = asyncio.create_task(cluster.start())
    await until(lambda: cluster.stats["streams failed"])
    address = cluster.endpoint
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    async with Cluster(address) as again:
        assert again.endpoint == address


async def test_use_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Cluster(ANY) as cluster:
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            with pytest.raises(rapid.StateError, match="fork"):
                cluster.changes()
            with pytest.raises(rapid.StateError, match="fork"):
                await cluster.leave()


async def test_a_core_that_fails_fails_the_member_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Cluster(ANY) as cluster:
        changes = cluster.changes()
        await anext(changes)
        membership = cluster._membership
        assert isinstance(membership, Membership)
        monkeypatch.setattr(
            "rapid.protocol.node.Node.receive", lambda self, message, now, reply_to=None: 1 // 0
        )
        async with _stranger(cluster.endpoint) as speak:
            await speak(Probe(STRANGER, NodeId(b"n" * 16), 1, None, 0, 0))
            with pytest.raises(rapid.StateError, match="ZeroDivisionError"):
                await anext(changes)
        await cluster.leave()


# rejections, for peers

STRANGER = Endpoint("127.0.0.1", 9)


class _stranger:
    """Speaks the protocol to a member without being one."""

    def __init__(self, to: Endpoint) -> None:
        # gRPC is loaded by the first member; not for the tests before
        import grpc

        from rapid.runtime.resolver import target
        from rapid.runtime.streams import METHOD

        self._channel = grpc.aio.insecure_channel(
            target([to.host], to.port), options=[("grpc.enable_http_proxy", 0)]
        )
        self._call = self._channel.stream_stream(METHOD)()
        self._writer = FrameWriter(STRANGER, 1 << 20)

    async def __aenter__(self) -> Callable[[Message], Awaitable[None]]:
        from collections import deque

        async def speak(message: Message) -> None:
            for frame in self._writer.frames(deque([Encoder().encode(message)])):
                await self._call.write(frame)

        return speak

    async def __aexit__(self, *error: object) -> None:
        await self._channel.close()


async def test_a_large_message_that_nobody_asked_for_is_not_read() -> None:
    crowd = [Member(Endpoint(f"host-{n}", 7400), NodeId(b"n" * 16)) for n in range(3000)]
    theirs = Configuration.of(ClusterId(b"x" * 16), 9, crowd, 10)
    async with Cluster(ANY) as cluster:
        before = cluster.view
        async with _stranger(cluster.endpoint) as speak:
            await speak(Snapshot(STRANGER, theirs))
            await until(lambda: cluster.stats["messages refused unread"])
            assert cluster.stats["messages received"] == 0
        assert cluster.view == before


async def test_a_message_for_another_cluster_is_counted() -> None:
    async with Cluster(ANY) as cluster:
        before = cluster.view
        async with _stranger(cluster.endpoint) as speak:
            await speak(Facts(STRANGER, ClusterId(b"x" * 16), 1))
            await until(lambda: any(key.startswith("rejected:") for key in cluster.stats))
        assert cluster.view == before
