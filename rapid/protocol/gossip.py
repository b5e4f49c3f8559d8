"""The facts of one epoch as an append-only log, and what of it each neighbour still lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf

import xxhash

from rapid.consensus.facts import Accept, Prepare, Promise, Rank, Vote
from rapid.consensus.instance import Statement
from rapid.detection.alert import Alert, Ground, Status
from rapid.detection.lag import Lag
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import ClusterId, Endpoint, NodeId
from rapid.protocol.messages import Facts

Fact = Alert | Cut | Statement
STRETCH = 10
"""Intervals between two batches, at most, when they tell of joiners: a crowd is many small batches else."""
GATHER = 2
"""Intervals that word of a failure waits for more: many report it, and not all in the same moment."""
PACE = 4
"""Intervals between two batches of such words, at least."""
PATIENCE = {Status.UP: 20, Status.DOWN: 8, Status.LEAVING: 8, Status.WITHDRAWN: 8}
"""Times its lag that a member waits between two batches of such alerts, lest a busy machine be busier."""
HASTE = 4
"""And of all else: the members wait for each other's votes, and there is an end of them."""
PATIENCE_LIMIT = 2.0
"""Seconds of that, at most."""
COMPACTION = 64
"""After so many ranks were forgotten, or alerts superseded, the log is rid of them."""


