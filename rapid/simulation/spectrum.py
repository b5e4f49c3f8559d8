"""How good an expander the observer graph is at every size (paper sections 4.1 and 8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import NamedTuple

from rapid.overlay.expander import expansion
from rapid.simulation.errors import ScenarioError
from rapid.simulation.sample import sampled

PAPER_BOUND = 0.45
"""The paper measures lambda/2K below this for K = 10 rings."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """lambda/2K of the observer graphs of ``clusters`` clusters of one size."""

    nodes: int
    clusters: int
    mean: float
    least: float
    most: float
    above: int
    """In how many of them it is not below the paper's bound."""


class Part(NamedTuple):
    """A piece of a study that can run by itself, in any process: one cluster."""

    nodes: int
    cluster: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrumStudy:
    """Which sizes to look at, and how many clusters of each, their members' addresses drawn by the seed.

    Raises :class:`ScenarioError`, which names the field, when a value is out of range.
    """

    nodes: tuple[int, ...] = (50, 100, 200, 500, 1000, 2000, 5000, 10000)
    k: int = 10
    clusters: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ScenarioError("nodes", "no size to look at")
        for nodes in self.nodes:
            if nodes < 2:
                raise ScenarioError("nodes", f"{nodes} members; take at least 2")
        if not 1 <= self.k <= 32:
            raise ScenarioError("k", f"{self.k} rings; take 1 to 32")
        if self.clusters < 1:
            raise ScenarioError("clusters", f"{self.clusters}; take at least 1")

    def parts(self) -> list[Part]:
        """The pieces, the dearest first: several processes then end together."""
        return [Part(nodes, number) for nodes in sorted(self.nodes)[::-1] for number in range(self.clusters)]

    def measure(self, part: Part) -> tuple[int, float]:
        """The size, and lambda/2K; raise :class:`RapidError` when networkx or scipy is not installed."""
        rng = Random(f"{self.seed}/{part.nodes}/{part.cluster}")
        return part.nodes, expansion(sampled(part.nodes, self.k, rng), 1).lambda_over_2k

    def combined(self, measured: Iterable[tuple[int, float]]) -> list[Spectrum]:
        """One row for each size, in the order in which they were asked for."""
        found: dict[int, list[float]] = {nodes: [] for nodes in self.nodes}
        for nodes, ratio in measured:
            found[nodes].append(ratio)
        return [
            Spectrum(
                nodes,
                len(ratios),
                fmean(ratios),
                min(ratios),
                max(ratios),
                sum(ratio >= PAPER_BOUND for ratio in ratios),
            )
            for nodes, ratios in found.items()
        ]
