"""A member that prints how its cluster changes. Start it in several terminals:

python examples/follow_views.py 127.0.0.1:7400
python examples/follow_views.py 127.0.0.1:0 127.0.0.1:7400
"""

from __future__ import annotations

import asyncio
import sys

import rapid


async def main(listen: str, *seeds: str) -> None:
    async with rapid.Cluster(listen, seeds=seeds, metadata={"example": "follow_views"}) as cluster:
        print(f"I am {cluster.endpoint}; Ctrl-C to leave")
        try:
            async for change in cluster.changes():
                match change:
                    case rapid.ViewChange(view, joined, removed):
                        print(f"view {view.version} of {view.cluster_id[:8]}: {view.size} members")
                        for member in joined:
                            print(f"  + {member.endpoint} {dict(member.metadata)}")
                        for removal in removed:
                            print(f"  - {removal.endpoint} {'left' if removal.left else 'failed'}")
                    case rapid.QuorumLost():
                        print("too many members are silent: do not rely on this view")
                    case other:
                        print(other)
        except asyncio.CancelledError:
            await cluster.leave()  # Ctrl-C: say goodbye instead of being found dead
            raise


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        pass
    except rapid.RapidError as problem:
        sys.exit(f"{problem}")
