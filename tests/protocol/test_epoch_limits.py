"""How much of an agreement is kept, whatever peers say, and that the agreement comes about all the same."""

from __future__ import annotations

from functools import partial

import pytest

from rapid.consensus.facts import NO_RANK, ROUND_LIMIT, Accept, Prepare, Promise, Rank, Vote
from rapid.overlay import footprint
from rapid.overlay.cut import Cut
from rapid.proto.values import PROPOSALS_LIMIT, RANKS_LIMIT
from rapid.protocol import epoch
from rapid.simulation.size import state_size

from .harness import Net, agree, at, view
from .invented import epoch_of, named, say


def test_only_the_highest_ranks_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "RANKS", 8)
    net = Net()
    node = net.form(4)[0]
    mine = epoch_of(node)
    ranks = [Rank(number, number % 4) for number in range(2, 200)]
    for rank in ranks:
        say(net, node, at(1), prepares=(Prepare(rank),), promises=(Promise(rank, NO_RANK, None, 0b10),))
    instance = mine.instance
    for group in (mine._ranks, instance.prepares, instance.promises):
        assert list(group) == ranks[-8:]
    assert mine.gossip.everything(complete=True).prepares == tuple(map(Prepare, ranks[-8:]))
    assert instance.promised == ranks[-1]
    digest = mine.gossip.digest
    say(net, node, at(1), prepares=(Prepare(ranks[0]),), votes=(Vote(ranks[1], Cut.of().digest, 0b10),))
    assert (mine.gossip.digest, list(mine._ranks)) == (digest, ranks[-8:])


def test_members_that_keep_the_highest_ranks_know_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one to whom they came the other way round, and one that heard of them late."""
    monkeypatch.setattr(epoch, "RANKS", 8)
    net = Net()
    nodes = net.form(4)
    facts = [
        {
            "prepares": (Prepare(rank),),
            "promises": (Promise(rank, NO_RANK, None, 0b1000),),
            "accepts": (Accept(rank, Cut.of().digest),),
        }
        for rank in (Rank(number, 3) for number in range(5000, 5030))
    ]
    for batch in facts:
        say(net, nodes[0], at(3), **batch)
    for batch in reversed(facts):
        say(net, nodes[1], at(3), **batch)
    nodes[2].receive(epoch_of(nodes[0]).gossip.everything(complete=False), net.now)
    highest = [Rank(number, 3) for number in range(5022, 5030)]
    for node in nodes[:3]:
        assert sorted(epoch_of(node)._ranks) == highest
        assert {fact.rank for fact in epoch_of(node).gossip.everything(complete=False).promises} <= {*highest}
        net.settle(node)
    net.run(5.0)
    assert len({epoch_of(node).gossip.digest for node in nodes}) == 1


def test_rounds_without_end_do_not_take_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quorum is gone for an hour: those who are left open one round after the other."""
    monkeypatch.setattr(epoch, "RANKS", 8)
    net = Net()
    nodes = net.form(5)
    net.crash(*nodes[2:])
    sizes = []
    for _ in range(4):
        net.run(900.0)
        sizes.append(max(map(state_size, nodes[:2])))
    assert all(epoch_of(node).instance.highest_round > 20 * epoch.RANKS for node in nodes[:2])
    assert all(len(epoch_of(node)._ranks) == epoch.RANKS for node in nodes[:2])
    assert max(sizes) < 2 * sizes[0], "or they would grow by that much every quarter of an hour"


def proposal(number: int) -> Cut:
    return Cut.of((), [named(number)])


def test_only_so_many_proposals_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "PROPOSALS", 5)
    net = Net()
    node = net.form(4)[0]
    mine = epoch_of(node)
    for number in range(100, 110):
        say(net, node, at(1), proposals=(proposal(number),))
    assert list(mine.bodies) == [proposal(number).digest for number in range(100, 105)]
    assert node.stats["dropped:proposal"] == 5


def test_proposals_are_kept_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    big = [Cut.of((), [named(number, role="x" * 10_000)]) for number in range(100, 110)]
    monkeypatch.setattr(epoch, "PROPOSALS_ROOM", 5 * footprint.of_cut(big[0]))
    net = Net()
    node = net.form(4)[0]
    mine = epoch_of(node)
    for cut in big:
        say(net, node, at(1), proposals=(cut,))
    assert len(mine.bodies) == 5
    assert node.stats["dropped:proposal"] == 5


def test_what_a_coordinator_has_picked_is_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the members could not vote for it, and would never agree."""
    monkeypatch.setattr(epoch, "PROPOSALS", 5)
    net = Net()
    nodes = net.form(4)
    for number in range(100, 110):
        for node in nodes:
            say(net, node, at(1), proposals=(proposal(number),))
    picked, rank = proposal(200), Rank(2, 1)
    for node in nodes:
        say(net, node, at(1), prepares=(Prepare(rank),))
        say(net, node, at(1), accepts=(Accept(rank, picked.digest),), proposals=(picked,))
        assert picked.digest not in epoch_of(node).bodies
        say(net, node, at(1), proposals=(picked,))
        net.settle(node)
    assert net.until(lambda: all(picked.joined[0].endpoint in view(node) for node in nodes), 3.0)


def test_a_members_own_proposal_is_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "PROPOSALS", 0)
    net = Net()
    nodes = net.form(5)
    net.run(1.0)
    net.crash(nodes[4])
    assert net.until(partial(agree, nodes[:4], 4))


def test_all_that_a_member_keeps_fits_into_one_message() -> None:
    assert 2 * epoch.PROPOSALS < PROPOSALS_LIMIT
    assert epoch.RANKS <= RANKS_LIMIT


def test_after_the_last_round_there_is_no_other_and_nobody_fails() -> None:
    """Coordinators repeat the last one, each once, at a rank that can be said."""
    net = Net()
    nodes = net.form(3)
    for node in nodes:
        epoch_of(node).instance.add_prepare(Prepare(Rank(ROUND_LIMIT - 1, 0)))
    net.crash(nodes[2])
    net.run(30.0)
    for node in nodes[:2]:
        assert epoch_of(node).instance.highest_round <= ROUND_LIMIT - 1
    assert agree(nodes[:2], 2), "and they may well agree in it"
