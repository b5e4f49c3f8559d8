"""One monitor in virtual time, and subjects that answer as they are told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from random import Random

import pytest

from rapid.detection.judge import Consecutive, MakeJudge, PhiAccrual, Windowed
from rapid.detection.lag import Lag
from rapid.detection.monitor import Edge, Monitor
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.settings import Settings

RTT = 0.001
LAN = Settings.lan()
by_every_judge = pytest.mark.parametrize(
    "judge", [Windowed(), Consecutive(), PhiAccrual()], ids=lambda judge: type(judge).__name__
)
SLACK = 1e-6
"""Seconds that sums of floating point may be off."""


@dataclass
class Subject:
    """What becomes of a probe: it is acknowledged after ``rtt``, or refused after that time, or lost."""

    rtt: float = RTT
    silent_from: float = inf
    refuses_from: float = inf
    passes: bool = True
    """What the application's check of it says ..."""
    takes: float = RTT
    """... after this long."""


class Bench:
    """Member 0 of a configuration watches its subjects."""

    def __init__(
        self,
        size: int = 6,
        make_judge: MakeJudge | None = None,
        settings: Settings = LAN,
        *,
        checks: bool = False,
        seed: int = 1,
    ) -> None:
        self.now = 0.0
        self.settings = settings
        self.stats = Counter[str]()
        self.lag = Lag(settings.probe_timeout)
        self.probes: list[tuple[float, Endpoint]] = []
        self.checks: list[tuple[float, Endpoint, int]] = []
        """When the application was asked about which subject, for the probe of which number."""
        self.verdicts: dict[Endpoint, float] = {}
        self.changing = False
        """Whether a change of the view is under way."""
        self.monitor = Monitor(
            settings,
            Random(seed),
            make_judge or Windowed(settings.window, settings.failures),
            self._probe,
            self._faulty,
            self._check if checks else None,
            self.stats,
            self.lag,
            lambda: self.changing,
        )
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.configuration = Configuration.of(ClusterId(bytes(16)), 1, map(member, range(size)), settings.k)
        self.monitor.configure(self.configuration, at(0), self.now)
        self.subjects = {endpoint: Subject() for endpoint in self.monitor.edges}
        self.one, self.other, *_ = (*self.subjects, *self.subjects)

    def edge(self, endpoint: Endpoint) -> Edge:
        return self.monitor.edges[endpoint]

    def run(self, seconds: float) -> None:
        """Let everything happen that happens within this time."""
        end = self.now + seconds
        while (due := min(self.monitor.due, self._heap[0][0] if self._heap else inf)) <= end:
            self.now = max(self.now, due)
            if self._heap and self._heap[0][0] <= self.monitor.due:
                heappop(self._heap)[2]()
            else:
                self.monitor.wake(self.now)
        self.now = end

    def sleep(self, seconds: float) -> None:
        """This process does nothing for a while, not even receive."""
        self.now += seconds

    def after(self, delay: float, act: Callable[[], None]) -> None:
        self._order += 1
        heappush(self._heap, (self.now + delay, self._order, act))

    def until(self, condition: Callable[[], bool]) -> None:
        """Run until this holds; fail when it does not within two minutes."""
        end = self.now + 120.0
        while not condition():
            assert self.now < end, "it does not come about"
            self.run(0.01)

    def until_verdict(self, endpoint: Endpoint) -> float:
        """Run until the subject is found faulty; give the time that took."""
        began = self.now
        while endpoint not in self.verdicts:
            assert self.now - began < 1000, "no verdict"
            self.run(0.01)
        return self.verdicts[endpoint] - began

    def sent(self, endpoint: Endpoint, since: float = 0.0) -> list[float]:
        """When messages of probes went to this subject."""
        return [when for when, to in self.probes if to == endpoint and when >= since]

    def _probe(self, edge: Edge) -> None:
        endpoint, node_id, sequence = edge.subject.endpoint, edge.subject.node_id, edge.sequence
        self.probes.append((self.now, endpoint))
        subject = self.subjects[endpoint]
        if self.now >= subject.refuses_from:
            self.after(subject.rtt, lambda: self.monitor.refused(endpoint, self.now))
        elif self.now < subject.silent_from:
            self.after(subject.rtt, lambda: self.monitor.answered(endpoint, node_id, sequence, self.now))

    def _check(self, edge: Edge) -> None:
        endpoint, node_id, sequence = edge.subject.endpoint, edge.subject.node_id, edge.sequence
        self.checks.append((self.now, endpoint, sequence))
        subject = self.subjects[endpoint]
        passes = subject.passes
        self.after(subject.takes, lambda: self.monitor.checked(endpoint, node_id, sequence, passes, self.now))

    def _faulty(self, edge: Edge) -> None:
        self.verdicts.setdefault(edge.subject.endpoint, self.now)


def at(number: int) -> Endpoint:
    return Endpoint("10.0.0.1", 7000 + number)


def member(number: int) -> Member:
    return Member(at(number), NodeId(number.to_bytes(16, "big")))
