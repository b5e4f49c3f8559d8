"""Seeds: where they come from, and what becomes of what cannot be looked up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

import rapid
from rapid import Endpoint, discovery
from rapid.discovery import SeedProvider
from rapid.runtime.discovery import FAILED, PROVIDER, Discovery

from .names import Names, loopbacks

PORT = 7400
ME = Endpoint("192.0.2.9", PORT)
"""An address for documentation: no machine has it."""
LONG, SHORT = 15.0, 0.05


def looking(
    provider: SeedProvider, patience: float = LONG, **options: bool
) -> tuple[Discovery, Counter[str]]:
    stats: Counter[str] = Counter()
    return Discovery(provider, patience, stats, **options), stats


def at(*hosts: str, port: int = PORT) -> list[Endpoint]:
    return [Endpoint(host, port) for host in hosts]


# names


async def test_each_address_of_a_name_is_a_seed_in_the_same_order_everywhere(names: Names) -> None:
    found, _ = looking(discovery.dns("cache.example", PORT))
    for answer in (["10.0.0.12", "::2", "10.0.0.9", "::1"], ["::1", "10.0.0.9", "::2", "10.0.0.12"]):
        names.addresses["cache.example"] = [*answer, answer[0]]
        assert await found.addresses(ME) == at("10.0.0.9", "10.0.0.12", "::1", "::2")


async def test_names_are_resolved_anew_each_time(names: Names) -> None:
    found, stats = looking(discovery.static(["a.example:7400", "10.0.0.5:7400", "b.example:7400"]))
    names.addresses = {"a.example": ["10.0.0.1"], "b.example": ["10.0.0.5", "10.0.0.2"]}
    assert await found.addresses(ME) == at("10.0.0.1", "10.0.0.5", "10.0.0.2")
    names.addresses["a.example"] = ["10.0.0.3"]
    assert await found.addresses(ME) == at("10.0.0.3", "10.0.0.5", "10.0.0.2")
    assert not stats
    assert not found.troubles()


async def test_ones_own_endpoint_stays_as_it_is_written(names: Names) -> None:
    names.addresses = {"a.example": ["10.0.0.1"], "b.example": ["10.0.0.2"]}
    found, _ = looking(discovery.static(["a.example:7400", "b.example:7400"]))
    assert await found.addresses(Endpoint("b.example", PORT)) == at("10.0.0.1", "b.example")


@loopbacks
async def test_ones_own_address_is_first_among_those_of_ones_own_machine(names: Names) -> None:
    names.addresses["here.example"] = ["127.0.0.2", "127.0.0.1", "127.0.0.3"]
    found, _ = looking(discovery.static(["here.example:7400"]))
    assert await found.addresses(Endpoint("127.0.0.2", PORT)) == at("127.0.0.2", "127.0.0.1", "127.0.0.3")


@loopbacks
async def test_ones_own_address_is_not_first_among_those_of_several_machines(names: Names) -> None:
    """Else each of them were the first seed, and founded a cluster of its own."""
    names.addresses["cache.example"] = ["127.0.0.2", "192.0.2.9", "127.0.0.1"]
    found, _ = looking(discovery.dns("cache.example", PORT))
    for me in at("127.0.0.1", "127.0.0.2", "192.0.2.9"):
        assert await found.addresses(me) == at("127.0.0.1", "127.0.0.2", "192.0.2.9")


async def test_names_can_be_left_to_the_transport(names: Names) -> None:
    found, _ = looking(discovery.static(["a.example:7400", "10.0.0.5:7400"]), as_written=True)
    assert await found.addresses(ME) == at("a.example", "10.0.0.5")
    assert not names.asked


async def test_a_name_that_does_not_resolve_is_kept_and_told_of_once(names: Names) -> None:
    names.addresses["a.example"] = ["10.0.0.1"]
    found, stats = looking(discovery.static(["b.example:7400", "a.example:7400"]))
    with capture_logs() as logs:
        assert await found.addresses(ME) == at("b.example", "10.0.0.1")
        assert await found.addresses(ME) == at("b.example", "10.0.0.1")
    assert stats == {FAILED: 2}
    [told] = logs
    assert (told["seed"], told["log_level"]) == ("b.example:7400", "warning")
    assert found.troubles() == {"b.example:7400": "its name does not resolve: Name or service not known"}
    names.addresses["b.example"] = ["10.0.0.2"]
    assert await found.addresses(ME) == at("10.0.0.2", "10.0.0.1")
    assert not found.troubles()


async def test_the_addresses_that_a_name_had_stay_while_it_does_not_resolve(names: Names) -> None:
    names.addresses["a.example"] = ["10.0.0.1", "10.0.0.2"]
    found, stats = looking(discovery.dns("a.example", PORT))
    await found.addresses(ME)
    names.addresses.clear()
    assert await found.addresses(ME) == at("10.0.0.1", "10.0.0.2")
    assert stats == {FAILED: 1}


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example"])
async def test_a_name_that_no_resolver_takes(host: str) -> None:
    found, stats = looking(discovery.static([f"{host}:7400"]))
    assert await found.addresses(ME) == at(host)
    assert stats == {FAILED: 1}
    assert "does not resolve" in found.troubles()[f"{host}:7400"]


async def test_a_resolver_that_hangs_is_not_waited_for_and_not_asked_twice_at_once(names: Names) -> None:
    names.addresses = {"a.example": ["10.0.0.1"]}
    names.held = asyncio.Event()
    found, stats = looking(discovery.static(["a.example:7400", "10.0.0.5:7400"]), SHORT)
    for _ in range(3):
        assert await found.addresses(ME) == at("a.example", "10.0.0.5")
    assert stats == {FAILED: 3}
    assert names.asked == ["a.example"]
    assert found.troubles() == {"a.example:7400": "its name was not resolved within 0.05 s"}
    names.held.set()
    assert await found.addresses(ME) == at("10.0.0.1", "10.0.0.5")
    assert names.asked == ["a.example"]


async def test_nothing_is_waited_for_after_the_end(names: Names) -> None:
    names.held = asyncio.Event()
    found, _ = looking(discovery.dns("a.example", PORT))
    looked = asyncio.create_task(found.addresses(ME))
    await asyncio.sleep(0)
    looked.cancel()
    found.close()
    with pytest.raises(asyncio.CancelledError):
        await looked
    assert asyncio.all_tasks() == {asyncio.current_task()}


# providers


class Registry:
    """An application's own: says what it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    async def __call__(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return await answer if asyncio.isfuture(answer) else answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ConnectionResetError("gone"), "ConnectionResetError: gone"),
        (KeyError("seeds"), "KeyError: 'seeds'"),
        (asyncio.CancelledError(), "CancelledError: "),
        (None, "TypeError: "),
        ([None], "TypeError: "),
        ("10.0.0.5:7400", "EndpointError: '10.0.0.5:7400': several seeds are wanted"),
        (["10.0.0.5:7400", "nonsense"], "EndpointError: 'nonsense' is no HOST:PORT"),
        (["0.0.0.0:7400"], "EndpointError: seed 0.0.0.0:7400: no process can be reached there"),
        ([Endpoint("a.example", 0)], "EndpointError: seed a.example:0: no process can be reached there"),
    ],
)
async def test_the_last_good_answer_stays(answer: Any, why: str) -> None:
    registry = Registry(answer, ["10.0.0.1:7400"], answer, answer, at("10.0.0.2"))
    found, stats = looking(registry)
    with capture_logs() as logs:
        assert await found.addresses(ME) == []
        assert found.troubles()[PROVIDER].startswith(why)
        assert await found.addresses(ME) == at("10.0.0.1")
        assert not found.troubles()
        assert await found.addresses(ME) == at("10.0.0.1")
        assert await found.addresses(ME) == at("10.0.0.1")
        assert await found.addresses(ME) == at("10.0.0.2")
    assert stats == {FAILED: 3}
    assert [told["seed"] for told in logs] == [PROVIDER] * 2, "once each time"


