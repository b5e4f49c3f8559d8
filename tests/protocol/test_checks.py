"""Nodes whose applications have a say in who is well."""

from __future__ import annotations

from collections import Counter

import pytest

from rapid.overlay.cut import Removal
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.outputs import Evicted, Installed

from .harness import Net, agree, at, view


def test_who_answers_and_is_unwell_is_removed_and_hears_of_it() -> None:
    net = Net(checks=True)
    nodes = net.form(6)
    net.run(20.0)
    assert agree(nodes, 6)
    net.sick.add(at(4))
    began, process = net.now, nodes[4].node_id
    rest = [node for node in nodes if node.member.endpoint != at(4)]
    assert net.until(lambda: agree(rest, 5))
    assert 3.0 < net.now - began < 5.0
    last = net.events[at(0)][-1]
    assert isinstance(last, Installed)
    assert last.cut is not None
    assert last.cut.removed == (Removal(at(4), process),)
    # its links are as good as ever
    assert net.until(lambda: any(isinstance(event, Evicted) for event in net.events[at(4)]), 1.0)
    net.run(20.0)
    assert agree(rest, 5), "and those who find it unwell do not let it in again"
    net.sick.clear()
    assert net.until(lambda: agree(nodes, 6), 90.0)
    assert nodes[4].node_id != process


def test_who_was_unwell_for_a_while_stays() -> None:
    net = Net(checks=True)
    nodes = net.form(6)
    net.run(20.0)
    for _ in range(5):
        net.sick.add(at(4))
        net.run(2.5)
        net.sick.clear()
        net.run(10.0)
    assert agree(nodes, 6)


def test_what_one_application_holds_against_another_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(checks=True)
    nodes = net.form(30)
    one = nodes[3]
    watched = Counter(view(one).subjects(at(3)))
    subject = next(endpoint for endpoint, rings in watched.items() if rings == 1)
    checked, denied = one.checked, 0

    def deny(endpoint: Endpoint, node_id: NodeId, sequence: int, passed: bool, now: float) -> None:
        nonlocal denied
        denied += endpoint == subject
        checked(endpoint, node_id, sequence, endpoint != subject, now)

    monkeypatch.setattr(one, "checked", deny)
    net.run(30.0)
    assert denied > 20
    assert agree(nodes, 30)


def test_without_an_application_nobody_is_asked() -> None:
    net = Net()
    nodes = net.form(6)
    net.sick.add(at(4))
    net.run(10.0)
    assert agree(nodes, 6)
