"""The store: what is agreed on stays, whoever leads, and the views of a real cluster say who does."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import pytest

from benchmarks.peers.fleet import free_addresses
from examples.datastore.client import Client
from examples.datastore.membership import follow
from examples.datastore.serialiser import Conflict, Deposed, Serialiser
from examples.datastore.server import Server
from examples.datastore.storage import Entry, Storage, Value
from examples.datastore.wire import Channel
from rapid import Cluster, Settings


def entry(term: int, number: int = 1, **writes: int) -> Entry:
    return Entry(term, "client", number, writes)


class TestStorage:
    def test_what_is_agreed_on_counts_and_nothing_else(self) -> None:
        storage = Storage()
        assert storage.append(1, 0, 0, [entry(1, x=1), entry(1, x=2, y=3)], agreed=1)
        assert storage.values == {"x": Value(1, 1)}
        assert storage.append(1, 2, 1, [], agreed=2)
        assert storage.values == {"x": Value(2, 2), "y": Value(2, 3)}

    def test_an_old_term_is_refused(self) -> None:
        storage = Storage()
        assert storage.promise(5)
        assert not storage.promise(4)
        assert not storage.append(4, 0, 0, [entry(4)], agreed=0)
        assert storage.log == []

    def test_nothing_is_put_behind_a_gap_or_behind_another_history(self) -> None:
        storage = Storage()
        storage.append(1, 0, 0, [entry(1)], agreed=0)
        assert not storage.append(2, 2, 1, [entry(2)], agreed=0)
        assert not storage.append(2, 1, 2, [entry(2)], agreed=0)
        assert len(storage.log) == 1

    def test_what_an_older_serialiser_has_left_gives_way(self) -> None:
        storage = Storage()
        storage.append(1, 0, 0, [entry(1, x=1), entry(1, x=2), entry(1, x=3)], agreed=1)
        assert storage.append(2, 1, 1, [entry(2, x=9)], agreed=2)
        assert storage.log == [entry(1, x=1), entry(2, x=9)]
        assert storage.values["x"].value == 9

    def test_an_append_that_comes_late_takes_nothing_back(self) -> None:
        storage = Storage()
        storage.append(1, 0, 0, [entry(1, x=1), entry(1, x=2)], agreed=0)
        assert storage.append(1, 0, 0, [entry(1, x=1)], agreed=0)
        assert len(storage.log) == 2


@asynccontextmanager
async def stores(count: int) -> AsyncIterator[list[Server]]:
    addresses = free_addresses(count)
    async with AsyncExitStack() as life:
        yield [await life.enter_async_context(Server(address, addresses)) for address in addresses]


@asynccontextmanager
async def leading(servers: Sequence[Server], leader: Server, term: int) -> AsyncIterator[None]:
    """All are told so."""
    for server in servers:
        server.leader = leader.address
    task = asyncio.create_task(leader.serialise(term))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@contextmanager
def client_of(servers: Sequence[Server]) -> Iterator[Client]:
    client = Client([server.address for server in servers])
    try:
        yield client
    finally:
        client.close()


class TestServers:
    async def test_a_transaction_is_read_back_and_its_version_guards_the_next(self) -> None:
        async with stores(3) as servers, leading(servers, servers[1], 1):
            with client_of(servers) as client:
                await client.transact({"x": 1})
                # the serialiser has agreed on it before it says so
                assert servers[1].storage.values["x"].value == 1
                version = servers[1].storage.values["x"].version
                await client.transact({"x": 2}, reads={"x": version})
                with pytest.raises(Conflict, match="x"):
                    await client.transact({"x": 3}, reads={"x": version})
                assert servers[1].storage.values["x"].value == 2

    async def test_one_that_cannot_be_reached_is_not_waited_for(self) -> None:
        addresses = free_addresses(3)
        async with (
            Server(addresses[0], addresses) as one,
            Server(addresses[1], addresses) as other,
            leading([one, other], one, 1),
        ):
            with client_of([one]) as client:
                assert await client.transact({"x": 1}) == 2
        assert [server.storage.log[1].writes for server in (one, other)] == [{"x": 1}, {"x": 1}]

    async def test_a_minority_agrees_on_nothing(self) -> None:
        addresses = free_addresses(3)
        async with Server(addresses[0], addresses) as alone, leading([alone], alone, 1):
            with client_of([alone]) as client, pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.transact({"x": 1})
        assert alone.storage.values == {}

    async def test_the_next_serialiser_has_all_that_was_agreed_on_without_it(self) -> None:
        addresses = free_addresses(3)
        first, second, late = (Server(address, addresses) for address in addresses)
        async with first, second:
            with client_of([first, second]) as client:
                async with leading([first, second], first, 1):
                    for number in range(20):
                        await client.transact({f"key {number}": number})
                async with late, leading([first, second, late], late, 2):
                    await client.transact({"last": True})
        values = late.storage.values
        assert [values[f"key {number}"].value for number in range(20)] == list(range(20))
        assert values["last"].value is True

    async def test_an_old_serialiser_agrees_on_nothing_any_more(self) -> None:
        async with stores(3) as servers:
            async with leading(servers, servers[0], 1), leading(servers, servers[1], 2):
                with client_of(servers) as client:
                    await client.transact({"x": 1})
                late = {"do": "transact", "client": "c", "number": 0, "reads": {}, "writes": {"x": 2}}
                assert await servers[0].answer(late) == {"leader": servers[1].address}
            assert await servers[0].answer({"do": "append", "term": 1, "start": 0, "before": 0, "entries": [],
                                            "agreed": 0}) == {
                "done": False, "term": 2, "agreed": servers[0].storage.agreed}  # fmt: skip

    async def test_what_is_asked_twice_is_done_once(self) -> None:
        async with stores(3) as servers:
            request = {"do": "transact", "client": "c", "number": 0, "reads": {}, "writes": {"x": 1}}
            for term, leader in enumerate((servers[0], servers[1]), 1):
                async with leading(servers, leader, term):
                    with client_of([leader]) as client:
                        await client.transact({"y": term})  # it is ready then
                    first, again = await leader.answer(request), await leader.answer(request)
                    assert first == again
            assert sum(logged.client == "c" for logged in servers[1].storage.log) == 1

    async def test_a_serialiser_without_a_majority_can_be_asked_and_ends(self) -> None:
        serialiser = Serialiser(1, Storage(), {})
        with pytest.raises(Deposed):
            await serialiser.transact("c", 0, {}, {})


async def test_nothing_is_lost_or_done_twice_while_terms_overlap() -> None:
    """Between each serialiser and the one before it nothing passes; clients count on at whichever it is."""
    (nobody,) = free_addresses(1)

    def cut(one: Server, other: Server) -> None:
        for server in servers:
            for name, channel in server._others.items():
                address = nobody if {server.address, name} == {one.address, other.address} else name
                if channel.address != address:
                    channel.close()
                    server._others[name] = Channel(address)

    async with stores(3) as servers:
        terms: list[asyncio.Task[None]] = []
        clients = [Client([server.address for server in servers]) for _ in range(4)]

        async def count(client: Client) -> None:
            for _ in range(25):
                while True:
                    found = (await client.read("x"))["x"]
                    try:
                        await client.transact({"x": (found.value or 0) + 1}, reads={"x": found.version})
                    except Conflict:
                        await asyncio.sleep(0)
                        continue
                    break

        async def change() -> None:
            for term in itertools.count(1):
                leader = servers[term % 3]
                cut(leader, servers[(term - 1) % 3])
                for server in servers:
                    server.leader = leader.address
                terms.append(asyncio.create_task(leader.serialise(term)))
                with client_of(servers) as client:
                    await client.transact({"term": term})

        changing = asyncio.create_task(change())
        await asyncio.gather(*map(count, clients))
        for task in (changing, *terms):
            task.cancel()
        await asyncio.wait([changing, *terms])
        assert not [task for task in terms if not task.cancelled() and task.exception()]
        assert len(terms) > 2
        for client in clients:
            client.close()
        assert max(server.storage.values["x"].value for server in servers) == 100
        logs = [server.storage.log[: server.storage.agreed] for server in servers]
        longest = max(logs, key=len)
        assert all(log == longest[: len(log)] for log in logs), "all agree on one order"


async def test_the_views_of_a_cluster_say_who_serialises() -> None:
    """The serialiser's process goes without a word; the others' next view names another."""
    addresses = free_addresses(6)
    listen, data = addresses[:3], addresses[3:]
    async with AsyncExitStack() as life:
        servers, lives = [], []
        for number in range(3):
            server = await life.enter_async_context(Server(data[number], data))
            cluster = Cluster(
                listen[number], seeds=listen[:1], settings=Settings.local(),
                metadata={"role": "store", "data": data[number]},
            )  # fmt: skip
            await cluster.start()
            life.push_async_callback(cluster.close)
            following = asyncio.create_task(follow(cluster, server))
            life.push_async_callback(asyncio.wait, [following])
            life.callback(following.cancel)
            servers.append(server)
            lives.append(cluster)
        await lives[0].wait_for(3)
        client = Client(data)
        life.callback(client.close)
        await client.transact({"x": 1})
        leader = next(server for server in servers if server.leader == server.address)
        at = servers.index(leader)
        await lives[at].close()
        survivor = lives[(at + 1) % 3]
        await survivor.wait_for(predicate=lambda view: view.size == 2)
        await client.transact({"x": 2})
        values = [server.storage.values["x"].value for server in servers if server is not leader]
        assert 2 in values
        assert leader.storage.values["x"].value in (1, 2)
