"""An observer's side of joining, by itself: whom it probes, and what it makes of the answers."""

from __future__ import annotations

from math import inf

import pytest

from rapid.detection.alert import Ground
from rapid.overlay import footprint
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol import admission as admissions
from rapid.protocol.admission import ATTEMPTS, ROOM, Admission, Joiner
from rapid.settings import Settings

from .harness import at
from .invented import named

LAN = Settings.lan()
RETRY = LAN.probe_timeout / 2
JOINER, OTHER = named(1), named(2)
AGAIN = Member(JOINER.endpoint, NodeId(b"a" * 16))
"""A later process at the first one's address."""


class Door:
    """An admission, and what it has done."""

    def __init__(self, *, checks: bool = False, room: int = ROOM) -> None:
        self.probed: list[Member] = []
        self.reached: list[tuple[Member, int, object, Endpoint | None]] = []
        self.gone: list[tuple[Member, Ground]] = []
        self.checked: list[Member] = []
        self.admission = Admission(
            LAN, self.probed.append, self._reached, self._unreachable,
            self.checked.append if checks else None, room,
        )  # fmt: skip

    def _reached(self, joiner: Joiner) -> None:
        self.reached.append((joiner.member, joiner.version, joiner.token, joiner.sponsor))

    def _unreachable(self, joiner: Joiner, ground: Ground) -> None:
        self.gone.append((joiner.member, ground))

    def admit(
        self,
        member: Member = JOINER,
        now: float = 0.0,
        version: int = 1,
        token: str | None = None,
        sponsor: Endpoint | None = None,
    ) -> bool:
        admitted = self.admission.admit(member, version, token, now, sponsor)
        self.admission.wake(now)
        return admitted

    def answer(self, member: Member, now: float = 0.0) -> None:
        self.admission.answered(member.endpoint, member.node_id, now)

    def pass_(self, member: Member, passed: bool, now: float = 0.0) -> None:
        self.admission.checked(member.endpoint, member.node_id, passed, now)

    def give_up(self) -> None:
        """Let the time pass in which joiners may answer."""
        while self.admission.due < inf:
            self.admission.wake(self.admission.due)


def test_a_joiner_is_probed_at_once_and_reached_when_it_answers() -> None:
    door = Door()
    assert door.admission.due == inf
    assert door.admit(token="way", sponsor=at(9))
    assert door.probed == [JOINER]
    assert door.reached == []
    door.answer(JOINER)
    assert door.reached == [(JOINER, 1, "way", at(9))]
    door.answer(JOINER)
    assert len(door.reached) == 1, "the answer to another probe of it"
    door.admission.wake(RETRY)
    assert door.probed == [JOINER]
    assert (door.gone, len(door.admission)) == ([], 1)


def test_one_that_does_not_answer_is_probed_twice_a_timeout_and_given_up() -> None:
    door = Door()
    door.admit(now=5.0)
    for attempt in range(1, ATTEMPTS):
        assert door.admission.due == pytest.approx(5.0 + attempt * RETRY)
        door.admission.wake(door.admission.due - 0.001)
        assert len(door.probed) == attempt
        door.admission.wake(door.admission.due)
        assert len(door.probed) == attempt + 1
    assert door.gone == []
    door.admission.wake(door.admission.due)
    assert len(door.probed) == ATTEMPTS
    assert door.gone == [(JOINER, Ground.SILENT)]
    assert (len(door.admission), door.admission.due) == (0, inf)
    door.answer(JOINER)
    assert door.reached == []


def test_all_that_are_due_are_probed_in_turn() -> None:
    door = Door()
    for number in (3, 1, 2):
        door.admission.admit(named(number), 1, None, float(number))
    assert door.admission.due == 1.0
    door.admission.wake(2.0)
    assert door.probed == [named(1), named(2)]
    door.admission.wake(3.0)
    assert named(3) in door.probed


def test_one_that_answers_does_not_hold_up_those_that_are_due_after_it() -> None:
    door = Door()
    for number in (1, 2):
        door.admit(named(number))
    door.answer(named(1))
    door.admission.wake(RETRY)
    assert door.probed == [named(1), named(2), named(2)]


def test_two_that_are_given_up_are_given_up_together() -> None:
    door = Door()
    for number in (1, 2):
        door.admission.admit(named(number), 1, None, 0.0)
    while not door.gone:
        door.admission.wake(door.admission.due)
        assert door.probed.count(named(1)) == door.probed.count(named(2))
    assert [member for member, _ in door.gone] == [named(1), named(2)]


