"""What a member remembers, and why whoever is gone was removed."""

from __future__ import annotations

import json

import pytest

from rapid import Evicted, OtherCluster, QuorumLost, QuorumRestored, ViewsSkipped
from rapid.agent import record as room
from rapid.agent.record import Record
from rapid.detection.alert import Alert, Ground, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Member
from rapid.telling import view_of

from .stub import CLUSTER, Stub, at, member


def formed(size: int) -> Stub:
    stub = Stub()
    stub.change(member(number) for number in range(size))
    return stub


def test_who_reported_a_member_that_is_gone() -> None:
    stub = formed(6)
    assert stub.configuration is not None
    observers = stub.configuration.observers(at(2))
    stub.alert(at(2), range(9))
    stub.alert(at(4), [0])
    assert len(stub.record.why(at(2))["alerts"]) == 9
    stub.change(removed=[at(2)])
    why = stub.record.why(at(2))
    assert (why["member"], why["alerts"]) == (None, [])
    [removal] = why["removals"]
    assert (removal["version"], removal["left"], removal["skipped"]) == (2, False, 0)
    assert (removal["rings"], removal["k"]) == (list(range(9)), 10)
    told = [(report["observer"], report["status"], report["rings"]) for report in removal["reports"]]
    assert told == [(str(observers[ring]), "down", [ring]) for ring in range(9)]
    assert stub.record.why(at(4))["removals"] == []
    assert stub.record.alerts == []
    json.dumps(why)


def test_on_what_ground_each_observer_reported() -> None:
    stub = formed(6)
    for ring, ground in enumerate(Ground):
        stub.alert(at(2), [ring], ground=ground)
    told = [None, "silent", "refused", "unhealthy", "replaced", "reinforced"]
    assert [alert["ground"] for alert in stub.record.alerts] == told
    assert [alert["ground"] for alert in stub.record.why(at(2))["alerts"]] == told
    stub.change(removed=[at(2)])
    why = stub.record.why(at(2))
    assert [report["ground"] for report in why["removals"][0]["reports"]] == told
    assert why["judge"] == "Windowed(window=10, failures=4)"


def test_only_this_life_of_an_address_is_meant() -> None:
    stub = formed(6)
    stub.alert(at(2), [0, 1])
    stub.change(removed=[at(2)], joined=[member(2, life=1)])
    stub.alert(at(2), [5], Status.LEAVING)
    stub.change(left=[at(2)])
    why = stub.record.why(at(2))
    later, earlier = why["removals"]
    assert [later["node_id"], earlier["node_id"]] == [str(member(2, 1).node_id), str(member(2).node_id)]
    assert (later["left"], later["rings"], earlier["left"], earlier["rings"]) == (True, [5], False, [0, 1])


def test_since_when_a_member_is_there() -> None:
    stub = formed(4)
    stub.change(joined=[member(7)])
    assert stub.record.why(at(7))["member"] == {"node_id": str(member(7).node_id), "since": 2}
    assert stub.record.why(at(1))["member"]["since"] == 1
    stub.change(removed=[at(7)], joined=[member(7, life=1)])
    assert stub.record.why(at(7))["member"] == {"node_id": str(member(7, 1).node_id), "since": 3}


def test_an_alert_about_a_joiner_is_no_reason_for_a_removal() -> None:
    stub = formed(4)
    origin = (str(CLUSTER), 1)
    stub.record.alerted(origin, Alert(at(0), member(9), Status.UP, 0b11))
    assert stub.record.why(at(9))["alerts"][0]["rings"] == [0, 1]
    stub.change(joined=[member(9)])
    stub.change(removed=[at(9)])
    assert stub.record.why(at(9))["removals"][0]["reports"] == []


def test_alerts_of_the_next_view_may_come_before_it() -> None:
    stub = formed(5)
    stub.record.alerted((str(CLUSTER), 2), Alert(at(1), member(3), Status.DOWN, 1))
    assert stub.record.alerts == []
    stub.change(removed=[at(4)])
    assert [alert["subject"] for alert in stub.record.alerts] == [str(at(3))]
    stub.change(removed=[at(3)])
    assert stub.record.why(at(3))["removals"][0]["rings"] == [0]


