"""What is made in steps is what is made at once."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.overlay import cut as cut_module
from rapid.overlay import rings as rings_module
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal, portions
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId

CLUSTER = ClusterId(b"c" * 16)
NODE = NodeId(b"n" * 16)
T = TypeVar("T")


def member(number: int) -> Member:
    return Member(Endpoint(f"host-{number}", 7400), NODE, {"k": "v"} if number % 3 else {})


def made(steps: Generator[None, None, T]) -> tuple[T, int]:
    """What the steps make, and how many there were."""
    count = 1
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result, count
        count += 1


def same(one: Configuration, other: Configuration) -> bool:
    rings = [[(ring.keys, list(ring.endpoints)) for ring in each.rings] for each in (one, other)]
    return rings[0] == rings[1] and one.digest == other.digest and one.members == other.members


@given(st.lists(st.integers(0, 300), unique=True, max_size=60), st.integers(1, 12))
def test_a_configuration(numbers: list[int], k: int) -> None:
    members = [member(number) for number in numbers]
    found, _ = made(Configuration.in_steps(CLUSTER, 7, {each.endpoint: each for each in members}, k))
    assert same(found, Configuration.of(CLUSTER, 7, members, k))


def test_equal_places_are_in_the_order_of_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(endpoint: Endpoint, k: int) -> tuple[int, ...]:
        return tuple(len(endpoint.host) + ring for ring in range(k))

    monkeypatch.setattr(rings_module, "unremembered_keys", few)
    monkeypatch.setattr(rings_module, "ring_keys", few)
    members = [member(number) for number in (300, 7, 5, 100, 20, 10, 1)]
    found, _ = made(Configuration.in_steps(CLUSTER, 7, {each.endpoint: each for each in members}, 3))
    assert same(found, Configuration.of(CLUSTER, 7, members, 3))


def test_the_larger_a_configuration_the_more_steps() -> None:
    few, many = (
        made(
            Configuration.in_steps(CLUSTER, 7, {each.endpoint: each for each in map(member, range(size))}, 4)
        )
        for size in (100, 3 * rings_module.KEYS_AT_ONCE)
    )
    assert many[1] >= few[1] + 10


@given(st.lists(st.integers(0, 300), unique=True, max_size=30), st.lists(st.integers(301, 600), unique=True))
def test_a_cut(joined: list[int], removed: list[int]) -> None:
    removals = [Removal(member(number).endpoint, NODE, number % 2 == 0) for number in removed]
    found, _ = made(Cut.in_steps(removals, list(map(member, joined))))
    whole = Cut.of(removals, map(member, joined))
    assert (found, found.digest) == (whole, whole.digest)


def test_members_with_much_metadata_are_fewer_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cut_module, "AT_ONCE", 10)
    plain = [Member(Endpoint("a", number + 1), NODE) for number in range(25)]
    rich = [Member(one.endpoint, NODE, {f"k{n}": "" for n in range(9)}) for one in plain]
    assert [len(run) for run in portions(plain)] == [10, 10, 5]
    assert [len(run) for run in portions(rich)] == [1] * 25
    assert [one for run in portions(plain) for one in run] == plain
    assert list(map(list, portions([]))) == [[]]
