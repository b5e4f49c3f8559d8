"""Members that the rings do not connect any more agree all the same."""

from __future__ import annotations

import pytest

from rapid.overlay.member import Endpoint
from rapid.protocol.epoch import Epoch
from rapid.protocol.messages import Facts, Message
from rapid.protocol.node import Node
from rapid.settings import Settings

from .harness import Net, agree

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
    monkeypatch.setattr(Epoch, "_level", lambda epoch, now: setattr(epoch, "_level_at", float("inf")))
    net, rest = three_of_seven_are_gone()
    assert not net.until(lambda: agree(rest, 4), 60.0)


def test_where_the_fast_round_decides_nobody_does() -> None:
    net = Net(settings=Settings(k=3, h=3, l=1, everyone_limit=1))
    nodes = net.form(9)
    net.crash(nodes[8])
    assert net.until(lambda: agree(nodes[:8], 8))
    assert not any(node.stats["exchanges at random"] for node in nodes)
