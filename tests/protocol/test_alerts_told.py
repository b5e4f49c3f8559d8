"""Who wants to know is told of each alert that counts."""

from __future__ import annotations

from rapid.detection.alert import Alert, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint

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
