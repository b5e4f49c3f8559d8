"""What a fault does to a cluster: to those that it struck, and to all others."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rapid.cli.agreement import disagreements
from rapid.cli.fleet import Agent, Report, named

from .lab import Lab, current, last_words, spans, story, waiting


class Watch:
    """Begun before the fault. The ``struck`` may be removed; if anybody else is, the fault has spread."""

    def __init__(self, lab: Lab, struck: Sequence[Agent]) -> None:
        self.lab = lab
        self.struck = struck
        self.others = [agent for agent in lab.agents if agent not in struck]
        self.since = time.time()
        self._waited = {agent: waiting(agent) for agent in self.others}
        self._formed: int = max(view["version"] for agent in self.others if (view := current(agent)))

    def views(self, agent: Agent) -> list[Report]:
        """The views that it has reported since the cluster was formed."""
        return [view for view in agent.views if view["version"] > self._formed]

    def removal(self, agent: Agent) -> Report | None:
        """Its first view without any of the struck."""
        gone: set[str] = set()
        for view in self.views(agent):
            gone.update(view["removed"])
            if gone.issuperset(map(str, self.struck)):
                return view
        return None

    def contained(self) -> None:
        """AssertionError when anybody but the struck was removed, or has ended."""
        struck = {str(agent) for agent in self.struck}
        for agent in self.lab.agents:
            for view in self.views(agent):
                strays = [endpoint for endpoint in view["removed"] if endpoint not in struck]
                assert not strays, f"{agent} removed {strays}, which nothing was done to:{self.story()}"
        ended = [agent for agent in self.others if agent.ended]
        assert not ended, f"ended: {last_words(ended)}{self.story()}"
        evicted = [a for a in self.others if any(e["t"] > self.since for e in a.events("evicted"))]
        assert not evicted, f"evicted, though nothing was done to them: {named(evicted)}{self.story()}"

    def agreed(self) -> None:
        """AssertionError when any two have reported one version differently, or one has left out some."""
        told = {f"{agent} #{n}": views for agent in self.lab.agents for n, views in enumerate(spans(agent))}
        differences = disagreements(told)
        assert not differences, f"{differences}{self.story()}"

    async def until_removed(self, within: float) -> None:
        """Wait until all others have removed the struck, and nobody else."""

        def removed() -> bool:
            self.contained()
            return all(self.removal(agent) for agent in self.others)

        def missing() -> str:
            holding = [agent for agent in self.others if not self.removal(agent)]
            return f"{named(self.struck)} not removed at {named(holding)}{self.story()}"

        await self.lab.until(removed, within, missing)

    @property
    def seconds(self) -> tuple[float, float]:
        """From the fault until the first and until the last of the others had removed the struck."""
        times = [view["t"] - self.since for agent in self.others if (view := self.removal(agent))]
        return min(times), max(times)

    @property
    def changes(self) -> int:
        """The view changes that the removal took."""
        last: int = max(view["version"] for agent in self.others if (view := self.removal(agent)))
        return last - self._formed

    @property
    def starved(self) -> float:
        """The share of the time since then for which the worst off of the others waited for a processor."""
        worst = max(waiting(agent) - waited for agent, waited in self._waited.items())
        return max(0.0, worst) / (time.time() - self.since)

    def story(self) -> str:
        """All that was reported since the fault, and whether it may have been the machine's."""
        starved = f"one of the others waited {self.starved:.0%} of the time for a processor"
        return f"{story(self.lab.agents, self.since)}\n  {starved}"
