"""A member that prints each of its views, as JSON, until its standard input ends."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version

import rapid


async def main(*seeds: str) -> None:
    metadata = {name: version(name) for name in ("protobuf", "grpcio", "structlog", "xxhash")}
    settings = rapid.Settings.local()
    async with rapid.Cluster("127.0.0.1:0", seeds=seeds, settings=settings, metadata=metadata) as cluster:
        ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        printing = asyncio.create_task(print_views(cluster))
        await asyncio.wait((ended, printing), return_when=asyncio.FIRST_COMPLETED)
        printing.cancel()


async def print_views(cluster: rapid.Cluster) -> None:
    async for change in cluster.changes():
        if isinstance(change, rapid.ViewChange | rapid.ViewsSkipped):
            view = change.view
            members = {str(member.endpoint): dict(member.metadata) for member in view.members}
            line = {"me": str(cluster.endpoint), "id": [view.cluster_id, view.version, view.digest]}
            print(json.dumps(line | {"members": members}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
