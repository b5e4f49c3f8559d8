"""Calls that are spread over the members of the newest view, by real servers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

import rapid
from rapid import Cluster, Endpoint, Member, NodeId, View
from rapid.integrations.grpc_channel import FollowingChannel, target, targets
from tests.runtime.reactor_loop import until

from .clusters import ANY, LOCAL, defined_by, until_agreed

ECHO = "/test.Echo/"


def member(port: int = 7400, **metadata: str) -> Member:
    return Member(Endpoint("10.0.0.1", port), NodeId(port.to_bytes(16, "big")), metadata)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ("50051", "10.0.0.1:50051"),
        ("10.9.9.9:50051", "10.9.9.9:50051"),
        ("[::1]:50051", "[::1]:50051"),
        ("cache.example:50051", "cache.example:50051"),
        ("", None),
        ("0", None),
        ("-1", None),
        ("70000", None),
        ("grpc", None),
        ("10.9.9.9:", None),
    ],
)
def test_where_a_member_serves(said: str, where: str | None) -> None:
    assert target(member(grpc=said), "grpc") == where
    assert target(member(other=said), "grpc") is None


def test_a_host_of_ipv6_is_bracketed() -> None:
    six = Member(Endpoint("::1", 7400), NodeId(b"6" * 16), {"grpc": "50051"})
    assert target(six, "grpc") == "[::1]:50051"


def test_who_of_a_view_serves() -> None:
    a, b, c = member(1, grpc="5001", role="cache"), member(2, role="cache"), member(3, grpc="5003")
    view = View("c" * 32, 1, "0" * 32, (a, b, c))
    assert targets(view, "grpc") == {a: "10.0.0.1:5001", c: "10.0.0.1:5003"}
    assert targets(view, "grpc", role="cache") == {a: "10.0.0.1:5001"}


def encode(text: str | bytes) -> bytes:
    # gRPC has made bytes of a str already, though only if there is a serializer
    return text.encode() if isinstance(text, str) else text


def decode(data: bytes) -> str:
    return data.decode()


@dataclass
class Server:
    """A member and its service, which says which it is."""

    cluster: Cluster
    server: Any
    address: str
    held: list[str]
    """Calls that wait here."""


async def served(stack: AsyncExitStack, seeds: list[Endpoint], **metadata: str) -> Server:
    server = grpc.aio.server()
    port = server.add_insecure_port(ANY)
    address = f"127.0.0.1:{port}"
    held: list[str] = []

    async def unary(request: str, context: Any) -> str:
        if request == "wait":
            held.append(request)
            await asyncio.Event().wait()
        return address

    async def stream(request: str, context: Any) -> AsyncIterator[str]:
        for _ in request:
            yield address

    async def collected(requests: AsyncIterator[str], context: Any) -> str:
        return address + "".join([request async for request in requests])

    async def both(requests: AsyncIterator[str], context: Any) -> AsyncIterator[str]:
        async for request in requests:
            yield address + request

    kinds = {
        "unary": grpc.unary_unary_rpc_method_handler(unary, decode, encode),
        "stream": grpc.unary_stream_rpc_method_handler(stream, decode, encode),
        "collected": grpc.stream_unary_rpc_method_handler(collected, decode, encode),
        "both": grpc.stream_stream_rpc_method_handler(both, decode, encode),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", kinds)])
    await server.start()
    stack.push_async_callback(server.stop, None)
    cluster = Cluster(ANY, seeds=seeds, settings=LOCAL, metadata={"grpc": str(port), **metadata})
    stack.push_async_callback(cluster.close)
    await cluster.start()
    return Server(cluster, server, address, held)


@asynccontextmanager
async def services(count: int) -> AsyncIterator[tuple[Cluster, list[Server]]]:
    """A member that calls, and so many that serve."""
    async with AsyncExitStack() as stack:
        caller = Cluster(ANY, settings=LOCAL)
        stack.push_async_callback(caller.close)
        await caller.start()
        servers = [await served(stack, [caller.endpoint]) for _ in range(count)]
        await until_agreed([caller, *(server.cluster for server in servers)])
        yield caller, servers


def stub(channel: Any, method: str = "unary", kind: str = "unary_unary") -> Any:
    # as the generated code calls it
    return getattr(channel, kind)(
        ECHO + method, request_serializer=encode, response_deserializer=decode, _registered_method=True
    )


async def test_in_turn() -> None:
    async with services(3) as (caller, servers), FollowingChannel(caller, "grpc") as channel:
        echo = stub(channel)
        answers = Counter([await echo("hello") for _ in range(9)])
        assert answers == {server.address: 3 for server in servers}
        assert set(channel.targets.values()) == set(answers)


async def test_every_kind_of_call() -> None:
    async def requests() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async with services(2) as (caller, servers), FollowingChannel(caller, "grpc") as channel:
        addresses = {server.address for server in servers}
        many = [answer async for answer in stub(channel, "stream", "unary_stream")("abc")]
        assert len(many) == 3
        assert set(many) <= addresses
        assert (await stub(channel, "collected", "stream_unary")(requests()))[:-2] in addresses
        answers = [answer async for answer in stub(channel, "both", "stream_stream")(requests())]
        assert [answer[-1] for answer in answers] == ["a", "b"]


async def test_by_key() -> None:
    async with services(3) as (caller, servers), FollowingChannel(caller, "grpc") as channel:
        ring = caller.view.ring(where=lambda m: "grpc" in m.metadata)
        keys = [f"user-{number}" for number in range(40)]
        expected = {key: channel.targets[ring.owner(key)] for key in keys}
        stubs = {key: stub(channel.keyed(key)) for key in keys}
        assert {key: await echo("hello") for key, echo in stubs.items()} == expected
        assert set(expected.values()) == {server.address for server in servers}
        # when one goes, only its keys move
        await servers[0].cluster.leave()
        await until(lambda: len(channel.targets) == 2)
        after = {key: await echo("hello") for key, echo in stubs.items()}
        assert servers[0].address not in after.values()
        stayed = {key: where for key, where in expected.items() if where != servers[0].address}
        assert {key: after[key] for key in stayed} == stayed


async def test_it_follows_the_view() -> None:
    async with services(1) as (caller, servers), AsyncExitStack() as stack:
        channel = await stack.enter_async_context(FollowingChannel(caller, "grpc"))
        echo = stub(channel)
        assert await echo("hello") == servers[0].address
        late = await served(stack, [caller.endpoint])
        await until(lambda: len(channel.targets) == 2)
        assert {await echo("hello"), await echo("hello")} == {servers[0].address, late.address}
        await servers[0].cluster.leave()
        await until(lambda: len(channel.targets) == 1)
        assert {await echo("hello") for _ in range(4)} == {late.address}
        await late.cluster.leave()
        await until(lambda: not channel.targets)
        with pytest.raises(rapid.PlacementError, match="'grpc'"):
            echo("hello")
        with pytest.raises(rapid.PlacementError):
            stub(channel.keyed("user"))("hello")


async def test_one_that_cannot_be_reached_is_passed_over_before_it_is_removed() -> None:
    async with services(3) as (caller, servers), FollowingChannel(caller, "grpc") as channel:
        echo = stub(channel)
        for _ in servers:
            await echo("hello")
        gone = servers[1]
        await gone.server.stop(None)  # its member stays
        refused = channel._channel(gone.address)
        await until(lambda: _tried(refused) is grpc.ChannelConnectivity.TRANSIENT_FAILURE)
        assert gone.address in channel.targets.values()
        assert {await echo("hello") for _ in range(6)} == {servers[0].address, servers[2].address}


def _tried(channel: Any) -> Any:
    return channel.get_state(try_to_connect=True)


async def test_a_call_under_way_ends_when_its_member_is_removed() -> None:
    async with services(1) as (caller, servers), FollowingChannel(caller, "grpc", grace=0.0) as channel:
        call = stub(channel)("wait")
        waiting = asyncio.ensure_future(call)
        await until(lambda: servers[0].held)
        await servers[0].cluster.leave()  # and the service goes on
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: not channel._closing)
        assert channel._channels == {}


async def test_in_the_grace_a_call_goes_on() -> None:
    async with services(2) as (caller, servers):
        async with FollowingChannel(caller, "grpc", grace=3600.0) as channel:
            stays, goes = servers
            waiting = []
            while not goes.held:
                waiting.append(asyncio.ensure_future(stub(channel)("wait")))
                await until(lambda: len(stays.held) + len(goes.held) == len(waiting))
            await goes.cluster.leave()
            await until(lambda: len(channel.targets) == 1)
            # what comes later goes to the one that stays
            assert await stub(channel)("hello") == stays.address
            assert not any(call.done() for call in waiting)
        # the end of the block does not wait for the grace
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(result) for result in results} == {asyncio.CancelledError}


async def test_only_those_of_a_role() -> None:
    async with AsyncExitStack() as stack:
        cache = await served(stack, [], role="cache")
        other = await served(stack, [cache.cluster.endpoint], role="other")
        await until_agreed([cache.cluster, other.cluster])
        channel = await stack.enter_async_context(FollowingChannel(cache.cluster, "grpc", role="other"))
        assert {await stub(channel)("hello") for _ in range(3)} == {other.address}
        await other.cluster.leave()
        await until(lambda: not channel.targets)
        with pytest.raises(rapid.PlacementError, match="role 'other'"):
            channel.pick()


async def test_it_is_used_in_its_block() -> None:
    async with services(1) as (caller, _):
        channel = FollowingChannel(caller, "grpc")
        echo = stub(channel)  # a stub may be made before
        with pytest.raises(rapid.StateError, match="in its block"):
            echo("hello")
        async with channel:
            await echo("hello")
        with pytest.raises(rapid.StateError, match="in its block"):
            echo("hello")
        with pytest.raises(rapid.StateError, match="entered once"):
            await channel.__aenter__()


async def test_what_it_refuses() -> None:
    with pytest.raises(rapid.SettingsError, match="grace"):
        FollowingChannel(Cluster(ANY), "grpc", grace=-1)
    with pytest.raises(rapid.StateError):
        await FollowingChannel(Cluster(ANY), "grpc").__aenter__()


async def test_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    guide = defined_by("grpc.md")
    async with guide["serving"]() as first, guide["serving"](first.endpoint) as second:
        await until_agreed([first, second])
        await guide["call"](first, "some-user")
    assert capsys.readouterr().out == "Hello, a\nHello, b\nHello again, some-user\n"
