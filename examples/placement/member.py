"""What each member does: serve what is placed on it, and place, while it leads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import rapid
from examples.placement.policy import Unplaceable
from examples.placement.store import Store

Serve = Callable[[rapid.FencingToken, set[str]], None]
"""Told which shards this member serves from now on, and under which token."""


class Placing:
    """What the leader runs, for :class:`rapid.singleton`."""

    def __init__(self, cluster: rapid.Cluster, store: Store, say: Callable[[str], object] = print) -> None:
        self._cluster = cluster
        self._store = store
        self._say = say

    async def __call__(self, token: rapid.FencingToken) -> None:
        """Place all shards anew for each view."""
        async for change in self._cluster.changes():
            if not isinstance(change, rapid.ViewChange | rapid.ViewsSkipped):
                continue
            try:
                moved = await asyncio.to_thread(self._store.place, token, change.view)
            except Unplaceable as problem:
                self._say(str(problem))
                continue
            placed = await asyncio.to_thread(self._store.placed, change.view.token)
            self._say(table(change.view, placed, moved))


async def follow(cluster: rapid.Cluster, store: Store, serve: Serve, pause: float = 0.1) -> None:
    """Serve what is placed on this member, until cancelled.

    Until the shards are placed for a new view it goes on with those of the last one, under their token.
    What it writes into must refuse tokens lower than the highest that it has seen for the shard.
    """
    served: rapid.FencingToken | None = None
    while True:
        token = cluster.view.token
        if token != served:
            placed = await asyncio.to_thread(store.placed, token)
            if placed:
                serve(token, {shard for shard, where in placed.items() if where == str(cluster.endpoint)})
                served = token
        await asyncio.sleep(pause)


def table(view: rapid.View, placed: dict[str, str], moved: int) -> str:
    """A line for each member, for people."""
    lines = [f"view {view.version}: {len(placed)} shards on {view.size} members, {moved} moved"]
    for member in view.members:
        mine = sorted(shard for shard, where in placed.items() if where == str(member.endpoint))
        lines.append(f"  {member.endpoint!s:<24} {len(mine):>3}  {' '.join(mine)}")
    return "\n".join(lines)