def test_why_it_was_not_reached_is_told() -> None:
    door = Door()
    door.admission.refused(JOINER.endpoint)
    door.admit()
    door.admit(OTHER)
    door.admission.refused(JOINER.endpoint)
    door.give_up()
    assert door.gone == [(JOINER, Ground.REFUSED), (OTHER, Ground.SILENT)]


def test_who_asks_again_is_not_probed_more_often() -> None:
    door = Door()
    door.admit(token="old", sponsor=at(8))
    door.admit(now=0.1, version=2, token="new", sponsor=at(9))
    door.admit(now=0.2, version=3)
    assert door.probed == [JOINER]
    door.answer(JOINER)
    assert door.reached == [(JOINER, 3, "new", at(9))], "the newest version, and the last way back"


def test_who_asks_again_once_it_was_reached_is_reached_at_once() -> None:
    door = Door()
    door.admit()
    door.answer(JOINER)
    door.admit(now=3.0, version=2)
    assert [version for _, version, _, _ in door.reached] == [1, 2]
    assert door.probed == [JOINER]


def test_who_answered_and_is_still_looked_into_is_not_probed_when_it_asks_again() -> None:
    door = Door(checks=True)
    door.admit()
    door.answer(JOINER)
    door.admit(now=3.0)
    assert (door.probed, door.reached) == ([JOINER], [])
    door.pass_(JOINER, True)
    assert len(door.reached) == 1


# -- the application's check


def test_with_a_check_it_is_reached_when_it_answered_and_is_well() -> None:
    door = Door(checks=True)
    door.admit()
    door.pass_(JOINER, True)
    assert door.reached == [], "nobody has asked yet"
    door.answer(JOINER)
    assert (door.checked, door.reached) == ([JOINER], [])
    door.pass_(AGAIN, True)
    door.pass_(OTHER, True)
    assert door.reached == []
    door.pass_(JOINER, True)
    door.pass_(JOINER, False)
    assert (len(door.reached), door.gone) == (1, [])


def test_one_that_is_not_well_is_given_up() -> None:
    door = Door(checks=True)
    door.admit()
    door.answer(JOINER)
    door.pass_(JOINER, False)
    assert door.gone == [(JOINER, Ground.UNHEALTHY)]
    assert len(door.admission) == 0


# -- several processes at one address


def test_the_later_process_at_an_address_takes_the_place_of_the_earlier() -> None:
    door = Door(checks=True)
    door.admit(token="old", sponsor=at(8))
    door.answer(JOINER)
    door.pass_(JOINER, True)
    door.admission.refused(JOINER.endpoint)
    door.admit(AGAIN, now=1.0, version=2)
    assert door.probed == [JOINER, AGAIN]
    door.answer(JOINER)
    assert door.checked == [JOINER]
    door.answer(AGAIN)
    door.pass_(AGAIN, True)
    assert door.reached[1:] == [(AGAIN, 2, None, None)]
    assert len(door.admission) == 1


def test_the_later_process_has_all_its_probes_and_its_own_reasons() -> None:
    door = Door()
    door.admit()
    for _ in range(ATTEMPTS - 1):
        door.admission.wake(door.admission.due)
    door.admission.refused(JOINER.endpoint)
    door.admit(AGAIN, now=door.admission.due - 0.1)
    assert AGAIN not in door.probed, "it is probed when the earlier would be"
    for _ in range(ATTEMPTS):
        door.admission.wake(door.admission.due)
    assert door.gone == []
    assert door.probed.count(AGAIN) == ATTEMPTS
    door.admission.wake(door.admission.due)
    assert door.gone == [(AGAIN, Ground.SILENT)]


# -- whether more may answer any moment


def test_more_are_expected_while_a_first_probe_may_be_answered() -> None:
    door = Door()
    assert not door.admission.expects_more
    door.admit()
    door.admit(OTHER)
    door.answer(JOINER)
    assert door.admission.expects_more
    door.answer(OTHER)
    assert not door.admission.expects_more


def test_after_the_second_probe_nobody_is_expected() -> None:
    door = Door()
    door.admit()
    door.admission.wake(RETRY)
    assert not door.admission.expects_more
    door.answer(JOINER)
    assert door.reached == [(JOINER, 1, None, None)], "it counts all the same"


def test_who_is_forgotten_is_not_expected() -> None:
    door = Door()
    door.admit()
    door.admission.take(inf, 0.0)
    assert not door.admission.expects_more


