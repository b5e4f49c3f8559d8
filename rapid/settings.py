"""What can be tuned, validated at construction. All times are seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

from rapid.errors import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The knobs of one member. ``k``, ``h`` and ``l`` must be equal in a whole cluster.

    Raises :class:`SettingsError`, which names the field, when a value is out of range.
    """

    k: int = 10
    h: int = 9
    l: int = 3  # noqa: E741 - the paper's name
    probe_interval: float = 1.0
    probe_timeout: float = 0.6
    probe_retry: float = 0.1
    """How soon an edge is probed again after its subject's host refused the connection."""
    window: int = 10
    failures: int = 4
    """An edge is faulty when this many of the last ``window`` probes failed (the paper: 40 % of 10)."""
    batch_quiet: float = 0.1
    """Alerts leave together once none was added for this long (half as long for the first joins where a
    member is alone) ..."""
    batch_limit: float = 0.5
    """... and at the latest this long after the first; three times as long where a member is alone."""
    join_quiet: float = 0.02
    """The quiet that a first, lone join waits for instead of ``batch_quiet``."""
    gossip_interval: float = 0.05
    """The least time between two batches of facts to the neighbours in a large cluster."""
    everyone_limit: int = 21
    """Up to this many members all are gossip neighbours; beyond it, the subjects on the rings."""
    fallback_delay: float = 1.0
    """How long a fast round may take before a classic round starts."""
    fallback_stagger: float = 0.25
    """What each further coordinator waits beyond the one before it."""
    reinforcement_timeout: float = 3.0
    report_lifetime: float = 60.0
    """Once a subject has answered again for this long, its observer withdraws the report that it failed,
    unless the subject is about to be removed."""
    quorum_timeout: float = 10.0
    """After this long without agreement on a proposed change the member reports a lost quorum; after this
    long with most of its subjects silent as well, unless others answer it."""
    join_attempt: float = 1.0
    """How long one try at joining waits for an answer."""
    join_retry: float = 0.1
    """The first pause between tries; it doubles with jitter up to ``join_attempt``."""
    join_timeout: float = 30.0
    """How long a process tries to join, ``inf`` for ever; and a member to get into a larger cluster."""
    join_warning: float = 10.0
    """After this long without a cluster, at the start or after an eviction, a warning says what is waited
    for; then again after twice as long each time, up to 64 times as long."""
    rejoin_timeout: float = inf
    """How long an evicted process tries to join again before it ends; for ever by default."""
    found_delay: float = 0.5
    """How long the first seed looks for a cluster behind the others before it founds one."""
    outreach_interval: float = 5.0
    """How often a seed outside the view is probed: is there another cluster? Rarer with many members."""
    leave_timeout: float = 5.0
    exit_timeout: float = 2.0
    """How long leaving may take where somebody waits for the end: when the process ends with a member in it,
    when a block is ended by a cancellation, Ctrl-C or SystemExit, and after a start that failed."""
    history: int = 64
    """How many past cuts are kept for members that missed them."""
    message_limit: int = 64 * 1024
    """Bytes of one frame on the wire; what is larger goes in pieces. The same in a whole cluster."""
    queue_limit: int = 4096
    """Messages waiting for one peer; beyond it the oldest is dropped and counted."""

    def __post_init__(self) -> None:
        if not 1 <= self.k <= 32:
            raise SettingsError("k", f"{self.k} rings; take 1 to 32")
        if not 1 <= self.h <= self.k:
            raise SettingsError("h", f"high watermark {self.h} is not within 1 to k={self.k}")
        if not 1 <= self.l <= self.h:
            raise SettingsError("l", f"low watermark {self.l} is not within 1 to h={self.h}")
        if not 1 <= self.window <= 1024:
            raise SettingsError("window", f"{self.window} probes; take 1 to 1024")
        if not 1 <= self.failures <= self.window:
            raise SettingsError("failures", f"{self.failures} is not within 1 to window={self.window}")
        for name in (
            "probe_interval",
            "probe_timeout",
            "probe_retry",
            "fallback_delay",
            "join_attempt",
            "join_retry",
            "join_warning",
            "outreach_interval",
            "leave_timeout",
            "exit_timeout",
            "reinforcement_timeout",
            "report_lifetime",
            "quorum_timeout",
        ):
            value = getattr(self, name)
            if not 0 < value < 86400:
                raise SettingsError(name, f"{value} s; take more than 0 and less than a day")
        for name in ("join_timeout", "rejoin_timeout"):
            value = getattr(self, name)
            if not (0 < value < 86400 or value == inf):
                raise SettingsError(name, f"{value} s; take more than 0 and less than a day, or inf for ever")
        for name in (
            "batch_quiet", "batch_limit", "join_quiet", "gossip_interval", "fallback_stagger", "found_delay",
        ):  # fmt: skip
            value = getattr(self, name)
            if not 0 <= value < 3600:
                raise SettingsError(name, f"{value} s; take 0 or more and less than an hour")
        if self.probe_timeout > self.probe_interval:
            raise SettingsError("probe_timeout", f"{self.probe_timeout} s exceeds probe_interval")
        if self.report_lifetime < 3 * self.reinforcement_timeout:
            # else a report could be withdrawn before its echoes had their time
            raise SettingsError(
                "report_lifetime", f"{self.report_lifetime} s is below three times reinforcement_timeout"
            )
        if self.batch_quiet > self.batch_limit:
            raise SettingsError("batch_quiet", f"{self.batch_quiet} s exceeds batch_limit")
        for name, least in (
            ("everyone_limit", 1),
            ("history", 1),
            ("message_limit", 65536),
            ("queue_limit", 16),
        ):
            value = getattr(self, name)
            if value < least:
                raise SettingsError(name, f"{value}; take at least {least}")

    @classmethod
    def lan(cls, **changes: Any) -> Settings:
        """One data centre: the paper's 1 s probes."""
        return cls(**changes)

    @classmethod
    def wan(cls, **changes: Any) -> Settings:
        """Members far apart: patient probes and rounds."""
        base = cls(
            probe_interval=5.0,
            probe_timeout=3.0,
            probe_retry=0.5,
            batch_quiet=0.5,
            batch_limit=2.0,
            gossip_interval=0.1,
            fallback_delay=5.0,
            fallback_stagger=1.0,
            reinforcement_timeout=15.0,
            report_lifetime=300.0,
            quorum_timeout=60.0,
            join_attempt=5.0,
            join_timeout=120.0,
            join_warning=50.0,
            found_delay=2.0,
            outreach_interval=20.0,
            leave_timeout=20.0,
            exit_timeout=5.0,
        )
        return replace(base, **changes)

    @classmethod
    def local(cls, **changes: Any) -> Settings:
        """One machine, or tests: everything quick."""
        base = cls(
            probe_interval=0.2,
            probe_timeout=0.15,
            probe_retry=0.02,
            batch_quiet=0.03,
            batch_limit=0.15,
            gossip_interval=0.005,
            fallback_delay=0.3,
            fallback_stagger=0.05,
            reinforcement_timeout=1.0,
            report_lifetime=15.0,
            quorum_timeout=3.0,
            join_attempt=0.5,
            join_retry=0.03,
            join_timeout=15.0,
            join_warning=5.0,
            found_delay=0.1,
            outreach_interval=1.0,
            leave_timeout=3.0,
        )
        return replace(base, **changes)


def require_consistent(*, merge: bool, bootstrap_expect: int, cluster_id: object | None) -> None:
    """Raise :class:`SettingsError` for options of a member that contradict each other."""
    if cluster_id is None:
        return
    if merge:
        raise SettingsError(
            "merge", "merge is set and cluster_id too: a process that joins one cluster or none goes over to "
            "no other; take one of the two",
        )  # fmt: skip
    if bootstrap_expect > 1:
        raise SettingsError(
            "bootstrap_expect", f"bootstrap_expect is {bootstrap_expect} and cluster_id is set: a process "
            "that joins an existing cluster founds none; take one of the two",
        )  # fmt: skip
