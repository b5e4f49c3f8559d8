"""One port of one machine is one member's, whatever names and addresses it has."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any

import pytest

from rapid.errors import BindError
from rapid.overlay.member import Endpoint
from rapid.runtime import transport

from .reactor_loop import on_reactor
from .test_transport import Peer, peer

EVERYWHERE, HERE, ELSEWHERE = "0.0.0.0", "127.0.0.1", "203.0.113.1"


def addresses(monkeypatch: pytest.MonkeyPatch, name: str, *found: str) -> None:
    """Have a name stand for these addresses of IPv4."""

    def look_up(host: str, port: int, *_: Any, flags: int = 0, **__: Any) -> list[Any]:
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        assert host == name
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


async def bound(to: Endpoint) -> str | None:
    """What is wrong with listening there; None when that worked."""
    other = Peer()
    try:
        await other.transport.bind(to)
    except BindError as error:
        return str(error)
    finally:
        await other.transport.close()
    return None


@pytest.mark.parametrize(("first", "second"), [(HERE, HERE), (HERE, EVERYWHERE), (EVERYWHERE, HERE)])
def test_a_second_member_is_refused(first: str, second: str) -> None:
    @on_reactor
    async def test() -> None:
        async with peer(Endpoint(first, 0)) as one:
            to = Endpoint(second, one.me.port)
            assert await bound(to) == f"cannot listen on {to}: {os.strerror(errno.EADDRINUSE)}"

    test()


def test_a_port_that_is_taken_after_it_was_tried_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def try_nothing(_: Endpoint) -> None:
        await asyncio.sleep(0)

    @on_reactor
    async def test() -> None:
        async with peer() as one:
            monkeypatch.setattr(transport, "_try_bind", try_nothing)
            problem = await bound(one.me)
            assert problem is not None
            assert problem.startswith(f"cannot listen on {one.me}: ")

    test()


@pytest.mark.parametrize("order", [(HERE, "127.0.0.2"), ("127.0.0.2", HERE), (ELSEWHERE, HERE)])
def test_no_address_of_a_name_may_be_in_use(order: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    @on_reactor
    async def test() -> None:
        async with peer(Endpoint(HERE, 0)) as one:
            addresses(monkeypatch, "twice.example", *order)
            problem = await bound(Endpoint("twice.example", one.me.port))
            assert problem is not None
            assert "in use" in problem

    test()


@pytest.mark.parametrize("order", [(ELSEWHERE, HERE), (HERE, ELSEWHERE)])
def test_one_address_of_a_name_must_be_this_machines(
    order: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses(monkeypatch, "localhost", *order)
    on_reactor(lambda: _works(Endpoint("localhost", 0)))()
    addresses(monkeypatch, "localhost", ELSEWHERE, "203.0.113.2")
    on_reactor(lambda: _fails(Endpoint("localhost", 0)))()


async def _works(to: Endpoint) -> None:
    assert await bound(to) is None


async def _fails(to: Endpoint) -> None:
    assert await bound(to) == f"cannot listen on {to}: {os.strerror(errno.EADDRNOTAVAIL)}"


def test_what_windows_says_of_a_port_in_use_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def hindrance(_: int, __: int, ___: int, ____: str, address: Any) -> OSError | None:
        return OSError(errno.EACCES, "access denied") if address[0] == HERE else None

    addresses(monkeypatch, "twice.example", "127.0.0.2", HERE)
    monkeypatch.setattr(transport, "_hindrance", hindrance)

    @on_reactor
    async def test() -> None:
        assert await bound(Endpoint("twice.example", 7400)) == (
            "cannot listen on twice.example:7400: access denied"
        )

    test()


def test_a_port_is_asked_for_alone_where_systems_let_others_share_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as holder:
        # shares its port with others that say so, as long as it does not listen
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HERE, 0))
        at = (socket.AF_INET, socket.SOCK_STREAM, 0, "", holder.getsockname())
        assert transport._hindrance(*at) is None
        # an option that changes nothing here, in the place of the one that Windows has
        monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_KEEPALIVE, raising=False)
        problem = transport._hindrance(*at)
        assert problem is not None
        assert problem.errno == errno.EADDRINUSE
