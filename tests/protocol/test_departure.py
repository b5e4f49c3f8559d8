"""One member's way out, by itself."""

from __future__ import annotations

from math import inf

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.protocol.departure import Departure
from rapid.protocol.messages import Leaving
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Send
from rapid.settings import Settings

from .invented import CLUSTER, named

LAN = Settings.lan(probe_interval=1.5)
HERE = Configuration.of(CLUSTER, 7, map(named, range(5)), LAN.k)
ME = named(0)
WITHOUT_ME = HERE.apply(Cut.of([Removal(ME.endpoint, ME.node_id, left=True)]))


class Leaver:
    """A member that leaves at 100 s, and what it sends."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.departure = Departure(ME.endpoint, LAN, self.outbox, 100.0)


def test_each_observer_is_asked_once() -> None:
    leaver = Leaver()
    leaver.departure.announce(HERE, ME.node_id)
    sent = leaver.outbox.drain()
    asked = [output.to for output in sent if isinstance(output, Send)]
    assert len(asked) == len(sent) == len(set(asked))
    assert set(asked) == set(HERE.observers(ME.endpoint))
    word = Leaving(ME.endpoint, ME.node_id, CLUSTER, 7)
    assert all(isinstance(output, Send) and output.message == word for output in sent)


def test_without_an_agreement_it_ends_at_the_timeout() -> None:
    leaver = Leaver()
    assert leaver.departure.due == 100.0 + LAN.leave_timeout
    assert not leaver.departure.agreed
    assert not leaver.departure.heard(8)
    assert leaver.departure.due == 100.0 + LAN.leave_timeout


def test_once_decided_it_waits_two_probe_intervals_for_another_to_know() -> None:
    leaver = Leaver()
    leaver.departure.decided(WITHOUT_ME, 101.0)
    assert leaver.departure.agreed
    assert leaver.departure.due == 101.0 + 2 * LAN.probe_interval
    late = Leaver()
    late.departure.decided(WITHOUT_ME, 104.0)
    assert late.departure.due == 100.0 + LAN.leave_timeout, "and no longer than the timeout"


def test_who_is_at_the_version_without_it_knows() -> None:
    leaver = Leaver()
    leaver.departure.decided(WITHOUT_ME, 101.0)
    assert not leaver.departure.heard(7)
    assert leaver.departure.due < inf
    assert leaver.departure.heard(8)
    assert leaver.departure.due == inf
    assert leaver.departure.heard(9)
