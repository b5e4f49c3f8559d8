"""Shards that follow the members. From a checkout, with the extra `placement`, in several terminals:

python -m examples.placement /tmp/placement.sqlite 127.0.0.1:7400
python -m examples.placement /tmp/placement.sqlite 127.0.0.1:0 127.0.0.1:7400
"""

from __future__ import annotations

import asyncio
import sys

import rapid

try:
    from examples.placement.member import Placing, follow
    from examples.placement.store import Store
except ModuleNotFoundError as missing:
    if missing.name != "ortools":
        raise
    sys.exit("this example needs OR-tools; in the checkout: pip install --editable '.[placement]'")

SHARDS = [(f"{tenant}{number}", 5 + number, tenant) for tenant in "abc" for number in range(4)]


async def main(path: str, listen: str, *seeds: str) -> None:
    store = Store(path)
    store.declare(SHARDS)

    def serve(token: rapid.FencingToken, mine: set[str]) -> None:
        print(f"serving {' '.join(sorted(mine))} as of view {token.version}", flush=True)

    async with rapid.Cluster(listen, seeds=seeds, metadata={"capacity": "120"}) as cluster:
        print(f"I am {cluster.endpoint}; Ctrl-C to leave", flush=True)
        try:
            async with rapid.singleton(cluster, Placing(cluster, store), name="placement"):
                await follow(cluster, store, serve)
        except asyncio.CancelledError:
            await cluster.leave()  # Ctrl-C: have the shards placed elsewhere at once
            raise


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except rapid.RapidError as problem:
        sys.exit(f"{problem}")
