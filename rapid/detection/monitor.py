"""The edges from this member to its subjects: when to probe each, and what the outcomes say."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from random import Random

from rapid.detection.cut_detector import ring_bits
from rapid.detection.judge import Judge, MakeJudge
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.settings import Settings

IDLE, ASKED, ASKED_TWICE = range(3)


class Edge:
    """One subject and the rings on which it is watched."""

    __slots__ = ("at", "judge", "phase", "replaced", "rings", "sent_at", "sequence", "subject")

    def __init__(self, subject: Member, rings: int, judge: Judge, at: float) -> None:
        self.subject = subject
        self.rings = rings
        self.judge = judge
        self.at = at
        self.phase = IDLE
        self.sent_at = -inf
        self.sequence = 0
        self.replaced = False
        """Another process answers at the subject's address: this one is gone for certain."""

    @property
    def faulty(self) -> bool:
        return self.replaced or self.judge.faulty


class Monitor:
    """Probes each subject once an interval, spread over it; calls back with faulty edges.

    A probe that stays unanswered for half the timeout is sent once more, so that one lost message
    is no outcome. A refused connection is the host's own word that the process is gone: the edge
    is probed again after ``probe_retry`` until the judge decides. When this process itself
    stalled, the outcomes of that span are void. ``due`` is the next time to :meth:`wake`.
    """

    def __init__(
        self,
        settings: Settings,
        rng: Random,
        make_judge: MakeJudge,
        probe: Callable[[Edge], None],
        faulty: Callable[[Edge], None],
    ) -> None:
        self._settings = settings
        self._rng = rng
        self._make_judge = make_judge
        self._probe = probe
        self._faulty = faulty
        self._heap: list[tuple[float, int, Edge]] = []
        self._order = 0
        self.edges: dict[Endpoint, Edge] = {}
        self.voided = 0

    @property
    def due(self) -> float:
        return self._heap[0][0] if self._heap else inf

    def configure(self, configuration: Configuration, me: Endpoint, now: float) -> None:
        """Watch the subjects of a new configuration; edges to the same process keep their history."""
        watched = configuration.subjects(me)
        edges: dict[Endpoint, Edge] = {}
        for endpoint in dict.fromkeys(watched):
            subject = configuration.member(endpoint)
            assert subject is not None
            rings = ring_bits(watched, endpoint)
            edge = self.edges.get(endpoint)
            if edge is None or edge.subject.node_id != subject.node_id:
                first = now + self._rng.random() * self._settings.probe_interval
                edge = Edge(subject, rings, self._make_judge(), first)
            edge.rings = rings
            edges[endpoint] = edge
        self.edges = edges
        self._rebuild()

    def stop(self) -> None:
        self.edges = {}
        self._heap = []

    def report_faulty(self) -> None:
        """Call back with every edge that is faulty as of now."""
        for edge in self.edges.values():
            if edge.faulty:
                self._faulty(edge)

    def wake(self, now: float) -> None:
        """Do what is due."""
        heap = self._heap
        if heap and now - heap[0][0] > self._settings.probe_timeout:
            self._void(now)
        while self._heap and self._heap[0][0] <= now:
            at, _, edge = heappop(self._heap)
            if edge.at == at and self.edges.get(edge.subject.endpoint) is edge:
                self._advance(edge, now)

    def answered(self, endpoint: Endpoint, node_id: NodeId, sequence: int, now: float) -> None:
        """An ack came from this address, of this process."""
        edge = self.edges.get(endpoint)
        if edge is None:
            return
        if node_id != edge.subject.node_id:
            if not edge.replaced:
                edge.replaced = True
                self._faulty(edge)
            return
        if sequence == edge.sequence and edge.phase != IDLE:
            edge.judge.record(True, now)
            self._rest(edge, max(now, edge.sent_at + self._settings.probe_interval))

    def refused(self, endpoint: Endpoint, now: float) -> None:
        """The host answered that no such process listens, or a connection to it was reset.

        Processes seldom go alone: the other subjects are asked at once, so that those that went
        together are reported together.
        """
        edge = self.edges.get(endpoint)
        if edge is None:
            return
        if edge.phase == IDLE:
            self.hurry(endpoint, now)
        else:
            self._failed(edge, now, now + self._settings.probe_retry)
        for other in self.edges:
            self.hurry(other, now)

    def hurry(self, endpoint: Endpoint, now: float) -> None:
        """Probe this subject as soon as the retry interval allows."""
        edge = self.edges.get(endpoint)
        if edge is not None and edge.phase == IDLE:
            at = max(now, edge.sent_at + self._settings.probe_retry)
            if at < edge.at:
                self._rest(edge, at)

    def _advance(self, edge: Edge, now: float) -> None:
        if edge.phase == IDLE:
            edge.sequence += 1
            edge.sent_at = now
            self._ask(edge, ASKED, now + self._settings.probe_timeout / 2)
        elif edge.phase == ASKED:
            self._ask(edge, ASKED_TWICE, max(now, edge.sent_at + self._settings.probe_timeout))
        else:
            self._failed(edge, now, max(now, edge.sent_at + self._settings.probe_interval))

    def _ask(self, edge: Edge, phase: int, until: float) -> None:
        edge.phase = phase
        self._schedule(edge, until)
        self._probe(edge)

    def _failed(self, edge: Edge, now: float, again_at: float) -> None:
        edge.judge.record(False, now)
        self._rest(edge, again_at)
        if edge.faulty:
            self._faulty(edge)

    def _rest(self, edge: Edge, until: float) -> None:
        edge.phase = IDLE
        self._schedule(edge, until)

    def _schedule(self, edge: Edge, at: float) -> None:
        edge.at = at
        self._order += 1
        heappush(self._heap, (at, self._order, edge))

    def _rebuild(self) -> None:
        self._heap = sorted((edge.at, order, edge) for order, edge in enumerate(self.edges.values()))
        self._order = len(self._heap)

    def _void(self, now: float) -> None:
        """This process woke too late to tell a slow subject from its own sleep: ask all again."""
        self.voided += 1
        interval = self._settings.probe_interval
        for edge in self.edges.values():
            edge.phase = IDLE
            edge.at = now + self._rng.random() * interval
        self._rebuild()
