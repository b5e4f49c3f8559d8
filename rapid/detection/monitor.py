"""The edges from this member to its subjects: when to probe each, and what the outcomes say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from math import floor, inf
from random import Random

from rapid.detection.alert import Ground
from rapid.detection.cut_detector import ring_bits
from rapid.detection.judge import Judge, MakeJudge
from rapid.detection.lag import Lag
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.settings import Settings

PATIENCE = 5
"""Times its own lag that a member waits longer, twice, for an answer."""
LEISURE = 0.1
"""Seconds of its own lag for each interval more until a member probes a healthy subject again ..."""
LEISURE_LIMIT = 3
"""... and how many more at most."""
STEADY = 4
"""Answers in a row after which a subject is probed every other interval only, until it fails to answer."""
GRACE = 3
"""Probes of a new subject that may go unanswered: on a busy machine connections take their time."""
CROWD = 30
"""Members that may come in at once without any delay ..."""
CROWD_PACE = 100
"""... and how many more for each interval that their first probes wait ..."""
CROWD_LIMIT = 5.0
"""... and how many intervals at most. They open all connections, and the news should be there first: where
many processes share a machine, those that have it would keep the others from it."""
IDLE, ASKED, ASKED_TWICE = range(3)
"""An edge rests; or waits for an answer, after the first message of a probe, or the second."""


class Edge:
    """One subject and the rings on which it is watched."""

    __slots__ = (
        "acked", "at", "failed_by", "grace", "healthy_since", "judge", "outcomes", "passed", "phase",
        "put_off", "replaced", "rings", "sent_at", "sequence", "streak", "subject",
    )  # fmt: skip

    def __init__(self, subject: Member, rings: int, judge: Judge, at: float) -> None:
        self.subject = subject
        self.rings = rings
        self.judge = judge
        self.at = at
        self.phase = IDLE
        self.sent_at = -inf
        self.sequence = 0
        self.outcomes = 0
        self.streak = 0
        """Good outcomes in a row."""
        self.grace = GRACE
        """Silence that is no outcome yet: the way to a new subject has to be opened first."""
        self.put_off = False
        """The next probe is not to wait any longer for the end of a change."""
        self.acked = False
        """The subject has acknowledged this probe."""
        self.passed = False
        """The application's own check of this probe has succeeded; or there is none."""
        self.replaced = False
        """Another process answers at the subject's address: this one is gone for certain."""
        self.healthy_since = -inf
        """When the judge last came to find the subject well; it may find it faulty now."""
        self.failed_by = Ground.UNSTATED
        """What the last outcome that was a failure rests on."""

    @property
    def faulty(self) -> bool:
        return self.replaced or self.judge.faulty

    @property
    def ground(self) -> Ground:
        """What the verdict rests on: the failure that tipped the scale, where they were of several kinds."""
        return Ground.REPLACED if self.replaced else self.failed_by

    @property
    def missing(self) -> Ground:
        """What a probe that fails now lacks: the ack, though it was asked for twice, or the check's word."""
        return Ground.SILENT if self.phase == ASKED_TWICE and not self.acked else Ground.UNHEALTHY

    def record(self, answered: bool, now: float, interval: float) -> None:
        """An outcome, at the time of the edge's own clock: see :class:`Judge`."""
        faulty = self.judge.faulty
        self.judge.record(answered, self.outcomes * interval + min(now - self.sent_at, interval))
        if faulty and not self.judge.faulty:
            self.healthy_since = now
        self.outcomes += 1


