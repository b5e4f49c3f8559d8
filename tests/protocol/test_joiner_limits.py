"""Anyone may want to join: how many are believed in and observed, and that this is enough."""

from __future__ import annotations

from collections import Counter
from functools import partial
from heapq import heappop
from itertools import count
from math import inf
from typing import Any

import pytest

from rapid.detection.alert import Alert, Ground, Status
from rapid.detection.cut_detector import CutDetector, ring_bits
from rapid.overlay import footprint
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol import admission, epoch, reception, sponsorship
from rapid.protocol.admission import Admission, Joiner
from rapid.protocol.messages import ObserveRequest
from rapid.protocol.node import Node
from rapid.protocol.outputs import Send
from rapid.protocol.sponsorship import Guest, Sponsorship
from rapid.settings import Settings

from .harness import Net, agree, at, view
from .invented import CLUSTER, epoch_of, named, say, up


def test_no_more_joiners_are_believed_than_there_is_room_for() -> None:
    configuration = Configuration.of(CLUSTER, 1, [named(n) for n in range(4)], 10)
    detector = CutDetector(configuration, 9, 3, room=10 * footprint.JOINER)
    alerts = [up(configuration, named(n)) for n in range(100, 120)]
    for alert in alerts:
        if detector.problem(alert) is None:
            detector.add(alert)
    assert [detector.problem(alert) for alert in alerts] == [None] * 10 + ["too many joiners"] * 10
    known = alerts[0].subject
    rest = configuration.subjects(known.endpoint)
    for observer in dict.fromkeys(rest):
        alert = Alert(observer, known, Status.UP, ring_bits(rest, observer))
        assert detector.problem(alert) is None, "who is believed in may get in"
        detector.add(alert)
    assert detector.propose() == Cut.of((), [known])


def test_members_are_reported_however_many_joiners_there_are() -> None:
    configuration = Configuration.of(CLUSTER, 1, [named(n) for n in range(4)], 10)
    detector = CutDetector(configuration, 9, 3, room=0)
    subject = named(0)
    observers = configuration.observers(subject.endpoint)
    assert detector.problem(up(configuration, named(100))) == "too many joiners"
    alert = Alert(observers[0], subject, Status.DOWN, ring_bits(observers, observers[0]))
    assert detector.problem(alert) is None
    assert detector.add(alert) is not None


def test_what_a_joiner_says_of_itself_takes_room_once() -> None:
    configuration = Configuration.of(CLUSTER, 1, [named(n) for n in range(4)], 10)
    big = named(100, role="x" * 10_000)
    detector = CutDetector(configuration, 9, 3, room=footprint.of_joiner(big))
    observers = configuration.subjects(big.endpoint)
    told = []
    for ring, observer in enumerate(observers):
        copy = Member(big.endpoint, big.node_id, {"role": "x" * 10_000})
        told.append(detector.add(Alert(observer, copy, Status.UP, 1 << ring)))
    assert len({id(alert.subject) for alert in told if alert is not None}) == 1
    assert detector.problem(up(configuration, named(101, role="x" * 10_000))) == "too many joiners"


def test_an_alert_about_a_member_does_not_describe_it() -> None:
    configuration = Configuration.of(CLUSTER, 1, [named(n) for n in range(4)], 10)
    detector = CutDetector(configuration, 9, 3)
    observers = configuration.observers(named(0).endpoint)
    subject = Member(named(0).endpoint, named(0).node_id, {"role": "x" * 10_000})
    told = detector.add(Alert(observers[0], subject, Status.DOWN, 1))
    assert told is not None
    assert not told.subject.metadata


def test_ten_thousand_joiners_at_once_are_believed() -> None:
    configuration = Configuration.of(CLUSTER, 1, [named(0)], 10)
    detector = CutDetector(configuration, 9, 3)
    joiners = [named(n, zone=f"zone-{n % 5}") for n in range(1, 10_001)]
    for joiner in joiners:
        alert = Alert(named(0).endpoint, joiner, Status.UP, 1023)
        assert detector.problem(alert) is None
        assert detector.add(alert) is not None
    cut = detector.propose()
    assert cut is not None
    assert len(cut.joined) == 10_000


class Door:
    """An admission, and what it has done."""

    def __init__(self, room: int = admission.ROOM) -> None:
        self.probed: list[Member] = []
        self.reached: list[Member] = []
        self.gone: list[Member] = []
        self.admission = Admission(
            Settings.lan(), self.probed.append, self._reached, self._unreachable, room=room
        )

    def _reached(self, joiner: Joiner) -> None:
        self.reached.append(joiner.member)

    def _unreachable(self, joiner: Joiner, ground: Ground) -> None:
        self.gone.append(joiner.member)

    def knock(self, member: Member, now: float) -> bool:
        admitted = self.admission.admit(member, 1, None, now)
        self.admission.wake(now)
        return admitted


