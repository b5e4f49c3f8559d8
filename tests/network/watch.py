"""What a fault does to a cluster: to those that it struck, and to all others."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rapid.cli.agreement import disagreements
from rapid.cli.fleet import Agent, Report, named

from .lab import Lab, last_words, lives, story


class Watch:
    """Begun before the fault. The ``struck`` may be removed; if anybody else is, the fault has spread."""

    def __init__(self, lab: Lab, struck: Sequence[Agent]) -> None:
        self.lab = lab
        self.struck = struck
        self.others = [agent for agent in lab.agents if agent not in struck]
        self.since = time.time()
        self._formed: int = self.others[0].views[-1]["version"]

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
        evicted = [agent for agent in self.others if agent.events("evicted")]
        assert not evicted, f"evicted, though nothing was done to them: {named(evicted)}{self.story()}"

    def agreed(self) -> None:
        """AssertionError when any two have reported one version differently, or one has left out some."""
        told = {f"{agent} #{n}": views for agent in self.lab.agents for n, views in enumerate(lives(agent))}
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

    def story(self) -> str:
        """All that was reported since the fault, and how late this process ran at worst."""
        return f"{story(self.lab.agents, self.since)}\n  {self.lab.lateness}"
