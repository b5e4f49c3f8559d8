"""What follows from a view alone: its token and its leader."""

from __future__ import annotations

import itertools
import operator
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rapid
from rapid import Endpoint, FencingToken, Member, NodeId, TokenError, View

CLUSTER = "c0ffee" + 26 * "0"
OTHER = "bad" + 29 * "0"
VERSIONS = st.integers(0, 2**64 - 1)


def member(number: int, **metadata: str) -> Member:
    """The same for the same number; ids are spread as random ones are."""
    return Member(
        Endpoint(f"10.0.{number // 250}.{number % 250}", 7400),
        NodeId(random.Random(number).randbytes(16)),
        metadata,
    )


def view(*members: Member, version: int = 7, cluster_id: str = CLUSTER) -> View:
    return View(cluster_id, version, "d" * 32, members)


def numbers(least: int = 1, most: int = 40) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, 10_000), min_size=least, max_size=most, unique=True)


# the token


def test_a_views_token_is_its_name() -> None:
    assert view().token == FencingToken(CLUSTER, 7)
    assert str(view().token) == f"{CLUSTER}:7"


@given(VERSIONS, VERSIONS)
def test_tokens_of_one_cluster_are_ordered_by_version(one: int, two: int) -> None:
    a, b = FencingToken(CLUSTER, one), FencingToken(CLUSTER, two)
    assert (a < b, a <= b, a == b) == (one < two, one <= two, one == two)
    assert (a > b, a >= b) == (one > two, one >= two)
    assert (bytes(a) < bytes(b)) == (one < two)
    assert max(a, b).version == max(one, two)
    assert (hash(a) == hash(b)) or one != two


@given(st.sampled_from([CLUSTER, OTHER, "0" * 32, "f" * 32]), VERSIONS)
def test_a_token_survives_text_and_bytes(cluster_id: str, version: int) -> None:
    token = FencingToken(cluster_id, version)
    assert FencingToken.parse(str(token)) == token
    assert FencingToken.from_bytes(bytes(token)) == token
    assert len(bytes(token)) == 24


@pytest.mark.parametrize("compare", [operator.lt, operator.le, operator.gt, operator.ge, max])
def test_tokens_of_two_clusters_have_no_order(compare: Callable[..., object]) -> None:
    one, two = FencingToken(CLUSTER, 1), FencingToken(OTHER, 1)
    assert one != two
    assert len({one, two, FencingToken(CLUSTER, 1)}) == 2
    with pytest.raises(TokenError, match="different clusters"):
        compare(one, two)


def test_a_token_is_not_ordered_with_anything_else() -> None:
    token = FencingToken(CLUSTER, 1)
    something: list[Any] = [2, None, "2", (CLUSTER, 1)]
    for other in something:
        assert token != other
        for compare in (operator.lt, operator.le, operator.gt, operator.ge):
            with pytest.raises(TypeError):
                compare(token, other)


@pytest.mark.parametrize("text", [
    "", ":", CLUSTER, f"{CLUSTER}:", f"{CLUSTER}:-1", f"{CLUSTER}:01", f"{CLUSTER}:1\n", f" {CLUSTER}:1",
    f"{CLUSTER}:\uff11", f"{CLUSTER}:1:2",
    f"{CLUSTER[1:]}:1", f"{CLUSTER.upper()}:1", f"{CLUSTER}:{2**64}", f"{CLUSTER}:1.0",
])  # fmt: skip
def test_a_text_that_is_no_token(text: str) -> None:
    with pytest.raises(TokenError, match="fencing token"):
        FencingToken.parse(text)


@pytest.mark.parametrize("size", [0, 16, 23, 25])
def test_bytes_that_are_no_token(size: int) -> None:
    with pytest.raises(TokenError, match=f"^{size} bytes"):
        FencingToken.from_bytes(bytes(size))