def test_no_more_joiners_are_observed_than_there_is_room_for() -> None:
    door = Door(room=3 * footprint.JOINER)
    joiners = [named(n) for n in range(5)]
    assert [door.knock(joiner, 0.0) for joiner in joiners] == [True, True, True, False, False]
    assert door.probed == joiners[:3]
    assert door.knock(joiners[0], 0.0), "who is observed may ask again"
    for _ in range(admission.ATTEMPTS):
        door.admission.wake(door.admission.due)
    assert door.gone == joiners[:3]
    assert door.knock(joiners[4], 9.0), "those who do not answer make room"


def test_a_new_epoch_has_all_the_room() -> None:
    door = Door(room=2 * footprint.JOINER)
    assert [door.knock(named(n), 0.0) for n in range(3)] == [True, True, False]
    door.admission.take(inf, 0.0)
    assert [door.knock(named(n), 0.0) for n in range(3)] == [True, True, False]


def test_many_lives_of_one_address_are_few_probes() -> None:
    door = Door()
    lives = [Member(at(9), NodeId(number.to_bytes(16, "big"))) for number in range(1000)]
    for life in lives:
        assert door.knock(life, 0.0)
    assert (len(door.admission), door.probed) == (1, lives[:1])
    assert len(door.admission._heap) == 1
    door.admission.wake(door.admission.due)
    assert door.probed == [lives[0], lives[-1]]
    door.admission.answered(at(9), lives[0].node_id, 0.0)
    assert not door.reached
    door.admission.answered(at(9), lives[-1].node_id, 0.0)
    assert door.reached == [lives[-1]]


def test_a_joiner_grows_only_into_the_room_there_is() -> None:
    door = Door(room=2 * footprint.JOINER)
    assert door.knock(named(1), 0.0)
    grown = Member(named(1).endpoint, NodeId(b"g" * 16), {"role": "x" * 4096})
    assert not door.knock(grown, 0.0)
    assert door.knock(Member(named(1).endpoint, NodeId(b"g" * 16), {"role": "x"}), 0.0)


def test_ten_thousand_joiners_are_observed_in_time_that_grows_with_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pops = count()
    monkeypatch.setattr(admission, "heappop", counted(heappop, pops))
    door = Door()
    joiners = [named(n, zone=f"zone-{n % 5}") for n in range(10_000)]
    for number, joiner in enumerate(joiners):
        assert door.knock(joiner, number * 1e-6)
    for joiner in joiners:
        door.admission.answered(joiner.endpoint, joiner.node_id, 0.1)
    assert door.reached == joiners
    assert next(pops) <= 10_000


def counted(function: Any, counter: count[int]) -> Any:
    def call(*arguments: Any) -> Any:
        next(counter)
        return function(*arguments)

    return call


def test_a_member_without_room_says_nothing_to_a_joiner() -> None:
    net = Net()
    node = net.form(4)[0]
    node._reception._admission._room = 0
    observed = next(n for n in count(100) if at(0) in view(node).subjects(named(n).endpoint))
    joiner = named(observed)
    request = ObserveRequest(joiner.endpoint, joiner, view(node).cluster_id, view(node).version)
    node.receive(request, net.now, "token")
    assert node.stats["dropped:joiner"] == 1
    assert node.drain() == []


def test_a_member_reports_a_limited_number_of_joiners_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "OWN_JOINERS", 5)
    net = Net()
    node = net.form(4)[0]
    mine = epoch_of(node)
    for number in range(8):
        mine.alert(named(number), Status.UP, 1, net.now)
    assert node.stats["dropped:own alerts"] == 3
    mine.alert(named(0), Status.UP, 2, net.now)
    mine.alert(Member(at(1), net.nodes[at(1)].node_id), Status.DOWN, 1, net.now)
    assert node.stats["dropped:own alerts"] == 3
    assert len(mine.batch) == 7


def test_a_flood_of_unstable_joiners_is_over_after_a_while() -> None:
    """Invented joiners, each reported on enough rings to block: they expire, and the cluster goes on."""
    net = Net()
    nodes = net.form(6)
    mine = view(nodes[0])
    alerts = []
    for number in range(100, 400):
        joiner = named(number)
        observers = mine.subjects(joiner.endpoint)
        rings: dict[Endpoint, int] = {}
        for ring, observer in list(enumerate(observers))[:4]:
            rings[observer] = rings.get(observer, 0) | 1 << ring
        alerts += [Alert(observer, joiner, Status.UP, bits) for observer, bits in rings.items()]
    say(net, nodes[0], at(1), alerts=tuple(alerts))
    net.settle(nodes[0])
    net.crash(nodes[5])
    assert net.until(partial(agree, nodes[:5], 5), 30.0)
    assert all(at(5) not in view(node) for node in nodes[:5])


