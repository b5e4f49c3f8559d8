"""What a simulation says when it is asked for nonsense, and when the protocol is wrong."""

from __future__ import annotations

from rapid.errors import RapidError


class ScenarioError(RapidError, ValueError):
    """A scenario asks for something impossible; ``field`` names it. The world is unchanged."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class InvariantViolation(RapidError, AssertionError):
    """The protocol broke a promise. Run the same scenario with the same seed to see it again.

    ``invariant`` names the promise, ``seed`` and ``at`` (virtual seconds) the place, ``trace`` holds
    the last events as lines of text. The world is left as it was at that moment.
    """

    def __init__(self, invariant: str, problem: str, seed: int, at: float, trace: list[str]) -> None:
        super().__init__(f"seed {seed}, {at:.6f} s: {invariant}: {problem}")
        self.invariant = invariant
        self.problem = problem
        self.seed = seed
        self.at = at
        self.trace = trace