async def test_another_kind_of_trouble_is_told_of_again() -> None:
    troubles = [TimeoutError("after 5.01 s"), TimeoutError("after 5.02 s"), OSError("no route"), None]
    found, stats = looking(Registry(*troubles))
    with capture_logs() as logs:
        for _ in troubles:
            await found.addresses(ME)
    assert [told["reason"].partition(":")[0] for told in logs] == ["TimeoutError", "OSError", "TypeError"]
    assert stats == {FAILED: 4}


async def test_a_provider_that_hangs_is_cancelled() -> None:
    answers: list[asyncio.Future[Any]] = [asyncio.get_running_loop().create_future() for _ in range(2)]
    found, stats = looking(Registry(["10.0.0.1:7400"], *answers), SHORT)
    for _ in range(3):
        assert await found.addresses(ME) == at("10.0.0.1")
    assert all(answer.cancelled() for answer in answers)
    assert found.troubles() == {PROVIDER: "no answer within 0.05 s"}
    assert stats == {FAILED: 2}


async def test_a_provider_that_is_no_async_function() -> None:
    def plain() -> list[str]:
        return ["10.0.0.1:7400"]

    found, _ = looking(plain)  # type: ignore[arg-type]  # that is the point
    assert await found.addresses(ME) == []
    assert found.troubles()[PROVIDER].startswith("TypeError: ")


async def test_the_troubles_of_seeds_that_are_none_any_longer_are_forgotten(names: Names) -> None:
    found, _ = looking(Registry(["a.example:7400"], ["10.0.0.1:7400"]))
    await found.addresses(ME)
    assert set(found.troubles()) == {"a.example:7400"}
    await found.addresses(ME)
    assert not found.troubles()


@pytest.mark.parametrize(
    "make",
    [
        lambda: discovery.static(["nonsense"]),
        lambda: discovery.static("10.0.0.5:7400"),
        lambda: discovery.static(["127.0.0.1:0"]),
        lambda: discovery.dns("cache example", 7400),
        lambda: discovery.dns("cache.example", 0),
        lambda: rapid.Cluster("127.0.0.1:0", seeds="10.0.0.5:7400"),
    ],
)
def test_what_cannot_be_a_seed_is_said_at_once(make: Callable[[], object]) -> None:
    with pytest.raises(rapid.EndpointError):
        make()
