"""What went wrong once, each as small as it could be made."""

from __future__ import annotations

from itertools import permutations

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Decided, Message
from rapid.protocol.outputs import Event, Evicted, Installed, Left
from rapid.settings import Settings
from rapid.simulation import World
from rapid.simulation.scenarios import formed

from .harness import agree
from .stage import Stage, without_votes


def view_of(world: World, member: Endpoint) -> Configuration:
    found = world.view_of(member)
    assert found is not None
    return found


def test_who_was_let_in_and_removed_unawares_comes_back_as_another_process() -> None:
    world = formed(5, 1)
    first, others = world.places[0].endpoint, [place.endpoint for place in world.places]
    joiner = world.add("joiner:7400")

    def cut_off(endpoint: Endpoint, event: Event) -> None:
        if isinstance(event, Installed) and joiner in event.configuration and world.network.plain:
            world.black_hole(joiner, others)

    world.subscribe(cut_off)
    world.start(joiner)
    life = world.lives_of(joiner)[0]
    before = life.node_id
    assert world.run_until(lambda: joiner in view_of(world, first), 10.0)
    assert world.run_until(lambda: joiner not in view_of(world, first), 20.0)
    assert not life.views, "it does not know that it was a member"
    world.heal()
    world.expect_agreement(30.0)
    assert life.node_id != before
    assert world.counts["node ids renewed"] == 1


@pytest.mark.parametrize("size", [2, 3, 5, 12])
def test_members_that_all_lost_each_other_for_a_while_stay(size: int) -> None:
    """Every edge is faulty when the network comes back: the alerts name everyone."""
    world = formed(size, 1)
    members = view_of(world, world.places[0].endpoint).members
    world.isolate([place.endpoint for place in world.places])
    world.run(6.0)
    world.heal()
    world.run(20.0)
    assert {life.node_id for life in world.live} == {member.node_id for member in members}, "all were removed"
    world.expect_agreement(10.0)
    assert view_of(world, world.places[0].endpoint).members == members
    assert not any(isinstance(event, Evicted) for life in world.live for _, event in life.events)
    if size > 2:  # of two, the rings that one holds of the other are enough to blame it at once
        afresh = any(seen.cut is not None and not seen.cut.size for seen in world.live[0].views)
        assert afresh, "nobody began afresh"


@pytest.mark.parametrize("rejoin", [False, True])
def test_who_alone_knows_of_its_eviction_passes_it_on(rejoin: bool) -> None:
    """The votes reach nobody else, and one of the voters dies: without it the others are no quorum."""
    stage = Stage(rejoin=rejoin)
    nodes = stage.form(4)
    evicted, voter, *rest = (node.member.endpoint for node in reversed(nodes))
    stage.blocked = {(evicted, other) for other in (voter, *rest)}
    stage.script = lambda source, to, message: message if to == evicted else without_votes(message)
    assert stage.until(lambda: stage.told(nodes[3], Evicted))
    stage.run(0.1)  # what it says of the decision is lost
    assert {node.configuration is not None and node.configuration.size for node in nodes[:3]} == {4}
    stage.crash(nodes[2])
    stage.blocked.clear()
    stage.script = lambda source, to, message: message
    alive = [*nodes[:2], nodes[3]] if rejoin else nodes[:2]
    assert stage.until(lambda: agree(alive, len(alive)), 30.0), "it was not passed on"


def test_who_alone_knows_that_it_left_stays_until_another_knows() -> None:
    """Three of four can agree, and one of the three is the leaver itself."""
    stage = Stage(settings=Settings.lan(h=4))  # the silent one's rings are not needed
    nodes = stage.form(4)
    leaver, silent = nodes[2], nodes[3]
    stage.blocked = {(silent.member.endpoint, node.member.endpoint) for node in nodes}
    stage.blocked |= {(to, source) for source, to in stage.blocked}
    leaver.leave(stage.now)
    stage.settle(leaver)

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        if isinstance(message, Decided):
            return None
        return message if to == leaver.member.endpoint else without_votes(message)

    stage.script = script
    gone = leaver.member.endpoint
    assert stage.until(lambda: leaver.configuration is not None and gone not in leaver.configuration, 3.0)
    stage.run(0.1)  # what it says of its decision is lost
    assert {node.configuration is not None and node.configuration.size for node in nodes[:2]} == {4}
    stage.script = lambda source, to, message: message
    assert stage.until(lambda: stage.told(leaver, Left), 3.0)
    assert Left(agreed=True) in stage.events[gone]
    assert stage.until(lambda: agree(nodes[:2], 2)), "it was not passed on"


def observers_that_hide(view: Configuration, low: int) -> tuple[Endpoint, Endpoint]:
    """Two of whom one keeps the other below the low mark by its own silence, and misses on the first."""
    for subject, observer in permutations(view.endpoints, 2):
        of_subject, of_observer = view.observers(subject), view.observers(observer)
        reported = sum(watcher != subject for watcher in of_observer)
        heard = sum(watcher != observer for watcher in of_subject)
        if reported < low <= heard < view.k:
            return subject, observer
    raise AssertionError("no such pair: take another size")


def test_who_is_unstable_because_its_observers_are_gone_goes_in_the_end() -> None:
    settings = Settings.lan(k=4, h=4, l=3)
    world = formed(8, 1, settings)
    pair = observers_that_hide(view_of(world, world.places[0].endpoint), settings.l)
    world.crash(pair, silent=True)
    assert world.expect_agreement(40.0) > 2 * settings.reinforcement_timeout
    assert world.stats()["unstable subjects expired"] > 0


def test_a_seed_that_comes_back_to_a_cluster_that_cannot_let_it_in_founds_none() -> None:
    """No quorum is left, so its old process stays in the view; the others say so, again and again."""
    world = World(1)
    world.add_members(5, seeds=["m0:7400", "m1:7400", "m2:7400"])
    world.start()
    world.expect_agreement(30.0)
    world.run(3.0)
    near, far = ["m0:7400", "m1:7400", "m2:7400"], ["m3:7400", "m4:7400"]
    world.partition([near, far])
    world.restart("m0:7400", after=0.1)
    world.run(25.0)
    assert not world.lives_of("m0:7400")[1].views, "a second cluster was founded"
    world.heal()
    world.expect_agreement(60.0)
    assert len({life.views[-1].configuration.cluster_id for life in world.live}) == 1


@pytest.mark.parametrize("seed", range(3))
def test_two_pairs_of_four_seeds_do_not_found_a_cluster_each(seed: int) -> None:
    world = World(seed)
    seeds = [f"m{number}:7400" for number in range(4)]
    world.add_members(4, seeds=seeds, expected=2)
    world.partition([seeds[:2], seeds[2:]])
    world.start()
    world.run(10.0)
    assert not any(life.views for life in world.live), "a cluster of two was founded"
    world.heal()
    world.expect_agreement(20.0)
    founded = [life for life in world.live if life.views[0].configuration.version == 1]
    assert len(founded) == 1