def test_views_that_were_skipped() -> None:
    stub = formed(5)
    stub.alert(at(3), [0])
    stayed = [member(0), member(1), member(2), member(8)]
    later = view_of(Configuration.of(CLUSTER, 4, stayed, 10))
    stub.record.changed(ViewsSkipped(later, 2))
    removals = [stub.record.why(at(number))["removals"] for number in (3, 4)]
    assert [(removal["skipped"], removal["rings"]) for [removal] in removals] == [(2, [0]), (2, [])]
    assert stub.record.why(at(8))["member"] == {"node_id": str(member(8).node_id), "since": None}
    assert stub.record.state == "member"


def test_the_state() -> None:
    stub = Stub()
    record = stub.record
    seen = [record.state]
    stub.change([member(0)])
    seen.append(record.state)
    for change in (
        QuorumLost(1),
        QuorumRestored(1),
        OtherCluster(at(9), "c", 9, merging=False),
        OtherCluster(at(9), "c", 9, merging=True),
        Evicted("c", 2, rejoining=True),
    ):
        record.changed(change)
        seen.append(record.state)
    assert seen == ["joining", "member", "quorum lost", "member", "member", "merging", "evicted"]
    assert record.view is not None
    record.changed(ViewsSkipped(record.view, 3))
    assert record.state == "member"
    record.leaving()
    record.changed(ViewsSkipped(record.view, 3))
    assert record.state == "leaving"


def test_the_rings_are_those_of_the_protocol() -> None:
    stub = formed(40)
    configuration, view = stub.configuration, stub.record.view
    assert configuration is not None
    assert view is not None
    for number, ring in enumerate(stub.record.rings):
        for place, index in enumerate(ring):
            observer = view.members[ring[(place + 1) % len(ring)]].endpoint
            assert configuration.observers(view.members[index].endpoint)[number] == observer
    assert Record(k=10, judge="any").rings == []


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ALERTS", 100)
    monkeypatch.setattr(room, "REMOVALS", 50)
    stub = formed(3)
    origin = (str(CLUSTER), 1)
    for number in range(room.ALERTS + 10):
        stub.record.alerted(origin, Alert(at(0), member(1), Status.DOWN, 1 << number % 10))
    assert len(stub.record.alerts) == room.ALERTS
    for version in range(2, 20):
        stub.record.alerted((str(CLUSTER), version), Alert(at(0), member(1), Status.DOWN, 1))
    assert len(stub.record._alerts) == room.EPOCHS
    for version in range(room.VIEWS):
        stub.change(joined=[member(50, life=version)])
        stub.change(removed=[at(50)])
    assert len(stub.record.changes) == room.VIEWS
    assert stub.record.why(at(50))["removals"][0]["version"] == 2 * room.VIEWS + 1
    removals = stub.record.why(at(50))["removals"]
    assert len(removals) == room.REMOVALS


def test_a_withdrawn_report_is_not_among_the_alerts_any_more() -> None:
    stub = formed(6)
    stub.alert(at(2), [0, 1])
    stub.alert(at(3), [1])
    about = member(2)
    assert stub.configuration is not None
    observer = stub.configuration.observers(at(2))[1]
    subject = Member(about.endpoint, about.node_id)
    withdrawal = Alert(observer, subject, Status.WITHDRAWN, 0b10, revision=1)
    told = stub.record.alerted((str(CLUSTER), 1), withdrawal)
    assert (told["status"], told["rings"]) == ("withdrawn", [1])
    assert [(alert["subject"], alert["rings"]) for alert in stub.record.alerts] == [
        (str(at(2)), [0]), (str(at(3)), [1]),
    ]  # fmt: skip
    stub.change(removed=[at(2)])
    assert stub.record.why(at(2))["removals"][0]["rings"] == [0]
