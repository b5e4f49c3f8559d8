"""Nodes whose applications have a say in who is well."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from rapid.detection.alert import Ground
from rapid.overlay.cut import Removal
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.messages import JoinReply, Message, Probe, Standing, Unreached
from rapid.protocol.outputs import Evicted, Installed, JoinFailed
from rapid.protocol.reception import REASONS
from rapid.settings import Settings

from .harness import Net, agree, at, view
from .stage import Stage

OUTSIDE = at(9)


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


# -- joiners


def refused(blind: Endpoint | None = None, ground: Ground | None = None) -> tuple[str, list[JoinReply]]:
    """What a joiner that is unwell is told in the end, and each refusal on the way.

    The probes of ``blind`` do not reach it. Observers that are to name no ``ground`` of theirs name this.
    """
    stage = Stage(settings=Settings.lan(join_timeout=6.0), checks=True)
    stage.form(4)
    stage.sick.add(OUTSIDE)
    replies = []

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        if isinstance(message, JoinReply) and message.standing is Standing.UNREACHABLE:
            replies.append(message)
        if isinstance(message, Unreached) and ground is not None:
            return replace(message, ground=ground)
        return None if (source, to) == (blind, OUTSIDE) and isinstance(message, Probe) else message

    stage.script = script
    joiner = stage.add(9, 0)
    assert stage.until(lambda: stage.told(joiner, JoinFailed), 10.0)
    [reason] = [event.reason for event in stage.events[OUTSIDE] if isinstance(event, JoinFailed)]
    return reason, replies


def test_a_joiner_that_the_prober_finds_unhealthy_is_told_so_by_its_sponsor_too() -> None:
    reason, replies = refused()
    assert {reply.detail for reply in replies} == {REASONS[Ground.UNHEALTHY]}
    # the sponsor's word is of the others
    assert any(reply.sender not in reply.observers for reply in replies)
    assert f": {OUTSIDE} was turned away by its observers " in reason
    assert reason.endswith(f" ({REASONS[Ground.UNHEALTHY]})")


def test_observers_that_differ_are_told_apart() -> None:
    reason, replies = refused(blind=at(3))
    told = {observer: reply.detail for reply in replies for observer in reply.observers}
    assert told.pop(at(3)) == REASONS[Ground.SILENT]
    assert set(told.values()) == {REASONS[Ground.UNHEALTHY]}
    assert f"{at(3)} ({REASONS[Ground.SILENT]})" in reason
    assert f" ({REASONS[Ground.UNHEALTHY]})" in reason


def test_an_observer_of_another_version_may_have_a_ground_of_its_own() -> None:
    _, replies = refused(ground=Ground.UNSTATED)
    assert {reply.detail for reply in replies if reply.sender not in reply.observers} == {
        "on a ground that is not known"
    }
