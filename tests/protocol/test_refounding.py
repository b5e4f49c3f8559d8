"""An operator's last resort: what is left of a cluster without a quorum goes on as a new one."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.lineage import FORMERLY_LIMIT, REPLACED_LIMIT, Lineage
from rapid.protocol.messages import (
    Admitted,
    JoinReply,
    Message,
    Probe,
    ProbeAck,
    Refounded,
    Snapshot,
    Standing,
)
from rapid.protocol.node import Node
from rapid.protocol.outputs import Evicted, Installed, OtherCluster, QuorumLost, RefoundingRefused
from rapid.protocol.refounding import DAY, INTRODUCTIONS, ROUNDS, LeftBehind, Notices, Refounding
from rapid.settings import Settings
from rapid.simulation import ANY, Life, Link, Uniform, World
from rapid.simulation.scenarios import formed

from .harness import agree, at, view
from .invented import named
from .stage import Stage

SETTLED = 3.0
"""Seconds in which the members had time to answer and to follow."""


def without_quorum(size: int = 5, left: int = 2) -> World:
    """Only the first few are left, and know it."""
    world = formed(size, 1)
    world.crash([place.endpoint for place in world.places[left:]], silent=True)
    assert world.run_until(lambda: all(told(life, QuorumLost) for life in world.live), 60.0)
    return world


def told(life: Life, kind: type) -> list[object]:
    return [event for _, event in life.events if isinstance(event, kind)]


def view_of(life: Life) -> Configuration:
    assert life.configuration is not None
    return life.configuration


def force(stage: Stage, node: Node) -> None:
    node.force_new_cluster(stage.now)
    stage.settle(node)


def test_the_survivors_go_on_as_a_new_cluster() -> None:
    world = without_quorum()
    before = view_of(world.live[0])
    world.force_new_cluster("m0:7400")
    world.run(SETTLED)
    assert world.agreed()
    after = view_of(world.live[1])
    assert after.cluster_id != before.cluster_id
    assert after.version == before.version + 1, "a fencing token that is above all the old ones"
    assert set(after.members) < set(before.members)
    world.start(world.add_members(1, seeds=["m1:7400"]))
    world.expect_agreement(10.0)


def test_it_is_refused_while_a_quorum_answers() -> None:
    world = formed(5, 1)
    world.crash(["m3:7400", "m4:7400"], silent=True)
    before = view_of(world.live[0])
    world.force_new_cluster("m0:7400")
    world.run(1.3)
    (refused,) = told(world.live[0], RefoundingRefused)
    assert isinstance(refused, RefoundingRefused)
    assert refused.reason.startswith(f"3 of the 5 members of version {before.version} answer")
    assert view_of(world.live[0]) is before
    world.expect_agreement(20.0)
    assert view_of(world.live[0]).cluster_id == before.cluster_id


def test_it_is_refused_when_a_change_was_agreed_in_the_meantime() -> None:
    world = formed(5, 1)
    world.partition([["m0:7400", "m1:7400"], ["m2:7400", "m3:7400", "m4:7400"]])
    assert world.run_until(lambda: view_of(world.lives_of("m4:7400")[0]).size == 3, 30.0)
    world.force_new_cluster("m0:7400")
    world.run(0.2)
    world.heal()
    world.run(1.0)
    life = world.lives_of("m0:7400")[0]
    assert told(life, RefoundingRefused) or told(life, Evicted)
    world.expect_agreement(60.0)
    assert len({view_of(life).cluster_id for life in world.live}) == 1


def test_who_is_no_member_cannot_force_anything() -> None:
    stage = Stage()
    node = stage.add(0, 9)
    force(stage, node)
    assert RefoundingRefused in map(type, stage.events[at(0)])
    stage.run(SETTLED)
    assert node.configuration is None


def refounded(stage: Stage) -> list[Node]:
    """Three of seven members, of whom the first was told to force a new cluster."""
    nodes = stage.form(7)
    stage.run(2.0)
    for node in nodes[3:]:
        stage.blocked |= {(node.member.endpoint, other.member.endpoint) for other in nodes}
    stage.crash(*nodes[3:])
    stage.run(12.0)
    force(stage, nodes[0])
    return nodes[:3]


def test_who_missed_the_word_gets_it_by_its_probe() -> None:
    stage = Stage()
    lost: list[Endpoint] = []

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        if isinstance(message, Refounded) and to == at(2) and not lost:
            lost.append(source)
            return None
        return message

    stage.script = script
    nodes = refounded(stage)
    assert stage.until(lambda: bool(lost) and agree(nodes[:2], 3), SETTLED)
    assert view(nodes[2]).size == 7
    assert stage.until(lambda: agree(nodes, 3), 2 * stage.settings.probe_interval)


def word_about(old: Configuration, members: list[Member], version: int = 1) -> Refounded:
    """What the first member says after an operator had it go on with these."""
    new = Configuration.of(ClusterId(b"n" * 16), old.version + version, members, old.k)
    return Refounded(at(0), old.cluster_id, old.version, new)


def test_who_saw_a_newer_view_follows_all_the_same() -> None:
    """It is listed in the new cluster: if it stayed where it is, the others would count on a ghost."""
    stage = Stage()
    nodes = stage.form(4)
    old = view(nodes[0])
    nodes.append(stage.add(9, 0))
    assert stage.until(lambda: agree(nodes, 5))
    word = word_about(old, list(old.members))
    for node in nodes[:4]:
        node.receive(word, stage.now)
        stage.settle(node)
        assert view(node) is word.configuration
    assert stage.until(lambda: agree(nodes, 5)), "the fifth is told, and gets in"
    assert not stage.told(nodes[4], Evicted)
    assert view(nodes[0]).cluster_id == word.configuration.cluster_id


def test_who_is_left_out_goes_over_as_a_new_process() -> None:
    stage = Stage()
    nodes = stage.form(4)
    old, before = view(nodes[0]), nodes[3].node_id
    word = word_about(old, [member for member in old.members if member.endpoint != at(3)])
    for node in nodes:
        node.receive(word, stage.now)
        stage.settle(node)
    assert (view(nodes[3]), nodes[3].node_id) == (old, before), "until it is let in"
    assert stage.until(lambda: agree(nodes, 4))
    assert view(nodes[3]).cluster_id == word.configuration.cluster_id
    assert nodes[3].node_id != before
    assert not stage.told(nodes[3], Evicted)


def test_who_is_left_out_and_shall_not_rejoin_ends() -> None:
    stage = Stage(rejoin=False)
    nodes = stage.form(4)
    old = view(nodes[0])
    word = word_about(old, [member for member in old.members if member.endpoint != at(3)])
    nodes[3].receive(word, stage.now)
    stage.settle(nodes[3])
    assert stage.events[at(3)][-1] == Evicted(word.configuration.cluster_id, old.version + 1)
    assert nodes[3].deadline() is None


def test_the_word_is_passed_on_as_the_cluster_is_by_then() -> None:
    stage = Stage()
    nodes = stage.form(4)
    old = view(nodes[0])
    word = word_about(old, [member for member in old.members if member.endpoint != at(3)])
    stage.keep = lambda source, to, message: at(3) not in (source, to)
    for node in nodes[:3]:
        node.receive(word, stage.now)
        stage.settle(node)
    fifth = stage.add(9, 1)
    assert stage.until(lambda: agree([*nodes[:3], fifth], 4))
    told: list[Refounded] = []

    def watch(source: Endpoint, to: Endpoint, message: Message) -> bool:
        told.extend([message] if isinstance(message, Refounded) else [])
        return True

    stage.keep = watch
    assert stage.until(lambda: agree([*nodes, fifth], 5))
    assert min(word.configuration.version for word in told) == old.version + 2
    assert fifth.replaced(old.cluster_id), "who joins later knows of it, too"


@pytest.mark.parametrize("members", [[0, 1, 2, 77], [0, 1, -2]])
def test_nobody_is_in_the_new_cluster_that_was_not_in_the_old(members: list[int]) -> None:
    """A stranger, or another process at the address of a member."""
    stage = Stage()
    nodes = stage.form(4)
    old = view(nodes[0])
    found = [old.member(at(abs(number))) or named(number) for number in members]
    found = [
        m if n >= 0 else Member(m.endpoint, NodeId(b"x" * 16)) for m, n in zip(found, members, strict=True)
    ]
    nodes[0].receive(word_about(old, found), stage.now)
    assert nodes[0].stats["rejected:refounding with strangers"] == 1
    assert view(nodes[0]) is old


def test_a_new_cluster_that_is_not_above_the_old_one_is_none() -> None:
    stage = Stage()
    nodes = stage.form(4)
    old = view(nodes[0])
    nodes[0].receive(word_about(old, list(old.members), version=0), stage.now)
    assert nodes[0].stats["rejected:refounding that goes back"] == 1
    assert view(nodes[0]) is old


def halves() -> tuple[World, list[Life], list[Life]]:
    """Two of five were told to go on without the other three, which only slept."""
    world = formed(5, 1)
    lives = world.live
    world.pause(["m2:7400", "m3:7400", "m4:7400"], 30.0)
    world.run(20.0)
    world.force_new_cluster("m0:7400")
    world.run(SETTLED)
    assert lives[0].configuration is lives[1].configuration
    assert view_of(lives[0]).size == 2
    return world, lives[:2], lives[2:]


def test_the_other_half_comes_back_into_the_new_cluster() -> None:
    """Though it is a quorum of the old one, and has gone on in that by itself."""
    world, near, far = halves()
    founded, old = view_of(near[0]), view_of(far[0]).cluster_id
    before = {life: life.node_id for life in far}
    world.expect_agreement(60.0)
    assert view_of(far[0]).cluster_id == founded.cluster_id
    assert view_of(far[0]).size == 5
    assert not any(told(life, Evicted) for life in near + far)
    assert [view_of(life).member(life.place.endpoint) for life in far] == [life.node.member for life in far]
    assert all(life.node_id != node_id for life, node_id in before.items()), "each under a new id"
    assert all(life.node.replaced(old) for life in world.live)


def test_a_snapshot_of_the_new_cluster_means_nothing_to_the_old() -> None:
    stage = Stage()
    nodes = refounded(stage)
    assert stage.until(lambda: agree(nodes, 3), SETTLED)
    old = next(event for event in stage.events[at(4)][::-1] if isinstance(event, Installed)).configuration
    nodes[0].receive(Snapshot(at(4), old), stage.now)
    stage.settle(nodes[0])
    assert nodes[0].stats["rejected:snapshot of another cluster"] == 1
    stage.run(5.0)
    assert agree(nodes, 3)


@pytest.mark.parametrize("apart", [0.05, 1.0])
def test_two_operators_one_after_the_other_make_one_cluster(apart: float) -> None:
    world = without_quorum()
    world.force_new_cluster("m0:7400")
    world.run(apart)
    world.force_new_cluster("m1:7400")
    world.run(2 * SETTLED)
    assert world.agreed()


def test_two_operators_at_the_same_moment_make_one_cluster() -> None:
    world = without_quorum()
    world.force_new_cluster("m0:7400")
    world.force_new_cluster("m1:7400")
    world.run(20.0)
    assert world.agreed()


def test_who_joins_again_keeps_its_id_when_a_seed_welcomes_it_to_the_old_cluster() -> None:
    """It may have been let into the new one already, and would be a ghost there under another id."""
    stage = Stage()
    nodes = stage.form(4)
    old, joiner = view(nodes[0]), nodes[3]
    word = word_about(old, [member for member in old.members if member.endpoint != at(0)])
    stage.crash(nodes[0])
    for node in nodes[1:]:
        node.receive(word, stage.now)
        stage.settle(node)
    stage.keep = lambda source, to, message: at(3) not in (source, to)
    assert stage.until(lambda: agree(nodes[1:3], 2), 30.0)
    stage.keep = lambda source, to, message: not isinstance(message, Snapshot | Admitted)
    assert stage.until(lambda: stage.told(joiner, Evicted) and at(3) in view(nodes[1]), 30.0)
    assert joiner._joining is not None
    attempt = joiner._joining._attempt
    before = joiner.node_id
    welcome = JoinReply(
        at(0), Standing.WELCOME, old.cluster_id, old.version, old.subjects(at(3)), "", nodes[0].node_id,
        attempt,
    )  # fmt: skip
    joiner.receive(welcome, stage.now)
    assert joiner.node_id == before, "it became another process"
    assert joiner.stats["welcomes of replaced clusters"] >= 1
    stage.keep = lambda source, to, message: True
    assert stage.until(lambda: agree(nodes[1:], 3), 30.0)


# -- whom the question reaches


LAN = Settings.lan()


def asked(size: int = 5, version: int = 7) -> tuple[Refounding, Configuration]:
    members = [Member(at(number), NodeId(number.to_bytes(16, "big"))) for number in range(size)]
    configuration = Configuration.of(ClusterId(b"c" * 16), version, members, 10)
    return Refounding(members[0], configuration, LAN, 0.0), configuration


def answer(
    refounding: Refounding,
    number: int,
    *,
    version: int = 7,
    cluster: bytes = b"c",
    process: int | None = None,
) -> None:
    node_id = NodeId((number if process is None else process).to_bytes(16, "big"))
    refounding.answered(at(number), node_id, ClusterId(cluster * 16), version)


def test_who_has_not_answered_is_asked_again() -> None:
    refounding, _ = asked()
    times = dict.fromkeys(range(1, 5), 0)
    while not refounding.over(0.0, refounding.due):
        for member in refounding.ask(refounding.due):
            times[member.endpoint.port - 7000] += 1
        answer(refounding, 1)
    assert times[1] == 1
    assert times[2] == times[4] >= 10, "with 30 % of loss one of 10,000 has both ways fail each time"
    assert refounding.outcome(ClusterId(b"n" * 16)).endpoints != ()
    assert set(refounding.outcome(ClusterId(b"n" * 16)).endpoints) == {at(0), at(1)}


def test_a_busy_process_waits_longer_for_the_answers() -> None:
    refounding, _ = asked()
    end = 4 * LAN.probe_timeout
    assert refounding.over(0.0, end)
    assert not refounding.over(0.1, end)
    assert refounding.over(0.1, end + 1.0)


def test_only_members_of_this_cluster_at_this_version_count() -> None:
    refounding, configuration = asked()
    answer(refounding, 1, cluster=b"x")
    answer(refounding, 2, process=9)
    answer(refounding, 3, version=6)
    refounding.answered(at(77), NodeId(bytes(16)), configuration.cluster_id, 7)
    refounding.answered(at(4), NodeId((4).to_bytes(16, "big")), None, 0)
    assert refounding.refusal() is None
    assert set(refounding.outcome(ClusterId(b"n" * 16)).endpoints) == {at(0), at(3)}, "one is behind"


def test_who_goes_elsewhere_before_the_end_does_not_count() -> None:
    refounding, _ = asked()
    answer(refounding, 1)
    answer(refounding, 1, cluster=b"x")
    assert refounding.outcome(ClusterId(b"n" * 16)).size == 1


def test_who_is_behind_catches_up_first() -> None:
    refounding, configuration = asked()
    answer(refounding, 1, version=8)
    assert refounding.refusal() == (
        f"{at(1)} is at version 8, and this member is still at version 7: try again once it has caught up"
    )
    newer = Configuration.of(configuration.cluster_id, 8, configuration.members, 10)
    again: Refounding | None = refounding
    for _ in range(3):
        assert again is not None
        again = again.again(newer, 1.0)
    assert again is not None
    assert again.configuration is newer
    assert again.again(newer, 1.0) is None, "where views follow each other there is a quorum"


def test_a_quorum_that_is_partly_ahead_is_one() -> None:
    refounding, _ = asked()
    answer(refounding, 1, version=8)
    answer(refounding, 2)
    assert refounding.refusal() is not None
    assert str(refounding.refusal()).startswith("3 of the 5 members of version 7 answer")


def test_an_operator_asks_a_member_that_is_behind() -> None:
    """It missed the last view, which the other one left has seen: it catches up, and then they go on."""
    stage = Stage()
    nodes = stage.form(5)
    before = view(nodes[0])
    stage.keep = lambda source, to, message: to != at(0) or isinstance(message, Probe | ProbeAck)
    stage.crash(nodes[4])
    assert stage.until(lambda: agree(nodes[1:4], 4))
    stage.crash(*nodes[2:4])
    stage.keep = lambda source, to, message: True
    assert view(nodes[0]) is before
    force(stage, nodes[0])
    assert stage.until(lambda: agree(nodes[:2], 2), 10.0)
    assert view(nodes[0]).version == before.version + 2
    assert view(nodes[0]).cluster_id != before.cluster_id
    assert not stage.told(nodes[1], Evicted)


def test_the_operator_is_told_when_the_member_is_evicted_meanwhile() -> None:
    stage = Stage()
    nodes = stage.form(3)
    stage.blocked = {(one.member.endpoint, at(0)) for one in nodes} | {
        (at(0), one.member.endpoint) for one in nodes
    }
    assert stage.until(lambda: agree(nodes[1:], 2), 30.0)
    force(stage, nodes[0])
    stage.blocked.clear()
    assert stage.until(lambda: stage.told(nodes[0], Evicted), 5.0)
    assert stage.told(nodes[0], RefoundingRefused)
    assert stage.until(lambda: agree(nodes, 3), 30.0)


# -- who is left behind


def test_those_left_behind_are_probed_until_they_are_heard() -> None:
    refounding, old = asked(8)
    for number in (1, 2, 3):
        answer(refounding, number)
    new = refounding.outcome(ClusterId(b"n" * 16))
    left = LeftBehind(LAN, Random(1))
    assert left.due == inf
    left.begin(at(0), old, new, 0.0, urgent=True)
    probed: list[Endpoint] = []
    while left.due < 300.0:
        now = left.due
        probed += left.wake(new.size, now)
        left.heard(at(1))
    assert probed.count(at(1)) == 1
    assert probed.count(at(2)) >= ROUNDS
    assert set(probed) == {at(number) for number in range(1, 8)}
    assert at(5) in left
    left.heard(at(5))
    assert at(5) not in left
    while left.due < inf:
        now = left.due
        left.wake(new.size, now)
    assert now > DAY, "and not for ever"


def test_in_a_crowd_each_probes_those_left_behind_less_often() -> None:
    _, old = asked(8)
    rates = []
    for size in (20, 200):
        left = LeftBehind(LAN, Random(1))
        left.begin(at(0), old, old, 0.0, urgent=False)
        rates.append(0)
        while left.due < 3600.0:
            rates[-1] += len(left.wake(size, left.due))
    assert rates[0] > 8 * rates[1]


def test_nobody_is_told_again_at_once() -> None:
    notices = Notices(LAN)
    assert [notices.due(at(1), now) for now in (0.0, 0.01, 0.2, 0.21)] == [True, False, True, False]
    for number in range(5000):
        notices.due(named(number).endpoint, 1.0)
    assert len(notices._told) <= 1024


def test_an_unknown_cluster_is_told_a_few_times() -> None:
    """It may come of the same one, by another operator; if so it answers."""
    notices, unknown = Notices(LAN), ClusterId(b"u" * 16)
    told = 0
    while notices.may_be_related(unknown):
        notices.introduced(unknown)
        told += 1
    assert told == 5
    for number in range(100):
        notices.introduced(ClusterId(number.to_bytes(16, "big")))
    assert len(notices._unknown) == 16


# -- which of two clusters replaces the other


A, B, C, D, E = (ClusterId(letter * 16) for letter in (b"a", b"b", b"c", b"d", b"e"))


@pytest.mark.parametrize(
    ("ids", "mine", "theirs", "their_ids", "yields"),
    [
        ((), A, B, (A,), True),
        ((), A, C, (A, B), True),
        ((A,), B, A, (), False),
        ((A, B), C, A, (), False),
        ((C,), B, A, (C,), True),
        ((C,), A, B, (C,), False),
        ((C, A), E, B, (C,), False),
        ((C,), B, E, (C, A), True),
        ((C, B), A, E, (C, A), True),
        ((), A, B, (), None),
        ((C,), A, B, (D,), None),
        ((C,), A, A, (C,), None),
    ],
)
def test_of_two_clusters_one_replaces_the_other(
    ids: tuple[ClusterId, ...], mine: ClusterId, theirs: ClusterId, their_ids: tuple[ClusterId, ...],
    yields: bool | None,
) -> None:  # fmt: skip
    here, there = Lineage(), Lineage()
    here.enter(ids)
    there.enter(their_ids)
    assert here.yields_to(mine, theirs, their_ids) is yields
    opposite = None if yields is None else not yields
    assert there.yields_to(theirs, mine, ids) is opposite, "both sides agree"


def test_all_that_was_replaced_on_the_way_is_known() -> None:
    lineage = Lineage()
    lineage.extend(C)
    lineage.follow(B, (C, A))
    assert [lineage.replaced(one) for one in (A, B, C, D)] == [True, True, True, False]
    assert lineage.ids == (C, A)


def test_what_is_remembered_of_replaced_clusters_is_bounded() -> None:
    lineage = Lineage()
    for number in range(200):
        lineage.extend(ClusterId(number.to_bytes(16, "big")))
    assert len(lineage.ids) == FORMERLY_LIMIT
    assert len(lineage._replaced) == REPLACED_LIMIT


# -- worlds


def forced(size: int, seed: int, *, condition: Link | None = None, operators: int = 1) -> World:
    """The larger half is gone for good, and operators force a new cluster while the links are like that."""
    world = formed(size, seed)
    places = [place.endpoint for place in world.places]
    world.crash(places[size // 2 :], silent=True)
    world.run(20.0)
    if condition is not None:
        world.link(ANY, ANY, condition)
    for operator in places[:operators]:
        world.force_new_cluster(operator)
    return world


@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize("size", [4, 10, 20])
@pytest.mark.parametrize("seed", range(3))
def test_nobody_that_lives_is_left_out_under_loss(size: int, loss: float, seed: int) -> None:
    world = forced(size, seed, condition=Link(loss=loss))
    world.run(SETTLED)
    assert view_of(world.live[0]).size == size // 2
    world.heal()
    world.expect_agreement(60.0)
    assert sum(life.node.stats["rejected:refounding of another cluster"] for life in world.live) == 0


@pytest.mark.parametrize("size", [4, 10])
@pytest.mark.parametrize("seed", range(3))
def test_nobody_that_lives_is_left_out_with_latency(size: int, seed: int) -> None:
    world = forced(size, seed, condition=Link(latency=Uniform(0.39, 0.41)))
    world.run(SETTLED)
    assert view_of(world.live[0]).size == size // 2
    world.heal()
    world.expect_agreement(60.0)


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_all_operators_at_once_make_one_cluster(seed: int, loss: float) -> None:
    world = forced(10, seed, condition=Link(loss=loss), operators=5)
    world.run(5.0)
    world.heal()
    world.expect_agreement(60.0)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("size", [2, 4, 10, 20])
def test_two_halves_of_which_one_or_both_were_forced_become_one(size: int, both: bool) -> None:
    world = formed(size, 1)
    places = [place.endpoint for place in world.places]
    near, far = places[: size // 2], places[size // 2 :]
    world.partition([near, far])
    world.run(15.0)
    world.force_new_cluster(near[-1])
    if both:
        world.force_new_cluster(far[0])
    world.run(5.0)
    for side in (near, far)[: 1 + both]:
        late = world.add(f"late{side[0].host}:7400", seeds=side)
        world.start(late)
    world.run(5.0)
    world.heal()
    world.expect_agreement(90.0)
    assert world.live[0].node.replaced(world.lives_of(places[0])[0].views[0].configuration.cluster_id)


def test_the_other_half_can_force_as_well_once_the_links_are_whole() -> None:
    """Those that answer it are in another cluster by then, and count for nothing."""
    world = formed(10, 1)
    places = [place.endpoint for place in world.places]
    world.partition([places[:5], places[5:]])
    world.run(15.0)
    world.force_new_cluster(places[0])
    world.run(5.0)
    world.heal()
    world.force_new_cluster(places[9])
    world.expect_agreement(90.0)


def test_a_cluster_that_was_forced_again_and_again_takes_all_back() -> None:
    world = formed(9, 1)
    places = [place.endpoint for place in world.places]
    first = view_of(world.live[0]).cluster_id
    for left in (4, 1):
        world.partition([places[:left], *[[place] for place in places[left:]]])
        world.run(15.0)
        world.force_new_cluster(places[0])
        world.run(5.0)
        assert view_of(world.lives_of(places[0])[0]).size == left
    world.heal()
    world.expect_agreement(90.0)
    assert world.lives_of(places[0])[0].node.replaced(first)


def test_who_comes_back_after_a_long_time_is_told() -> None:
    world = formed(6, 1)
    places = [place.endpoint for place in world.places]
    world.pause(places[3:], 400.0)
    world.run(20.0)
    world.force_new_cluster(places[0])
    world.run(400.0)
    world.expect_agreement(60.0)
    assert view_of(world.live[0]).size == 6
    assert not any(told(life, Evicted) for life in world.live)


def test_a_stranger_at_the_address_of_one_left_behind_is_left_in_peace() -> None:
    """It is probed without a word about this cluster, and nothing is told of its own."""
    stage = Stage()
    nodes = refounded(stage)
    assert stage.until(lambda: agree(nodes, 3), SETTLED)
    stage.blocked.clear()
    stranger = stage.add(4)
    stage.run(300.0)
    assert view(stranger).size == 1
    assert not [event for event in stage.events[at(4)] if isinstance(event, OtherCluster)]
    assert not any(
        isinstance(event, OtherCluster) for node in nodes for event in stage.events[node.member.endpoint]
    )
    told = sum(count for key, count in stranger.stats.items() if key.startswith("rejected:refounding"))
    assert told <= 3 * INTRODUCTIONS, "by each of the three"


def test_a_forced_cluster_that_nobody_can_follow_into_is_forced_anew() -> None:
    """The majority lives, and evicts the one that answered before that was told: a ghost is left."""
    stage = Stage()
    nodes = stage.form(5)
    near, far = nodes[:2], nodes[2:]
    for one in near:
        stage.blocked |= {(one.member.endpoint, other.member.endpoint) for other in far}
        stage.blocked |= {(other.member.endpoint, one.member.endpoint) for other in far}
    assert stage.until(lambda: agree(far, 3), 30.0)
    stage.keep = lambda source, to, message: not isinstance(message, Refounded)
    force(stage, nodes[0])
    assert stage.until(lambda: view(nodes[0]).size == 2, SETTLED)
    stage.blocked.clear()
    assert stage.until(lambda: stage.told(nodes[1], Evicted), 5.0)
    stage.keep = lambda source, to, message: True
    assert stage.until(lambda: agree(nodes, 5), 60.0)
    assert nodes[0].stats["clusters forced anew"] == 1
    assert not stage.told(nodes[0], RefoundingRefused)


def test_only_a_cluster_that_too_few_follow_into_has_failed() -> None:
    refounding, old = asked(8)
    for number in (1, 2):
        answer(refounding, number)
    new = refounding.outcome(ClusterId(b"n" * 16))
    for heard, fails in (([], True), ([1], False)):
        left = LeftBehind(LAN, Random(1))
        left.begin(at(0), old, new, 0.0, urgent=True)
        assert left.take_failed() is None, "they have some time"
        for number in heard:
            left.heard(at(number))
        while left.due < 30.0:
            left.wake(new.size, left.due)
        assert (left.take_failed() is new) is fails
        assert left.take_failed() is None, "once"
