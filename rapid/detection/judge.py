"""When is an edge faulty? Pure policies fed with the outcomes of probes.

A policy is described by a frozen value, such as ``Consecutive(failures=3)``; calling the description
makes a fresh judge, one for each edge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import erfc, fsum, inf, log10, sqrt
from typing import Protocol, runtime_checkable

from rapid.errors import SettingsError


@runtime_checkable
class Judge(Protocol):
    """The verdict on one edge: it sees every outcome, in order, and may take its verdict back.

    ``now`` is in seconds on the edge's own clock, on which one probe leaves each ``probe_interval``
    whatever happens. A retry after a refused connection, however soon, so counts as much as a probe
    that was silent for its whole interval, and the time that this process slept does not pass. It
    never goes backwards. Where it starts means nothing.

    Both are called on the protocol's thread: they must not block or read a clock. One that raises is
    replaced by the default judge.
    """

    def record(self, answered: bool, now: float) -> None:
        """One probe's outcome."""

    @property
    def faulty(self) -> bool:
        """The verdict on what was recorded so far; asked after each probe that failed."""
        raise NotImplementedError


MakeJudge = Callable[[], Judge]


@dataclass(frozen=True, slots=True)
class Windowed:
    """Faulty when at least ``failures`` of the last ``window`` probes failed. The paper's, and the default.

    It also finds the subject that answers now and then, as one behind a link that loses most
    messages, and is unmoved by a short pause. At the settings for a LAN, one that falls silent is
    found faulty 3.6 to 4.6 s later, one whose host refuses connections 0.3 to 0.4 s later.

    Raises :class:`SettingsError`, which names the field, when a value is out of range.
    """

    window: int = 10
    failures: int = 4

    def __post_init__(self) -> None:
        _require_whole("window", self.window, 1, 1024)
        _require_whole("failures", self.failures, 1, self.window)

    def __call__(self) -> Judge:
        return _WindowedJudge(self)


@dataclass(frozen=True, slots=True)
class Consecutive:
    """Faulty when the last ``failures`` probes all failed; one answer clears the subject.

    For subjects that may be slow or lossy and still are to stay: it never removes one that answers
    every now and then. With fewer failures it is quick instead: at the settings for a LAN, one that
    falls silent is found faulty ``failures - 0.4`` to ``failures + 0.6`` s later, one whose host
    refuses connections about ``failures / 10`` s later.

    Raises :class:`SettingsError`, which names the field, when a value is out of range.
    """

    failures: int = 4

    def __post_init__(self) -> None:
        _require_whole("failures", self.failures, 1, 1024)

    def __call__(self) -> Judge:
        return _ConsecutiveJudge(self.failures)


@dataclass(frozen=True, slots=True)
class PhiAccrual:
    """Faulty when the silence is too improbable, after what this subject has shown before.

    The accrual detector of Hayashibara et al. (2004), fed with probes: its intervals are the times
    between answers, the last ``window`` of them, taken as normally distributed. When a probe fails,
    ``phi = -log10(p)``, where p is the probability that an answer comes yet later than now; from
    ``threshold`` on the subject is faulty. ``acceptable_pause`` is added to the mean, and ``min_std``
    is the least standard deviation that is believed. Both are multiples of the mean interval, so that
    one description suits any ``probe_interval``. Until there is an interval, the time between the
    last two outcomes stands in for it.

    For members that differ, near and far, steady and lossy: each is judged by its own past. But it
    gets used to what it sees: it keeps a subject that always lost every second probe, which
    :class:`Windowed` removes. At the settings for a LAN, one that was steady and falls silent is found
    faulty 3.6 to 4.6 s later, one whose host refuses connections 0.4 to 0.5 s later.

    Raises :class:`SettingsError`, which names the field, when a value is out of range.
    """

    threshold: float = 8.0
    window: int = 100
    min_std: float = 0.1
    acceptable_pause: float = 2.5

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 300:
            raise SettingsError("threshold", f"phi {self.threshold}; take more than 0 and at most 300")
        _require_whole("window", self.window, 1, 10_000)
        if not 0 < self.min_std <= 100:
            raise SettingsError("min_std", f"{self.min_std} intervals; take more than 0 and at most 100")
        if not 0 <= self.acceptable_pause <= 1000:
            raise SettingsError("acceptable_pause", f"{self.acceptable_pause} intervals; take 0 to 1000")

    def __call__(self) -> Judge:
        return _PhiJudge(self)


class _WindowedJudge:
    __slots__ = ("_failures", "_mask", "_outcomes")

    def __init__(self, policy: Windowed) -> None:
        self._mask = (1 << policy.window) - 1
        self._failures = policy.failures
        self._outcomes = 0

    def record(self, answered: bool, now: float) -> None:
        self._outcomes = (self._outcomes << 1 | (not answered)) & self._mask

    @property
    def faulty(self) -> bool:
        return self._outcomes.bit_count() >= self._failures


class _ConsecutiveJudge:
    __slots__ = ("_failed", "_failures")

    def __init__(self, failures: int) -> None:
        self._failures = failures
        self._failed = 0

    def record(self, answered: bool, now: float) -> None:
        self._failed = 0 if answered else self._failed + 1

    @property
    def faulty(self) -> bool:
        return self._failed >= self._failures


class _PhiJudge:
    __slots__ = ("_answered_at", "_intervals", "_policy", "_recorded_at", "_silent_since", "phi")

    def __init__(self, policy: PhiAccrual) -> None:
        self._policy = policy
        self._intervals: deque[float] = deque(maxlen=policy.window)
        self._answered_at: float | None = None
        self._silent_since = inf
        self._recorded_at: float | None = None
        self.phi = 0.0

    def record(self, answered: bool, now: float) -> None:
        if answered:
            if self._answered_at is not None:
                self._intervals.append(now - self._answered_at)
            self._answered_at = self._silent_since = now
            self.phi = 0.0
        else:
            # of a subject that never answered the silence began with the first outcome
            self._silent_since = min(self._silent_since, now)
            self.phi = self._suspicion(now)
        self._recorded_at = now

    @property
    def faulty(self) -> bool:
        return self.phi >= self._policy.threshold

    def _suspicion(self, now: float) -> float:
        if self._intervals:
            count = len(self._intervals)
            mean = fsum(self._intervals) / count
            variance = fsum((interval - mean) ** 2 for interval in self._intervals) / count
        elif self._recorded_at is not None:
            mean, variance = now - self._recorded_at, 0.0
        else:
            return 0.0
        std = max(sqrt(variance), self._policy.min_std * mean)
        overdue = now - self._silent_since - mean * (1 + self._policy.acceptable_pause)
        if std == 0.0:
            return 0.0
        later = erfc(overdue / std / sqrt(2)) / 2
        return -log10(later) if later > 0.0 else inf


def _require_whole(field: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(field, f"{value!r}; take a whole number from {least} to {most}")
