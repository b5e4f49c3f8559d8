"""What a peer may not say: rejected, counted by its kind, without effect."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rapid.consensus.facts import FAST, NO_RANK, Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import Alert, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    JoinReply,
    JoinRequest,
    Leaving,
    Message,
    ObserveRequest,
    Refounded,
    Snapshot,
    Standing,
    Unreached,
)
from rapid.protocol.node import Node
from rapid.protocol.outputs import Notify, Output, Rejected, Reply
from rapid.simulation.size import state_size

from .harness import Net, agree, at, view

SIZE = 30
PEER, OTHER, NOBODY, OUTSIDE = at(1), at(2), at(77), at(88)
DIGEST = CutDigest(b"d" * 16)
STRANGER = Member(OUTSIDE, NodeId(b"s" * 16))
ELSEWHERE = ClusterId(b"x" * 16)
WRONG = NodeId(b"w" * 16)


@pytest.fixture(scope="module")
def cluster() -> Net:
    """Shared: what is rejected leaves no trace."""
    net = Net()
    net.form(SIZE)
    return net


def here(net: Net) -> Node:
    return net.nodes[at(0)]


def facts(net: Net, sender: Endpoint = PEER, **what: object) -> Facts:
    mine = view(here(net))
    message = Facts(sender, mine.cluster_id, mine.version)
    for name, value in what.items():
        setattr(message, name, value)
    return message


def member(net: Net, endpoint: Endpoint) -> Member:
    found = view(here(net)).member(endpoint)
    assert found is not None
    return found


def no_observer(net: Net, subject: Endpoint) -> Endpoint:
    mine = view(here(net))
    return next(e for e in mine.endpoints if e != subject and e not in mine.observers(subject))


def say(net: Net, message: Message, key: str, times: int = 1) -> list[Output]:
    """The message has no other effect than to be counted; give what the node does about it."""
    node = here(net)
    before, counted = state(node), node.stats[key]
    node.receive(message, net.now, "token")
    outputs = node.drain()
    assert state(node) == before
    assert node.stats[key] == counted + times, dict(node.stats)
    return outputs


def state(node: Node) -> tuple[object, ...]:
    """Where a node stands, and how much it remembers besides the counters."""
    assert node._epoch is not None
    return node.configuration, node._epoch, node._epoch.gossip.digest, state_size(node) - 2 * len(node.stats)


def reject(net: Net, message: Message, reason: str, times: int = 1) -> None:
    """As :func:`say`, and the log is all that hears of it."""
    for output in say(net, message, f"rejected:{reason}", times):
        assert output == Notify(Rejected(reason, message.sender))


def ask(net: Net, peer: Endpoint) -> None:
    """Have the node wait for what this one knows of later versions."""
    node = here(net)
    node._catch_up.ask(peer, view(node), node.node_id, net.now)
    node.drain()


def alert(net: Net, observer: Endpoint, subject: Member, status: Status, rings: int) -> Facts:
    return facts(net, alerts=(Alert(observer, subject, status, rings),))


def all_rings(net: Net) -> int:
    return (1 << net.settings.k) - 1


ALERTS: dict[str, tuple[Callable[[Net], Facts], str]] = {
    "a ring that does not exist": (
        lambda net: alert(net, view(here(net)).observers(OTHER)[0], member(net, OTHER), Status.DOWN, 1 << 31),
        "observer does not hold these rings",
    ),
    "no ring": (
        lambda net: alert(net, view(here(net)).observers(OTHER)[0], member(net, OTHER), Status.DOWN, 0),
        "observer does not hold these rings",
    ),
    "rings of others too": (
        lambda net: alert(
            net, view(here(net)).observers(OTHER)[0], member(net, OTHER), Status.DOWN, all_rings(net)
        ),
        "observer does not hold these rings",
    ),
    "the subject of others": (
        lambda net: alert(net, no_observer(net, OTHER), member(net, OTHER), Status.LEAVING, 1),
        "observer does not hold these rings",
    ),
    "a joiner of others": (
        lambda net: alert(
            net,
            next(e for e in view(here(net)).endpoints if e not in view(here(net)).subjects(OUTSIDE)),
            STRANGER,
            Status.UP,
            1,
        ),
        "observer does not hold these rings",
    ),
    "itself": (
        lambda net: alert(net, OTHER, member(net, OTHER), Status.DOWN, 1),
        "observer does not hold these rings",
    ),
    "an observer who is no member": (
        lambda net: alert(net, NOBODY, member(net, OTHER), Status.DOWN, 1),
        "observer is no member",
    ),
    "a subject who is no member": (
        lambda net: alert(net, PEER, STRANGER, Status.DOWN, 1),
        "subject is no member",
    ),
    "an earlier process": (
        lambda net: alert(net, view(here(net)).observers(OTHER)[0], Member(OTHER, WRONG), Status.DOWN, 1),
        "subject is no member",
    ),
    "a joiner who is a member": (
        lambda net: alert(net, view(here(net)).subjects(OTHER)[0], member(net, OTHER), Status.UP, 1),
        "joiner is a member already",
    ),
}


@pytest.mark.parametrize("case", ALERTS)
def test_alerts(cluster: Net, case: str) -> None:
    make, problem = ALERTS[case]
    reject(cluster, make(cluster), f"alert: {problem}")


@pytest.mark.parametrize(
    "rank", [Rank(1 << 30, 0), Rank((1 << 31) - 1, 0), Rank(2, SIZE), Rank(2, 1 << 16), FAST, NO_RANK]
)
def test_ranks(cluster: Net, rank: Rank) -> None:
    """Far ahead, of a coordinator who is no member, or of the fast round, which has none."""
    reject(cluster, facts(cluster, prepares=(Prepare(rank),)), "implausible rank")
    reject(cluster, facts(cluster, accepts=(Accept(rank, DIGEST),)), "implausible rank")
    if rank > NO_RANK:
        promise = Promise(rank, NO_RANK, None, 1)
        reject(cluster, facts(cluster, promises=(promise,)), "implausible rank")
    if rank != FAST:
        reject(cluster, facts(cluster, votes=(Vote(rank, DIGEST, 1),)), "implausible rank")


def test_the_fast_round_has_no_other_coordinator(cluster: Net) -> None:
    reject(cluster, facts(cluster, votes=(Vote(Rank(1, 1), DIGEST, 1),)), "implausible rank")


@pytest.mark.parametrize("voters", [0, 1 << SIZE, (1 << SIZE) + 1, 1 << 4000])
def test_voters(cluster: Net, voters: int) -> None:
    reject(cluster, facts(cluster, votes=(Vote(FAST, DIGEST, voters),)), "voter is no member")
    promise = Promise(Rank(2, 0), NO_RANK, None, voters)
    reject(cluster, facts(cluster, promises=(promise,)), "voter is no member")


@pytest.mark.parametrize(
    ("vrank", "digest"),
    [
        (NO_RANK, DIGEST),
        (FAST, None),
        (Rank(2, 1), DIGEST),
        (Rank(3, 0), DIGEST),
        (Rank(0, 1), DIGEST),
        (Rank(0, 1), None),
        (Rank(1, 1), DIGEST),
    ],
)
def test_promises(cluster: Net, vrank: Rank, digest: CutDigest | None) -> None:
    """A vote for nothing, no vote for something, one that comes later, one at a rank that never was."""
    promise = Promise(Rank(2, 1), vrank, digest, 1)
    reject(cluster, facts(cluster, promises=(promise,)), "promise contradicts itself")


def bad_cuts(net: Net) -> dict[str, Cut]:
    mine = view(here(net))
    gone = Removal(OTHER, member(net, OTHER).node_id)
    everybody = [Removal(one.endpoint, one.node_id) for one in mine.members]
    return {
        "removes nobody's process": Cut.of([Removal(NOBODY, WRONG)]),
        "removes an earlier process": Cut.of([Removal(OTHER, WRONG)]),
        "removes one twice": Cut.of([gone, Removal(OTHER, gone.node_id, left=True)]),
        "joins a held address": Cut.of((), [Member(OTHER, WRONG)]),
        "joins a member": Cut.of((), [member(net, OTHER)]),
        "joins two at one address": Cut.of((), [STRANGER, Member(OUTSIDE, WRONG)]),
        "removes everybody": Cut.of(everybody),
        "removes who would have to agree": Cut.of(everybody[: SIZE // 2]),
        "replaces everybody": Cut.of(everybody, [STRANGER]),
    }


CUTS = (
    "removes nobody's process",
    "removes an earlier process",
    "removes one twice",
    "joins a held address",
    "joins a member",
    "joins two at one address",
    "removes everybody",
    "removes who would have to agree",
    "replaces everybody",
)


@pytest.mark.parametrize("case", CUTS)
def test_cuts_that_do_not_apply(cluster: Net, case: str) -> None:
    cut, mine = bad_cuts(cluster)[case], view(here(cluster))
    reject(cluster, facts(cluster, proposals=(cut,)), "proposal does not apply")
    decided = Decided(PEER, mine.cluster_id, mine.version, cut.digest, cut)
    reject(cluster, decided, "decision contradicts its digest")
    ask(cluster, PEER)
    reject(cluster, Cuts(PEER, mine.cluster_id, mine.version, (cut,)), "cut contradicts a decision")


def test_a_decision_under_another_name(cluster: Net) -> None:
    mine, cut = view(here(cluster)), Cut.of((), [STRANGER])
    decided = Decided(PEER, mine.cluster_id, mine.version, DIGEST, cut)
    reject(cluster, decided, "decision contradicts its digest")


def other_k(net: Net) -> Configuration:
    mine = view(here(net))
    return Configuration.of(mine.cluster_id, mine.version + 1, mine.members, mine.k - 1)


def elsewhere(net: Net, version: int = 9) -> Configuration:
    mine = view(here(net))
    return Configuration.of(ELSEWHERE, version, mine.members, mine.k)


def successor(net: Net, *more: Member) -> Configuration:
    mine = view(here(net))
    return Configuration.of(ELSEWHERE, mine.version + 1, [*mine.members, *more], mine.k)


OTHERS: dict[str, tuple[Callable[[Net, Configuration], Message], str]] = {
    "facts of another cluster": (
        lambda net, mine: facts(net, cluster_id=ELSEWHERE),
        "facts of another cluster",
    ),
    "facts of a stranger": (lambda net, mine: facts(net, NOBODY), "facts of a non-member"),
    "a decision of another cluster": (
        lambda net, mine: Decided(PEER, ELSEWHERE, mine.version, DIGEST, None),
        "decision of another cluster",
    ),
    "cuts of another cluster": (
        lambda net, mine: Cuts(PEER, ELSEWHERE, mine.version, ()),
        "cuts of another cluster",
    ),
    "a snapshot of another cluster": (
        lambda net, mine: Snapshot(PEER, elsewhere(net)),
        "snapshot of another cluster",
    ),
    "a snapshot with other rings": (
        lambda net, mine: Snapshot(PEER, other_k(net)),
        "snapshot with another K",
    ),
    "a question about another cluster": (
        lambda net, mine: ConfigurationRequest(PEER, ELSEWHERE, None, WRONG),
        "request for another cluster",
    ),
    "a question of one who is ahead": (
        lambda net, mine: ConfigurationRequest(PEER, mine.cluster_id, mine.version + 1, WRONG),
        "request of one who is ahead",
    ),
    "a joiner to another cluster": (
        lambda net, mine: ObserveRequest(OUTSIDE, STRANGER, ELSEWHERE, mine.version),
        "observe request for another cluster",
    ),
    "a joiner in the name of a stranger": (
        lambda net, mine: ObserveRequest(NOBODY, STRANGER, mine.cluster_id, mine.version),
        "observe request for another process",
    ),
    "a request to pass on that is another's": (
        lambda net, mine: ObserveRequest(PEER, STRANGER, mine.cluster_id, mine.version, relay=True),
        "observe request for another process",
    ),
    "word of a joiner that is none": (
        lambda net, mine: Unreached(PEER, OUTSIDE, WRONG),
        "word of a joiner that is not waiting here",
    ),
    "a stranger leaves": (
        lambda net, mine: Leaving(NOBODY, WRONG, mine.cluster_id, mine.version),
        "departure of a non-member",
    ),
    "a member of another cluster leaves": (
        lambda net, mine: Leaving(PEER, member(net, PEER).node_id, ELSEWHERE, mine.version),
        "departure of a non-member",
    ),
    "an earlier process leaves": (
        lambda net, mine: Leaving(PEER, WRONG, mine.cluster_id, mine.version),
        "departure of an earlier process",
    ),
    "a refounding of another cluster": (
        lambda net, mine: Refounded(PEER, ClusterId(b"y" * 16), mine.version, successor(net)),
        "refounding of another cluster",
    ),
    "a refounding that goes back": (
        lambda net, mine: Refounded(PEER, mine.cluster_id, mine.version + 1, successor(net)),
        "refounding that goes back",
    ),
    "a refounding with a stranger in it": (
        lambda net, mine: Refounded(PEER, mine.cluster_id, mine.version, successor(net, STRANGER)),
        "refounding with strangers",
    ),
    "a refounding with other rings": (
        lambda net, mine: Refounded(PEER, mine.cluster_id, mine.version, other_k(net)),
        "refounding without this member",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_none_of_ours(cluster: Net, case: str) -> None:
    make, reason = OTHERS[case]
    reject(cluster, make(cluster, view(here(cluster))), reason)


@pytest.mark.parametrize("name", ["protocol version", "k", "h", "l", "cluster"])
def test_a_joiner_that_differs_is_told_why(cluster: Net, name: str) -> None:
    settings, large = cluster.settings, (1 << 32) - 1
    request = JoinRequest(
        OUTSIDE, STRANGER.node_id, PROTOCOL_VERSION, settings.k, settings.h, settings.l, None, attempt=7
    )
    match name:
        case "protocol version":
            request.protocol = large
        case "cluster":
            request.expect = ELSEWHERE
        case _:
            setattr(request, name, large)
    told, answered = say(cluster, request, f"rejected:join with another {name}")
    assert told == Notify(Rejected(f"join with another {name}", OUTSIDE))
    assert isinstance(answered, Reply)
    assert isinstance(answered.message, JoinReply)
    assert answered.message.standing is Standing.INCOMPATIBLE
    assert answered.message.detail.startswith(f"its {name} is ")
    assert (answered.token, answered.message.attempt) == ("token", 7)


def test_the_cluster_went_on(cluster: Net) -> None:
    """After all of this: the last of the tests that share it."""
    nodes = list(cluster.nodes.values())
    cluster.run(2.0)
    assert agree(nodes, SIZE)
    cluster.crash(nodes[3])
    rest = [node for node in nodes if node is not nodes[3]]
    assert cluster.until(lambda: agree(rest, SIZE - 1))


def test_a_snapshot_without_the_joiner() -> None:
    net = Net()
    first = net.add(0)
    joiner = net.add(1, 0)
    joiner.drain()
    for members in ([first.member], [first.member, Member(at(1), WRONG)]):
        snapshot = Snapshot(at(0), Configuration.of(view(first).cluster_id, 2, members, net.settings.k))
        joiner.receive(snapshot, net.now)
    assert joiner.stats["rejected:snapshot without this member"] == 2
    assert joiner.configuration is None
    assert net.until(lambda: agree([first, joiner], 2))


def test_a_word_against_an_earlier_one_does_not_count() -> None:
    net = Net()
    nodes = net.form(6)
    node = nodes[0]
    epoch = node._epoch
    assert epoch is not None
    one, other = DIGEST, CutDigest(b"e" * 16)
    node.receive(facts(net, votes=(Vote(FAST, one, 1 << 3),)), net.now)
    node.receive(facts(net, votes=(Vote(FAST, other, 1 << 3),)), net.now)
    assert epoch.instance.votes[FAST] == {one: 1 << 3}
    promises = (Promise(Rank(2, 1), NO_RANK, None, 1 << 3), Promise(Rank(2, 1), FAST, one, 1 << 3))
    node.receive(facts(net, promises=promises), net.now)
    assert epoch.instance.promises[Rank(2, 1)] == {(NO_RANK, None): 1 << 3}
    assert node.stats["rejected:word against an earlier one"] == 2


def test_facts_of_the_future_change_nothing_yet() -> None:
    net = Net()
    node = net.form(4)[0]
    epoch = node._epoch
    assert epoch is not None
    vote = Vote(FAST, DIGEST, (1 << 4) - 1)
    node.receive(facts(net, version=view(node).version + 5, votes=(vote,)), net.now)
    assert node._epoch is epoch
    assert epoch.instance.votes == {}


def test_what_is_said_before_there_is_a_cluster() -> None:
    net = Net()
    first, node = net.form(2)
    late = net.add(9, 8)  # nobody is there
    late.drain()
    mine = view(first)
    for message, reason in (
        (Cuts(at(0), mine.cluster_id, mine.version, ()), "cuts of another cluster"),
        (Decided(at(0), mine.cluster_id, mine.version, DIGEST, None), "decision of another cluster"),
        (ConfigurationRequest(at(0), mine.cluster_id, None, WRONG), "request for another cluster"),
        (Leaving(at(1), node.node_id, mine.cluster_id, 1), "departure of a non-member"),
        (Refounded(at(0), mine.cluster_id, 1, mine), "refounding without this member"),
    ):
        late.receive(message, net.now)
        assert late.stats[f"rejected:{reason}"] == 1
    late.receive(Facts(at(0), mine.cluster_id, mine.version), net.now)
    assert late.configuration is None
