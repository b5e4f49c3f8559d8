"""A very small web server that is a member of a cluster, so that the balancer finds it.

python -m examples.service_discovery.backend 127.0.0.1:7401 127.0.0.1:8081 127.0.0.1:7400
"""

from __future__ import annotations

import asyncio
import sys

import rapid


async def serve(http: str) -> asyncio.Server:
    """Answer each request with this address. OSError when it is taken."""
    host, _, port = http.rpartition(":")
    body = f"{http}\n".encode()
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # nobody is there to be answered
        finally:
            writer.close()

    return await asyncio.start_server(respond, host, int(port), backlog=1024)


async def main(listen: str, http: str, *seeds: str) -> None:
    server = await serve(http)
    cluster = rapid.Cluster(listen, seeds=seeds, metadata={"role": "backend", "http": http})
    # known to the balancer only once it serves, and no more when it is told to end
    async with server, cluster:
        print(f"serving at {http}; Ctrl-C to leave", flush=True)
        try:
            await server.serve_forever()
        except asyncio.CancelledError:
            await cluster.leave()
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
