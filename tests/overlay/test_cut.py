"""A cut is named by all of its contents and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import Endpoint, Member, NodeId

A, B, C = (Endpoint(host, 1) for host in "abc")
ONE, TWO = NodeId(b"1" * 16), NodeId(b"2" * 16)

ENDPOINTS = st.builds(Endpoint, st.text("ab:1", min_size=1, max_size=4), st.integers(0, 65535))
NODE_IDS = st.binary(min_size=16, max_size=16).map(NodeId)
METADATA = st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3)
REMOVALS = st.builds(Removal, ENDPOINTS, NODE_IDS, st.booleans())
MEMBERS = st.builds(Member, ENDPOINTS, NODE_IDS, METADATA)

Changes = tuple[list[Removal], list[Member]]


def by_endpoint(change: Removal | Member) -> Endpoint:
    return change.endpoint


CUTS = st.tuples(
    st.lists(REMOVALS, max_size=4, unique_by=by_endpoint),
    st.lists(MEMBERS, max_size=4, unique_by=by_endpoint),
)


@given(CUTS, st.randoms(use_true_random=False))
def test_the_order_of_the_changes_does_not_matter(changes: Changes, random: Random) -> None:
    removed, joined = changes
    cut = Cut.of(removed, joined)
    random.shuffle(removed)
    random.shuffle(joined)
    again = Cut.of(iter(removed), iter(joined))
    assert again == cut
    assert again.digest == cut.digest
    assert hash(again) == hash(cut)
    assert cut.size == len(removed) + len(joined)


@given(CUTS, CUTS)
def test_cuts_have_one_digest_only_when_equal(one: Changes, other: Changes) -> None:
    first, second = Cut.of(*one), Cut.of(*other)
    assert (first.digest == second.digest) == (first == second)


def test_the_order_of_the_metadata_does_not_matter() -> None:
    one = Member(A, ONE, {"x": "1", "y": "2"})
    other = Member(A, ONE, {"y": "2", "x": "1"})
    assert Cut.of(joined=[one]).digest == Cut.of(joined=[other]).digest


MEMBER = Member(A, ONE, {"role": "cache"})
REMOVAL = Removal(A, ONE)


@pytest.mark.parametrize(
    "other",
    [
        replace(MEMBER, endpoint=B),
        replace(MEMBER, endpoint=Endpoint("a", 2)),
        replace(MEMBER, node_id=TWO),
        replace(MEMBER, metadata={}),
        replace(MEMBER, metadata={"role": "cachf"}),
        replace(MEMBER, metadata={"rol": "ecache"}),
        replace(MEMBER, metadata={"role": "cache", "": ""}),
    ],
    ids=["host", "port", "node id", "no metadata", "value", "key", "one more"],
)
def test_the_digest_of_a_join_depends_on(other: Member) -> None:
    assert Cut.of(joined=[other]).digest != Cut.of(joined=[MEMBER]).digest


@pytest.mark.parametrize(
    "other",
    [
        replace(REMOVAL, endpoint=B),
        replace(REMOVAL, node_id=TWO),
        replace(REMOVAL, left=True),
    ],
    ids=["endpoint", "node id", "left"],
)
def test_the_digest_of_a_removal_depends_on(other: Removal) -> None:
    assert Cut.of(removed=[other]).digest != Cut.of(removed=[REMOVAL]).digest


def test_a_join_and_a_removal_of_one_process_have_different_names() -> None:
    digests = {
        Cut.of().digest,
        Cut.of(removed=[REMOVAL]).digest,
        Cut.of(joined=[Member(A, ONE)]).digest,
        Cut.of(removed=[REMOVAL], joined=[Member(A, ONE)]).digest,
        Cut.of(removed=[REMOVAL], joined=[Member(A, TWO)]).digest,
    }
    assert len(digests) == 5


def test_texts_next_to_each_other_do_not_run_together() -> None:
    one = Cut.of(joined=[Member(A, ONE, {"ab": "c", "d": ""})])
    other = Cut.of(joined=[Member(A, ONE, {"a": "bc", "d": ""})])
    assert one.digest != other.digest
