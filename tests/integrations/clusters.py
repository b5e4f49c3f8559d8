"""Small clusters on this machine, and what the guides say of them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from rapid import Cluster, Settings
from tests.runtime.reactor_loop import until

ROOT = Path(__file__).parents[2]
ANY = "127.0.0.1:0"
LOCAL = Settings.local()
QUICK = Settings.local(quorum_timeout=0.3, reinforcement_timeout=0.2, leave_timeout=0.5)
"""Those that are cut off say so soon."""


@asynccontextmanager
async def cluster_of(
    size: int, metadata: Sequence[dict[str, str]] = (), settings: Settings = LOCAL
) -> AsyncIterator[list[Cluster]]:
    """So many members in one view; closed at the end, without leaving."""
    async with AsyncExitStack() as stack:
        clusters: list[Cluster] = []
        for number in range(size):
            cluster = Cluster(
                ANY,
                seeds=[clusters[0].endpoint] if clusters else [],
                metadata=metadata[number] if metadata else {},
                settings=settings,
            )
            stack.push_async_callback(cluster.close)
            await cluster.start()
            clusters.append(cluster)
        await until_agreed(clusters)
        yield clusters


async def until_agreed(clusters: Sequence[Cluster]) -> None:
    """Wait until all of these, and only these, are in one view."""
    await until(
        lambda: (
            len({cluster.view for cluster in clusters}) == 1 and clusters[0].view.size == len(clusters)
        )
    )


def programs(guide: str, language: str = "python") -> list[str]:
    """The blocks of code in a guide."""
    text = (ROOT / "docs" / "guides" / guide).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def defined_by(guide: str, about: str = "") -> dict[str, Any]:
    """What the programs of a guide that have a word in them define, run one after the other."""
    found: dict[str, Any] = {"__name__": "guide"}
    for program in programs(guide):
        if about in program:
            exec(compile(program, guide, "exec"), found)
    return found
