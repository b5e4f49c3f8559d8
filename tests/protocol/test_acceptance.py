"""Which messages are taken, from whom and when: nothing is installed that was not asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.acceptance import FROM_ANYONE, PAST_LIMIT, RULES, VERSIONS_AHEAD, Acquaintances
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Admitted,
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    Header,
    JoinReply,
    JoinRequest,
    Leaving,
    Message,
    ObserveRequest,
    Probe,
    ProbeAck,
    Refounded,
    Restarted,
    Snapshot,
    Standing,
    Unreached,
    header_of,
)
from rapid.protocol.node import Node
from rapid.protocol.outputs import Send

from .harness import Net, agree, at, view
from .invented import epoch_of, named
from .stage import reports

EVIL, FRIEND = at(66), at(67)
NEW = ClusterId(b"z" * 16)
ME = NodeId(b"e" * 16)


def what_it_may_say(mine: Configuration, sender: Endpoint) -> dict[type[object], Message]:
    """One of each kind that could change a view, or be kept: all well made, of this cluster, and ahead."""
    me = mine.members[0]
    stranger = Member(EVIL, ME)
    cut = Cut.of((), [stranger])
    newer = Configuration.of(mine.cluster_id, mine.version + 1, [*mine.members, stranger], mine.k)
    replaced = Configuration.of(NEW, mine.version + 1, [me], mine.k)
    return {
        Decided: Decided(sender, mine.cluster_id, mine.version, cut.digest, cut),
        Cuts: Cuts(sender, mine.cluster_id, mine.version, (cut,)),
        Snapshot: Snapshot(sender, newer),
        Refounded: Refounded(sender, mine.cluster_id, mine.version, replaced),
        Facts: Facts(sender, mine.cluster_id, mine.version + 1, proposals=(cut,)),
    }


@pytest.mark.parametrize("kind", [Decided, Cuts, Snapshot, Refounded, Facts])
@pytest.mark.parametrize("claims_to_be_ahead", [False, True])
def test_who_is_no_member_has_nothing_installed(kind: type[Message], claims_to_be_ahead: bool) -> None:
    net = Net()
    nodes = net.form(4)
    node, mine = nodes[0], view(nodes[0])
    position = (mine.cluster_id, mine.version + 1, 0, 5)
    if claims_to_be_ahead:
        node.receive(Probe(EVIL, node.node_id, 1, *position), net.now, EVIL)
        node.receive(ProbeAck(EVIL, ME, 1, *position), net.now, EVIL)
        node.drain()
    message = what_it_may_say(mine, EVIL)[kind]
    assert node.refusal(header_of(message)) is not None
    node.receive(message, net.now)
    assert sum(count for key, count in node.stats.items() if key.startswith("rejected:")) == 1
    assert view(node) is mine
    assert not node._catch_up.take_kept()
    net.settle(node)
    net.run(3.0)
    assert agree(nodes, 4)
    assert view(node).cluster_id == mine.cluster_id


@pytest.mark.parametrize("kind", [Cuts, Snapshot])
def test_an_answer_of_a_member_that_was_not_asked_is_none(kind: type[Message]) -> None:
    net = Net()
    node = net.form(4)[0]
    mine = view(node)
    message = what_it_may_say(mine, at(1))[kind]
    node.receive(message, net.now)
    assert node.stats[f"rejected:{kind.__name__.lower()} nobody asked for"] == 1
    assert view(node) is mine
    node._catch_up.ask(at(1), mine, node.node_id, net.now)
    node.receive(message, net.now + 1.0)
    assert view(node).version == mine.version + 1


@pytest.mark.parametrize("version", [1 << 61, (1 << 62) - 1, (1 << 63) - 1])
@pytest.mark.parametrize("kind", [Decided, Facts, Cuts, Snapshot, Refounded])
def test_no_version_is_taken_that_is_out_of_reach(kind: type[Message], version: int) -> None:
    """Even of a member that was asked: after it, hardly any version would be left."""
    net = Net()
    nodes = net.form(4)
    node, mine = nodes[0], view(nodes[0])
    node._catch_up.ask(at(1), mine, node.node_id, net.now)
    far = Configuration.of(mine.cluster_id, version, mine.members, mine.k)
    messages: dict[type[object], Message] = {
        Decided: Decided(at(1), mine.cluster_id, version, CutDigest(b"d" * 16), None),
        Facts: Facts(at(1), mine.cluster_id, version),
        Cuts: Cuts(at(1), mine.cluster_id, version, ()),
        Snapshot: Snapshot(at(1), far),
        Refounded: Refounded(
            at(1), mine.cluster_id, mine.version, Configuration.of(NEW, version, mine.members, mine.k)
        ),
    }
    node.receive(messages[kind], net.now)
    assert node.stats["rejected:implausible version"] == 1
    assert view(node) is mine
    net.settle(node)
    net.crash(nodes[3])
    assert net.until(lambda: agree(nodes[:3], 3)), "views go on"


def test_nobody_is_asked_for_versions_out_of_reach() -> None:
    net = Net()
    node = net.form(4)[0]
    mine = view(node)
    node.drain()
    for version in (mine.version + VERSIONS_AHEAD + 1, 1 << 62):
        node.receive(Probe(at(1), node.node_id, 1, mine.cluster_id, version, 0, 4), net.now)
    assert node.stats["catch-up requests"] == 0
    node.receive(Probe(at(1), node.node_id, 1, mine.cluster_id, mine.version + VERSIONS_AHEAD, 0, 4), net.now)
    assert node.stats["catch-up requests"] == 1


def test_a_member_that_joined_meanwhile_is_believed_once_others_have_reported_it() -> None:
    net = Net()
    nodes = net.form(5)
    node, mine = nodes[0], view(nodes[0])
    joiner = named(7)
    facts = Facts(joiner.endpoint, mine.cluster_id, mine.version + 1)
    node.receive(facts, net.now)
    assert node.stats["rejected:facts of a non-member"] == 1
    node.receive(reports(mine, joiner, at(0)), net.now)
    assert epoch_of(node).detector.expects(joiner.endpoint)
    node.receive(facts, net.now)
    assert node.stats["rejected:facts of a non-member"] == 1
    assert node._catch_up.take_kept() == [facts]


# -- a joiner


def joiner_of(net: Net) -> tuple[Node, Node]:
    """A cluster of one, and one that asks it."""
    first = net.add(0)
    net.keep = lambda source, to, message: not isinstance(message, Snapshot | Admitted)
    joiner = net.add(1, 0)
    assert net.until(lambda: at(1) in view(first))
    joiner.drain()
    return first, joiner


def test_a_joiner_takes_a_snapshot_of_whom_it_asked_only() -> None:
    net = Net()
    first, joiner = joiner_of(net)
    joiner.receive(Snapshot(EVIL, view(first)), net.now)
    joiner.receive(Admitted(EVIL, view(first).cluster_id, 9), net.now)
    assert joiner.stats["rejected:snapshot nobody asked for"] == 1
    assert joiner.stats["rejected:admission nobody asked for"] == 1
    assert joiner.configuration is None
    joiner.receive(Snapshot(at(0), view(first)), net.now)
    assert joiner.configuration is not None


def test_a_joiner_takes_no_snapshot_that_is_out_of_reach() -> None:
    net = Net()
    first, joiner = joiner_of(net)
    far = Configuration.of(view(first).cluster_id, (1 << 62) - 1, view(first).members, 10)
    joiner.receive(Snapshot(at(0), far), net.now)
    assert joiner.stats["rejected:implausible version"] == 1
    assert joiner.configuration is None


def test_a_welcome_nobody_asked_for_leads_nowhere() -> None:
    net = Net()
    joiner = net.add(1, 9)  # nobody is there
    attempt = joiner._joining._attempt if joiner._joining is not None else 0
    welcome = JoinReply(EVIL, Standing.WELCOME, NEW, 3, (EVIL,) * 10, "", ME, attempt + 50)
    joiner.receive(welcome, net.now)
    assert joiner.stats["rejected:reply nobody asked for"] == 1
    sent = [output.message for output in joiner.drain() if isinstance(output, Send)]
    assert not any(isinstance(message, ObserveRequest) for message in sent)


def test_whom_a_seed_names_may_answer() -> None:
    net = Net()
    joiner = net.add(1, 9)
    assert joiner._joining is not None
    welcome = JoinReply(at(9), Standing.WELCOME, NEW, 3, (FRIEND,) * 10, "", ME, joiner._joining._attempt)
    joiner.receive(welcome, net.now)
    snapshot = Snapshot(FRIEND, Configuration.of(NEW, 4, [joiner.member, Member(FRIEND, ME)], 10))
    joiner.receive(snapshot, net.now)
    assert view(joiner).size == 2


# -- the table


def test_every_kind_of_message_has_a_rule() -> None:
    assert set(RULES) == set(get_args(Message))
    assert FROM_ANYONE.isdisjoint({Facts, Decided, Cuts, Snapshot, Refounded}), "they may be large"


def test_a_header_says_all_that_the_rules_ask_for() -> None:
    net = Net()
    node = net.form(2)[0]
    mine = view(node)
    where = (mine.cluster_id, mine.version)
    examples: list[tuple[Message, Header]] = [
        (Snapshot(at(1), mine), Header(Snapshot, at(1), *where, 10)),
        (Refounded(at(1), NEW, 7, mine), Header(Refounded, at(1), NEW, 7, 10)),
        (Facts(at(1), *where), Header(Facts, at(1), *where)),
        (ConfigurationRequest(at(1), NEW, None, ME), Header(ConfigurationRequest, at(1), NEW, 0)),
        (ConfigurationRequest(at(1), NEW, 5, ME), Header(ConfigurationRequest, at(1), NEW, 5)),
        (
            JoinRequest(at(1), ME, PROTOCOL_VERSION, 10, 9, 3, NEW),
            Header(JoinRequest, at(1), NEW, 0, 10),
        ),
        (Restarted(at(1), ME), Header(Restarted, at(1))),
        (Unreached(at(1), at(2), ME), Header(Unreached, at(1))),
        (Leaving(at(1), ME, *where), Header(Leaving, at(1), *where)),
    ]
    for message, header in examples:
        assert header_of(message) == header
        node.refusal(header)


@pytest.mark.parametrize("kind", RULES)
def test_a_refusal_changes_nothing(kind: type[Message]) -> None:
    net = Net()
    joiner = net.add(1, 9)
    member = net.add(0)
    states: list[Callable[[], object]] = [lambda: joiner.configuration, lambda: member.configuration]
    before = [state() for state in states], joiner.deadline(), member.deadline(), member.drain()
    for node in (joiner, member):
        for header in (Header(kind, EVIL), Header(kind, EVIL, NEW, 1 << 61, 10)):
            node.refusal(header)
    assert before[:3] == ([state() for state in states], joiner.deadline(), member.deadline())
    assert not member.drain()


def test_former_members_are_remembered_and_bounded() -> None:
    known = Acquaintances()
    for number in range(0, 3 * PAST_LIMIT, 1000):
        before = Configuration.of(NEW, 1, [named(n) for n in range(number, number + 1000)], 1)
        after = Configuration.of(NEW, 2, [named(number)], 1)
        known.installed(before, after)
    assert len(known._past) == PAST_LIMIT
    assert known.include(named(3 * PAST_LIMIT - 1).endpoint, None, ())
    assert not known.include(named(1).endpoint, None, ())
    assert known.include(named(1).endpoint, after, (named(1).endpoint,))
