"""Planted bugs are found: by a directed check, or by one of a bounded number of random worlds.

Each check passes without the bug: what it finds is what was planted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import pytest

from rapid.detection.alert import Alert, Status
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol.messages import Facts, Leaving, Refounded
from rapid.settings import Settings
from rapid.simulation import ANY, InvariantViolation, Link, World, state_size
from rapid.simulation.scenarios import coordinator_crash, expect_no_change, formed, rack_loss, version
from rapid.simulation.swarm import Swarm
from rapid.simulation.worlds import run_seed
from tests.protocol import test_agreement as agreement
from tests.protocol import test_joining as joining
from tests.protocol import test_refounding as refounding
from tests.protocol import test_regressions as regressions
from tests.protocol.harness import Net, at, view

from . import mutants
from .mutants import Mutant

BUDGET = 40
"""Random worlds in which a planted bug must show."""

Check = Callable[[], None]


# -- what finds them


def too_few_vote_fast(size: int) -> None:
    """Two do not vote, one more than the fast round bears."""
    world = formed(size, 1, Settings.lan(h=4))
    world.crash(["m1:7400", "m3:7400"], silent=True)
    world.start(world.add_members(1))
    world.expect_agreement(30.0)


def two_of_five_crash() -> None:
    world = formed(5, 1)
    world.crash(["m1:7400", "m3:7400"])
    world.expect_agreement(30.0)


def a_little_loss() -> None:
    world = formed(6, 1)
    world.link(ANY, ANY, Link(loss=0.05))
    expect_no_change(world, 900.0, version(world))


def one_crash_after_the_other() -> None:
    world = formed(6, 1)
    for address in ("m5:7400", "m4:7400"):
        world.crash(address)
        world.expect_agreement(30.0)


def a_change_is_missed() -> None:
    world = formed(8, 1, Settings.lan(h=5))
    before = version(world)
    world.isolate("m4:7400")
    world.start(world.add_members(1))
    here = [life for life in world.live if life.place.endpoint != Endpoint("m4", 7400)]
    assert world.run_until(lambda: {life.configuration for life in here} == {world.newest}, 2.5)
    assert version(world) == before + 1
    world.heal()
    world.expect_agreement(20.0)


def strangers_blame_a_member() -> None:
    net = Net()
    nodes = net.form(5)
    before = view(nodes[0])
    subject = Member(at(4), nodes[4].node_id)
    alerts = tuple(Alert(at(90 + ring), subject, Status.DOWN, 1 << ring) for ring in range(10))
    for node in nodes[:4]:
        node.receive(Facts(at(4), before.cluster_id, before.version, alerts), net.now)
        net.settle(node)
    net.run(5.0)
    assert {view(node).version for node in nodes} == {before.version}, "a healthy member went"


def a_stranger_passes_alerts_on() -> None:
    net = Net()
    nodes = net.form(5)
    before = view(nodes[0])
    subject = Member(at(4), nodes[4].node_id)
    alerts = tuple(
        Alert(watcher, subject, Status.DOWN, 1 << ring)
        for ring, watcher in enumerate(before.observers(at(4)))
    )
    for node in nodes[:4]:
        node.receive(Facts(at(99), before.cluster_id, before.version, alerts), net.now)
        net.settle(node)
    net.run(5.0)
    assert {view(node).version for node in nodes} == {before.version}, "a healthy member went"


def a_leave_comes_late() -> None:
    net = Net()
    nodes = net.form(5)
    before = view(nodes[0])
    for node in nodes[:4]:
        node.receive(Leaving(at(4), NodeId(b"o" * 16), before.cluster_id, before.version), net.now)
        net.settle(node)
    net.run(5.0)
    assert {view(node).version for node in nodes} == {before.version}, "a healthy member went"


def a_founder_starts_again() -> None:
    world = World(1)
    world.add_members(1)
    world.start()
    world.expect_agreement(5.0)
    world.restart("m0:7400")
    world.expect_agreement(5.0)


def one_leaves() -> None:
    world = formed(5, 1)
    world.leave("m3:7400")
    world.expect_agreement(10.0)


def the_first_and_then_the_last_of_a_ring_go() -> None:
    """Each ring counts: H = K."""
    world = formed(8, 1, Settings.lan(h=10))
    before = world.view_of("m0:7400")
    assert before is not None
    for end in (before.rings[0].endpoints[0], before.rings[0].endpoints[-1]):
        world.crash(end)
        world.expect_agreement(3.0)


def joiners_trickle_in() -> None:
    """Others ask to join all the time, and still somebody is let in."""
    world = formed(5, 1)
    before = version(world)
    for number, joiner in enumerate(world.add_members(50)):
        world.after(0.015 * number, partial(world.start, joiner))
    world.run(0.75)
    assert version(world) > before, "nobody was let in while others kept coming"


def many_come_and_go() -> None:
    world = formed(5, 1, Settings.lan(history=4))
    sizes = []
    for count in range(48):
        world.restart(f"m{1 + count % 4}:7400")
        world.expect_agreement(30.0)
        if count in (15, 47):
            world.run(5.0)
            sizes.append(state_size(world.live[0].node))
    assert sizes[1] <= sizes[0] + 20, "state grows with churn"


def a_coordinator_crashes() -> None:
    coordinator_crash(7, 1, after="prepare")


def a_rack_hears_little() -> None:
    rack_loss(30, 1)


def cut_off_from_half_of_the_observers() -> None:
    """On rings from L to H - 1: the others must join in, or the member blocks all changes for ever."""
    world = formed(20, 1, rejoin=False)
    view = world.live[0].configuration
    assert view is not None
    subject = view.endpoints[5]
    observers = view.observers(subject)
    cut_off = list(dict.fromkeys(observers[:5]))
    assert 3 <= sum(observer in cut_off for observer in observers) < 9
    world.black_hole(cut_off, subject)
    assert world.run_until(lambda: world.lives_of(subject)[0].done, 30.0), "it stays, and blocks"


def the_rest_goes_on_under_loss() -> None:
    """Half of the members are gone, and three of ten messages."""
    for seed in range(3):
        world = formed(10, seed)
        world.crash([place.endpoint for place in world.places[5:]], silent=True)
        world.run(15.0)
        world.link(ANY, ANY, Link(loss=0.3))
        world.force_new_cluster("m0:7400")
        world.run(3.0)
        view = world.view_of("m0:7400")
        assert view is not None
        assert view.size == 5, "one that lives is left out"


def the_other_half_is_told() -> None:
    world = formed(6, 1)
    world.partition([[f"m{number}:7400" for number in numbers] for numbers in ((0, 1, 2), (3, 4, 5))])
    world.run(15.0)
    world.force_new_cluster("m0:7400")
    world.run(5.0)
    world.heal()
    world.expect_agreement(60.0)


def a_member_of_the_other_half_forces_too() -> None:
    """The links are whole again, and those that answer it do so from another cluster."""
    net = Net()
    nodes = net.form(4)
    old = view(nodes[2])
    for node in nodes[:2]:
        net.blocked |= {(node.member.endpoint, other.member.endpoint) for other in nodes[2:]}
        net.blocked |= {(other.member.endpoint, node.member.endpoint) for other in nodes[2:]}
    nodes[0].force_new_cluster(net.now)
    net.settle(nodes[0])
    net.run(5.0)
    assert view(nodes[1]).size == 2
    net.keep = lambda source, to, message: not isinstance(message, Refounded)
    net.blocked.clear()
    nodes[3].force_new_cluster(net.now)
    net.settle(nodes[3])
    net.run(4.0)
    assert view(nodes[3]).cluster_id != old.cluster_id, "it could not"


# -- the bugs, and what they are found by

never_asked = joining.test_an_observer_that_is_never_asked_looks_after_the_joiner_when_the_others_do
fast = agreement.test_a_coordinator_picks_what_the_fast_round_may_have_chosen
latest = agreement.test_a_coordinator_picks_the_latest_vote_not_the_most
repeats = agreement.test_one_member_that_repeats_itself_is_no_quorum
processes = agreement.test_a_value_names_processes_not_addresses
passed_on = agreement.test_what_is_said_after_the_proposal_is_passed_on
next_epoch = agreement.test_what_is_said_of_the_next_epoch_counts_once_it_is_there
unawares = regressions.test_who_was_let_in_and_removed_unawares_comes_back_as_another_process
all_lost = regressions.test_members_that_all_lost_each_other_for_a_while_stay
alone_evicted = regressions.test_who_alone_knows_of_its_eviction_passes_it_on
alone_left = regressions.test_who_alone_knows_that_it_left_stays_until_another_knows
unstable = regressions.test_who_is_unstable_because_its_observers_are_gone_goes_in_the_end
seed_again = regressions.test_a_seed_that_comes_back_to_a_cluster_that_cannot_let_it_in_founds_none
replaced_seed = refounding.test_who_joins_again_keeps_its_id_when_a_seed_welcomes_it_to_the_old_cluster
two_pairs = regressions.test_two_pairs_of_four_seeds_do_not_found_a_cluster_each

DIRECTED: list[tuple[Mutant, Check, str]] = [
    (mutants.fast_quorum_one_short, partial(too_few_vote_fast, 5), "I6.* of 5 by 3 votes"),
    (mutants.fast_quorum_one_short, partial(too_few_vote_fast, 6), "I6.* of 6 by 4 votes"),
    (mutants.fast_quorum_one_short, partial(too_few_vote_fast, 7), "I6.* of 7 by 5 votes"),
    (mutants.classic_quorum_one_short, two_of_five_crash, "I6.* of 5 by 2 votes"),
    (mutants.promise_counted_twice, repeats, "two values"),
    (mutants.pick_ignores_votes, fast, "two values"),
    (mutants.pick_ignores_count, fast, "two values"),
    (mutants.pick_ignores_vrank, latest, "two values"),
    (mutants.value_without_node_ids, processes, "different processes"),
    (mutants.only_one_classic_round, a_coordinator_crashes, "liveness"),
    (mutants.alerts_dropped_after_the_proposal, passed_on, "an alert was dropped"),
    (mutants.failures_never_forgotten, a_little_loss, "stability"),
    (mutants.no_reinforcement, cut_off_from_half_of_the_observers, "it stays, and blocks"),
    (mutants.words_of_the_accused_count, a_rack_hears_little, "stability|liveness"),
    (mutants.joiners_are_not_looked_after, never_asked, "it is not let in"),
    (mutants.no_catch_up, a_change_is_missed, "liveness"),
    (mutants.facts_of_the_future_dropped, next_epoch, "facts were dropped"),
    (mutants.alerts_of_non_members_count, strangers_blame_a_member, "a healthy member went"),
    (mutants.facts_of_non_members_count, a_stranger_passes_alerts_on, "a healthy member went"),
    (mutants.version_can_repeat, one_leaves, "I2"),
    (mutants.cluster_id_can_repeat, a_founder_starts_again, "I1.* with other contents"),
    (mutants.detector_not_cleared, one_crash_after_the_other, "I5.* comes back|liveness"),
    (mutants.late_leave_evicts_the_next, a_leave_comes_late, "a healthy member went"),
    (mutants.ends_of_rings_not_updated, the_first_and_then_the_last_of_a_ring_go, "liveness"),
    (mutants.window_restarts_for_ever, joiners_trickle_in, "nobody was let in"),
    (mutants.history_without_limit, many_come_and_go, "state grows"),
    (mutants.departed_are_remembered, many_come_and_go, "state grows"),
    (mutants.joiner_keeps_its_node_id, unawares, "I5.* comes back"),
    (mutants.any_number_is_bearable, partial(all_lost, 12), "all were removed|began afresh"),
    (mutants.evicted_is_silent, partial(alone_evicted, False), "it was not passed on"),
    (mutants.evicted_is_silent, partial(alone_evicted, True), "it was not passed on"),
    (mutants.leaver_goes_at_once, alone_left, "it was not passed on"),
    (mutants.nothing_expires, unstable, "liveness"),
    (mutants.clusters_heard_of_are_forgotten, seed_again, "a second cluster"),
    (mutants.any_followers_make_a_founder, partial(two_pairs, 0), "a cluster of two"),
    (mutants.question_asked_once, the_rest_goes_on_under_loss, "one that lives is left out"),
    (mutants.answers_of_any_cluster_count, a_member_of_the_other_half_forces_too, "it could not"),
    (mutants.word_said_once, the_other_half_is_told, "liveness"),
    (mutants.welcome_of_a_replaced_cluster_counts, replaced_seed, "another process"),
]
WORLDS: list[tuple[Mutant, str, int]] = [
    (mutants.late_fast_vote, "I4.* votes at .* though it promised", 12),
    (mutants.vote_ignores_promise, "I4.* votes at .* though it promised", 2),
    (mutants.fast_quorum_one_short, "I6", 2),
    (mutants.classic_quorum_one_short, "I6", 0),
]
"""With the number of a world that shows it at present: others are looked at only if that fails to."""


@pytest.mark.parametrize(("mutant", "check", "by"), DIRECTED, ids=[row[0].__name__ for row in DIRECTED])
def test_a_planted_bug_is_found(mutant: Mutant, check: Check, by: str) -> None:
    check()
    with pytest.MonkeyPatch.context() as plant:
        mutant(plant)
        with pytest.raises(AssertionError, match=by):
            check()


@pytest.mark.parametrize(("mutant", "by", "first"), WORLDS, ids=[row[0].__name__ for row in WORLDS])
def test_a_planted_bug_is_found_by_a_random_world(mutant: Mutant, by: str, first: int) -> None:
    for seed in (first, *range(BUDGET)):
        with pytest.MonkeyPatch.context() as plant:
            mutant(plant)
            problem = Swarm(seed).run().problem
        if problem is not None and re.search(by, problem) and Swarm(seed).run().problem is None:
            return
    raise AssertionError(f"{mutant.__name__} survived {BUDGET} worlds")


def test_the_canary_sings_in_every_world() -> None:
    """A check that cannot be passed: when it does not fail, then none of the checks runs."""
    world = World(canary=True)
    world.add_members(2)
    world.start()
    with pytest.raises(InvariantViolation, match="canary"):
        world.expect_agreement(10.0)
    for seed in range(3):
        problem = run_seed(seed, canary=True).problem
        assert problem is not None
        assert "canary" in problem
