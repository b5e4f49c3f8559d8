"""The log of one epoch's facts: who is sent what, and how two logs are compared."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations
from math import inf
from random import Random

import pytest

from rapid.consensus.facts import FAST, NO_RANK, Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import Alert, Ground, Status
from rapid.detection.cut_detector import CutDetector
from rapid.detection.lag import Lag
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.gossip import COMPACTION, Fact, Gossip
from rapid.protocol.messages import Facts

from .harness import at

CLUSTER = ClusterId(b"c" * 16)
DIGEST = CutDigest(b"d" * 16)
JOINER = Member(at(9), NodeId(b"j" * 16))
VICTIM = Member(at(3), NodeId(b"v" * 16))
FACTS: list[Fact] = [
    Alert(at(1), JOINER, Status.UP, 0b101),
    Alert(at(1), JOINER, Status.UP, 0b010),
    Alert(at(2), Member(at(3), NodeId(b"m" * 16)), Status.LEAVING, 1),
    Cut.of((), [JOINER]),
    Vote(FAST, DIGEST, 0b0110),
    Prepare(Rank(2, 1)),
    Promise(Rank(2, 1), FAST, DIGEST, 0b0110),
    Promise(Rank(2, 1), NO_RANK, None, 0b1000),
    Accept(Rank(2, 1), DIGEST),
    Vote(Rank(2, 1), DIGEST, 0b1110),
]


class Log:
    """One log, and what it has sent."""

    def __init__(self, *neighbours: Endpoint, fanout: int | None = None, interval: float = 0.05) -> None:
        self.sent: list[tuple[Endpoint, Facts]] = []
        self.lag = Lag(0.6)
        self.gossip = Gossip(at(0), CLUSTER, 1, neighbours, interval, self.lag, self._send, fanout)

    def _send(self, to: Endpoint, facts: Facts) -> None:
        self.sent.append((to, facts))

    def learn(self, *facts: Fact, source: Endpoint | None = None) -> Log:
        for fact in facts:
            self.gossip.append(fact, source, 0.0)
        return self

    def flush(self) -> list[tuple[Endpoint, Facts]]:
        self.gossip.wake(max(self.gossip.due, 0.0))
        sent, self.sent = self.sent, []
        return sent


def test_a_batch_has_all_facts_that_are_new_and_says_whose_they_are() -> None:
    log = Log(at(1)).learn(*FACTS, Promise(Rank(2, 1), FAST, DIGEST, 0b110000))
    [(_, batch)] = log.flush()
    assert batch == Facts(
        at(0),
        CLUSTER,
        1,
        alerts=(Alert(at(1), JOINER, Status.UP, 0b111), FACTS[2]),  # type: ignore[arg-type]  # an alert
        proposals=(Cut.of((), [JOINER]),),
        prepares=(Prepare(Rank(2, 1)),),
        promises=(
            Promise(Rank(2, 1), FAST, DIGEST, 0b110110),
            Promise(Rank(2, 1), NO_RANK, None, 0b1000),
        ),
        accepts=(Accept(Rank(2, 1), DIGEST),),
        votes=(Vote(FAST, DIGEST, 0b0110), Vote(Rank(2, 1), DIGEST, 0b1110)),
        complete=False,
    )
    assert log.gossip.everything(complete=False) == batch
    assert log.gossip.everything(complete=True) == replace(batch, complete=True)


@pytest.mark.parametrize("fact", FACTS, ids=repr)
def test_each_kind_of_fact_is_sent_by_itself(fact: Fact) -> None:
    log = Log(at(1), at(2)).learn(fact)
    (first, batch), (second, other) = log.flush()
    assert (first, second) == (at(1), at(2))
    assert batch == other
    groups = (
        batch.alerts, batch.proposals, batch.prepares, batch.promises, batch.accepts, batch.votes
    )  # fmt: skip
    assert [told for group in groups for told in group] == [fact]
    assert batch.complete is False
    assert log.gossip.everything(complete=True) == replace(batch, complete=True)


def test_two_alerts_are_two() -> None:
    [(_, batch)] = Log(at(1)).learn(FACTS[0], FACTS[2]).flush()
    assert batch.alerts == (FACTS[0], FACTS[2])


def test_at_first_there_are_no_facts() -> None:
    gossip = Log(at(1)).gossip
    assert (gossip.count, gossip.digest, gossip.due) == (0, 0, inf)
    assert gossip.everything(complete=True) == Facts(at(0), CLUSTER, 1, complete=True)
    assert gossip.everything(complete=False) == Facts(at(0), CLUSTER, 1)
    for count, fact in enumerate(FACTS, start=1):
        gossip.append(fact, None, 0.0)
        assert gossip.count == count


def test_one_without_neighbours_has_nothing_to_do() -> None:
    assert Log().learn(*FACTS).gossip.due == inf


def test_facts_do_not_go_back_to_whom_they_came_from_and_the_rest_does() -> None:
    log = Log(at(1), at(2))
    log.learn(Vote(FAST, DIGEST, 1), source=at(1)).learn(Vote(FAST, DIGEST, 2))
    assert {to: facts.votes for to, facts in log.flush()} == {
        at(1): (Vote(FAST, DIGEST, 2),),
        at(2): (Vote(FAST, DIGEST, 3),),
    }


def test_the_next_takes_the_place_of_a_neighbour_that_does_not_answer() -> None:
    log = Log(at(1), at(2), at(3), fanout=2)
    first, second = Vote(FAST, DIGEST, 1), Vote(FAST, DIGEST, 2)
    assert [to for to, _ in log.learn(first).flush()] == [at(1), at(2)]
    log.gossip.avoid(at(1))
    told = dict(log.learn(second).flush())
    assert told.keys() == {at(2), at(3)}
    assert told[at(2)].votes == (second,)
    assert told[at(3)].votes == (Vote(FAST, DIGEST, 3),), "what was said before, too"
    for neighbour in (at(2), at(3)):
        log.gossip.avoid(neighbour)
    assert log.gossip.neighbours == (at(1), at(2)), "with nobody left one is as good as any"


def test_a_neighbour_that_answers_again_is_told_what_it_was_not_told() -> None:
    log = Log(at(1), at(2), at(3), fanout=2)
    log.learn(Vote(FAST, DIGEST, 1)).flush()
    log.gossip.avoid(at(1))
    log.learn(Vote(FAST, DIGEST, 2)).flush()
    log.gossip.trust(at(1), 1.0)
    assert log.gossip.neighbours == (at(1), at(2))
    assert log.gossip.due == 1.0
    [(to, facts)] = log.flush()
    assert (to, facts.votes) == (at(1), (Vote(FAST, DIGEST, 2),))
    log.gossip.trust(at(1), 2.0)
    assert log.gossip.due == inf, "it was not avoided"


def test_one_that_answers_again_is_told_though_the_neighbours_before_it_know_all() -> None:
    log = Log(at(1), at(2), at(3), fanout=2)
    log.gossip.avoid(at(2))
    log.learn(Vote(FAST, DIGEST, 1)).flush()
    log.gossip.trust(at(2), 0.01)
    assert log.gossip.due == 0.05, "an interval after the last batch"
    assert [to for to, _ in log.flush()] == [at(2)]


def test_trust_in_one_that_is_owed_nothing_makes_no_batch_due() -> None:
    log = Log(at(1), at(2), at(3), fanout=2)
    log.gossip.avoid(at(3))
    log.learn(Vote(FAST, DIGEST, 1)).flush()
    log.gossip.trust(at(3), 1.0)
    assert log.gossip.due == inf, "it is no neighbour"
    log.gossip.avoid(at(2))
    log.gossip.trust(at(2), 2.0)
    assert log.gossip.due == inf, "it knows all"


# -- the digest


def test_the_digest_is_the_same_in_all_releases() -> None:
    """Members compare theirs, and need not run the same one."""
    assert Log().learn(*REPORTS[:1]).gossip.digest == 0x24FA7149728E387B
    assert Log().learn(*REPORTS[1:]).gossip.digest == 0x7FC21605691279D4
    assert Log().learn(*FACTS).gossip.digest == 0x24782EF1598048BE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Alert(at(1), JOINER, Status.UP, 1), Alert(at(1), VICTIM, Status.UP, 1)),
        (
            Alert(at(1), JOINER, Status.UP, 1),
            Alert(at(1), Member(at(9), NodeId(b"k" * 16)), Status.UP, 1),
        ),
        (Alert(at(1), VICTIM, Status.DOWN, 1), Alert(at(1), VICTIM, Status.LEAVING, 1)),
        (Alert(at(1), VICTIM, Status.DOWN, 1), Alert(at(1), VICTIM, Status.DOWN, 2)),
        (Cut.of((), [JOINER]), Cut.of()),
        (Vote(FAST, DIGEST, 1), Vote(Rank(2, 0), DIGEST, 1)),
        (Vote(FAST, DIGEST, 1), Vote(FAST, CutDigest(b"e" * 16), 1)),
        (Promise(Rank(2, 1), FAST, DIGEST, 1), Promise(Rank(2, 1), Rank(2, 0), DIGEST, 1)),
        (Promise(Rank(2, 1), FAST, DIGEST, 1), Promise(Rank(3, 1), FAST, DIGEST, 1)),
        (Promise(Rank(2, 1), FAST, DIGEST, 1), Promise(Rank(2, 1), FAST, CutDigest(b"e" * 16), 1)),
    ],
)
def test_different_facts_have_different_digests(one: Fact, other: Fact) -> None:
    assert Log().learn(one).gossip.digest != Log().learn(other).gossip.digest


@pytest.mark.parametrize("seed", range(5))
def test_the_digest_does_not_tell_in_which_order_and_pieces_facts_came(seed: int) -> None:
    whole = Log().learn(*FACTS)
    pieces: list[Fact] = []
    for fact in FACTS:
        if isinstance(fact, Vote | Promise):
            voters = [1 << bit for bit in range(8) if fact.voters >> bit & 1]
            pieces += [fact._replace(voters=bit) for bit in voters]
        elif isinstance(fact, Alert):
            pieces += [fact._replace(rings=1 << bit) for bit in range(8) if fact.rings >> bit & 1]
        else:
            pieces.append(fact)
    Random(seed).shuffle(pieces)
    assert Log().learn(*pieces).gossip.digest == whole.gossip.digest


def test_each_fact_has_a_part_in_the_digest() -> None:
    digests = {Log().learn(*FACTS[:count]).gossip.digest for count in range(len(FACTS) + 1)}
    assert len(digests) == len(FACTS) + 1


def test_what_is_said_twice_counts_once() -> None:
    vote = Vote(FAST, DIGEST, 0b0110)
    again = Log().learn(vote, Vote(FAST, DIGEST, 0b0010), Vote(FAST, DIGEST, 0b0110))
    assert again.gossip.digest == Log().learn(vote).gossip.digest


def test_what_is_forgotten_is_in_no_batch_and_no_digest() -> None:
    log, rank = Log(at(1)).learn(*FACTS), Rank(2, 1)
    log.gossip.forget(rank)
    kept = [fact for fact in FACTS if isinstance(fact, Alert | Cut) or fact.rank != rank]
    assert log.gossip.digest == Log().learn(*kept).gossip.digest
    expected = Log().learn(*kept).gossip.everything(complete=True)
    assert log.gossip.everything(complete=True) == expected
    [(_, batch)] = log.flush()
    assert batch == Log().learn(*kept).gossip.everything(complete=False)


def test_what_follows_something_forgotten_is_sent() -> None:
    log = Log(at(1)).learn(Prepare(Rank(2, 1)), Vote(FAST, DIGEST, 1))
    log.gossip.forget(Rank(2, 1))
    log.gossip.forget(Rank(7, 7))
    [(_, batch)] = log.flush()
    assert batch == Facts(at(0), CLUSTER, 1, votes=(Vote(FAST, DIGEST, 1),))


def test_nothing_is_sent_when_all_that_was_new_is_forgotten() -> None:
    log = Log(at(1)).learn(Prepare(Rank(2, 1)))
    log.gossip.forget(Rank(2, 1))
    assert log.flush() == []


def test_the_log_does_not_grow_with_what_is_forgotten() -> None:
    log, sizes = Log(at(1), at(2)), list[int]()
    for number in range(10 * COMPACTION):
        rank = Rank(2 + number, 0)
        log.learn(Prepare(rank), Promise(rank, NO_RANK, None, 0b11), source=at(1))
        log.gossip.forget(rank)
        sizes.append(len(log.gossip._log))
    assert sizes == [2 * (number % COMPACTION) for number in range(1, 10 * COMPACTION + 1)]
    log.learn(Prepare(Rank(9999, 0)), source=at(1))
    assert log.flush() == [(at(2), Log().learn(Prepare(Rank(9999, 0))).gossip.everything(complete=False))]


def test_what_was_sent_is_not_sent_again_after_the_log_was_compacted() -> None:
    log = Log(at(1)).learn(*FACTS)
    log.flush()
    for number in range(COMPACTION):
        rank = Rank(3 + number, 0)
        log.learn(Prepare(rank))
        log.gossip.forget(rank)
    log.learn(Cut.of())
    assert log.flush() == [(at(1), Log().learn(Cut.of()).gossip.everything(complete=False))]
    assert at(1) in log.gossip.informed(Cut.of((), [JOINER]))


def test_what_is_new_is_sent_after_the_log_was_compacted() -> None:
    """Much of what was sent has gone from the log, so the places up to which it was sent move with it."""
    log = Log(at(1), at(2), at(3), at(4), fanout=2)
    ranks = [Rank(2 + number, 0) for number in range(COMPACTION)]
    log.learn(FACTS[0], *map(Prepare, ranks[:-1])).flush()
    log.gossip.avoid(at(1))
    log.learn(Vote(FAST, DIGEST, 1), Prepare(ranks[-1]))
    log.flush()
    for rank in ranks:
        log.gossip.forget(rank)
    log.learn(Vote(FAST, DIGEST, 2))
    log.gossip.trust(at(1), 0.0)
    assert {to: facts.votes for to, facts in log.flush()} == {
        at(1): (Vote(FAST, DIGEST, 3),),
        at(2): (Vote(FAST, DIGEST, 2),),
    }
    for neighbour in (at(1), at(2), at(3)):
        log.gossip.avoid(neighbour)
    log.learn(Vote(FAST, DIGEST, 4))
    [(to, facts)] = log.flush()
    assert (to, facts.votes, facts.alerts) == (at(4), (Vote(FAST, DIGEST, 7),), (FACTS[0],))


def test_informed_of_a_cut_is_who_was_sent_it_or_sent_it_here() -> None:
    cut = Cut.of((), [JOINER])
    log = Log(at(1), at(2), at(3), fanout=2)
    assert log.gossip.informed(cut) == set()
    log.learn(Vote(FAST, DIGEST, 1)).flush()
    log.learn(cut, source=at(2))
    assert log.gossip.informed(cut) == {at(2)}, "the others are yet to be sent it"
    log.flush()
    assert log.gossip.informed(cut) == {at(1), at(2)}
    assert log.gossip.informed(Cut.of()) == set()


def test_all_facts_are_put_together_once_for_many_who_ask() -> None:
    log = Log().learn(*FACTS)
    first = log.gossip.everything(complete=False)
    assert log.gossip.everything(complete=False) is first
    assert log.gossip.everything(complete=True) is not first
    log.learn(Prepare(Rank(3, 0)))
    assert log.gossip.everything(complete=False).prepares == (Prepare(Rank(2, 1)), Prepare(Rank(3, 0)))


# -- how often


def test_news_of_joiners_goes_less_and_less_often_while_it_keeps_coming() -> None:
    log = Log(at(1))
    times: list[float] = []
    step = 0.01
    for number in range(200):
        now = number * step
        subject = Member(at(100 + number), NodeId(bytes(16)))
        log.gossip.append(Alert(at(1 + number % 3 + 1), subject, Status.UP, 1), None, now)
        before = len(log.sent)
        log.gossip.wake(now)
        if len(log.sent) > before:
            times.append(now)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] == pytest.approx(0.05)
    assert pauses[1] == pytest.approx(0.2)
    assert all(pause == pytest.approx(0.5) for pause in pauses[2:])


@pytest.mark.parametrize(("after", "pause"), [(0.125, 4), (0.13, 1), (0.18, 1)])
def test_news_keeps_coming_when_it_comes_within_two_pauses(after: float, pause: int) -> None:
    log = Log(at(1), interval=0.0625)
    for now in (0.0, after):
        log.gossip.append(Alert(at(2), JOINER, Status.UP, 1), None, now)
        log.gossip.wake(now)
    assert len(log.sent) == 2
    log.gossip.append(Alert(at(2), JOINER, Status.UP, 2), None, after)
    assert log.gossip.due == after + pause * 0.0625


def test_a_member_that_lags_sends_all_the_same() -> None:
    log = Log(at(1))
    log.lag.called(0.0, 0.04)
    log.gossip.append(Vote(FAST, DIGEST, 1), None, 0.04)
    log.gossip.wake(0.04)
    assert len(log.sent) == 1


@pytest.mark.parametrize(
    ("fact", "due"),
    [
        (Alert(at(2), VICTIM, Status.LEAVING, 1), 0.3),
        (Vote(FAST, DIGEST, 1), 0.3),
        (Alert(at(2), VICTIM, Status.DOWN, 1), 0.45),
    ],
    ids=["leaving", "vote", "down"],
)
def test_other_news_does_not_wait_for_that_of_joiners(fact: Fact, due: float) -> None:
    log = Log(at(1))
    for now in (0.0, 0.05, 0.25):
        subject = Member(at(100 + int(100 * now)), NodeId(bytes(16)))
        log.gossip.append(Alert(at(2), subject, Status.UP, 1), None, now)
        log.gossip.wake(now)
    assert len(log.sent) == 3
    log.gossip.append(Alert(at(2), Member(at(200), NodeId(bytes(16))), Status.UP, 1), None, 0.26)
    assert log.gossip.due == pytest.approx(0.75)
    log.gossip.append(fact, None, 0.27)
    assert log.gossip.due == pytest.approx(due)
    log.gossip.wake(log.gossip.due)
    _, sent = log.sent[-1]
    assert sent.alerts[0].subject.endpoint == at(200), "they travel together"


def test_word_of_a_failure_waits_for_more_of_it() -> None:
    log = Log(at(1))
    log.gossip.append(Alert(at(2), VICTIM, Status.DOWN, 1), None, 7.0)
    log.gossip.append(Alert(at(3), VICTIM, Status.DOWN, 2), None, 7.09)
    assert log.gossip.due == pytest.approx(7.1)
    log.gossip.wake(log.gossip.due)
    log.gossip.append(Alert(at(4), VICTIM, Status.DOWN, 4), None, 7.11)
    assert log.gossip.due == pytest.approx(7.3)
    log.gossip.append(Vote(FAST, DIGEST, 1), None, 7.12)
    assert log.gossip.due == pytest.approx(7.15), "nobody waits for votes"


@pytest.mark.parametrize(
    ("fact", "times"),
    [
        (Alert(at(1), JOINER, Status.UP, 1), 20),
        (Alert(at(2), VICTIM, Status.DOWN, 1), 8),
        (Vote(FAST, DIGEST, 2), 4),
    ],
    ids=["joiner", "failure", "vote"],
)
def test_a_member_that_lags_pauses_for_longer(fact: Fact, times: int) -> None:
    log = Log(at(1))
    log.gossip.append(Vote(FAST, DIGEST, 1), None, 0.0)
    log.gossip.wake(0.0)
    log.lag.called(0.0, 0.04)
    log.gossip.append(fact, None, 0.04)
    assert log.gossip.due == pytest.approx(times * 0.04)


def test_the_words_of_several_observers_travel_as_one() -> None:
    log = Log(at(1))
    for ring, observer in enumerate((at(2), at(3), at(3))):
        log.gossip.append(Alert(observer, JOINER, Status.UP, 1 << ring), None, 0.0)
    log.gossip.append(Alert(at(3), VICTIM, Status.DOWN, 4), None, 0.0)
    log.gossip.append(Alert(at(3), VICTIM, Status.DOWN, 8), None, 0.0)
    log.gossip.wake(0.0)
    [(_, facts)] = log.sent
    assert facts.alerts == (
        Alert(None, JOINER, Status.UP, 0b111),
        Alert(at(3), VICTIM, Status.DOWN, 0b1100),
    )


def test_words_on_different_grounds_are_not_taken_together() -> None:
    log = Log(at(1))
    for ring, (observer, ground) in enumerate(
        ((at(2), Ground.SILENT), (at(3), Ground.REFUSED), (at(4), Ground.SILENT), (at(3), Ground.REINFORCED))
    ):
        log.gossip.append(Alert(observer, VICTIM, Status.DOWN, 1 << ring, ground), None, 0.0)
    [(_, facts)] = log.flush()
    assert facts.alerts == (
        Alert(None, VICTIM, Status.DOWN, 0b101, Ground.SILENT),
        Alert(at(3), VICTIM, Status.DOWN, 0b10, Ground.REFUSED),
        Alert(at(3), VICTIM, Status.DOWN, 0b1000, Ground.REINFORCED),
    )
    assert log.gossip.everything(complete=False).alerts == facts.alerts


def test_the_digest_is_of_what_is_said_and_not_of_its_grounds() -> None:
    silent, refused = Log(), Log()
    silent.learn(Alert(at(2), VICTIM, Status.DOWN, 3, Ground.SILENT))
    refused.learn(*(Alert(at(2), VICTIM, Status.DOWN, ring, Ground.REFUSED) for ring in (1, 2)))
    assert silent.gossip.digest == refused.gossip.digest != 0


# -- reports that supersede each other

REPORTS = [
    Alert(at(2), VICTIM, Status.DOWN, 0b11, Ground.SILENT),
    Alert(at(2), VICTIM, Status.WITHDRAWN, 0b11, Ground.UNSTATED, 1),
    Alert(at(2), VICTIM, Status.DOWN, 0b11, Ground.REFUSED, 2),
]


def test_only_the_latest_report_of_an_edge_is_passed_on() -> None:
    log = Log(at(1)).learn(*REPORTS)
    [(_, facts)] = log.flush()
    assert facts.alerts == (REPORTS[2],)
    assert log.gossip.everything(complete=True).alerts == (REPORTS[2],)


def test_one_superseded_ring_leaves_the_others() -> None:
    log = Log(at(1)).learn(REPORTS[0], REPORTS[1]._replace(rings=0b10))
    [(_, facts)] = log.flush()
    assert facts.alerts == (REPORTS[0]._replace(rings=0b01), REPORTS[1]._replace(rings=0b10))


def test_a_departure_is_superseded_by_no_report() -> None:
    leaving = Alert(at(2), VICTIM, Status.LEAVING, 0b11)
    [(_, facts)] = Log(at(1)).learn(leaving, *REPORTS).flush()
    assert facts.alerts == (leaving, REPORTS[2])


def test_reports_of_one_revision_on_different_grounds_keep_their_rings() -> None:
    one = REPORTS[2]._replace(rings=0b01)
    other = REPORTS[2]._replace(observer=at(3), rings=0b10, ground=Ground.SILENT)
    [(_, facts)] = Log(at(1)).learn(one, other).flush()
    assert facts.alerts == (one, other)


def test_who_came_late_has_the_same_digest_as_who_saw_it_all() -> None:
    early, late = Log().learn(*REPORTS), Log().learn(REPORTS[2])
    assert early.gossip.digest == late.gossip.digest != Log().learn(REPORTS[0]).gossip.digest


def test_superseded_reports_do_not_fill_the_log() -> None:
    log = Log(at(1))
    for revision in range(10 * COMPACTION):
        status = Status.WITHDRAWN if revision % 2 else Status.DOWN
        log.gossip.append(Alert(at(2), VICTIM, status, 1, Ground.UNSTATED, revision), None, 0.0)
    assert len(log.gossip._log) <= COMPACTION + 1
    [(_, facts)] = log.flush()
    assert [alert.revision for alert in facts.alerts] == [10 * COMPACTION - 1]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_order_of_a_report_its_withdrawal_and_a_departure_does_not_matter(order: tuple[int, ...]) -> None:
    """A member that leaves after it was reported, or is reported after it said that it leaves."""
    view = Configuration.of(CLUSTER, 1, [Member(at(n), NodeId(bytes([n]) * 16)) for n in range(4)], 10)
    subject = view.members[0]
    observer = view.observers(subject.endpoint)[0]
    leaving = Alert(observer, subject, Status.LEAVING, 1)
    alerts = [report._replace(observer=observer, subject=subject, rings=1) for report in REPORTS]
    alerts = [*alerts, leaving]
    told = []
    for sequence in (alerts, [alerts[place] for place in order]):
        detector, log = CutDetector(view, 9, 3), Log()
        for alert in sequence:
            if (new := detector.add(alert)) is not None:
                log.learn(new)
        known = {(a.status, a.rings, a.revision) for a in log.gossip.everything(complete=False).alerts}
        told.append((log.gossip.digest, known))
    assert told[0] == told[1]