class Monitor:
    """Probes all subjects together once an interval, at a time of its own; calls back with faulty edges.

    One that has answered ``STEADY`` times in a row has every other probe left out: of what an idle
    member costs nearly all is probes. When it fails to answer it is asked again at once, and then once an
    interval: a silent one is found half an interval later than if it had been asked all the time.

    While the view is ``changing`` such a probe waits for an interval, once: where many processes share a
    machine, those that are to agree have better things to do.

    ``probe(edge)`` is to send a probe. One that stays unanswered for half the timeout is sent once
    more, so that one lost message is no outcome. With ``check``, the application is asked as well,
    once for each probe, and an outcome is good only when both have said so within the timeout.

    A refused connection is the host's own word that the process is gone: the edge is probed at the
    pace of ``probe_retry`` until the judge decides. When this process itself stalled, the outcomes of
    that span are void, and counted as a stall in ``stats``. ``due`` is the next time to :meth:`wake`.
    """

    def __init__(
        self,
        settings: Settings,
        rng: Random,
        make_judge: MakeJudge,
        probe: Callable[[Edge], None],
        faulty: Callable[[Edge], None],
        check: Callable[[Edge], None] | None = None,
        stats: Counter[str] | None = None,
        lag: Lag | None = None,
        changing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._settings = settings
        self._make_judge = make_judge
        self._probe = probe
        self._faulty = faulty
        self._check = check
        self._stats = Counter[str]() if stats is None else stats
        self._lag = Lag(settings.probe_timeout) if lag is None else lag
        self._changing = changing
        self._heap: list[tuple[float, int, Edge]] = []
        self._order = 0
        self._sequence = 0
        self._phase = rng.random() * settings.probe_interval
        self.edges: dict[Endpoint, Edge] = {}

    @property
    def due(self) -> float:
        return self._heap[0][0] if self._heap else inf

    @property
    def healthy_since(self) -> dict[Endpoint, float]:
        """The subjects that are not found faulty now, and since when."""
        return {endpoint: edge.healthy_since for endpoint, edge in self.edges.items() if not edge.faulty}

    def configure(self, configuration: Configuration, me: Endpoint, now: float, crowd: int = 0) -> None:
        """Watch the subjects of a new configuration; edges to the same process keep their history.

        ``crowd`` is how many members are new in it: new edges rest for a while where those are many.
        """
        watched = configuration.subjects(me)
        rest = min(max(0, crowd - CROWD) / CROWD_PACE, CROWD_LIMIT) * self._settings.probe_interval
        edges: dict[Endpoint, Edge] = {}
        for endpoint in dict.fromkeys(watched):
            subject = configuration.member(endpoint)
            assert subject is not None
            rings = ring_bits(watched, endpoint)
            edge = self.edges.get(endpoint)
            if edge is None or edge.subject.node_id != subject.node_id:
                edge = Edge(subject, rings, self._make_judge(), self._tick(now + rest))
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
        self._notice_stall(now)
        while self._heap and self._heap[0][0] <= now:
            at, _, edge = heappop(self._heap)
            if edge.at == at and self.edges.get(edge.subject.endpoint) is edge:
                self._advance(edge, now)

    def answered(self, endpoint: Endpoint, node_id: NodeId, sequence: int, now: float) -> None:
        """An ack came from this address, of this process."""
        self._notice_stall(now)
        edge = self._asked(endpoint, sequence)
        if edge is None:
            return
        if node_id == edge.subject.node_id:
            edge.acked = True
            self._conclude(edge, now)
        elif not edge.replaced:
            edge.replaced = True
            self._faulty(edge)

    def checked(self, endpoint: Endpoint, node_id: NodeId, sequence: int, passed: bool, now: float) -> None:
        """The application's own check of this process, made for this probe, has come to an end."""
        self._notice_stall(now)
        edge = self._asked(endpoint, sequence)
        if edge is None or node_id != edge.subject.node_id:
            return
        if passed:
            edge.passed = True
            self._conclude(edge, now)
        else:
            self._fail(edge, edge.missing, now)

    def refused(self, endpoint: Endpoint, now: float) -> None:
        """The host answered that no such process listens, or a connection to it was reset."""
        self._notice_stall(now)
        edge = self.edges.get(endpoint)
        if edge is None:
            return
        if edge.phase != IDLE:
            self._fail(edge, Ground.REFUSED, now)
        elif not edge.faulty:
            self.hurry(endpoint, now)

    def hurry(self, endpoint: Endpoint, now: float) -> None:
        """Probe this subject as soon as the retry interval allows."""
        self._notice_stall(now)
        edge = self.edges.get(endpoint)
        if edge is not None and edge.phase == IDLE:
            edge.put_off = True
            at = max(now, edge.sent_at + self._settings.probe_retry)
            if at < edge.at:
                self._rest(edge, at)

    def _asked(self, endpoint: Endpoint, sequence: int) -> Edge | None:
        """The edge that waits for the answer to this probe."""
        edge = self.edges.get(endpoint)
        return edge if edge is not None and edge.phase != IDLE and edge.sequence == sequence else None

    def _advance(self, edge: Edge, now: float) -> None:
        if edge.phase == IDLE:
            if edge.streak >= STEADY and not edge.put_off and self._changing():
                edge.put_off = True
                self._schedule(edge, edge.at + self._settings.probe_interval)
            else:
                self._begin(edge, now)
        elif edge.phase == ASKED:
            edge.phase = ASKED_TWICE
            # counted from now: when this process is a little late, the subject has its time all the same
            self._schedule(edge, now + self._patience(now))
            if not edge.acked:
                self._probe(edge)
        else:
            self._fail(edge, edge.missing, now)

    def _begin(self, edge: Edge, now: float) -> None:
        # no two probes of this process share a number, so no answer is taken for another's
        self._sequence += 1
        edge.sequence = self._sequence
        edge.sent_at = now
        edge.put_off = edge.acked = False
        edge.passed = self._check is None
        edge.phase = ASKED
        self._schedule(edge, now + self._patience(now))
        self._probe(edge)
        if self._check is not None:
            self._check(edge)

    def _conclude(self, edge: Edge, now: float) -> None:
        if edge.acked and edge.passed:
            edge.grace = 0
            edge.streak += 1
            interval = self._settings.probe_interval
            edge.record(True, now, interval)
            leisure = self._leisure(now)
            # all that are steady in the same intervals
            every = 2 if edge.streak >= STEADY and not leisure else 1
            after = edge.sent_at + (leisure + 0.5) * interval
            self._rest(edge, max(now, self._tick(after, every)))

    def _leisure(self, now: float) -> int:
        """Intervals to leave out: of the load of a machine with too many members most is probes."""
        return min(int(self._lag.at(now) / LEISURE), LEISURE_LIMIT)

    def _fail(self, edge: Edge, ground: Ground, now: float) -> None:
        settings = self._settings
        steady, edge.streak = edge.streak >= STEADY, 0
        refused = ground is Ground.REFUSED
        if refused or not edge.grace:
            edge.failed_by = ground
            edge.record(False, now, settings.probe_interval)
        else:
            edge.grace -= 1
        if refused and not edge.faulty:
            until = edge.sent_at + settings.probe_retry
        elif steady and ground is Ground.SILENT:
            until = now
        else:
            until = edge.sent_at + settings.probe_interval
        self._rest(edge, max(now, until))
        if edge.faulty:
            self._faulty(edge)

    def _patience(self, now: float) -> float:
        """How long to wait for an answer, before and after the repetition, by the delays seen here."""
        return self._settings.probe_timeout / 2 + PATIENCE * self._lag.at(now)

    def _tick(self, after: float, every: int = 1) -> float:
        """The next time that this member probes: all together costs far less than one by one."""
        interval = every * self._settings.probe_interval
        return self._phase + (floor((after - self._phase) / interval) + 1) * interval

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

    def _notice_stall(self, now: float) -> None:
        """Woken too late to tell a slow subject from its own sleep, this process asks all again."""
        if now - self.due <= self._settings.probe_timeout:
            return
        self._stats["stalls"] += 1
        for edge in self.edges.values():
            edge.phase = IDLE
            edge.at = self._tick(now)
        self._rebuild()
