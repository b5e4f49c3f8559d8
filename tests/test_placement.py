"""Who owns which key: little moves, shares are in proportion, replicas are apart."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from rapid import Endpoint, HashRing, Member, NodeId, PlacementError, SettingsError, View, moved

KEYS = [f"key/{number}" for number in range(120)]
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "weight": st.sampled_from(
            ["0", "0.5", "1", "2", "3", "1e-300", "1e300", "many", "-1", "nan", "inf", ""]
        ),
        "zone": st.sampled_from(["a", "b", "c", "d"]),
    },
)

PLAIN = "7375488515380133780246117561022725337167"
WEIGHED = "7375188515310133731243117561022715337167"
REPLICATED = [[7, 0, 2, 5], [3, 7, 2, 8], [7, 2, 0, 4]]


def member(number: int, metadata: dict[str, str] | None = None) -> Member:
    endpoint = Endpoint(f"10.0.{number // 250}.{number % 250}", 7400)
    return Member(endpoint, NodeId(number.to_bytes(16, "big")), metadata or {})


def members(least: int = 1, most: int = 12) -> st.SearchStrategy[list[Member]]:
    numbers = st.dictionaries(st.integers(0, 500), METADATA, min_size=least, max_size=most)
    return numbers.map(lambda chosen: [member(number, of) for number, of in chosen.items()])


def uniform(count: int, **metadata: str) -> list[Member]:
    return [member(number, metadata) for number in range(count)]


def chi_squared(keys: Counter[Member], expected: dict[Member, float]) -> float:
    """How far the shares are from those expected; its mean is the number of members less one."""
    assert keys.keys() <= expected.keys()
    return sum((keys[m] - share) ** 2 / share for m, share in expected.items())


# movement


@given(members(least=2))
def test_a_join_moves_keys_to_the_joiner_only(them: list[Member]) -> None:
    *before, joiner = them
    assert {new for _, new in moved(KEYS, HashRing(before), HashRing(them)).values()} <= {joiner}


@given(members(least=2))
def test_a_departure_moves_the_keys_of_the_one_who_goes_only(them: list[Member]) -> None:
    *after, gone = them
    ring = HashRing(them)
    changes = moved(KEYS, ring, HashRing(after))
    assert {old for old, _ in changes.values()} <= {gone}
    assert changes.keys() == {key for key in KEYS if ring.members and ring.owner(key) == gone}


@given(members(least=2), st.integers(1, 6))
def test_of_several_owners_only_one_gives_way_to_a_joiner(them: list[Member], n: int) -> None:
    *before, joiner = them
    one, two = HashRing(before, replicas=n), HashRing(them, replicas=n)
    for key in KEYS[:60]:
        old, new = set(one.owners(key)), set(two.owners(key))
        assert new - old <= {joiner}
        assert len(old - new) <= 1
        if joiner not in new:
            assert old == new


def test_a_heavier_member_takes_keys_and_gives_none() -> None:
    before = uniform(10)
    heavier = member(3, {"weight": "2"})
    changes = moved(KEYS, HashRing(before), HashRing([*before[:3], heavier, *before[4:]]))
    taken = {new for old, new in changes.values() if old is not None and old.endpoint != heavier.endpoint}
    assert taken == {heavier}


def test_a_process_that_is_restarted_at_its_address_gets_the_same_keys_and_is_told_as_another() -> None:
    before = uniform(5)
    again = Member(before[2].endpoint, NodeId(b"a new process ok"))
    one, two = HashRing(before), HashRing([*before[:2], again, *before[3:]])
    assert [one.owner(key).endpoint for key in KEYS] == [two.owner(key).endpoint for key in KEYS]
    changes = moved(KEYS, one, two)
    assert set(changes.values()) == {(before[2], again)}
    assert len(changes) > 20


def test_movement_from_and_to_nobody() -> None:
    nobody, one = HashRing([]), HashRing(uniform(1))
    assert moved(["k"], nobody, one) == {"k": (None, one.members[0])}
    assert moved([b"k"], one, nobody) == {b"k": (one.members[0], None)}
    assert moved(["k"], nobody, nobody) == moved(["k"], one, one) == {}


# agreement


@given(members(), st.integers(1, 15), st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_matter(them: list[Member], n: int, rng: random.Random) -> None:
    one = HashRing(them)
    rng.shuffle(them)
    two = HashRing(them)
    assert one.members == two.members
    for key in KEYS[:20]:
        assert one.owners(key, n) == two.owners(key, n)


@given(members(), st.text() | st.binary())
def test_the_owner_is_the_first_of_the_owners_and_more_of_them_begin_with_fewer(
    them: list[Member], key: str | bytes
) -> None:
    ring = HashRing(them)
    everyone = ring.owners(key, len(them))
    assert len(everyone) == len(set(everyone)) == len(ring.members)
    assert set(everyone) == set(ring.members)
    for n in range(1, len(them) + 2):
        assert ring.owners(key, n) == everyone[:n]
    if everyone:
        assert ring.owner(key) == everyone[0]


def test_placement_is_what_it_always_was() -> None:
    # members of different releases must agree: a change of these is a breaking one
    ring = HashRing([member(n, {"weight": str(1 + n % 2), "zone": "abc"[n % 3]}) for n in range(9)])
    plain = HashRing(uniform(9))
    assert "".join(str(plain.owner(f"k{n}").node_id[-1]) for n in range(40)) == PLAIN
    assert "".join(str(ring.owner(f"k{n}").node_id[-1]) for n in range(40)) == WEIGHED
    assert [[m.node_id[-1] for m in ring.owners(f"k{n}", 4)] for n in range(3)] == REPLICATED


@given(members(least=1), st.text())
def test_the_owner_is_who_pays_the_least(them: list[Member], key: str) -> None:
    def cost(m: Member) -> float:
        try:
            weight = float(m.metadata.get("weight", "1"))
        except ValueError:
            weight = 1.0
        weight = weight if 0 <= weight < math.inf else 1.0
        seed = xxhash.xxh3_64_intdigest(key.encode())
        draw = (xxhash.xxh3_64_intdigest(str(m.endpoint).encode(), seed) + 0.5) / 2**64
        return -math.log(draw) / weight if weight else math.inf

    cheapest = min(them, key=cost)
    if math.isfinite(cost(cheapest)):
        assert HashRing(them).owner(key) == cheapest


def test_text_and_its_utf8_are_one_key() -> None:
    ring = HashRing(uniform(50))
    for key in ("", "k", "schlüssel", "鍵"):
        assert ring.owner(key) == ring.owner(key.encode())
    assert ring.owner("\udcff") in ring.members, "a file name that is no text"


# shares


@pytest.mark.parametrize("count", [2, 7, 60])
@pytest.mark.parametrize(
    "key", [lambda n: f"user:{n}", lambda n: n.to_bytes(8, "little"), lambda n: f"{n:x}" * 40]
)
def test_equal_members_own_equal_shares(count: int, key: Callable[[int], str | bytes]) -> None:
    ring = HashRing(uniform(count))
    total = 300 * count
    keys = Counter(ring.owner(key(n)) for n in range(total))
    # five deviations of a chi squared of count - 1 degrees
    assert chi_squared(keys, dict.fromkeys(ring.members, 300.0)) < count - 1 + 5 * (2 * (count - 1)) ** 0.5


def test_second_owners_do_not_depend_on_the_first() -> None:
    ring = HashRing(uniform(6), replicas=2)
    first, *rest = ring.members
    pairs = (ring.owners(f"user:{n}") for n in range(18_000))
    keys = Counter(second for one, second in pairs if one == first)
    assert chi_squared(keys, dict.fromkeys(rest, keys.total() / len(rest))) < 4 + 5 * 8**0.5


def test_shares_are_in_proportion_to_weights() -> None:
    weights = ["1", "1", "2", "3", "0.5", "2", "0"]
    them = [member(n, {"weight": weight}) for n, weight in enumerate(weights)]
    ring = HashRing(them)
    keys = Counter(ring.owner(f"user:{n}") for n in range(19_000))
    expected = {m: 2000 * float(m.metadata["weight"]) for m in them[:-1]}
    assert chi_squared(keys, expected) < 5 + 5 * 10**0.5
    assert them[-1] not in ring.members


@pytest.mark.parametrize("weight", ["many", "", "-1", "nan", "inf", "-inf", "0x1"])
def test_what_is_no_weight_counts_as_one(weight: str) -> None:
    odd, plain = HashRing([member(0, {"weight": weight}), member(1)]), HashRing([member(0), member(1)])
    assert [odd.owner(key).endpoint for key in KEYS] == [plain.owner(key).endpoint for key in KEYS]


def test_weights_and_zones_under_other_names() -> None:
    them = [member(n, {"weight": "0", "capacity": "2" if n else "1", "rack": str(n % 2)}) for n in range(4)]
    ring = HashRing(them, weight="capacity", zone="rack", replicas=2)
    assert len(ring.members) == 4
    for key in KEYS:
        one, two = ring.owners(key)
        assert one.metadata["rack"] != two.metadata["rack"]
    assert len(HashRing(them, weight=None, zone=None).members) == 4
    assert HashRing(them).members == ()


# zones


@given(members(least=1), st.integers(1, 8))
def test_owners_are_spread_over_the_zones(them: list[Member], n: int) -> None:
    ring = HashRing(them, replicas=n)
    sizes = Counter(m.metadata.get("zone", "") for m in ring.members)
    for key in KEYS[:30]:
        owners = ring.owners(key)
        assert len(set(owners)) == len(owners) == min(n, len(ring.members))
        taken = Counter(m.metadata.get("zone", "") for m in owners)
        most = max(taken.values(), default=0)
        assert all(taken[zone] >= min(most - 1, sizes[zone]) for zone in sizes)


def test_within_a_zone_the_order_is_as_without_zones() -> None:
    them = [member(n, {"zone": "abc"[n % 3]}) for n in range(12)]
    zoned, plain = HashRing(them), HashRing(them, zone=None)
    for key in KEYS:
        order = plain.owners(key, 12)
        for zone in "abc":
            assert [m for m in zoned.owners(key, 12) if m.metadata["zone"] == zone] == [
                m for m in order if m.metadata["zone"] == zone
            ]


# of a view


def test_a_views_ring_is_of_the_members_that_were_asked_for() -> None:
    them = [member(n, {"role": "cache" if n % 2 else "web", "zone": str(n % 3)}) for n in range(12)]
    view = View("c" * 32, 1, "d" * 32, tuple(them))
    assert set(view.ring().members) == set(them)
    ring = view.ring(role="cache", where=lambda m: m.metadata["zone"] == "0", replicas=3)
    assert {m.metadata["role"] for m in ring.members} == {"cache"}
    assert {m.metadata["zone"] for m in ring.members} == {"0"}
    assert len(ring.owners("k")) == 2, "there are no more"
    with pytest.raises(PlacementError, match="'k'"):
        view.ring(role="db").owner("k")
    assert view.ring(role="db").owners("k", 3) == ()


def test_numbers_of_owners_that_make_no_sense() -> None:
    with pytest.raises(SettingsError, match="^replicas: 0 "):
        HashRing([], replicas=0)
    with pytest.raises(SettingsError, match="^n: -1 "):
        HashRing(uniform(2)).owners("k", -1)