class Gossip:
    """Spreads facts to the neighbours in batches; nothing goes twice to one neighbour, nor back.

    A first batch leaves at once, the next no sooner than ``interval`` seconds later, so that what
    arrives in between travels together. Word of a failure waits for the others' word. News of joiners is
    in no hurry: while one batch follows another it waits longer each time, up to ``STRETCH`` intervals;
    and all waits for a member that lags. The first ``fanout`` neighbours are told, all by default.
    ``due`` is the next time to :meth:`wake`. ``digest`` is 64 bits that two members share when they know
    the same facts, however they arrived.
    """

    def __init__(
        self,
        me: Endpoint,
        cluster_id: ClusterId,
        version: int,
        neighbours: Sequence[Endpoint],
        interval: float,
        lag: Lag,
        send: Callable[[Endpoint, Facts], None],
        fanout: int | None = None,
    ) -> None:
        self._me = me
        self._cluster_id = cluster_id
        self._version = version
        self._ways = tuple(neighbours)
        self._avoided: set[Endpoint] = set()
        self._fanout = len(self._ways) if fanout is None else fanout
        self.neighbours = self._ways[: self._fanout]
        self._interval = interval
        self._send = send
        self._log: list[tuple[Fact, Endpoint | None]] = []
        self._cursors = dict.fromkeys(self._ways, 0)
        self._pause = interval
        self._lag = lag
        self._last = -inf
        self._said: dict[Rank, dict[Statement, int]] = {}
        """Who is known to have said what, at each rank that was not forgotten."""
        self._reported: dict[tuple[Endpoint, bytes], int] = {}
        """The rings on which a member was ever reported down."""
        self._revisions: dict[tuple[Endpoint, bytes], dict[int, int]] = {}
        """The revision that holds for each of these rings, where it is not 0."""
        self._forgotten = 0
        self._everything: dict[bool, Facts] = {}
        self.digest = 0
        self.count = 0
        """How many facts were ever new here."""
        self.due = inf

    def append(self, fact: Fact, source: Endpoint | None, now: float) -> None:
        """A fact that was not known here before; ``source`` told it, None when it is our own."""
        if isinstance(fact, Alert):
            self.digest ^= self._mark_of(fact)
        elif isinstance(fact, Cut):
            self.digest ^= _mark(fact.digest, 1)
        else:
            statement, bits = _parted(fact)
            said = self._said.setdefault(fact.rank, {})
            known = said.get(statement, 0)
            said[statement] = known | bits
            self.digest ^= _mark(statement, bits & ~known)
        self._log.append((fact, source))
        self.count += 1
        self._everything.clear()
        if self.neighbours and self.due > now:
            down = isinstance(fact, Alert) and fact.status is Status.DOWN
            soonest = now + GATHER * self._interval if down else now
            self.due = min(self.due, max(soonest, self._last + self._pause_before(fact, now)))

    def avoid(self, neighbour: Endpoint) -> None:
        """This one does not answer: the next takes its place, and what was said so far goes there, too."""
        self._avoided.add(neighbour)
        self._choose()

    def trust(self, neighbour: Endpoint, now: float) -> None:
        """This one answers: if it was avoided it is told again, and what it was not told meanwhile."""
        if neighbour in self._avoided:
            self._avoided.discard(neighbour)
            self._choose()
            if neighbour in self.neighbours and self._cursors[neighbour] < len(self._log):
                self.due = min(self.due, max(now, self._last + self._interval))

    def forget(self, rank: Rank) -> None:
        """What was said of this rank is no fact any more; it must not come again."""
        for statement, bits in self._said.pop(rank, {}).items():
            self.digest ^= _mark(statement, bits)
        self._everything.clear()
        self._superseded()

    def wake(self, now: float) -> None:
        if now < self.due:
            return
        self.due = inf
        busy = now - self._last <= 2 * max(self._pause, PATIENCE[Status.UP] * self._lag.at(now))
        self._pause = min(4 * self._pause, STRETCH * self._interval) if busy else self._interval
        self._last = now
        end = len(self._log)
        batches: dict[int, Facts | None] = {}
        sources: dict[int, set[Endpoint | None]] = {}
        for neighbour in self.neighbours:
            start = self._cursors[neighbour]
            if start == end:
                continue
            self._cursors[neighbour] = end
            if start not in sources:
                sources[start] = {source for _, source in self._log[start:]}
            if neighbour in sources[start]:
                batch = self._batch([entry for entry in self._log[start:] if entry[1] != neighbour])
            else:
                if start not in batches:
                    batches[start] = self._batch(self._log[start:])
                batch = batches[start]
            if batch is not None:
                self._send(neighbour, batch)

    def _mark_of(self, alert: Alert) -> int:
        """What this alert changes in the digest: a report that it supersedes is no fact any more."""
        subject = alert.subject
        # without the ground: what was said on two is still the same
        name = (subject.endpoint, bytes(subject.node_id), int(alert.status))
        if alert.status not in (Status.DOWN, Status.WITHDRAWN):
            return _mark(name, alert.rings)
        process = name[:2]
        reported = self._reported.get(process, 0)
        self._reported[process] = reported | alert.rings
        mark = _mark((*process, alert.revision), alert.rings)
        if alert.revision:
            revisions = self._revisions.setdefault(process, {})
            for ring in range(alert.rings.bit_length()):
                if alert.rings >> ring & 1:
                    if reported >> ring & 1:
                        mark ^= _mark((*process, revisions.get(ring, 0)), 1 << ring)
                        self._superseded()
                    revisions[ring] = alert.revision
        return mark

    def _superseded(self) -> None:
        """One more fact of the log is none any more."""
        self._everything.clear()
        self._forgotten += 1
        if self._forgotten >= COMPACTION:
            self._compact()

    def _current(self, alert: Alert) -> int:
        """The rings for which this alert still holds."""
        if not self._revisions or alert.status not in (Status.DOWN, Status.WITHDRAWN):
            return alert.rings
        revisions = self._revisions.get((alert.subject.endpoint, bytes(alert.subject.node_id)))
        if revisions is None:
            return alert.rings
        return sum(
            1 << ring
            for ring in range(alert.rings.bit_length())
            if alert.rings >> ring & 1 and revisions.get(ring, 0) == alert.revision
        )

    def _choose(self) -> None:
        ways = [way for way in self._ways if way not in self._avoided] or self._ways
        self.neighbours = tuple(ways[: self._fanout])

    def _pause_before(self, fact: Fact, now: float) -> float:
        """How long after the last batch this one may leave."""
        if isinstance(fact, Alert):
            patience = PATIENCE[fact.status]
            least = self._pause if fact.status is Status.UP else self._interval
            if fact.status is Status.DOWN:
                least *= PACE
        else:
            patience, least = HASTE, self._interval
        lag = self._lag.at(now)
        return max(least, min(patience * lag, PATIENCE_LIMIT)) if lag else least

    def everything(self, complete: bool) -> Facts:
        """All facts at once, to level with a peer."""
        facts = self._everything.get(complete)
        if facts is None:
            facts = self._batch(self._log, complete) or self._facts(complete=complete)
            self._everything[complete] = facts
        return facts

    def informed(self, cut: Cut) -> set[Endpoint]:
        """The neighbours that were sent this body, or told it."""
        for at, (fact, source) in enumerate(self._log):
            if isinstance(fact, Cut) and fact.digest == cut.digest:
                return {
                    neighbour
                    for neighbour, cursor in self._cursors.items()
                    if at < cursor or source == neighbour
                }
        return set()

    def _batch(self, span: Sequence[tuple[Fact, Endpoint | None]], complete: bool = False) -> Facts | None:
        """These facts without those that were forgotten; None when none are left."""
        if len(span) == 1 and isinstance(only := span[0][0], Alert) and self._current(only) == only.rings:
            return self._facts((only,), complete=complete)
        alerts: dict[tuple[Endpoint, NodeId, Status, Ground, int], Alert] = {}
        proposals: list[Cut] = []
        prepares: list[Prepare] = []
        accepts: list[Accept] = []
        promises: dict[tuple[Rank, Rank, CutDigest | None], int] = {}
        votes: dict[tuple[Rank, CutDigest], int] = {}
        for fact, _ in span:
            if isinstance(fact, Alert):
                rings = self._current(fact)
                if not rings:
                    continue
                subject = fact.subject
                about = (subject.endpoint, subject.node_id, fact.status, fact.ground, fact.revision)
                other = alerts.get(about)
                if other is None:
                    alerts[about] = fact if rings == fact.rings else fact._replace(rings=rings)
                else:
                    observer = fact.observer if fact.observer == other.observer else None
                    alerts[about] = other._replace(observer=observer, rings=other.rings | rings)
            elif isinstance(fact, Cut):
                proposals.append(fact)
            elif fact.rank not in self._said:
                continue
            elif isinstance(fact, Vote):
                choice = (fact.rank, fact.digest)
                votes[choice] = votes.get(choice, 0) | fact.voters
            elif isinstance(fact, Promise):
                last = (fact.rank, fact.vrank, fact.digest)
                promises[last] = promises.get(last, 0) | fact.voters
            elif isinstance(fact, Prepare):
                prepares.append(fact)
            else:
                accepts.append(fact)
        if not (alerts or proposals or prepares or promises or accepts or votes):
            return None
        return self._facts(
            tuple(alerts.values()),
            tuple(proposals),
            tuple(prepares),
            tuple(Promise(*last, voters) for last, voters in promises.items()),
            tuple(accepts),
            tuple(Vote(*choice, voters) for choice, voters in votes.items()),
            complete,
        )

    def _facts(
        self,
        alerts: tuple[Alert, ...] = (),
        proposals: tuple[Cut, ...] = (),
        prepares: tuple[Prepare, ...] = (),
        promises: tuple[Promise, ...] = (),
        accepts: tuple[Accept, ...] = (),
        votes: tuple[Vote, ...] = (),
        complete: bool = False,
    ) -> Facts:
        return Facts(
            self._me, self._cluster_id, self._version, alerts, proposals, prepares, promises, accepts, votes,
            complete,
        )  # fmt: skip

    def _compact(self) -> None:
        """Rid the log of what was forgotten or superseded."""
        log, self._log = self._log, []
        places = [0]
        for entry in log:
            fact = entry[0]
            if isinstance(fact, Alert):
                holds = self._current(fact) != 0
            else:
                holds = isinstance(fact, Cut) or fact.rank in self._said
            if holds:
                self._log.append(entry)
            places.append(len(self._log))
        self._cursors = {neighbour: places[cursor] for neighbour, cursor in self._cursors.items()}
        self._forgotten = 0


def _parted(statement: Statement) -> tuple[Statement, int]:
    """What is said, and who says it, as a bitmap."""
    if isinstance(statement, Vote):
        return Vote(statement.rank, statement.digest, 0), statement.voters
    if isinstance(statement, Promise):
        return Promise(statement.rank, statement.vrank, statement.digest, 0), statement.voters
    return statement, 1


@lru_cache(maxsize=1 << 12, typed=True)
def _mark(name: object, bits: int) -> int:
    """64 bits for a name and each bit of a bitmap, taken together by exclusive or."""
    mark, encoded = 0, repr(name).encode()
    while bits:
        lowest = bits & -bits
        mark ^= xxhash.xxh64_intdigest(encoded, lowest.bit_length())
        bits ^= lowest
    return mark
