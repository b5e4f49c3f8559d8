"""How the world of one seed went."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """How one seed went. ``problem`` is None when every promise was kept."""

    seed: int
    hash: str
    events: int
    stats: Counter[str]
    faults: Counter[str]
    problem: str | None = None
    trace: list[str] = field(default_factory=list)
