"""When is an edge faulty? Pure policies fed with the outcomes of probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Judge(Protocol):
    """The verdict on one edge. It may recover: ``faulty`` follows the latest outcomes."""

    def record(self, answered: bool, now: float) -> None: ...

    @property
    def faulty(self) -> bool: ...


MakeJudge = Callable[[], Judge]


class Windowed:
    """Faulty when at least ``failures`` of the last ``window`` probes failed (the paper: 4 of 10)."""

    __slots__ = ("_failures", "_mask", "_outcomes")

    def __init__(self, window: int, failures: int) -> None:
        self._mask = (1 << window) - 1
        self._failures = failures
        self._outcomes = 0

    def record(self, answered: bool, now: float) -> None:
        self._outcomes = (self._outcomes << 1 | (not answered)) & self._mask

    @property
    def faulty(self) -> bool:
        return self._outcomes.bit_count() >= self._failures
