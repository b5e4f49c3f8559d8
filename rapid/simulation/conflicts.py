"""How often members propose different cuts (paper section 7, figure 11): the cut detector without a network.

Some members fail. Every member that is left hears all the alerts about them, one for each observer and
subject, in a random order of its own, and proposes at the first moment that the detector does. Unless its
proposal names all that failed, it conflicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import NamedTuple

from rapid.detection.alert import Alert, Status
from rapid.detection.cut_detector import CutDetector, ring_bits
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import Endpoint
from rapid.simulation.errors import ScenarioError
from rapid.simulation.sample import sampled


@dataclass(frozen=True, slots=True)
class Conflicts:
    """What ``members`` members did under one setting, all repetitions together."""

    h: int
    l: int  # noqa: E741 - the paper's name
    failed: int
    members: int
    conflicting: int
    """They proposed a part of the failed members only."""
    silent: int
    """They proposed nothing, though they heard everything."""

    @property
    def rate(self) -> float:
        """The share of members whose proposal conflicts, 0 to 1."""
        return self.conflicting / self.members


class Part(NamedTuple):
    """A piece of a study that can run by itself, in any process: one draw of the failed members."""

    failed: int
    repetition: int


class Heard(NamedTuple):
    """One alert as one member hears it, and what decides whether the detector may have an answer now."""

    alert: Alert
    reported: int
    """On how many rings its subject was reported, this alert included."""
    inferable: int
    """On how many rings the subject's observer failed too: the detector may come to count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictStudy:
    """Which clusters, failures and watermarks to try: every H with every L, for every number of failed.

    Raises :class:`ScenarioError`, which names the field, when a value is out of range. The same seed
    gives the same figures, whatever runs beside.
    """

    nodes: int = 1000
    k: int = 10
    h: tuple[int, ...] = (6, 7, 8, 9)
    l: tuple[int, ...] = (1, 2, 3, 4)  # noqa: E741 - the paper's name
    failed: tuple[int, ...] = (2, 4, 8, 16)
    repetitions: int = 20
    seed: int = 1
    published: bool = False
    """As the paper seems to have done it: failed members report like others, each ring is a report of
    its own, and the detector infers nothing."""

    def __post_init__(self) -> None:
        if self.nodes < 2:
            raise ScenarioError("nodes", f"{self.nodes} members; take at least 2")
        if not 1 <= self.k <= 32:
            raise ScenarioError("k", f"{self.k} rings; take 1 to 32")
        for name in ("h", "l", "failed"):
            if not getattr(self, name):
                raise ScenarioError(name, "no value to try")
        for h in self.h:
            if not 1 <= h <= self.k:
                raise ScenarioError("h", f"high watermark {h} is not within 1 to k={self.k}")
        for low in self.l:
            if not 1 <= low <= min(self.h):
                raise ScenarioError("l", f"low watermark {low} is not within 1 to h={min(self.h)}")
        for failed in self.failed:
            if not 1 <= failed < self.nodes:
                raise ScenarioError("failed", f"{failed} of {self.nodes} members")
        if self.repetitions < 1:
            raise ScenarioError("repetitions", f"{self.repetitions}; take at least 1")

    @property
    def settings(self) -> list[tuple[int, int]]:
        """Every pair (H, L)."""
        return list(product(self.h, self.l))

    def parts(self) -> list[Part]:
        """The pieces, the dearest first: several processes then end together."""
        return [
            Part(failed, number)
            for failed in sorted(self.failed, reverse=True)
            for number in range(self.repetitions)
        ]

    def measure(self, part: Part) -> list[Conflicts]:
        """Draw a cluster and its failed members, and ask every other member for its proposal.

        A member hears the alerts in the same order under every (H, L), so that these are compared by
        what they are and not by luck.
        """
        rng = Random(f"{self.seed}/{part.failed}/{part.repetition}")
        scene = Scene(sampled(self.nodes, self.k, rng), part.failed, rng, self.published)
        conflicting: Counter[tuple[int, int]] = Counter()
        silent: Counter[tuple[int, int]] = Counter()
        alerts = list(scene.alerts)
        members = self.nodes - part.failed
        for _ in range(members):
            rng.shuffle(alerts)
            heard = scene.heard(alerts)
            for setting in self.settings:
                cut = scene.proposal(heard, *setting)
                if cut is None:
                    silent[setting] += 1
                elif cut != scene.whole:
                    conflicting[setting] += 1
        return [
            Conflicts(h, low, part.failed, members, conflicting[h, low], silent[h, low])
            for h, low in self.settings
        ]

    def combined(self, measured: Iterable[list[Conflicts]]) -> list[Conflicts]:
        """One row for each H, L and number of failed, in the order in which they were asked for."""
        totals: dict[tuple[int, int, int], list[int]] = {
            (h, low, failed): [0, 0, 0] for h, low in self.settings for failed in self.failed
        }
        for row in (row for rows in measured for row in rows):
            total = totals[row.h, row.l, row.failed]
            total[0] += row.members
            total[1] += row.conflicting
            total[2] += row.silent
        return [Conflicts(*key, *total) for key, total in totals.items()]


