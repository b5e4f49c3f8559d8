"""Members that the rings do not connect any more agree all the same."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from rapid.detection.alert import Status
from rapid.detection.cut_detector import ring_bits
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.levelling import Levelling
from rapid.protocol.messages import Facts, Message
from rapid.protocol.node import Node
from rapid.settings import Settings

from .harness import Net, agree
from .invented import epoch_of

SETTINGS = Settings(k=3, h=3, l=1, everyone_limit=1)


def three_of_seven_are_gone() -> tuple[Net, list[Node]]:
    """What has to do with votes is lost on all ways along the rings, where both ends live or not."""
    net = Net(settings=SETTINGS)
    nodes = net.form(7)
    configuration = nodes[0].configuration
    assert configuration is not None
    subjects = {endpoint: set(configuration.subjects(endpoint)) for endpoint in configuration.endpoints}

    def keep(source: Endpoint, to: Endpoint, message: Message) -> bool:
        if not isinstance(message, Facts):
            return True
        votes = message.votes or message.prepares or message.promises or message.accepts
        return not votes or to not in subjects[source]

    net.keep = keep
    net.crash(*nodes[4:])
    return net, nodes[:4]


def test_from_the_first_classic_round_on_each_levels_with_members_drawn_at_random() -> None:
    net, rest = three_of_seven_are_gone()
    assert net.until(lambda: agree(rest, 4), 60.0)
    assert all(node.stats["exchanges at random"] for node in rest)


def test_without_that_the_rest_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Levelling, "begin", lambda levelling, now: None)
    net, rest = three_of_seven_are_gone()
    assert not net.until(lambda: agree(rest, 4), 60.0)


def test_where_the_fast_round_decides_nobody_does() -> None:
    net = Net(settings=Settings(k=3, h=3, l=1, everyone_limit=1))
    nodes = net.form(9)
    net.crash(nodes[8])
    assert net.until(lambda: agree(nodes[:8], 8))
    assert not any(node.stats["exchanges at random"] for node in nodes)


class Room:
    """A levelling member of ten, and whom it levelled with."""

    def __init__(self, size: int = 10) -> None:
        members = [Member(Endpoint("10.0.0.1", port), NodeId(bytes(16))) for port in range(7400, 7400 + size)]
        configuration = Configuration.of(ClusterId(bytes(ClusterId.SIZE)), 1, members, SETTINGS.k)
        self.me, *self.others = configuration.endpoints
        self.drawn: list[Endpoint] = []
        self.levelling = Levelling(configuration, self.me, SETTINGS, Random(1), self.drawn.append)

    def draw(self, times: int, failing: Sequence[Endpoint] = ()) -> list[Endpoint]:
        self.drawn.clear()
        self.levelling.begin(0.0)
        for _ in range(times):
            self.levelling.wake(failing, self.levelling.due)
        return list(self.drawn)


def test_everybody_is_drawn_before_anybody_is_again() -> None:
    room = Room()
    assert set(room.draw(9)) == set(room.others)
    assert len(room.draw(5)) == 5


def test_one_a_probe_interval() -> None:
    room = Room()
    assert room.levelling.due == float("inf")
    room.levelling.begin(5.0)
    room.levelling.begin(5.5)
    assert room.levelling.due == 5.0 + SETTINGS.probe_interval
    room.levelling.wake((), 7.0)
    assert room.levelling.due == 7.0 + SETTINGS.probe_interval


def test_who_fails_is_not_drawn_and_with_nobody_else_it_is_over() -> None:
    room = Room()
    assert set(room.draw(6, failing=room.others[3:])) == set(room.others[:3])
    assert room.draw(1, failing=room.others) == []
    assert room.levelling.due == float("inf")


@pytest.mark.parametrize(("heard", "silence"), [(0, True), (2, True), (3, False), (9, False)])
def test_fewer_than_a_third_are_silence(heard: int, silence: bool) -> None:
    room = Room()
    for endpoint in room.draw(9)[:heard]:
        room.levelling.heard(endpoint)
    assert room.levelling.silence is silence


def test_who_was_not_drawn_does_not_count_nor_who_was_long_ago() -> None:
    room = Room()
    room.levelling.heard(room.others[0])
    assert room.levelling.silence
    for endpoint in room.draw(9):
        room.levelling.heard(endpoint)
    assert not room.levelling.silence
    room.levelling.forget()
    assert room.levelling.silence


def test_who_answered_before_all_fell_silent_does_not_count() -> None:
    """A member that is cut off while classic rounds are under way has heard from others a moment ago."""
    net = Net()
    node = net.form(12)[0]
    mine = epoch_of(node)
    for endpoint in mine.configuration.endpoints:
        mine._levelling._drawn[endpoint] = True
    assert not mine._levelling.silence
    observed = mine.configuration.subjects(node.member.endpoint)
    for subject in dict.fromkeys(observed):
        member = mine.configuration.member(subject)
        assert member is not None
        mine.alert(member, Status.DOWN, ring_bits(observed, subject), net.now)
    assert mine._levelling.silence
