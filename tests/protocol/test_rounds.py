"""When a member begins a classic round, if no other one does."""

from __future__ import annotations

from collections import Counter

import pytest

from rapid.protocol.epoch import TURNS

from .harness import Net, view
from .invented import epoch_of


@pytest.mark.parametrize("size", [5, 30, 100])
def test_coordinators_begin_one_after_another(size: int) -> None:
    """Were it all in one moment, the rounds of a large and busy cluster would keep each other from an end."""
    net = Net()
    nodes = {node.member.endpoint: node for node in net.form(size)}
    settings = net.settings
    in_turn = [epoch_of(nodes[endpoint]) for endpoint in view(next(iter(nodes.values()))).endpoints]
    turns = [
        (mine._patience() - settings.fallback_delay) / settings.fallback_stagger for mine in in_turn
    ]
    assert [int(turn) for turn in turns[:TURNS]] == list(range(min(size, TURNS)))
    others = Counter(int(turn) for turn in turns[TURNS:])
    assert all(number >= TURNS for number in others)
    assert max(others.values(), default=0) <= 2 * TURNS
    assert max(others, default=TURNS) <= TURNS + size / TURNS
