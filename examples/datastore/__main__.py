"""A server of the store, that leads when the views say so. See README.md beside this file.

python -m examples.datastore 127.0.0.1:7400 127.0.0.1:7500 127.0.0.1:7500,127.0.0.1:7501,127.0.0.1:7502
python -m examples.datastore 127.0.0.1:7401 127.0.0.1:7501 127.0.0.1:7500,... 127.0.0.1:7400
"""

from __future__ import annotations

import asyncio
import sys

import rapid
from examples.datastore.membership import follow
from examples.datastore.server import Server


async def main(listen: str, data: str, servers: str, *seeds: str) -> None:
    cluster = rapid.Cluster(listen, seeds=seeds, metadata={"role": "store", "data": data})
    async with Server(data, servers.split(",")) as server, cluster:
        await follow(cluster, server, lambda leader: print(f"{leader} serialises", flush=True))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except rapid.RapidError as problem:
        sys.exit(f"{problem}")