# -- a few at a time


@pytest.fixture
def one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Door:
    monkeypatch.setattr(admissions, "PROBED", 1)
    door = Door()
    door.admit(JOINER)
    door.admit(OTHER, now=0.1)
    door.admit(named(3), now=0.1)
    assert door.probed == [JOINER]
    return door


def test_the_next_is_probed_when_one_answers(one_at_a_time: Door) -> None:
    door = one_at_a_time
    door.answer(JOINER, 0.2)
    assert door.admission.due == 0.2
    assert door.admission.expects_more
    door.admission.wake(0.2)
    assert door.probed == [JOINER, OTHER]
    door.admission.wake(0.2 + RETRY)
    assert door.probed == [JOINER, OTHER, OTHER]


def test_the_next_is_probed_when_one_is_given_up(one_at_a_time: Door) -> None:
    door = one_at_a_time
    for _ in range(ATTEMPTS):
        last = door.admission.due
        door.admission.wake(last)
    assert [member for member, _ in door.gone] == [JOINER]
    assert OTHER in door.probed, "at once"
    assert door.admission.due == pytest.approx(last + RETRY)


def test_the_next_is_probed_when_one_is_not_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admissions, "PROBED", 1)
    door = Door(checks=True)
    door.admit(JOINER)
    door.answer(JOINER, 0.1)
    door.admit(OTHER, now=0.2)
    door.admit(named(3), now=0.2)
    assert door.probed == [JOINER, OTHER], "whoever has answered is not waited for"
    door.answer(OTHER, 0.3)
    door.pass_(OTHER, False, 0.4)
    assert door.admission.due == 0.3
    door.pass_(JOINER, False, 0.5)
    door.admission.wake(0.5)
    assert door.probed == [JOINER, OTHER, named(3)]


def test_the_next_is_probed_when_one_is_forgotten(one_at_a_time: Door) -> None:
    door = one_at_a_time
    door.admit(OTHER, now=0.2, version=2)
    door.admission.take(2, 0.3)
    assert door.admission.due == 0.3
    door.admission.wake(0.3)
    assert door.probed == [JOINER, OTHER]
    door.give_up()
    assert not door.admission.expects_more


def test_one_that_waits_and_answers_takes_nobody_s_turn(one_at_a_time: Door) -> None:
    door = one_at_a_time
    door.answer(OTHER, 0.2)
    assert [member for member, *_ in door.reached] == [OTHER]
    assert door.probed == [JOINER]
    door.answer(JOINER, 0.3)
    door.admission.wake(0.3)
    assert door.probed == [JOINER, named(3)]


def test_one_that_waits_and_asks_again_waits_on(one_at_a_time: Door) -> None:
    door = one_at_a_time
    door.admit(OTHER, now=0.2)
    door.admit(AGAIN, now=0.2)
    assert door.probed == [JOINER]
    assert len(door.admission) == 3


# -- a new epoch


def test_those_who_asked_for_an_earlier_epoch_are_forgotten_and_the_others_looked_at_again() -> None:
    door = Door()
    for number, version in ((3, 1), (1, 2), (2, 1), (4, 2)):
        door.admit(named(number), version=version)
    for number in (1, 2, 3):
        door.answer(named(number))
    door.reached.clear()
    assert [joiner.member for joiner in door.admission.take(2, 0.0)] == [named(3), named(2)]
    door.admission.look_again()
    assert [member for member, _, _, _ in door.reached] == [named(1)], "the other has not answered"
    assert len(door.admission) == 2


# -- room


def test_the_room_is_for_all_that_wait_and_comes_back() -> None:
    room = 2 * footprint.JOINER + footprint.METADATA + footprint.ENTRY + 8
    door = Door(room=room)
    big = Member(AGAIN.endpoint, AGAIN.node_id, {"four": "four"})
    for _ in range(3):
        assert door.admit(JOINER)
        assert door.admit(big), "it takes the earlier one's place"
        assert not door.admit(Member(big.endpoint, NodeId(b"b" * 16), {"four": "x" * (footprint.JOINER + 5)}))
        assert door.admit(OTHER)
        assert not door.admit(named(3))
        assert door.admit(big), "it is there already"
        door.admission.take(inf, 0.0)
    assert door.admit(Member(at(5), NodeId(b"c" * 16), {"four": "x" * (footprint.JOINER + 4)}))
    door.give_up()
    assert door.admit(Member(at(5), NodeId(b"c" * 16), {"four": "x" * (footprint.JOINER + 4)}))
