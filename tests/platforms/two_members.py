"""A program: two members form a cluster, one leaves, then threads do the same."""

from __future__ import annotations

import asyncio

import rapid

SETTINGS = rapid.Settings.local()


async def with_a_loop() -> None:
    async with rapid.Cluster("127.0.0.1:0", settings=SETTINGS) as one:
        async with rapid.Cluster("127.0.0.1:0", seeds=[one.endpoint], settings=SETTINGS) as other:
            views = [await member.wait_for(2, timeout=30.0) for member in (one, other)]
            assert views[0] == views[1], views
            try:
                await rapid.Cluster(str(one.endpoint), settings=SETTINGS).start()
            except rapid.BindError as error:
                print(error)
        async for change in one.changes():
            if isinstance(change, rapid.ViewChange) and change.view.size == 1:
                break
    print("left")


def with_threads() -> None:
    with (
        rapid.blocking.Cluster("127.0.0.1:0", settings=SETTINGS) as one,
        rapid.blocking.Cluster("127.0.0.1:0", seeds=[one.endpoint], settings=SETTINGS) as other,
    ):
        assert one.wait_for(2, timeout=30.0) == other.wait_for(2, timeout=30.0)
    print("left")


if __name__ == "__main__":
    asyncio.run(with_a_loop())
    with_threads()
