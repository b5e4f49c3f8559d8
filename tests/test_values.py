"""What applications are given crosses from process to process, and is the same there."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator

import pytest

import rapid
from rapid import (
    Cluster,
    ClusterId,
    Endpoint,
    Evicted,
    FencingToken,
    HashRing,
    Member,
    NodeId,
    OtherCluster,
    PhiAccrual,
    QuorumLost,
    QuorumRestored,
    Removal,
    Settings,
    View,
    ViewChange,
    ViewsSkipped,
    blocking,
    errors,
)

MEMBERS = (
    Member(Endpoint("10.0.0.1", 7400), NodeId(b"1" * 16), {"role": "web", "zone": "b"}),
    Member(Endpoint("10.0.0.2", 7400), NodeId(b"2" * 16), {"role": "db", "weight": "3"}),
    Member(Endpoint("::1", 7400), NodeId(bytes(16))),
)
VIEW = View("c" * 32, 7, "d" * 32, MEMBERS)
GONE = Removal(MEMBERS[0].endpoint, MEMBERS[0].node_id, left=True)
VALUES = [
    *MEMBERS,
    MEMBERS[0].endpoint,
    MEMBERS[0].node_id,
    ClusterId(bytes(16)),
    VIEW,
    VIEW.token,
    GONE,
    ViewChange(VIEW, MEMBERS[:1], (GONE,)),
    ViewsSkipped(VIEW, 3),
    Evicted("c" * 32, 7, rejoining=True),
    QuorumLost(7),
    QuorumRestored(8),
    OtherCluster(MEMBERS[0].endpoint, "c" * 32, 4, merging=False),
    Settings.wan(k=5, h=4, l=2),
    PhiAccrual(),
]


def pickled(protocol: int) -> Callable[[object], object]:
    return lambda value: pickle.loads(pickle.dumps(value, protocol))


THROUGH: dict[str, Callable[[object], object]] = {
    **{f"pickle {protocol}": pickled(protocol) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("way", THROUGH)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_the_same_at_the_other_end(value: object, way: str) -> None:
    other = THROUGH[way](value)
    assert other == value
    assert type(other) is type(value)
    assert repr(other) == repr(value)


def test_a_view_that_was_used_is_no_larger_to_send() -> None:
    used = dataclasses.replace(VIEW)
    before = len(pickle.dumps(used))
    assert MEMBERS[0].endpoint in used
    assert used.endpoints
    assert len(pickle.dumps(used)) == before
    other = pickle.loads(pickle.dumps(used))
    assert other.endpoints == used.endpoints
    assert other.leader() == used.leader()


@pytest.mark.parametrize("way", THROUGH)
def test_a_ring_gives_each_key_to_the_same_member_at_the_other_end(way: str) -> None:
    ring = VIEW.ring(replicas=2)
    other = THROUGH[way](ring)
    assert isinstance(other, HashRing)
    for key in map(str, range(50)):
        assert other.owners(key) == ring.owners(key)


def test_a_view_becomes_json() -> None:
    found = json.loads(json.dumps(dataclasses.asdict(VIEW), default=str))
    assert found["members"][0]["metadata"] == {"role": "web", "zone": "b"}
    assert found["members"][0]["endpoint"] == ["10.0.0.1", 7400]


def test_parts_of_a_view_can_be_replaced() -> None:
    assert dataclasses.replace(VIEW, version=8).token == FencingToken("c" * 32, 8)
    member = dataclasses.replace(MEMBERS[0], metadata={"b": "2", "a": "1"})
    assert list(member.metadata) == ["a", "b"]


@pytest.mark.parametrize("way", [None, *THROUGH])
def test_metadata_does_not_change(way: str | None) -> None:
    member = MEMBERS[0] if way is None else THROUGH[way](MEMBERS[0])
    assert isinstance(member, Member)
    metadata = member.metadata
    assert isinstance(metadata, dict)
    for change in (
        lambda: metadata.__setitem__("role", "db"),
        lambda: metadata.__delitem__("role"),
        lambda: metadata.__ior__({"role": "db"}),
        lambda: metadata.update(role="db"),
        lambda: metadata.pop("role"),
        metadata.popitem,
        metadata.clear,
        lambda: metadata.setdefault("new", "x"),
    ):
        with pytest.raises(TypeError, match="fixed"):
            change()
    assert dict(metadata) == {"role": "web", "zone": "b"}
    assert metadata | {"role": "db"} == {"role": "db", "zone": "b"}


def every_error(root: type[rapid.RapidError] = rapid.RapidError) -> Iterator[type[rapid.RapidError]]:
    yield root
    for kind in root.__subclasses__():
        yield from every_error(kind)


OURS = dict.fromkeys(kind for kind in every_error() if kind.__module__ == errors.__name__)


def an_error(kind: type[rapid.RapidError]) -> rapid.RapidError:
    if issubclass(kind, rapid.SettingsError):
        return kind("k", "too many")
    if issubclass(kind, rapid.MissingExtraError):
        return kind("rapid.integrations.fastapi", "fastapi", "starlette")
    return kind("what was wrong")


@pytest.mark.parametrize("kind", OURS)
def test_an_error_is_the_same_at_the_other_end(kind: type[rapid.RapidError]) -> None:
    error = an_error(kind)
    error.add_note("seen at night")
    for way in ("pickle 2", f"pickle {pickle.HIGHEST_PROTOCOL}", "copy", "deepcopy"):
        other = THROUGH[way](error)
        assert type(other) is kind
        assert (str(other), other.args) == (str(error), error.args)
        assert vars(other) == vars(error)


@pytest.mark.parametrize("make", [Cluster, blocking.Cluster])
def test_a_cluster_that_is_to_be_sent_says_what_to_do(make: type[Cluster] | type[blocking.Cluster]) -> None:
    for way in THROUGH.values():
        with pytest.raises(TypeError, match="make a Cluster in each process"):
            way(make("127.0.0.1:0"))