def test_few_joiners_are_probed_at_a_time_and_the_others_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PROBED", 3)
    door = Door()
    joiners = [named(n) for n in range(8)]
    for joiner in joiners:
        assert door.knock(joiner, 0.0)
    assert door.probed == joiners[:3]
    assert door.admission.expects_more
    door.admission.answered(joiners[1].endpoint, joiners[1].node_id, 0.1)
    door.admission.wake(0.1)
    assert door.probed == joiners[:4]
    while door.admission.due < inf:
        door.admission.wake(door.admission.due)
    assert set(door.probed) == set(joiners)
    assert len(door.gone) == 7
    assert not door.admission.expects_more
    assert len(door.admission) == 1


def test_who_answers_before_its_turn_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PROBED", 1)
    door = Door()
    for number in range(2):
        door.knock(named(number), 0.0)
    door.admission.answered(named(1).endpoint, named(1).node_id, 0.1)
    assert door.reached == [named(1)]
    door.admission.answered(named(0).endpoint, named(0).node_id, 0.1)
    while door.admission.due < inf:
        door.admission.wake(door.admission.due)
    assert door.probed == [named(0)]


def test_a_new_epoch_gives_their_turn_to_those_who_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PROBED", 1)
    door = Door()
    door.knock(named(0), 0.0)
    door.admission.admit(named(1), 2, None, 0.0)
    door.admission.take(2, 0.5)
    door.admission.wake(0.5)
    assert door.probed == [named(0), named(1)]


def dials(net: Net, node: Node) -> Counter[Endpoint]:
    """Whom the node sends anything that is no answer, until it gives up."""
    sent: Counter[Endpoint] = Counter()
    ends = net.now + 10.0
    while True:
        sent.update(output.to for output in node.drain() if isinstance(output, Send))
        due = node.deadline()
        if due is None or due > ends:
            return sent
        node.wake(due)


@pytest.mark.parametrize("version", [0, 1, 1 << 40, (1 << 62) - 1])
@pytest.mark.parametrize("relay", [False, True])
def test_no_stranger_has_a_member_dial_anybody(version: int, relay: bool) -> None:
    """Whatever version it claims: only a member may ask for another process than itself."""
    net = Net()
    node = net.form(4)[0]
    mine = view(node)
    for number in range(1000, 3000):
        request = ObserveRequest(at(77), named(number), mine.cluster_id, mine.version + version, relay)
        node.receive(request, net.now, "token")
    assert set(dials(net, node)) <= set(mine.endpoints)
    assert len(node._reception._admission) == 0
    assert len(node._reception._kept) <= reception.KEPT


def test_who_asks_for_itself_at_a_version_out_of_reach_is_not_probed() -> None:
    net = Net()
    node = net.form(4)[0]
    mine = view(node)
    for number in range(1000, 1100):
        joiner = named(number)
        version = mine.version + reception.AHEAD + 1
        request = ObserveRequest(joiner.endpoint, joiner, mine.cluster_id, version)
        node.receive(request, net.now, "token")
    assert node.stats["rejected:observe request far ahead"] == 100
    assert set(dials(net, node)) <= set(mine.endpoints)


def test_a_crowd_that_does_not_answer_is_probed_a_few_at_a_time() -> None:
    net = Net()
    node = net.form(1)[0]
    mine = view(node)
    for number in range(1000, 3000):
        request = ObserveRequest(named(number).endpoint, named(number), mine.cluster_id, mine.version)
        node.receive(request, net.now, "token")
    probed = Counter(output.to for output in node.drain() if isinstance(output, Send))
    assert len(probed) == admission.PROBED


def test_a_sponsor_that_joined_meanwhile_is_heard_once_it_is_known() -> None:
    """It is a member by the version that it names, which is not here yet."""
    net = Net()
    nodes = net.form(4)
    node, mine = nodes[0], view(nodes[0])
    joiner = next(named(n) for n in count(100) if at(0) in mine.subjects(named(n).endpoint))
    net.keep = lambda source, to, message: to != at(0)
    sponsor = net.add(9, 1)
    assert net.until(lambda: agree([*nodes[1:], sponsor], 5), 30.0) or at(9) in view(nodes[1])
    request = ObserveRequest(at(9), joiner, mine.cluster_id, view(nodes[1]).version)
    node.receive(request, net.now, "token")
    assert len(node._reception._kept) == 1
    net.keep = lambda source, to, message: True
    assert net.until(lambda: view(node).version == view(nodes[1]).version)
    assert not node._reception._kept
    assert node.stats["rejected:observe request for another process"] == 0


def test_a_member_passes_on_a_limited_number_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sponsorship, "RELAYS", 5)
    sponsors = Sponsorship()
    guests = [Guest(named(n), 1, None) for n in range(8)]
    assert [sponsors.take_in(guest, 0.0) for guest in guests] == [True] * 5 + [False] * 3
    assert [sponsors.take_in(guest, 1.0) for guest in guests] == [True] * 5 + [False] * 3