class Scene:
    """A configuration, those of its members that failed, and the alerts of those that see it."""

    def __init__(
        self, configuration: Configuration, failed: int, rng: Random, published: bool = False
    ) -> None:
        subjects = rng.sample(configuration.members, failed)
        self.whole = Cut.of(Removal(subject.endpoint, subject.node_id) for subject in subjects)
        """The one proposal that is no conflict."""
        down = {subject.endpoint for subject in subjects}
        self._watchers = {subject.endpoint: configuration.observers(subject.endpoint) for subject in subjects}
        self.alerts = [
            Alert(watcher, subject, Status.DOWN, rings)
            for subject in subjects
            for watcher, rings in reports(self._watchers[subject.endpoint], published)
            if published or watcher not in down
        ]
        detector = CutDetector(configuration, 1, 1)
        problems = [problem for alert in self.alerts if (problem := detector.problem(alert))]
        assert not problems, problems
        # where nobody is a member nobody observes anyone, so the detector finds nothing to infer
        self._known = sampled(0, configuration.k, rng) if published else configuration
        self._inferable = {
            subject: 0 if published else sum(watcher in down for watcher in watchers)
            for subject, watchers in self._watchers.items()
        }

    def heard(self, alerts: list[Alert]) -> list[Heard]:
        """The alerts in this order, as one member hears them."""
        counts: dict[Endpoint, int] = dict.fromkeys(self._watchers, 0)
        found = []
        for alert in alerts:
            subject = alert.subject.endpoint
            counts[subject] += alert.rings.bit_count()
            found.append(Heard(alert, counts[subject], self._inferable[subject]))
        return found

    def proposal(self, heard: list[Heard], h: int, l: int) -> Cut | None:  # noqa: E741 - the paper's name
        """What a member with these watermarks proposes first; None when it never does.

        The detector is asked only after an alert whose subject is at H with it, and with all that may be
        inferred of it. After any other the answer is None: the subject is unstable, or noise yet.
        """
        detector = CutDetector(self._known, h, l)
        add, propose = detector.add, detector.propose
        for alert, reported, inferable in heard:
            add(alert)
            if h <= reported + inferable:
                cut = propose()
                if cut is not None:
                    return cut
        return None


def reports(watchers: tuple[Endpoint, ...], ring_by_ring: bool) -> list[tuple[Endpoint, int]]:
    """Who reports a subject that these observe, and the rings in each report."""
    if ring_by_ring:
        return [(watcher, 1 << ring) for ring, watcher in enumerate(watchers)]
    return [(watcher, ring_bits(watchers, watcher)) for watcher in dict.fromkeys(watchers)]
