"""The way in: seeds, observers, refusals (paper section 4.1)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from rapid.overlay.member import ClusterId, Endpoint, NodeId
from rapid.protocol import joining as joinings
from rapid.protocol.joining import MEMORY, Trusted
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Admitted,
    ConfigurationRequest,
    JoinReply,
    JoinRequest,
    Message,
    ObserveRequest,
    Probe,
    Restarted,
    Snapshot,
    Standing,
)
from rapid.protocol.outputs import Event, JoinFailed
from rapid.settings import Settings

from .bench import HERE, LAN, RTT, Joiner, saying
from .harness import agree, at, view
from .stage import Stage

ELSEWHERE = ClusterId(b"e" * 16)


# -- whom it asks, and when


def test_silent_seeds_are_asked_a_quarter_of_an_attempt_apart() -> None:
    joiner = Joiner(at(1), at(2), at(3))
    joiner.run(0.9)
    assert joiner.asked == [(0.0, at(1)), (0.25, at(2)), (0.5, at(3))]


def test_a_silent_first_seed_costs_a_quarter_of_an_attempt() -> None:
    joiner = Joiner(at(1), at(2))
    joiner.seeds[at(2)] = saying(Standing.WELCOME, at(2))
    joiner.run(5.0)
    when = LAN.join_attempt / 4 + RTT
    assert joiner.requests(ObserveRequest)[0] == (when, at(2))


def test_a_late_answer_still_counts() -> None:
    joiner = Joiner(at(1), at(2))
    late = saying(Standing.WELCOME, at(1))(JoinRequest(at(0), joiner.member.node_id, 1, 10, 9, 3, attempt=1))
    joiner.run(0.9)
    joiner.joining.replied(late, joiner.now)
    joiner.run(0.0)
    assert len(joiner.requests(ObserveRequest)) == 1


def test_after_a_seed_that_refuses_connections_the_next_is_asked_at_once() -> None:
    joiner = Joiner(at(1), at(2))
    joiner.refusing.add(at(1))
    joiner.run(0.1)
    assert joiner.asked == [(0.0, at(1)), (RTT, at(2))]


def test_the_pauses_between_rounds_grow_to_an_attempt_with_jitter() -> None:
    joiner = Joiner(at(1))
    joiner.seeds[at(1)] = saying(Standing.NOT_A_MEMBER, at(1))
    joiner.run(29.0)
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(joiner.asked)]
    assert pauses[0] < 1.5 * LAN.join_retry + 2 * RTT
    assert all(LAN.join_attempt / 2 <= pause <= 1.5 * LAN.join_attempt + 2 * RTT for pause in pauses[6:])
    assert len(set(pauses)) == len(pauses)
    assert joiner.failed is None


def test_at_the_deadline_it_says_what_the_trouble_was() -> None:
    joiner = Joiner(at(1))
    joiner.run(31.0)
    assert joiner.failed == f"seed {at(1)} does not answer"
    assert joiner.asked[-1][0] < LAN.join_timeout


def test_seeds_are_looked_up_anew_between_rounds() -> None:
    joiner = Joiner(at(1))
    joiner.refusing.add(at(1))
    joiner.looked_up = (at(2),)
    joiner.run(0.5)
    assert {seed for _, seed in joiner.asked} == {at(1), at(2)}
    assert joiner.asked[-1][1] == at(2)


# -- refusals


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("k is 9", Settings.lan(k=9)),
        ("h is 8", Settings.lan(h=8)),
        ("l is 4", Settings.lan(l=4)),
    ],
)
def test_other_watermarks_are_refused_at_once_by_name(field: str, settings: Settings) -> None:
    assert f"its {field}, this cluster's is" in refusal(settings)


def test_another_protocol_is_refused_at_once() -> None:
    assert "its protocol version is 2, this cluster's is 1" in refusal(LAN, protocol=2)


def test_another_cluster_is_refused_at_once() -> None:
    assert f"its cluster is {ELSEWHERE}, this cluster's is" in refusal(LAN, cluster_id=ELSEWHERE)


def refusal(settings: Settings, *, protocol: int = PROTOCOL_VERSION, **options: object) -> str:
    """What such a joiner is told by two seeds."""
    stage = Stage()
    stage.form(2)
    stage.settings, stage.options, began = settings, options, stage.now
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joinings, "PROTOCOL_VERSION", protocol)
        joiner = stage.add(9, 0, 1)
        assert stage.until(lambda: stage.told(joiner, JoinFailed))
    assert stage.now - began < 0.1
    return reason(stage.events[at(9)])


def reason(events: list[Event]) -> str:
    return next(event.reason for event in events if isinstance(event, JoinFailed))


def test_one_seed_that_refuses_is_no_verdict() -> None:
    joiner = Joiner(at(1), at(2))
    joiner.seeds[at(1)] = saying(Standing.INCOMPATIBLE, at(1), detail="its h is 8")
    joiner.seeds[at(2)] = saying(Standing.NOT_A_MEMBER, at(2))
    joiner.run(5.0)
    assert joiner.failed is None
    joiner.seeds[at(2)] = saying(Standing.INCOMPATIBLE, at(2), detail="its h is 8")
    joiner.run(2.0)
    assert joiner.failed == f"{at(2)} refused: its h is 8"


def test_who_cannot_be_reached_is_told_by_whom() -> None:
    stage = Stage(settings=Settings.lan(join_timeout=8.0))
    stage.form(4)
    outside, blind = at(9), {at(1), at(3)}

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        return None if to == outside and source in blind and isinstance(message, Probe) else message

    stage.script = script
    joiner = stage.add(9, 0)
    assert stage.until(lambda: stage.told(joiner, JoinFailed), 10.0)
    told = reason(stage.events[outside])
    assert f"{outside} was turned away by its observers" in told
    assert told.endswith(" (its probes went unanswered)")
    named = {endpoint for endpoint in map(at, range(10)) if str(endpoint) in told.partition("observers")[2]}
    assert named == blind


# -- the sponsor, and the observers


def test_who_welcomes_passes_the_request_on_and_else_each_observer_is_asked() -> None:
    joiner = Joiner(at(1))
    joiner.seeds[at(1)] = saying(Standing.WELCOME, at(1))
    joiner.run(10.0)
    requests = [(to, m.relay) for _, to, m in joiner.sent if isinstance(m, ObserveRequest)]
    assert requests[:3] == [(at(1), True), (at(20), False), (at(21), False)]
    assert not any(relay for _, relay in requests[1:])


def test_another_way_is_looked_for_at_once_when_the_sponsor_is_gone() -> None:
    joiner = Joiner(at(1), at(2))
    joiner.seeds[at(1)] = saying(Standing.WELCOME, at(1))
    joiner.run(0.1)
    assert joiner.asked == [(0.0, at(1))]
    joiner.joining.unreachable(at(1), joiner.now)
    joiner.run(0.5)
    assert at(2) in [seed for _, seed in joiner.asked]


def test_a_joiner_speaks_to_its_sponsor_alone() -> None:
    """A connection to each observer besides the one that each makes to it would be twice the cost."""
    stage = Stage()
    nodes = stage.form(12)
    outside = at(20)
    observers = set(view(nodes[0]).subjects(outside))
    spoken_to: set[Endpoint] = set()
    passed_on: set[Endpoint] = set()

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message:
        if source == outside and isinstance(message, JoinRequest | ObserveRequest):
            spoken_to.add(to)
        elif isinstance(message, ObserveRequest):
            passed_on.add(to)
        return message

    stage.script = script
    joiner = stage.add(20, 0)
    assert stage.until(lambda: agree([*nodes, joiner], 13), 2.0)
    assert spoken_to == {at(0)}
    assert passed_on == observers - {at(0)}


def test_lost_requests_to_observers_are_made_again() -> None:
    joiner = Joiner(at(1))
    joiner.seeds[at(1)] = saying(Standing.WELCOME, at(1))
    joiner.run(10.0)
    times = sorted({when for when, _ in joiner.requests(ObserveRequest)})
    assert len(times) > 2
    assert all(later - earlier >= 3 * LAN.join_attempt for earlier, later in pairwise(times))
    assert joiner.member.node_id == NodeId(b"0" * 16), "no version was missed"


def test_a_version_that_does_not_follow_takes_a_new_node_id() -> None:
    joiner = Joiner(at(1))
    for version, renewed in ((7, 0), (8, 0), (7, 0), (9, 1), (10, 1), (12, 2), (4, 3)):
        joiner.seeds[at(1)] = saying(Standing.WELCOME, at(1), version)
        joiner.run(4.5)
        assert joiner.member.node_id[15] - ord("0") == renewed
        asked = [message for _, _, message in joiner.sent if isinstance(message, ObserveRequest)]
        assert (asked[-1].version, asked[-1].member) == (version, joiner.member)


def test_an_observer_that_is_never_asked_looks_after_the_joiner_when_the_others_do() -> None:
    """Else it would stay between the watermarks, and block every change for a while."""
    stage = Stage()
    nodes = stage.form(4)
    observers = view(nodes[0]).subjects(at(9))
    deaf = next(endpoint for endpoint in dict.fromkeys(observers) if 2 <= observers.count(endpoint) <= 7)

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        return None if to == deaf and isinstance(message, ObserveRequest) else message

    stage.script = script
    joiner = stage.add(9, 0)
    assert stage.until(lambda: agree([*nodes, joiner], 5), LAN.reinforcement_timeout + 2.0), (
        "it is not let in"
    )


def test_an_earlier_process_at_the_address_has_its_observers_told() -> None:
    joiner = Joiner(at(1), at(2))
    joiner.seeds[at(1)] = saying(Standing.ADDRESS_HELD, at(1))
    joiner.run(0.05)
    assert [to for _, to in joiner.requests(Restarted)] == [at(30), at(31)]
    assert [to for _, to in joiner.requests(ObserveRequest)] == [at(1)]


@pytest.mark.parametrize("lost", [Snapshot, Admitted])
def test_one_of_the_two_welcomes_is_enough(lost: type[Message]) -> None:
    stage = Stage()
    nodes = stage.form(4)

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        whole = isinstance(message, lost) and not (lost is Snapshot and fetched)
        return None if to == at(9) and whole else message

    def watch(source: Endpoint, to: Endpoint, message: Message) -> bool:
        fetched.extend([to] if source == at(9) and isinstance(message, ConfigurationRequest) else [])
        return True

    fetched: list[Endpoint] = []
    stage.script, stage.keep = script, watch
    joiner = stage.add(9, 0)
    assert stage.until(lambda: agree([*nodes, joiner], 5), LAN.join_attempt)
    assert bool(fetched) is (lost is Snapshot)


# -- other ways in


@pytest.mark.parametrize("trusted", [Trusted(frozenset({HERE})), Trusted(named=True)])
def test_a_member_that_probes_is_asked_at_once_when_its_cluster_is_trusted(trusted: Trusted) -> None:
    joiner = Joiner(at(1), trusted=trusted)
    joiner.run(0.1)
    joiner.joining.probed(at(5), HERE, 3, joiner.now)
    joiner.run(0.0)
    assert joiner.asked == [(0.0, at(1)), (0.1, at(5))]


def test_a_member_of_a_cluster_that_a_seed_has_told_of_is_asked() -> None:
    joiner = Joiner(at(1), at(2))
    joiner.seeds[at(1)] = saying(Standing.WELCOME, at(1))
    joiner.run(4.0)
    asked = len(joiner.asked)
    joiner.joining.probed(at(5), HERE, 3, joiner.now)
    joiner.run(8.0)
    assert at(5) in [to for _, to in joiner.asked[asked:]]


def test_a_member_of_a_cluster_that_nobody_has_told_of_is_not_asked() -> None:
    """It may look for an earlier process of a service that has nothing to do with this one."""
    joiner = Joiner(at(1))
    joiner.joining.probed(at(5), HERE, 3, joiner.now)
    joiner.run(LAN.join_timeout + 1.0)
    assert {to for _, to in joiner.asked} == {at(1)}
    assert joiner.failed is not None
    assert joiner.failed.startswith(f"seed {at(1)} does not answer; {at(5)} probes {at(0)}, but no seed")


@pytest.mark.parametrize(("cluster_id", "size"), [(None, 0), (HERE, 0)])
def test_who_is_no_member_itself_is_no_way_in(cluster_id: ClusterId | None, size: int) -> None:
    joiner = Joiner(at(1))
    joiner.joining.probed(at(5), cluster_id, size, joiner.now)
    joiner.run(0.9)
    assert joiner.asked == [(0.0, at(1))]


@pytest.mark.parametrize("name", ["cache", ""])
def test_a_restart_without_a_seed_that_lives_comes_back_by_its_observers(name: str) -> None:
    """Where the name tells that they are its own; without it goes on asking its seeds."""
    stage = Stage(cluster_name=name)
    nodes = stage.form(5)
    stage.run(2.0)
    stage.crash(nodes[3])
    again = stage.add(3, 99)
    assert stage.until(lambda: agree([*nodes[:3], nodes[4], again], 5), 20.0) is bool(name)
    if not name:
        assert again.configuration is None
        stage.add(99, 0)
        assert stage.until(lambda: again.configuration is not None)


def test_a_seed_that_is_this_process_itself_is_not_asked_again() -> None:
    joiner = Joiner(at(1), at(2))
    own = JoinReply(at(0), Standing.NOT_A_MEMBER, None, 0, (), "", joiner.member.node_id, 1)
    joiner.seeds[at(1)] = lambda request: own
    joiner.run(5.0)
    assert [seed for _, seed in joiner.asked].count(at(1)) == 1
    assert [seed for _, seed in joiner.asked].count(at(2)) > 2


def test_the_first_seed_founds_though_it_is_known_by_another_name() -> None:
    stage = Stage()
    stage.settings = Settings.lan(join_timeout=5.0)
    node = stage.add(0, 50)
    stage.nodes[at(50)] = node
    assert stage.until(lambda: node.configuration is not None, 2.0)
    assert view(node).endpoints == (at(0),)


# -- who founds


def test_alone_it_founds_at_once() -> None:
    joiner = Joiner(at(0), founds=True)
    joiner.run(0.0)
    assert joiner.founded == 0.0


def test_with_other_seeds_it_looks_for_a_cluster_first() -> None:
    joiner = Joiner(at(0), at(1), founds=True)
    joiner.refusing.add(at(1))
    joiner.run(LAN.found_delay - 0.001)
    assert joiner.founded is None
    joiner.run(2.0)
    assert joiner.founded is not None
    assert joiner.founded < LAN.found_delay + 1.0


@pytest.mark.parametrize(("seeds", "founds"), [((1, 0), True), ((0, 1), False)])
def test_others_do_not_found(seeds: tuple[int, int], founds: bool) -> None:
    joiner = Joiner(*map(at, seeds), founds=founds)
    joiner.refusing.add(at(1))
    joiner.run(20.0)
    assert joiner.founded is None


def test_while_others_answer_from_a_cluster_it_founds_none() -> None:
    joiner = Joiner(at(0), at(1), founds=True)
    joiner.seeds[at(1)] = saying(Standing.ADDRESS_HELD, at(1))
    joiner.run(15.0)
    joiner.seeds.clear()
    joiner.refusing.add(at(1))
    joiner.run((MEMORY - 1) * LAN.join_attempt)
    assert joiner.founded is None
    joiner.run(4.0)
    assert joiner.founded is not None


def test_while_others_answered_from_a_cluster_a_look_up_of_itself_alone_founds_none() -> None:
    joiner = Joiner(at(0), at(1), founds=True)
    joiner.seeds[at(1)] = saying(Standing.ADDRESS_HELD, at(1))
    joiner.run(2.0)
    joiner.looked_up = (at(0),)
    joiner.run((MEMORY - 1) * LAN.join_attempt)
    assert joiner.founded is None
