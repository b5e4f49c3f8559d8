"""A plain program with a member in it: nothing but ``rapid.Cluster``. The benchmark's part is in agent.py."""

import asyncio
import sys
from collections.abc import Callable

import rapid


async def main(listen: str, *seeds: str, use: Callable[[rapid.Change], object] = print) -> None:
    async with rapid.Cluster(listen, seeds=seeds) as cluster:
        async for change in cluster.changes():
            use(change)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
