"""What the guide on leaders and sharding says is so."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from rapid import Cluster, FencingToken, Settings, View
from tests.runtime.reactor_loop import until

from .stage import ANY, CLUSTER, OTHER, token

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "leader-and-sharding.md"


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """What the programs in the guide have defined, one after the other."""
    defined: dict[str, Any] = {"__name__": "guide"}
    for program in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(program, GUIDE, "exec"), defined)
    return defined


async def test_the_guides_program_reports_on_one_member(
    guide: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    program = asyncio.create_task(guide["main"](ANY))
    said = ""

    def has_reported() -> bool:
        nonlocal said
        said += capsys.readouterr().out
        return "reporting, as of" in said and "ViewChange(" in said

    await until(has_reported)
    reported = re.search("reporting, as of (.*)", said)
    assert reported is not None
    assert FencingToken.parse(reported[1]).version == 1
    program.cancel()
    with pytest.raises(asyncio.CancelledError):
        await program


def test_the_guides_store_refuses_the_old_and_the_strange(guide: dict[str, Any], tmp_path: Path) -> None:
    store = guide["Store"](str(tmp_path / "db"), CLUSTER)

    def rows() -> list[tuple[str, str]]:
        return store._db.execute("SELECT * FROM rows").fetchall()  # type: ignore[no-any-return]  # the guide's

    store.write(token(3), "k", "three")
    store.write(token(3), "k", "three again")
    store.write(token(5), "k", "five")
    for old in (token(4), token(6, OTHER)):
        with pytest.raises(PermissionError):
            store.write(old, "k", "late")
        assert rows() == [("k", "five")]
    store.adopt(token(6, OTHER))
    store.write(token(6, OTHER), "k", "six")
    with pytest.raises(PermissionError):
        store.write(token(7), "k", "from the old cluster")
    assert rows() == [("k", "six")]
    store._db.close()


async def test_the_guides_shards_are_held_twice_and_handed_over(guide: dict[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        clusters: list[Cluster] = []
        held: list[set[str]] = []
        tasks: list[asyncio.Task[None]] = []

        async def enter() -> None:
            mine: set[str] = set()

            async def take(shard: str, token: FencingToken) -> None:
                mine.add(shard)

            async def drop(shard: str) -> None:
                mine.remove(shard)

            cluster = Cluster(
                ANY, seeds=[clusters[0].endpoint] if clusters else [], settings=Settings.local(),
                metadata={"role": "cache", "zone": str(len(clusters))},
            )  # fmt: skip
            clusters.append(await stack.enter_async_context(cluster))
            held.append(mine)
            tasks.append(asyncio.create_task(guide["rebalance"](cluster, take, drop)))

        for count in range(1, 4):
            await enter()
            await until(lambda count=count: sum(map(len, held)) == min(count, 2) * 256)  # type: ignore[misc]  # a default
        assert all(any(shard in mine for mine in held) for shard in guide["SHARDS"])
        view = await clusters[0].wait_for(3)
        assert {guide["describe"](cluster.view) for cluster in clusters} == {guide["describe"](view)}
        one = View(CLUSTER, 1, "", view.members[:2])
        assert len(guide["report_moves"](one, view)) > 40
    for task in tasks:
        await task
