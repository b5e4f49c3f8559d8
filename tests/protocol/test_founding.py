"""Processes that start together, and of which one shall found the cluster."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.founding import Founding
from rapid.protocol.joining import MEMORY
from rapid.protocol.messages import PROTOCOL_VERSION, JoinReply, JoinRequest, Standing
from rapid.protocol.outputs import Event, Installed
from rapid.simulation import ANY, Link, Uniform, World

from .bench import HERE, LAN, Joiner, saying
from .harness import at

PATIENCE = 3 * LAN.join_attempt
"""How long one follows another."""


class Crowd:
    """``n`` processes that know the first ``seeds`` of them; ``expected`` shall have seen each other."""

    def __init__(self, seed: int, n: int, seeds: int, expected: int, link: Link, over: float = 0.0) -> None:
        self.world = World(seed)
        self.seeds = [Endpoint(f"m{number}", 7400) for number in range(seeds)]
        self.expected = expected
        self.founders: list[Endpoint] = []
        self.followers: list[list[Endpoint]] = []
        """Of each founder at its founding: who follows it at that moment, by its own clock."""
        self.world.add_members(n, seeds=self.seeds, expected=expected)
        self.world.link(ANY, ANY, link)
        self.world.subscribe(self._told)
        self.world.start(over=over)

    @classmethod
    def drawn(cls, seed: int) -> Crowd:
        """Of any size, among links of any quality."""
        rng = Random(seed)
        n = rng.randint(2, 7)
        link = Link(
            loss=rng.choice((0.0, 0.3, 0.6, 0.9)), reordering=rng.choice((0.0, 0.2, 0.6, 1.0)),
            late=Uniform(0.0, rng.choice((0.5, 3.0, 8.0))),
        )  # fmt: skip
        return cls(seed, n, rng.randint(1, n), rng.randint(2, n), link, rng.choice((0.0, 2.0, 6.0)))

    def _told(self, endpoint: Endpoint, event: Event) -> None:
        if not isinstance(event, Installed) or event.configuration.version != 1:
            return
        self.founders.append(endpoint)
        following = []
        for life in self.world.live:
            joining = life.node._joining
            founding = joining._founding if joining is not None else None
            if founding is not None and founding._leader == endpoint:
                clock = life.clock(self.world.now)
                following += [life.place.endpoint] if founding._follows(clock) else []
        self.followers.append(following)


@settings(max_examples=40, derandomize=True)
@given(
    seed=st.integers(0, 1 << 30),
    n=st.integers(2, 7),
    seeds=st.integers(1, 7),
    expected=st.integers(2, 7),
    loss=st.sampled_from([0.0, 0.3, 0.6, 0.9]),
    reordering=st.sampled_from([0.0, 0.3, 1.0]),
    late=st.sampled_from([0.5, 3.0, 8.0]),
    over=st.sampled_from([0.0, 2.0, 6.0]),
)
def test_at_most_one_founds_and_one_does_when_messages_arrive(
    seed: int, n: int, seeds: int, expected: int, loss: float, reordering: float, late: float, over: float
) -> None:
    link = Link(loss=loss, reordering=reordering, late=Uniform(0.0, late))
    crowd = Crowd(seed, n, min(seeds, n), min(expected, n), link, over)
    crowd.world.run(12.0)
    assert len(crowd.founders) <= 1
    crowd.world.heal()
    crowd.world.expect_agreement(30.0)
    assert len(crowd.founders) == 1


@pytest.mark.parametrize(("n", "seeds", "expected"), [(3, 3, 3), (5, 3, 3), (20, 5, 20), (6, 1, 4)])
def test_those_that_start_together_are_one_cluster_soon(n: int, seeds: int, expected: int) -> None:
    crowd = Crowd(1, n, seeds, expected, Link())
    assert crowd.world.expect_agreement(10.0) < 5.0
    assert crowd.founders == [min(crowd.seeds)]


def test_too_few_found_nothing_until_the_last_is_there() -> None:
    world = World(1)
    seeds = ["m0:7400", "m1:7400", "m2:7400"]
    members = world.add_members(4, seeds=seeds, expected=4)
    world.start(members[:3])
    world.run(20.0)
    assert not any(life.views for life in world.live)
    world.start(members[3])
    assert world.expect_agreement(10.0) < 5.0


def test_they_do_without_a_seed_that_never_comes() -> None:
    world = World(1)
    members = world.add_members(5, seeds=["m0:7400", "m1:7400", "m2:7400"], expected=3)
    world.start(members[1:])
    world.expect_agreement(10.0)
    assert world.live[0].views[0].configuration.version == 1, "the lowest of the seeds that are there"


def test_half_of_the_seeds_found_nothing() -> None:
    """The other half could do the same."""
    world = World(1)
    members = world.add_members(6, seeds=["m0:7400", "m1:7400", "m2:7400", "m3:7400"], expected=2)
    world.start([members[0], members[1], members[4], members[5]])
    world.run(20.0)
    assert not any(life.views for life in world.live)


def test_whoever_founds_has_its_followers_at_that_moment() -> None:
    for seed in range(60):
        crowd = Crowd.drawn(seed)
        crowd.world.run(25.0)
        for founder, followers in zip(crowd.founders, crowd.followers, strict=True):
            assert len(followers) + 1 >= crowd.expected
            assert 2 * sum(seed in crowd.seeds for seed in (founder, *followers)) > len(crowd.seeds)


# -- one of them


def among(*seeds: int, me: int = 0, expected: int = 3) -> Joiner:
    return Joiner(*map(at, seeds), me=me, founds=True, expected=expected)


def wanting_in(number: int, *, founding: bool = True) -> JoinRequest:
    node_id = NodeId(number.to_bytes(16, "big"))
    return JoinRequest(at(number), node_id, PROTOCOL_VERSION, LAN.k, LAN.h, LAN.l, None, 1, founding)


def test_it_asks_to_be_followed_once_it_has_seen_enough() -> None:
    joiner = among(0, 1, 2)
    joiner.seeds[at(1)] = saying(Standing.NOT_A_MEMBER, at(1))
    joiner.run(3.0)
    assert not any(request.founding for request in joiner.join_requests)
    joiner.joining.requested(wanting_in(7, founding=False), joiner.now)
    joiner.run(2.0)
    assert joiner.join_requests[-1].founding


def test_it_leaves_that_to_a_lower_seed() -> None:
    joiner = among(0, 1, 2, me=1, expected=2)
    for number in (0, 2):
        joiner.seeds[at(number)] = saying(Standing.NOT_A_MEMBER, at(number))
    joiner.run(5.0)
    assert not any(request.founding for request in joiner.join_requests)
    del joiner.seeds[at(0)]
    joiner.run(2 * PATIENCE)
    assert joiner.join_requests[-1].founding, "the lower one is not seen any more"


def test_followers_that_are_no_seeds_count_for_the_number_alone() -> None:
    joiner = among(0, 1, 2)
    for number in (1, 2):
        joiner.seeds[at(number)] = saying(Standing.NOT_A_MEMBER, at(number))
    for number in (7, 8):
        joiner.seeds[at(number)] = saying(Standing.FOLLOWING, at(number))
        joiner.joining.requested(wanting_in(number, founding=False), joiner.now)
    joiner.run(2.0)
    assert joiner.founded is None, "three processes, but one seed of three"
    joiner.seeds[at(2)] = saying(Standing.FOLLOWING, at(2))
    joiner.run(2.0)
    assert joiner.founded is not None


def test_it_follows_one_at_a_time() -> None:
    joiner = among(0, 1, 2, me=9)
    follows = partial(joiner.joining.requested, now=joiner.now)
    assert follows(wanting_in(1)) is Standing.FOLLOWING
    assert follows(wanting_in(0)) is Standing.NOT_A_MEMBER
    assert follows(wanting_in(1)) is Standing.FOLLOWING
    later = joiner.now + PATIENCE
    assert joiner.joining.requested(wanting_in(0), later - 0.001) is Standing.NOT_A_MEMBER
    assert joiner.joining.requested(wanting_in(0), later) is Standing.FOLLOWING


def test_a_seed_follows_no_higher_one() -> None:
    joiner = among(0, 1, 2, me=1)
    assert joiner.joining.requested(wanting_in(2), 0.0) is Standing.NOT_A_MEMBER
    assert joiner.joining.requested(wanting_in(0), 0.0) is Standing.FOLLOWING


def test_who_follows_founds_nothing() -> None:
    joiner = among(0, 1, 2, me=1)
    assert joiner.joining.requested(wanting_in(0), 0.0) is Standing.FOLLOWING
    for number in (2, 7):
        joiner.seeds[at(number)] = saying(Standing.FOLLOWING, at(number))
        joiner.joining.requested(wanting_in(number, founding=False), joiner.now)
    joiner.run(PATIENCE - 0.01)
    assert joiner.founded is None
    joiner.run(2 * PATIENCE)
    assert joiner.founded is not None, "the other one has not come back"


def test_who_has_heard_of_a_cluster_neither_follows_nor_founds() -> None:
    joiner = among(0, 1, 2, expected=2)
    joiner.joining.probed(at(5), HERE, 3, joiner.now)
    assert joiner.joining.requested(wanting_in(1), joiner.now) is Standing.NOT_A_MEMBER
    for number in (1, 2):
        joiner.seeds[at(number)] = saying(Standing.FOLLOWING, at(number))
    joiner.run((MEMORY - 1) * LAN.join_attempt)
    assert joiner.founded is None
    joiner.run(4 * LAN.join_attempt)
    assert joiner.founded is not None


def test_a_seed_with_two_addresses_is_one_seed() -> None:
    joiner = among(0, 50, expected=2)
    own = JoinReply(at(0), Standing.NOT_A_MEMBER, None, 0, (), "", joiner.member.node_id, 1)
    joiner.seeds[at(50)] = lambda request: replace(own, attempt=request.attempt)
    joiner.seeds[at(7)] = saying(Standing.FOLLOWING, at(7))
    joiner.joining.requested(wanting_in(7, founding=False), joiner.now)
    joiner.run(5.0)
    assert joiner.founded is not None


def test_an_answer_that_comes_too_late_is_no_following() -> None:
    joiner = among(0, 1, expected=2)
    joiner.seeds[at(1)] = saying(Standing.NOT_A_MEMBER, at(1))
    joiner.run(2.0)
    asked = joiner.join_requests[-1]
    assert asked.founding
    joiner.seeds.clear()
    joiner.run(PATIENCE)
    joiner.joining.replied(saying(Standing.FOLLOWING, at(1))(asked), joiner.now)
    assert joiner.founded is None


def test_who_followed_long_ago_does_not_count() -> None:
    joiner = among(0, 1, 2)
    joiner.seeds[at(1)] = saying(Standing.FOLLOWING, at(1))
    joiner.seeds[at(2)] = saying(Standing.NOT_A_MEMBER, at(2))
    joiner.run(2.0)
    joiner.seeds[at(1)] = saying(Standing.NOT_A_MEMBER, at(1))
    joiner.run(PATIENCE)
    joiner.seeds[at(2)] = saying(Standing.FOLLOWING, at(2))
    joiner.run(1.0)
    assert joiner.founded is None


# -- the room by itself


def founding(*others: int, me: int = 1, expected: int = 2, seeds: int = 2, is_seed: bool = True) -> Founding:
    """One that has seen these other seeds at time 0."""
    made = Founding(at(me), expected, LAN)
    made.seeds, made.is_seed = seeds, is_seed
    for other in others:
        made.saw(at(other), True, 0.0)
    return made


def test_of_its_seeds_it_knows_nothing_at_first() -> None:
    made = Founding(at(1), 1, LAN)
    assert (made.seeds, made.is_seed, made.seen) == (0, False, [])


def test_a_following_lasts_three_attempts_to_join() -> None:
    made = Founding(at(1), 2, replace(LAN, join_attempt=2.0))
    assert made.follow(at(0), 0.0)
    assert not made.follow(at(2), 5.999)
    assert made.follow(at(2), 6.0)


def test_the_lowest_seed_that_has_seen_enough_aspires() -> None:
    assert founding(2).aspires(0.0)
    assert not founding(0).aspires(0.0), "there is a lower seed"
    assert not founding(2, 0, expected=3).aspires(0.0)
    assert not founding(2, expected=3).aspires(0.0), "two of three"
    assert not founding(2, is_seed=False).aspires(0.0)
    assert founding(expected=1).aspires(0.0)
    alone = founding()
    assert not alone.aspires(0.0)
    alone.saw(at(0), False, 0.0)
    assert alone.aspires(0.0), "a lower process that is no seed"
    assert alone.seen == [at(0)]


def test_who_is_not_seen_any_more_does_not_count() -> None:
    several = founding(0, 2)
    several.saw(at(2), True, 1.0)
    assert not several.aspires(PATIENCE)
    assert several.seen == [at(0), at(2)]
    assert several.aspires(PATIENCE + 0.001), "the lower seed is gone"
    assert several.seen == [at(2)]
    assert not several.aspires(PATIENCE + 1.001), "and so is the other"
    assert several.seen == []
    mixed = founding()
    mixed.saw(at(7), False, 0.0)
    assert not mixed.aspires(PATIENCE + 0.001), "one that was no seed is forgotten, too"


def test_it_aspires_again_when_it_follows_no_more() -> None:
    follower = founding(2)
    assert follower.follow(at(0), 0.5)
    assert not follower.aspires(PATIENCE)
    follower.saw(at(2), True, PATIENCE)
    assert not follower.aspires(0.499 + PATIENCE)
    assert follower.aspires(0.5 + PATIENCE)


def test_one_that_is_no_seed_follows_anybody_and_a_seed_no_higher_one() -> None:
    assert founding(is_seed=False).follow(at(2), 0.0)
    assert not founding().follow(at(2), 0.0)
    assert founding().follow(at(0), 0.0)


def test_followers_make_a_founder_when_they_are_enough_and_a_majority_of_the_seeds() -> None:
    assert founding(2).followed(at(2), 0.0, 0.0)
    three = founding(2, 3, expected=3, seeds=3)
    assert not three.followed(at(2), 0.0, 0.0), "two processes of three"
    assert three.followed(at(3), 0.0, 0.0)
    half = founding(2, seeds=4)
    half.saw(at(7), False, 0.0)
    assert not half.followed(at(7), 0.0, 0.0), "one seed of four"
    assert not half.followed(at(2), 0.0, 0.0), "two of four are no majority"
    majority = founding(2, seeds=3)
    assert majority.followed(at(2), 0.0, 0.0), "two of three"


def test_a_following_counts_from_when_it_was_asked_for_and_no_longer_than_it_lasts() -> None:
    asked = founding(2, 3, expected=3, seeds=3)
    assert not asked.followed(at(2), 1.0, 2.0)
    assert asked.followed(at(3), 2.0, 1.0 + PATIENCE - 0.001)
    late = founding(2, 3, expected=3, seeds=3)
    assert not late.followed(at(2), 1.0, 2.0)
    assert not late.followed(at(3), 2.0, 1.0 + PATIENCE)


def test_the_followers_of_one_that_follows_another_are_none() -> None:
    turned = founding(2, 3, expected=3, seeds=3)
    assert not turned.followed(at(2), 0.0, 0.0)
    assert turned.follow(at(0), 0.0)
    assert not turned.followed(at(3), 0.5, 0.5)
    assert not turned.followed(at(3), PATIENCE, PATIENCE), "those of the time before have gone elsewhere"
    assert turned.followed(at(2), PATIENCE, PATIENCE)
