"""Rings, observers and subjects of a configuration, and the next configuration by a cut."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rapid.errors import ConfigurationError
from rapid.overlay import configuration as configuration_module
from rapid.overlay import rings as rings_module
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.overlay.rings import Ring, backward_ring, ring_keys, rings_of

CLUSTER = ClusterId(b"c" * 16)
K = 10


def node_id(number: int) -> NodeId:
    return NodeId(number.to_bytes(16, "big"))


def member(number: int, life: int = 0, role: str = "") -> Member:
    metadata = {"role": role} if role else {}
    return Member(Endpoint(f"10.0.{number // 250}.{number % 250}", 7400), node_id(life), metadata)


def of(members: list[Member], version: int = 1, k: int = K) -> Configuration:
    return Configuration.of(CLUSTER, version, members, k)


def slow_ring(members: list[Member], number: int) -> list[Endpoint]:
    """The obvious oracle: sort by the key, then by the endpoint."""
    endpoints = [m.endpoint for m in members]
    return sorted(endpoints, key=lambda endpoint: (ring_keys(endpoint, K)[number], endpoint))


def assert_same(found: Configuration, expected: Configuration) -> None:
    assert found.version == expected.version
    assert found.cluster_id == expected.cluster_id
    assert found.size == expected.size
    assert found.endpoints == expected.endpoints
    assert found.members == expected.members
    assert found.digest == expected.digest
    for ring, other in zip(found.rings, expected.rings, strict=True):
        assert list(ring.endpoints) == list(other.endpoints)
        assert ring.keys == other.keys
    for at, endpoint in enumerate(expected.endpoints):
        assert endpoint in found
        assert found.index(endpoint) == at
        assert found.member(endpoint) == expected.member(endpoint)
        assert found.observers(endpoint) == expected.observers(endpoint)
        assert found.subjects(endpoint) == expected.subjects(endpoint)


def assert_inverse(configuration: Configuration) -> None:
    """On every ring, who observes me has me as its subject there."""
    for endpoint in configuration.endpoints:
        observers = configuration.observers(endpoint)
        assert len(observers) == (configuration.k if configuration.size > 1 else 0)
        for number, observer in enumerate(observers):
            assert configuration.subjects(observer)[number] == endpoint


@given(st.sets(st.integers(0, 400), max_size=40), st.randoms(use_true_random=False))
@example({175, 349, 400}, random.Random(1))
def test_rings_equal_a_plain_sort(numbers: set[int], shuffler: random.Random) -> None:
    members = [member(number) for number in sorted(numbers)]
    shuffler.shuffle(members)
    configuration = of(members)
    turned = backward_ring(configuration.rings)
    for number, ring in enumerate(configuration.rings):
        expected = slow_ring(members, number)
        assert list(ring.endpoints) == expected
        if number == turned:
            expected.reverse()
        for at, endpoint in enumerate(expected):
            if len(expected) > 1:  # at 0 and at the end the ring wraps round
                assert configuration.observers(endpoint)[number] == expected[(at + 1) % len(expected)]
                assert configuration.subjects(endpoint)[number] == expected[at - 1]
    assert_inverse(configuration)


History = tuple[set[int], list[tuple[set[int], set[int]]]]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """The first members, and cuts: which numbers go or restart, and which join when absent."""
    numbers = st.sets(st.integers(0, 60), max_size=12)
    return draw(numbers), draw(st.lists(st.tuples(numbers, numbers), max_size=6))


@given(histories())
def test_after_any_cuts_it_equals_a_rebuild(history: History) -> None:
    first, cuts = history
    lives = dict.fromkeys(sorted(first), 0)
    configuration = of([member(number) for number in lives])
    for life, (going, coming) in enumerate(cuts, start=1):
        removed = [Removal(member(n).endpoint, node_id(lives.pop(n))) for n in sorted(going) if n in lives]
        joins = [number for number in sorted(coming) if number not in lives]  # some of them restarts
        joined = [member(number, life, f"role {life}") for number in joins]
        lives.update(dict.fromkeys(joins, life))
        before = configuration.digest
        after = configuration.apply(Cut.of(removed, joined))
        assert configuration.digest == before
        configuration = after
        expected = [member(n, life, f"role {life}" if life else "") for n, life in lives.items()]
        assert_same(configuration, of(expected, version=configuration.version))
        assert_inverse(configuration)
    assert configuration.version == 1 + len(cuts)


@pytest.mark.parametrize("changes", [0, 1, 2, 63, 64, 65, 66, 199])
@pytest.mark.parametrize("restarts", [0, 5])
def test_cuts_of_any_size_equal_a_rebuild(changes: int, restarts: int) -> None:
    chance = random.Random(changes)
    old = [member(number) for number in range(200)]
    going = chance.sample(old, changes)
    coming = [member(number, 1) for number in range(200, 200 + changes)]
    coming += [Member(gone.endpoint, node_id(9)) for gone in going[:restarts]]
    cut = Cut.of([Removal(gone.endpoint, gone.node_id) for gone in going], coming)
    staying = [m for m in old if m not in going]
    assert_same(of(old).apply(cut), of(staying + coming, version=2))


def test_a_cut_may_empty_a_configuration_and_another_fill_it() -> None:
    members = [member(number) for number in range(3)]
    empty = of(members).apply(Cut.of([Removal(m.endpoint, m.node_id) for m in members]))
    assert_same(empty, of([], version=2))
    assert_same(empty.apply(Cut.of(joined=members)), of(members, version=3))


def test_one_alone_observes_nobody() -> None:
    alone = of([member(1)])
    assert alone.observers(member(1).endpoint) == ()
    assert alone.subjects(member(1).endpoint) == ()
    assert alone.subjects(member(2).endpoint) == (member(1).endpoint,) * K
    assert of([]).subjects(member(2).endpoint) == ()
    assert of([]).observers(member(2).endpoint) == ()


def test_of_two_each_holds_every_ring_of_the_other() -> None:
    pair = of([member(1), member(2)])
    assert pair.observers(member(1).endpoint) == (member(2).endpoint,) * K
    assert pair.subjects(member(1).endpoint) == (member(2).endpoint,) * K


@given(st.sets(st.integers(0, 400), max_size=40), st.integers(401, 500))
@example({305, 68}, 450)
def test_an_outsider_is_let_in_by_those_it_will_observe(numbers: set[int], outsider: int) -> None:
    """The observers-to-be of a joiner are the predecessors of its places: once in, they are its subjects.

    Not on the ring that is turned round once it is in, if there is one.
    """
    before = of([member(number) for number in sorted(numbers)])
    joiner = member(outsider)
    after = before.apply(Cut.of(joined=[joiner]))
    turned = backward_ring(rings_of(after.endpoints, K))
    observers_to_be = before.subjects(joiner.endpoint)
    assert len(observers_to_be) == (K if numbers else 0)
    assert set(observers_to_be) <= set(before.endpoints)
    for number, observer in enumerate(observers_to_be):
        if number != turned:
            assert observer == after.subjects(joiner.endpoint)[number]
            assert before.observers(joiner.endpoint)[number] == after.observers(joiner.endpoint)[number]
            assert after.observers(observer)[number] == joiner.endpoint


MEMBERS = [member(number) for number in range(4)]
HELD, FREE = MEMBERS[0], member(9)
GOOD = Removal(MEMBERS[3].endpoint, MEMBERS[3].node_id)


@pytest.mark.parametrize(
    "cut",
    [
        Cut.of([GOOD, Removal(FREE.endpoint, FREE.node_id)]),
        Cut.of([GOOD, Removal(HELD.endpoint, node_id(7))]),
        Cut.of([GOOD, GOOD]),
        Cut.of([GOOD], [HELD]),
        Cut.of([GOOD], [Member(HELD.endpoint, node_id(7))]),
        Cut.of([GOOD], [FREE, FREE]),
        Cut.of([GOOD], [FREE, Member(FREE.endpoint, node_id(7))]),
    ],
    ids=["no member", "another process", "removed twice", "joins again", "held", "joins twice", "two at one"],
)
def test_a_cut_that_does_not_fit_changes_nothing(cut: Cut) -> None:
    configuration = of(MEMBERS)
    with pytest.raises(ConfigurationError):
        configuration.apply(cut)
    assert_same(configuration, of(MEMBERS))
    assert_same(configuration.apply(Cut.of([GOOD])), of(MEMBERS[:3], version=2))


def test_two_members_at_one_endpoint_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two members"):
        of([member(1), member(1, life=2)])


def test_a_restart_in_one_cut_keeps_the_place_and_changes_the_process() -> None:
    before = of(MEMBERS)
    new = Member(HELD.endpoint, node_id(7), {"role": "new"})
    after = before.apply(Cut.of([Removal(HELD.endpoint, HELD.node_id)], [new]))
    assert after.endpoints == before.endpoints
    assert after.member(HELD.endpoint) == new
    assert before.member(HELD.endpoint) == HELD
    assert after.observers(HELD.endpoint) == before.observers(HELD.endpoint)


@pytest.mark.parametrize(
    "other",
    [
        Configuration.of(ClusterId(b"d" * 16), 1, MEMBERS, K),
        Configuration.of(CLUSTER, 2, MEMBERS, K),
        of(MEMBERS[:3]),
        of([*MEMBERS[:3], Member(MEMBERS[3].endpoint, node_id(7))]),
        of([*MEMBERS[:3], Member(MEMBERS[3].endpoint, MEMBERS[3].node_id, {"a": "b"})]),
        of([*MEMBERS[:3], Member(Endpoint("10.0.0.3", 7401), MEMBERS[3].node_id)]),
    ],
    ids=["cluster", "version", "member", "node id", "metadata", "port"],
)
def test_the_digest_depends_on(other: Configuration) -> None:
    assert other.digest != of(MEMBERS).digest


def test_the_digest_does_not_depend_on_the_order_of_arrival() -> None:
    assert of(MEMBERS[::-1]).digest == of(MEMBERS).digest


@pytest.mark.parametrize(
    "key",
    [
        lambda endpoint: 0,
        lambda endpoint: endpoint.port % 2,
        lambda endpoint: -endpoint.port,
    ],
    ids=["all collide", "halves collide", "reversed"],
)
@settings(max_examples=30)
@given(data=st.data())
def test_ties_are_broken_by_the_endpoint(key: Callable[[Endpoint], int], data: st.DataObject) -> None:
    """Places that are made to collide, which 64-bit hashes do too seldom for a test."""

    def keys(endpoint: Endpoint, k: int) -> tuple[int, ...]:
        return (key(endpoint),) * k

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rings_module, "ring_keys", keys)
        patch.setattr(configuration_module, "ring_keys", keys)
        check_ties(key, data)


def check_ties(key: Callable[[Endpoint], int], data: st.DataObject) -> None:
    ports = st.sets(st.integers(1, 30), max_size=12)
    old, going, coming = (sorted(data.draw(ports)) for _ in range(3))
    going = [port for port in going if port in old]
    coming = [port for port in coming if port not in old or port in going]
    staying = [port for port in old if port not in going]

    def at(port: int, life: int = 0) -> Member:
        return Member(Endpoint("h", port), node_id(life))

    cut = Cut.of([Removal(at(port).endpoint, node_id(0)) for port in going], [at(port, 1) for port in coming])
    after = of([at(port) for port in old], k=2).apply(cut)
    expected = [at(port) for port in staying] + [at(port, 1) for port in coming]
    assert_same(after, of(expected, version=2, k=2))
    in_order = sorted((m.endpoint for m in expected), key=lambda endpoint: (key(endpoint), endpoint))
    assert list(after.endpoints) == in_order
    assert_inverse(after)


def test_a_ring_of_colliding_places_is_in_the_order_of_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings_module, "ring_keys", lambda endpoint, k: (0,) * k)
    unordered = [Endpoint("h", port) for port in (3, 1, 2)]
    assert list(rings_of(unordered, 1)[0].endpoints) == sorted(unordered)


def test_a_ring_is_not_changed_by_its_successors() -> None:
    (ring,) = rings_of([member(number).endpoint for number in range(5)], 1)
    keys, endpoints = ring.keys[:], list(ring.endpoints)
    first = (ring.keys[0], ring.endpoints[0])
    ring.changed([first], [])
    ring.changed([], [(ring_keys(member(9).endpoint, 1)[0], member(9).endpoint)])
    assert ring.keys == keys
    assert ring.endpoints == endpoints


@pytest.mark.parametrize("few", [0, 1 << 62], ids=["copied between the changes", "sorted anew"])
@settings(max_examples=60)
@given(data=st.data())
def test_a_ring_is_the_same_whichever_way_it_is_changed(few: int, data: st.DataObject) -> None:
    ports = st.sets(st.integers(1, 200), max_size=60)
    old, coming = (data.draw(ports) for _ in range(2))
    going = data.draw(st.sets(st.sampled_from(sorted(old)))) if old else set()
    coming = {port for port in coming if port not in old or port in going}
    before = of([member(port) for port in old], k=3)
    removals = [Removal(member(port).endpoint, member(port).node_id) for port in going]
    cut = Cut.of(removals, [member(port) for port in coming])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rings_module, "FEW", few)
        after = before.apply(cut)
    assert_same(after, of([member(port) for port in (old - going) | coming], version=2, k=3))


def test_a_crowd_costs_one_sort_of_each_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its members are not put in their places one by one, which held up the loop of who lets them in."""
    placed: list[Endpoint] = []
    real = Ring.place

    def place(ring: Ring, key: int, endpoint: Endpoint) -> int:
        placed.append(endpoint)
        return real(ring, key, endpoint)

    monkeypatch.setattr(Ring, "place", place)
    alone = of([member(0)])
    crowded = alone.apply(Cut.of((), [member(number) for number in range(1, 2000)]))
    assert not placed
    assert crowded.apply(Cut.of((), [member(2000)])).size == 2001
    assert len(placed) == K


def test_duties_are_spread_evenly() -> None:
    """K subjects and K observers each; few pairs share more than a ring in a large cluster (section 4.1)."""
    configuration = of([member(number) for number in range(1000)])
    watched = Counter(o for endpoint in configuration.endpoints for o in configuration.observers(endpoint))
    assert set(watched.values()) == {K}
    distinct = [len(set(configuration.observers(endpoint))) for endpoint in configuration.endpoints]
    assert sum(distinct) / len(distinct) > 0.98 * K
