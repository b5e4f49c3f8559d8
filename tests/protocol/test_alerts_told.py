"""Who wants to know is told of each alert that counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rapid.detection.alert import Alert, Ground, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.messages import Message, ProbeAck
from rapid.protocol.node import Node

from .harness import agree, at, view
from .stage import Stage


def test_each_alert_is_told_once_with_the_configuration_that_it_is_about() -> None:
    told: list[tuple[Configuration, Alert]] = []
    stage = Stage(alerted=lambda about, alert: told.append((about, alert)))
    first = stage.add(0)
    stage.options = {}
    others = [stage.add(number, 0) for number in range(1, 6)]
    assert stage.until(lambda: agree([first, *others], 6))
    assert {alert.status for _, alert in told} == {Status.UP}
    about = view(first)
    told.clear()
    victim = others.pop()
    stage.crash(victim)
    assert stage.until(lambda: agree([first, *others], 5))
    down = [(where, alert) for where, alert in told if alert.status is Status.DOWN]
    assert {where for where, _ in down} == {about}
    assert {alert.subject.endpoint for _, alert in down} == {victim.member.endpoint}
    rings: dict[Endpoint | None, int] = {}
    for _, alert in down:
        # nothing of an alert is told twice
        assert not rings.get(alert.observer, 0) & alert.rings
        rings[alert.observer] = rings.get(alert.observer, 0) | alert.rings
    observers = about.observers(victim.member.endpoint)
    for observer, bits in rings.items():
        assert all(observers[ring] == observer for ring in range(10) if bits >> ring & 1)
    # this member's own word is among them
    assert at(0) in rings
    assert sum(bits.bit_count() for bits in rings.values()) >= first.settings.h


def test_an_alert_that_does_not_count_is_not_told() -> None:
    told: list[Alert] = []
    stage = Stage(alerted=lambda about, alert: told.append(alert))
    node, *others = stage.form(4)
    told.clear()
    configuration = view(node)
    subject, liar = others[0].member, others[1].member.endpoint
    foreign = [ring for ring, who in enumerate(configuration.observers(subject.endpoint)) if who != liar]
    assert node._epoch is not None
    node._epoch._add_alert(Alert(liar, subject, Status.DOWN, 1 << foreign[0]), None, stage.now)
    assert told == []


# -- the grounds

VICTIM = at(7)


def falls_silent(stage: Stage, victim: Node) -> None:
    stage.script = lambda source, to, message: None if VICTIM in (source, to) else message


def ends(stage: Stage, victim: Node) -> None:
    stage.crash(victim)


def turns_sick(stage: Stage, victim: Node) -> None:
    stage.sick.add(VICTIM)


def starts_anew(stage: Stage, victim: Node) -> None:
    stage.crash(victim)
    stage.add(7, 0)


def answers_some(stage: Stage, victim: Node) -> None:
    """Its observers on the first rings, at least L and not H of them, do not get its acks."""
    deaf: set[Endpoint] = set()
    observers = view(victim).observers(VICTIM)
    for observer in observers:
        if sum(other in deaf for other in observers) < 4:
            deaf.add(observer)
    assert 4 <= sum(observer in deaf for observer in observers) < victim.settings.h
    stage.script = lambda source, to, message: None if lost(source, to, message, deaf) else message


def lost(source: Endpoint, to: Endpoint, message: Message, deaf: set[Endpoint]) -> bool:
    return source == VICTIM and to in deaf and isinstance(message, ProbeAck)


@pytest.mark.parametrize(
    ("what_it_does", "grounds"),
    [
        (falls_silent, {Ground.SILENT}),
        (ends, {Ground.REFUSED}),
        (turns_sick, {Ground.UNHEALTHY}),
        (starts_anew, {Ground.REPLACED}),
        (answers_some, {Ground.SILENT, Ground.REINFORCED}),
    ],
)
def test_all_are_told_on_what_ground_a_member_was_reported(
    what_it_does: Callable[[Stage, Node], None], grounds: set[Ground]
) -> None:
    told: dict[Endpoint, list[Alert]] = {}
    stage = Stage(checks=True)
    nodes = []
    for number in range(10):
        heard = told.setdefault(at(number), [])
        stage.options["alerted"] = lambda about, alert, heard=heard: heard.append(alert)
        nodes.append(stage.add(number, *[0] * (number > 0)))
    assert stage.until(lambda: agree(nodes, 10))
    stage.run(15.0)
    observers = view(nodes[0]).observers(VICTIM)
    for heard in told.values():
        heard.clear()
    stage.options.pop("alerted")
    rest = [node for node in nodes if node.member.endpoint != VICTIM]
    what_it_does(stage, nodes[7])
    gone = nodes[7].node_id
    assert stage.until(lambda: all(is_gone(node, gone) for node in rest), 30.0)
    said: dict[int, Ground] = {}
    for node in rest:
        down = [alert for alert in told[node.member.endpoint] if alert.status is Status.DOWN]
        assert {alert.subject.endpoint for alert in down} == {VICTIM}
        for alert in down:
            for ring in range(10):
                if alert.rings >> ring & 1:
                    assert alert.observer == observers[ring]
                    # each of them is told of the same
                    assert said.setdefault(ring, alert.ground) is alert.ground
    assert len(said) >= nodes[0].settings.h
    assert set(said.values()) == grounds
    assert sum(alert.ground is Ground.UNSTATED for heard in told.values() for alert in heard) == sum(
        alert.status is Status.UP for heard in told.values() for alert in heard
    )


def is_gone(node: Node, node_id: NodeId) -> bool:
    member = view(node).member(VICTIM)
    return member is None or member.node_id != node_id
