"""Keep an nginx in front of those members of a cluster that serve HTTP. See README.md beside this file.

python -m examples.service_discovery.balancer 127.0.0.1:7400 127.0.0.1:8080
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import rapid
from examples.service_discovery.nginx import Nginx, NoNginx

Told = Callable[[Collection[str]], object]


class Balancer:
    """Takes what is said of the backends, and has nginx read it when it is something else than before."""

    def __init__(self, nginx: Nginx, told: Told) -> None:
        self._nginx = nginx
        self._told = told
        self._backends: frozenset[str] = frozenset()

    def take(self, backends: Collection[str]) -> None:
        """These are the backends now."""
        if (now := frozenset(backends)) != self._backends:
            self._backends = now
            self._nginx.show(now)
            self._told(now)


async def follow(cluster: rapid.Cluster, balancer: Balancer) -> None:
    """Give the balancer the backends of every view, until the member closes.

    One view holds all that failed together, so many failures at once are one reload.
    """
    async for change in cluster.changes():
        if isinstance(change, rapid.ViewChange | rapid.ViewsSkipped):
            balancer.take([
                member.metadata["http"]
                for member in change.view.members
                if member.metadata.get("role") == "backend"
            ])  # fmt: skip


async def main(listen: str, http: str, *seeds: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        cluster = rapid.Cluster(listen, seeds=seeds, metadata={"role": "balancer"})
        async with Nginx(http, Path(directory)) as nginx, cluster:
            await follow(cluster, Balancer(nginx, lambda found: print(f"{len(found)} backends", flush=True)))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except (rapid.RapidError, NoNginx) as problem:
        sys.exit(f"{problem}")
