"""A backend's web server as a process, without a member: that is another process beside it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from benchmarks.peers.contract import tether


async def main(http: str) -> None:
    from examples.service_discovery.backend import serve

    server = await serve(http)
    print(json.dumps({"at": time.time(), "event": "ready"}), flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    tether(lambda: os._exit(1))
    asyncio.run(main(sys.argv[1]))
