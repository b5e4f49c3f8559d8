"""All that ties the store to a Rapid cluster: who leads a view serialises, with its version as the term."""

from __future__ import annotations

from collections.abc import Callable

import rapid
from examples.datastore.server import Server


async def follow(
    cluster: rapid.Cluster, server: Server, told: Callable[[str | None], object] = lambda leader: None
) -> None:
    """Have the server lead when it is the leader of the views, and know who is; until the member closes.

    Versions of views only grow, and each has one leader: they are the store's terms. A leader that is
    cut off may go on for a while; the servers take nothing of it once they know a higher term.
    """
    async with rapid.singleton(cluster, lambda token: server.serialise(token.version), role="store"):
        async for change in cluster.changes():
            match change:
                case rapid.ViewChange(view=view) | rapid.ViewsSkipped(view=view):
                    leader = view.leader(role="store")
                    address = None if leader is None else leader.metadata["data"]
                case rapid.Evicted():
                    address = None
                case _:
                    continue
            if address != server.leader:
                server.leader = address
                told(address)
