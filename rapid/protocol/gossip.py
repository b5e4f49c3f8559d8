"""The facts of one epoch as an append-only log, and what of it each neighbour still lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

import xxhash

from rapid.consensus.facts import Accept, Prepare, Promise, Vote
from rapid.detection.alert import Alert
from rapid.overlay.cut import Cut
from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.messages import Facts

Fact = Alert | Cut | Prepare | Promise | Accept | Vote


class Gossip:
    """Spreads facts to the neighbours in batches; nothing goes twice to one neighbour, nor back.

    A first batch leaves at once, the next no sooner than ``interval`` seconds later, so that what
    arrives in between travels together. ``due`` is the next time to :meth:`wake`.
    """

    def __init__(
        self,
        me: Endpoint,
        cluster_id: ClusterId,
        version: int,
        neighbours: Sequence[Endpoint],
        interval: float,
        send: Callable[[Endpoint, Facts], None],
    ) -> None:
        self._me = me
        self._cluster_id = cluster_id
        self._version = version
        self.neighbours = tuple(neighbours)
        self._interval = interval
        self._send = send
        self._log: list[tuple[Fact, Endpoint | None]] = []
        self._cursors = dict.fromkeys(self.neighbours, 0)
        self._last = -inf
        self._digest: int | None = 0
        self.due = inf

    def append(self, fact: Fact, source: Endpoint | None, now: float) -> None:
        """A fact that was not known here before; ``source`` told it, None when it is our own."""
        self._log.append((fact, source))
        self._digest = None
        if self.due == inf and self.neighbours:
            self.due = max(now, self._last + self._interval)

    def wake(self, now: float) -> None:
        if now < self.due:
            return
        self.due = inf
        self._last = now
        end = len(self._log)
        batches: dict[int, Facts] = {}
        for neighbour in self.neighbours:
            start = self._cursors[neighbour]
            if start == end:
                continue
            self._cursors[neighbour] = end
            span = self._log[start:end]
            if any(source == neighbour for _, source in span):
                span = [entry for entry in span if entry[1] != neighbour]
                if span:
                    self._send(neighbour, self._batch(span))
                continue
            batch = batches.get(start)
            if batch is None:
                batch = batches[start] = self._batch(span)
            self._send(neighbour, batch)

    def everything(self, complete: bool) -> Facts:
        """All facts at once, to level with a peer."""
        return self._batch(self._log, complete)

    def knows(self, neighbour: Endpoint, cut: Cut) -> bool:
        """Whether this neighbour was sent this body, or told it."""
        cursor = self._cursors.get(neighbour, 0)
        for at, (fact, source) in enumerate(self._log):
            if isinstance(fact, Cut) and fact.digest == cut.digest:
                return at < cursor or source == neighbour
        return False

    @property
    def digest(self) -> int:
        """64 bits that two members share when they know the same facts, however they arrived."""
        if self._digest is None:
            self._digest = digest_of(self._batch(self._log))
        return self._digest

    def _batch(self, span: Sequence[tuple[Fact, Endpoint | None]], complete: bool = False) -> Facts:
        alerts: list[Alert] = []
        proposals: list[Cut] = []
        prepares: list[Prepare] = []
        accepts: list[Accept] = []
        promises: dict[Promise, int] = {}
        votes: dict[Vote, int] = {}
        for fact, _ in span:
            if isinstance(fact, Vote):
                key = Vote(fact.rank, fact.digest, 0)
                votes[key] = votes.get(key, 0) | fact.voters
            elif isinstance(fact, Alert):
                alerts.append(fact)
            elif isinstance(fact, Promise):
                last = Promise(fact.rank, fact.vrank, fact.digest, 0)
                promises[last] = promises.get(last, 0) | fact.voters
            elif isinstance(fact, Cut):
                proposals.append(fact)
            elif isinstance(fact, Prepare):
                prepares.append(fact)
            else:
                accepts.append(fact)
        return Facts(
            self._me,
            self._cluster_id,
            self._version,
            tuple(alerts),
            tuple(proposals),
            tuple(prepares),
            tuple(last._replace(voters=voters) for last, voters in promises.items()),
            tuple(accepts),
            tuple(key._replace(voters=voters) for key, voters in votes.items()),
            complete,
        )


def digest_of(facts: Facts) -> int:
    """Name a set of facts, whatever order it came in."""
    rings: dict[tuple[object, ...], int] = {}
    for alert in facts.alerts:
        key = (alert.observer, alert.subject.endpoint, bytes(alert.subject.node_id), int(alert.status))
        rings[key] = rings.get(key, 0) | alert.rings
    lines = [repr((key, bits)) for key, bits in rings.items()]
    lines += [cut.digest.hex() for cut in facts.proposals]
    for group in (facts.prepares, facts.promises, facts.accepts, facts.votes):
        lines += [repr(fact) for fact in group]
    if not lines:
        return 0
    return xxhash.xxh64_intdigest("\n".join(sorted(lines)).encode())
