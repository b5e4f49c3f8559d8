"""Whole members agree on what one of them has seen decided, however little the others heard of it.

Five members vote for two values, ``low`` and ``high`` (by their digests). The network hides the votes
from all but one, the witness, which decides and is cut off. The others go on by classic rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from rapid.consensus.facts import FAST, Rank
from rapid.overlay.cut import Cut
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol.messages import Decided, Facts, Message
from rapid.protocol.outputs import Send
from rapid.settings import Settings
from rapid.simulation.scenarios import coordinator_crash

from .harness import agree, at, view
from .stage import Stage, without_votes

SECOND = Rank(2, 0)
"""The first member of ring 0 coordinates the first classic round."""


class Vote:
    """A stage with five members in ring-0 order, about to agree."""

    def __init__(self, *addresses: int) -> None:
        self.stage = Stage()
        self.view = view(self.stage.form(5)[0])
        self.nodes = [self.stage.nodes[endpoint] for endpoint in self.view.endpoints]
        one, other = addresses or (51, 52)
        joiners = [Member(at(one), NodeId(b"1" * 16)), Member(at(other), NodeId(b"2" * 16))]
        self.low, self.high = sorted(joiners, key=lambda joiner: Cut.of(joined=[joiner]).digest)
        self.stage.run(3.0)

    def endpoint(self, index: int) -> Endpoint:
        return self.view.endpoints[index]

    def begin(self, *values: Member) -> None:
        """Each member, in order, proposes this."""
        for node, joiner in zip(self.nodes, values, strict=True):
            self.stage.report(node, joiner)
        for node in self.nodes:
            self.stage.settle(node)

    def outcome(self, index: int) -> Member | None:
        """The joiner that this member let in; None while it has not decided."""
        after = self.stage.successor(self.nodes[index], self.view)
        if after is None:
            return None
        return next(joiner for joiner in (self.low, self.high) if after.member(joiner.endpoint) == joiner)

    def outcomes(self) -> set[Member | None]:
        return {self.outcome(index) for index in range(5) if self.outcome(index) is not None}

    def decided(self, indexes: Iterable[int]) -> Callable[[], bool]:
        return lambda: all(self.outcome(index) is not None for index in indexes)


def promises_of(message: Message, voters: int) -> Message:
    """The same facts, with the promises of these voters alone."""
    if not isinstance(message, Facts) or not message.promises:
        return message
    kept = [promise._replace(voters=promise.voters & voters) for promise in message.promises]
    return replace(message, promises=tuple(promise for promise in kept if promise.voters))


def test_a_coordinator_picks_what_the_fast_round_may_have_chosen() -> None:
    vote, witness, rest = Vote(), 1, (0, 2, 3, 4)

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        hidden = vote.endpoint(witness)
        if vote.outcome(witness) is not None and hidden in (source, to):
            return None
        return message if to == hidden else without_votes(message, unless=lambda cast: cast.rank != FAST)

    vote.stage.script = script
    vote.begin(vote.low, vote.high, vote.high, vote.high, vote.high)
    assert vote.stage.until(vote.decided([witness]), 1.0), "four of five"
    assert vote.stage.until(vote.decided(rest), 5.0)
    assert vote.outcomes() == {vote.high}, "two values are decided"


def test_one_member_that_repeats_itself_is_no_quorum() -> None:
    vote, witness, rest = Vote(), 1, (0, 2, 3, 4)

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        hidden = vote.endpoint(witness)
        if vote.outcome(witness) is not None and hidden in (source, to):
            return None
        if to == hidden:
            return message
        if to == vote.endpoint(0):
            message = promises_of(message, 0b00101)
        return without_votes(message, unless=lambda cast: cast.rank != FAST)

    vote.stage.script = script
    vote.begin(vote.low, vote.high, vote.high, vote.high, vote.high)
    assert vote.stage.until(vote.decided([witness]), 1.0), "four of five"
    assert vote.stage.until(vote.decided(rest), 10.0)
    assert vote.outcomes() == {vote.high}, "two values are decided"


def test_a_coordinator_picks_the_latest_vote_not_the_most() -> None:
    """The second round decides at its coordinator alone; one voter of it takes part in the third."""
    vote, witness, ally, rest = Vote(), 0, 4, (1, 2, 3)

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        first, fourth = vote.endpoint(witness), vote.endpoint(ally)
        if vote.outcome(witness) is not None and ({first, fourth} & {source, to}):
            return None
        if to == first:
            return without_votes(promises_of(message, 0b10011), unless=lambda cast: cast.rank != FAST)
        message = without_votes(message, unless=lambda cast: cast.rank > SECOND)
        if isinstance(message, Facts) and to in (vote.endpoint(2), vote.endpoint(3)):
            accepts = tuple(accept for accept in message.accepts if accept.rank > SECOND)
            message = replace(message, accepts=accepts)
        return message

    vote.stage.script = script
    vote.begin(vote.low, vote.high, vote.high, vote.high, vote.low)
    assert vote.stage.until(vote.decided([witness]), 3.0), "three of five"
    assert vote.stage.until(vote.decided(rest), 10.0)
    assert vote.outcomes() == {vote.low}, "two values are decided"


def test_a_value_names_processes_not_addresses() -> None:
    """An address had two processes in quick succession; some members heard of one, some of the other."""
    vote = Vote(51, 51)
    vote.begin(vote.low, vote.low, vote.low, vote.high, vote.high)
    assert vote.stage.until(vote.decided(range(5)), 5.0)
    assert len(vote.outcomes()) == 1, "members let in different processes"


def test_what_is_said_after_the_proposal_is_passed_on() -> None:
    vote = Vote()
    node, other = vote.nodes[0], vote.endpoint(1)
    vote.stage.report(node, vote.low)
    vote.stage.report(node, vote.high)
    node.receive(Facts(other, vote.view.cluster_id, vote.view.version, complete=True), vote.stage.now)
    answers = [
        output.message
        for output in node.drain()
        if isinstance(output, Send) and output.to == other and isinstance(output.message, Facts)
    ]
    heard_of = {alert.subject for answer in answers for alert in answer.alerts}
    assert vote.high in heard_of, "an alert was dropped"


def test_what_is_said_of_the_next_epoch_counts_once_it_is_there() -> None:
    """A member hears of two changes in the wrong order, and no more than it was told once."""
    stage = Stage(settings=Settings.lan(h=5))
    nodes = stage.form(8)
    late = at(4)
    told: list[tuple[Endpoint, Facts | Decided]] = []

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        if late not in (source, to):
            return message
        if isinstance(message, Facts | Decided) and to == late:
            told.append((source, message))
        return None

    stage.script = script
    here = [node for node in nodes if node.member.endpoint != late]
    version = view(nodes[0]).version
    for size in (9, 10):
        here.append(stage.add(size, 0))
        assert stage.until(partial(agree, here, size), 3.0)
    first = [(source, message) for source, message in told if message.version == version]
    second = [(source, message) for source, message in told if message.version == version + 1]
    assert first
    assert second
    for source, message in (*second, *first):
        nodes[4].receive(message, stage.now, source)
    assert view(nodes[4]).version == version + 2, "facts were dropped"


def test_rounds_follow_each_other_until_one_decides() -> None:
    for seed in range(1, 4):
        coordinator_crash(7, seed, after="prepare")
