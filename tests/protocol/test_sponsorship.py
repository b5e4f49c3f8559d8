"""Who waits at a member for word of its joining."""

from __future__ import annotations

import pytest

from rapid.overlay import footprint
from rapid.overlay.member import Member, NodeId
from rapid.protocol import sponsorship as sponsorships
from rapid.protocol.sponsorship import Guest, Sponsorship

from .harness import at


def guest(number: int, version: int = 1, life: int = 0) -> Guest:
    return Guest(Member(at(number), NodeId(bytes(15) + bytes([life]))), version, f"way to {number}")


def test_guests_leave_with_the_epoch_after_theirs_in_the_order_of_arrival() -> None:
    sponsorship = Sponsorship()
    for number, version in ((3, 1), (1, 2), (2, 1)):
        assert sponsorship.take_in(guest(number, version), 0.0)
    assert [taken.member.endpoint for taken in sponsorship.take(2)] == [at(3), at(2)]
    assert [taken.member.endpoint for taken in sponsorship.take(2)] == []
    assert [taken.member.endpoint for taken in sponsorship.take(3)] == [at(1)]


def test_a_newer_process_replaces_the_older() -> None:
    sponsorship = Sponsorship()
    older, newer = guest(1), guest(1, life=1)
    assert sponsorship.take_in(older, 0.0)
    assert sponsorship.take_in(newer, 0.0)
    assert sponsorship.guest(at(1), older.member.node_id) is None
    assert sponsorship.guest(at(1), newer.member.node_id) == newer
    assert sponsorship.take(2) == [newer]


def test_there_is_room_for_so_many_and_it_comes_back() -> None:
    sponsorship = Sponsorship(room=3 * footprint.JOINER)
    for _ in range(3):
        assert all(sponsorship.take_in(guest(number), 0.0) for number in range(3))
        assert not sponsorship.take_in(guest(3), 0.0)
        assert sponsorship.take_in(guest(2, life=1), 0.0), "it takes no more than the one before it"
        assert len(sponsorship.take(2)) == 3


def test_the_room_is_counted_to_the_byte() -> None:
    sponsorship = Sponsorship(room=footprint.JOINER + footprint.METADATA + footprint.ENTRY + 7)
    joiner = guest(1).member
    assert not sponsorship.take_in(Guest(Member(at(2), joiner.node_id, {"four": "four"}), 1, None), 0.0)
    assert sponsorship.take_in(Guest(Member(at(1), joiner.node_id, {"four": "for"}), 1, None), 0.0)
    assert not sponsorship.take_in(Guest(Member(at(1), joiner.node_id, {"four": "four"}), 1, None), 0.0)


def test_so_many_requests_are_passed_on_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sponsorships, "RELAYS", 2)
    sponsorship = Sponsorship(room=3 * footprint.JOINER)
    assert [sponsorship.take_in(guest(number), 5.0) for number in range(3)] == [True, True, False]
    assert not sponsorship.take_in(guest(2), 5.999)
    assert sponsorship.take_in(guest(2), 6.0)
    assert not sponsorship.take_in(guest(3), 6.0), "there is no room, and that costs nothing of the second"
    assert sponsorship.take_in(guest(2), 6.0)
    assert not sponsorship.take_in(guest(2), 6.999)
    assert sponsorship.take_in(guest(2), 7.0)
