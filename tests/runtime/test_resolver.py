"""Names of members: looked up by the machine's resolver, and none of them holds up another."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest

from rapid.overlay.member import Endpoint
from rapid.runtime import resolver, streams
from rapid.runtime.resolver import LOOKED_UP, WAITED, Resolver

from .authority import Authority
from .names import Names, loopbacks
from .reactor_loop import on_reactor, until
from .test_transport import peer


@on_reactor
async def test_a_member_is_reached_by_a_name_that_only_the_machine_knows(names: Names) -> None:
    names.addresses["cache.example"] = ["127.0.0.1"]
    async with peer() as a, peer() as b:
        a.say(Endpoint("cache.example", b.me.port))
        await until(lambda: b.messages)
        assert not a.failures


@loopbacks
@on_reactor
async def test_all_addresses_of_a_name_are_tried(names: Names) -> None:
    async with peer(Endpoint("127.0.0.4", 0)) as b, peer() as a:
        for number, addresses in enumerate((["127.0.0.3", "127.0.0.4"], ["::1", "127.0.0.4"]), start=1):
            host = f"cache-{number}.example"
            names.addresses[host] = addresses
            a.say(Endpoint(host, b.me.port))
            await until(partial(lambda number: len(b.messages) == number, number))
        assert not a.failures


@on_reactor
async def test_nobody_listens_when_nobody_does_at_any_address(names: Names) -> None:
    names.addresses["cache.example"] = ["127.0.0.1"]
    async with peer() as gone:
        nobody = Endpoint("cache.example", gone.me.port)
    async with peer() as a:
        for count in (1, 2):
            a.say(nobody)
            await until(partial(lambda count: len(a.failures) == count, count))
        assert a.failures == [(nobody, True)] * 2
        assert names.asked == ["cache.example"] * 2, "what did not do is looked up anew"


@on_reactor
async def test_a_name_that_does_not_resolve_says_so() -> None:
    async with peer() as a:
        for host in ("no-such-host.invalid", "x" * 64 + ".invalid"):
            nowhere = Endpoint(host, 7400)
            a.say(nowhere)
            await until(partial(a.transport.trouble, nowhere))
            assert str(a.transport.trouble(nowhere)).startswith("its name does not resolve")
        assert [refused for _, refused in a.failures] == [False, False]


@on_reactor
async def test_a_name_that_takes_for_ever_holds_up_no_other(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "DIAL", 0.2)
    async with peer() as a, peer() as b:
        names.held = asyncio.Event()
        slow = Endpoint("slow.example", 7400)
        a.say(slow)
        await until(lambda: names.asked)
        names.addresses["quick.example"] = ["127.0.0.1"]
        held, names.held = names.held, None
        a.say(Endpoint("quick.example", b.me.port))
        await until(lambda: b.messages)
        await until(lambda: a.failures)
        assert a.failures == [(slow, False)]
        assert "was not resolved within" in str(a.transport.trouble(slow))
        held.set()


async def test_one_name_is_looked_up_once_for_many_and_remembered(names: Names) -> None:
    names.addresses["cache.example"] = ["10.0.0.1", "10.0.0.1", "10.0.0.2"]
    stats = Counter[str]()
    found = Resolver(stats)
    answers = await asyncio.gather(*(found.addresses("cache.example") for _ in range(5)))
    assert answers == [("10.0.0.1", "10.0.0.2")] * 5
    assert await found.addresses("cache.example") == ("10.0.0.1", "10.0.0.2")
    assert await found.addresses("10.0.0.9") == ("10.0.0.9",)
    assert names.asked == ["cache.example"]
    assert stats[LOOKED_UP] == 1
    found.forget("cache.example")
    await found.addresses("cache.example")
    assert names.asked == ["cache.example"] * 2


async def test_failures_are_not_remembered(names: Names) -> None:
    found = Resolver(Counter())
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            await found.addresses("cache.example")
    assert len(names.asked) == 2


async def test_look_ups_at_a_time_are_limited(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "THREADS", 2)
    names.held = asyncio.Event()
    names.addresses.update({f"{n}.example": ["10.0.0.1"] for n in range(5)})
    stats = Counter[str]()
    found = Resolver(stats)
    asking = [asyncio.create_task(found.addresses(host)) for host in names.addresses]
    await until(lambda: stats[WAITED] == 3)
    assert len(names.asked) == 2
    names.held.set()
    assert await asyncio.gather(*asking) == [("10.0.0.1",)] * 5


async def test_who_stops_waiting_leaves_the_answer_for_the_next(names: Names) -> None:
    names.held = asyncio.Event()
    names.addresses["cache.example"] = ["10.0.0.1"]
    found = Resolver(Counter())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(found.addresses("cache.example"), 0.01)
    names.held.set()
    assert await found.addresses("cache.example") == ("10.0.0.1",)
    assert names.asked == ["cache.example"]


async def test_the_machine_is_asked_on_a_thread_that_nobody_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    threads: list[threading.Thread] = []

    def ask(*_: object, **__: object) -> list[object]:
        threads.append(threading.current_thread())
        raise UnicodeError("label too long")

    monkeypatch.setattr(socket, "getaddrinfo", ask)
    with pytest.raises(UnicodeError, match="label too long"):
        await resolver.getaddrinfo("cache.example", 0)
    assert [thread.daemon for thread in threads] == [True]


@on_reactor
async def test_with_tls_the_certificate_must_name_the_name(names: Names, tmp_path: Path) -> None:
    """Of whichever address: who answers there must be who was dialled."""
    authority = Authority(tmp_path / "ca")
    names.addresses.update({"cache.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]})
    async with AsyncExitStack() as stack:
        b = await stack.enter_async_context(
            peer(tls=authority.tls("b", hosts=("127.0.0.1", "cache.example")))
        )
        a = await stack.enter_async_context(peer(tls=authority.tls("a")))
        a.say(Endpoint("cache.example", b.me.port))
        await until(lambda: b.messages)
        wrong = Endpoint("other.example", b.me.port)
        a.say(wrong)
        await until(lambda: a.failures)
        assert a.failures == [(wrong, False)]
        assert "certificate does not name it" in str(a.transport.trouble(wrong))