@pytest.mark.parametrize(
    "parts", [("", 1), ("xy" * 16, 1), (CLUSTER, -1), (CLUSTER, 2**64), (CLUSTER.upper(), 1), (CLUSTER, True)]
)
def test_parts_that_make_no_token(parts: tuple[str, int]) -> None:
    with pytest.raises(TokenError):
        FencingToken(*parts)


# the leader


@given(numbers(), st.text(max_size=8), st.randoms(use_true_random=False))
def test_all_who_hold_the_same_members_name_the_same_leader(
    chosen: list[int], name: str, rng: random.Random
) -> None:
    members = [member(number) for number in chosen]
    leader = view(*members).leader(name=name)
    assert leader in members
    rng.shuffle(members)
    assert view(*members).leader(name=name) == leader


@given(numbers(least=2))
def test_the_leader_stays_when_others_go(chosen: list[int]) -> None:
    members = [member(number) for number in chosen]
    leader = view(*members).leader()
    for gone in members:
        if gone != leader:
            assert view(*(m for m in members if m != gone)).leader() == leader


@given(numbers(least=2))
def test_only_the_one_that_joins_can_take_the_lead_from_another(chosen: list[int]) -> None:
    *members, joiner = (member(number) for number in chosen)
    assert view(*members, joiner).leader() in {view(*members).leader(), joiner}


@given(numbers())
def test_a_leader_leads_on_in_later_versions_and_in_a_forced_cluster(chosen: list[int]) -> None:
    members = [member(number) for number in chosen]
    leader = view(*members).leader()
    assert view(*members, version=8).leader() == leader
    assert view(*members, version=8, cluster_id=OTHER).leader() == leader


def test_a_joiner_takes_the_lead_from_n_others_with_a_chance_of_1_in_n_plus_1() -> None:
    # 1 + 1/2 + ... + 1/200 changes are expected while 200 join: 5.9, with a deviation of 2.1
    changes = []
    for history in range(50):
        members = [member(1000 * history + number) for number in range(200)]
        leaders = [view(*members[:size]).leader() for size in range(1, 201)]
        changes.append(1 + sum(a != b for a, b in itertools.pairwise(leaders)))
    assert 4.7 < sum(changes) / len(changes) < 7.1  # four deviations of the mean


def test_the_leader_is_who_it_always_was() -> None:
    # members of different releases must agree: a change of these is a breaking one
    them = view(*(member(n) for n in range(30)))
    leaders = [them.leader(name=name) for name in ("", "backup", "schlüssel")]
    hosts = [leader.endpoint.host for leader in leaders if leader is not None]
    assert hosts == ["10.0.0.17", "10.0.0.5", "10.0.0.12"]


def test_a_leader_is_of_the_role_that_was_asked_for() -> None:
    members = [member(n, role="web" if n % 3 else "db", rack=str(n % 2)) for n in range(30)]
    them = view(*members)
    for role in ("web", "db"):
        leader = them.leader(role=role)
        assert leader is not None
        assert leader.metadata["role"] == role
        assert leader == view(*(m for m in members if m.metadata["role"] == role)).leader()
    both = them.leader(role="db", where=lambda m: m.metadata["rack"] == "1")
    assert both is not None
    assert (both.metadata["role"], both.metadata["rack"]) == ("db", "1")
    assert them.leader(role="cache") is None
    assert them.leader(where=lambda m: False) is None
    assert view(member(1)).leader(role="web") is None, "no metadata, no role"


def test_offices_with_names_of_their_own_are_spread() -> None:
    them = view(*(member(n) for n in range(10)))
    leaders = [them.leader(name=f"office {n}") for n in range(1000)]
    shares = [leaders.count(m) for m in them.members]
    assert sum((share - 100) ** 2 / 100 for share in shares) < 28, shares  # chi squared, 9 degrees: 1 in 1000


def test_they_are_reached_from_the_root() -> None:
    assert rapid.FencingToken is FencingToken
    assert isinstance(view(member(1)).ring(), rapid.HashRing)
