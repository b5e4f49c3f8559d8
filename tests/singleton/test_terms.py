"""When what runs on the leader begins and ends, and with which token."""

from __future__ import annotations

import pytest

import rapid
from rapid import (
    Change,
    Endpoint,
    Evicted,
    Member,
    NodeId,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    View,
    ViewChange,
    ViewsSkipped,
)
from tests.runtime.reactor_loop import until

from .stage import CLUSTER, LOSER, ME, OTHER, WINNER, Office, Stage, change, following, token, view


async def test_it_runs_with_the_token_of_the_view_that_is_led(stage: Stage, office: Office) -> None:
    stage.tell(change(7, LOSER))
    async with rapid.singleton(stage, office) as single:
        await until(lambda: office.running)
        assert office.tokens == [token(7)]
        assert single.token == token(7)
    assert not office.running
    assert single.token is None


async def test_it_does_not_run_on_a_member_that_does_not_lead(stage: Stage, office: Office) -> None:
    stage.tell(change(1, WINNER))
    async with rapid.singleton(stage, office), following(stage) as told:
        stage.tell(change(2, WINNER, LOSER))
        await until(lambda: change(2, WINNER, LOSER) in told)
        assert office.tokens == []


async def test_one_call_goes_on_as_long_as_this_member_leads(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office) as single, following(stage) as told:
        stage.tell(change(2, LOSER), change(3))
        await until(lambda: change(3) in told)
        assert office.running
        assert office.tokens == [token(1)]
        assert single.token == token(1)


async def test_it_begins_again_with_a_new_token_when_it_leads_again(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.tell(change(2, WINNER))
        await until(lambda: not office.running)
        stage.tell(change(3))
        await until(lambda: office.running)
    assert office.tokens == [token(1), token(3)]


async def test_when_views_were_skipped_another_may_have_led(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.tell(ViewsSkipped(view(4), 2))
        await until(lambda: len(office.tokens) == 2)
        stage.tell(ViewsSkipped(view(5, cluster_id=OTHER), 0))
        await until(lambda: len(office.tokens) == 3)
    assert office.tokens == [token(1), token(4), token(5, OTHER)]


async def test_it_stops_while_the_quorum_is_lost(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.tell(QuorumLost(1))
        await until(lambda: not office.running)
        stage.tell(change(2, LOSER), QuorumRestored(2))
        await until(lambda: office.running)
        stage.tell(QuorumLost(2))
        await until(lambda: not office.running)
        stage.tell(QuorumRestored(2))
        await until(lambda: office.running)
    assert office.tokens == [token(1), token(2), token(2)]


async def test_it_does_not_begin_when_the_quorum_was_lost_before(stage: Stage, office: Office) -> None:
    stage.tell(change(1), QuorumLost(1))
    async with rapid.singleton(stage, office), following(stage) as told:
        await until(lambda: QuorumLost(1) in told)
        assert not office.running
        stage.tell(change(2), QuorumRestored(2))
        await until(lambda: office.running)
    assert office.tokens[-1] == token(2)


async def test_it_may_go_on_without_a_quorum(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office, stop_on_quorum_lost=False), following(stage) as told:
        stage.tell(QuorumLost(1))
        await until(lambda: QuorumLost(1) in told)
        assert office.running
        assert len(office.tokens) == 1


@pytest.mark.parametrize(
    "end",
    [
        Evicted(CLUSTER, 2, rejoining=True),
        Evicted(CLUSTER, 2),
        OtherCluster(Endpoint("b", 1), OTHER, 9, merging=True),
    ],
)
async def test_it_stops_when_this_process_is_no_member_any_longer(
    stage: Stage, office: Office, end: Change
) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.node_id = NodeId(b"b" * 16)  # it comes back as a new one
        stage.tell(end)
        await until(lambda: not office.running)
        stage.tell(ViewsSkipped(View(OTHER, 9, "e" * 32, (Member(ME.endpoint, stage.node_id),)), 0))
        await until(lambda: office.running)
    assert office.tokens == [token(1), token(9, OTHER)]


async def test_another_cluster_that_is_just_there_ends_nothing(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    other = OtherCluster(Endpoint("b", 1), OTHER, 9, merging=False)
    async with rapid.singleton(stage, office), following(stage) as told:
        stage.tell(other)
        await until(lambda: other in told)
        assert office.running


async def test_it_ends_with_the_member_and_the_block_goes_on(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    async with rapid.singleton(stage, office):
        await until(lambda: office.running)
        stage.feed.close(None)
        await until(lambda: not office.running)


async def test_what_has_returned_is_not_called_again_in_the_same_term(stage: Stage, office: Office) -> None:
    stage.tell(change(1))
    office.returns.set()
    async with rapid.singleton(stage, office) as single, following(stage) as told:
        stage.tell(change(2, LOSER))
        await until(lambda: change(2, LOSER) in told)
        assert office.tokens == [token(1)]
        assert single.token is None
        stage.tell(change(3, WINNER), change(4))
        await until(lambda: len(office.tokens) == 2)
    assert office.tokens == [token(1), token(4)]


async def test_roles_and_names_choose_the_leader(office: Office) -> None:
    stage = Stage()
    mine = Member(ME.endpoint, ME.node_id, {"role": "db"})
    stage.tell(ViewChange(View(CLUSTER, 1, "", (mine, WINNER)), (), ()))
    async with rapid.singleton(stage, office, role="db"):
        await until(lambda: office.running)
    async with rapid.singleton(stage, office, where=lambda m: m == mine):
        await until(lambda: len(office.tokens) == 2)
    name = next(n for n in map(str, range(99)) if View(CLUSTER, 1, "", (ME, WINNER)).leader(name=n) == ME)
    async with rapid.singleton(stage, office, name=name):
        await until(lambda: len(office.tokens) == 3)
    stage.feed.close(None)
