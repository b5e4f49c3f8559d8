"""The condition of a directed link between two members. All times are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from random import Random
from typing import Protocol

from rapid.simulation.errors import ScenarioError


class Distribution(Protocol):
    """Where delays come from. ``sample`` gives one that is not negative."""

    def sample(self, rng: Random) -> float: ...


@dataclass(frozen=True, slots=True)
class Uniform:
    """Evenly spread from ``low`` to ``high``."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (isfinite(self.high) and 0 <= self.low <= self.high):
            raise ScenarioError("latency", f"{self.low} to {self.high} s; take 0 <= low <= high")

    def sample(self, rng: Random) -> float:
        return self.low + (self.high - self.low) * rng.random()


@dataclass(frozen=True, slots=True)
class LongTail:
    """Never below ``low``; beyond it exponential, ``mean`` more on average."""

    low: float
    mean: float

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and self.low >= 0 and isfinite(self.mean) and self.mean > 0):
            raise ScenarioError("latency", f"{self.low} s and {self.mean} s more; take low >= 0 and mean > 0")

    def sample(self, rng: Random) -> float:
        return self.low + rng.expovariate(1.0 / self.mean)


LAN = Uniform(0.0002, 0.001)
WAN = LongTail(0.03, 0.02)


@dataclass(frozen=True, slots=True)
class Flap:
    """A condition that holds for ``bad`` seconds, then not for ``good`` seconds, and so on from ``start``."""

    bad: float
    good: float
    start: float = 0.0

    def __post_init__(self) -> None:
        for name in ("bad", "good"):
            if not (isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ScenarioError(f"flap.{name}", f"{getattr(self, name)} s; take more than 0")

    def holds(self, now: float) -> bool:
        return now >= self.start and (now - self.start) % (self.bad + self.good) < self.bad


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What happens to the messages from one member to another. The default is a healthy link.

    Without ``reordering`` and ``duplication`` messages arrive in the order they were sent, as on one
    connection. Raises :class:`ScenarioError`, which names the field, when a value is out of range.
    """

    latency: Distribution | None = None
    """None: the world's."""
    loss: float = 0.0
    """The share of messages that never arrive; 1 is a black hole."""
    duplication: float = 0.0
    """The share that arrives once more, later by ``late``."""
    reordering: float = 0.0
    """The share that is held up by ``late`` while others pass."""
    late: Distribution = Uniform(0.0, 0.1)
    flap: Flap | None = None
    """The link is as described only now and then, and healthy in between."""
    connects: bool = True
    """False: the sender cannot open a connection to the receiver, as when it has run out of file
    descriptors. What it sends fails, and it is told so. Its replies pass, on the receiver's connection."""

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "reordering"):
            if not 0 <= getattr(self, name) <= 1:
                raise ScenarioError(name, f"{getattr(self, name)} is no share; take 0 to 1")

    def holds(self, now: float) -> bool:
        return self.flap is None or self.flap.holds(now)


HEALTHY = Link()
BLACK_HOLE = Link(loss=1.0)
