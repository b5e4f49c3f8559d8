"""Members with judges and probers of their own, over real sockets; and what the guide says of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import rapid
from rapid import Cluster, Settings

from .reactor_loop import until

ANY = "127.0.0.1:0"
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "failure-detection.md"


@pytest.fixture(scope="module")
def guide() -> dict[str, Any]:
    """What the programs in the guide have defined, one after the other."""
    defined: dict[str, Any] = {"__name__": "guide", "rapid": rapid}
    for program in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(program, GUIDE, "exec"), defined)
    return defined


class Health:
    """An HTTP server that says how a member is."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.asked = 0
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Health]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        writer.write(f"HTTP/1.0 {self.status}\r\n\r\n".encode())
        writer.close()


async def test_a_member_is_removed_when_its_health_endpoint_says_500(guide: dict[str, Any]) -> None:
    async with AsyncExitStack() as stack:
        healths = [await stack.enter_async_context(Health().serving()) for _ in range(4)]
        clusters: list[Cluster] = []
        for health in healths:
            cluster = Cluster(
                ANY,
                seeds=[clusters[0].endpoint] if clusters else [],
                metadata={"health": str(health.port)},
                settings=Settings.local(),
                prober=guide["is_healthy"],
            )
            clusters.append(await stack.enter_async_context(cluster))
        await until(lambda: all(cluster.view.size == 4 for cluster in clusters))
        sick, rest = clusters[2], [*clusters[:2], clusters[3]]
        await until(lambda: all(health.asked > 20 for health in healths))
        assert all(cluster.view.size == 4 for cluster in clusters)
        changes = sick.changes()
        broken = [cluster.stats["streams failed"] for cluster in rest]

        healths[2].status = "500 Internal Server Error"
        await until(lambda: all(sick.endpoint not in cluster.view for cluster in rest))
        # the protocol's own probes were answered all the time, and it is told what became of it
        assert broken == [cluster.stats["streams failed"] for cluster in rest]
        assert any(cluster.stats["checks failed"] for cluster in rest)
        async for change in changes:
            if isinstance(change, rapid.Evicted):
                assert change.rejoining
                break

        so_far = [health.asked for health in healths]
        await until(lambda: all(healths[at].asked > so_far[at] + 20 for at in (0, 1, 3)))
        assert {cluster.endpoint for cluster in rest} == set(rest[0].view.endpoints)
        assert rest[0].view == rest[1].view == rest[2].view
        assert sick.endpoint not in rest[0].view

        healths[2].status = "200 OK"
        await until(lambda: all(cluster.view.size == 4 for cluster in clusters))


async def test_the_guides_program_runs(guide: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    program = asyncio.create_task(guide["main"](ANY))
    said = ""

    def has_said() -> str:
        nonlocal said
        said += capsys.readouterr().out
        return said

    await until(has_said)
    assert said.startswith("ViewChange(")
    program.cancel()
    with pytest.raises(asyncio.CancelledError):
        await program


async def test_a_judge_of_ones_own_decides(guide: dict[str, Any]) -> None:
    made = []

    def patient() -> rapid.Judge:
        made.append(guide["Forgiving"]())
        return made[-1]  # type: ignore[no-any-return]  # it is the guide's

    settings = Settings.local()
    async with (
        Cluster(ANY, settings=settings, judge=patient) as a,
        Cluster(ANY, seeds=[a.endpoint], settings=settings, judge=patient) as b,
        Cluster(ANY, seeds=[a.endpoint], settings=settings, judge=patient) as c,
    ):
        await until(lambda: a.view.size == b.view.size == c.view.size == 3)
        await c.close()
        await until(lambda: a.view.size == b.view.size == 2)
        assert any(judge.failing > 0.7 for judge in made)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("judge", {"judge": rapid.Windowed}),
        ("judge", {"judge": rapid.Windowed()()}),
        ("judge", {"judge": lambda: 4}),
        ("prober", {"prober": "http://localhost/health"}),
    ],
)
def test_what_is_neither_judge_nor_prober_is_named(field: str, options: dict[str, Any]) -> None:
    with pytest.raises(rapid.SettingsError, match=f"^{field}: ") as refused:
        Cluster(ANY, **options)
    assert refused.value.field == field
