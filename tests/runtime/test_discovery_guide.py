"""What the guide on discovery says, run."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import rapid
from rapid import Settings

from .names import Names, loopbacks
from .reactor_loop import until
from .test_addresses import V4, free_port, member, until_all_agree

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "discovery.md"


@pytest.fixture
def guide() -> dict[str, Any]:
    """What the programs in the guide have defined, one after the other."""
    defined: dict[str, Any] = {"__name__": "guide"}
    for program in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(program, GUIDE, "exec"), defined)
    return defined


async def test_members_at_any_free_port_find_each_other(guide: dict[str, Any], tmp_path: Path) -> None:
    first = await guide["member_of"](tmp_path)
    second = await guide["member_of"](tmp_path)
    await until(lambda: first.view == second.view and first.view.size == 2)
    assert {str(cluster.endpoint) for cluster in (first, second)} == set(await guide["directory"](tmp_path)())
    for cluster in (second, first):
        await cluster.leave()


async def test_a_directory_of_addresses(guide: dict[str, Any], tmp_path: Path) -> None:
    seeds = guide["directory"](tmp_path)
    async with AsyncExitStack() as stack:
        first = await member(stack, V4)
        (tmp_path / "first.member").write_text(str(first.endpoint))
        second = await member(stack, V4, seeds)
        await until_all_agree([first, second])


async def test_seeds_of_several_kinds(
    guide: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    always = ["10.0.0.5:7400", "10.0.0.6:7400", "10.0.0.7:7400"]
    monkeypatch.setitem(guide, "by_file", guide["discovery"].file(tmp_path / "seeds"))
    assert await guide["first_of_all"]() == always
    (tmp_path / "seeds").write_text("10.0.0.9:7400\n")
    assert await guide["first_of_all"]() == [rapid.Endpoint("10.0.0.9", 7400), *always]


@loopbacks
async def test_pods_start_together(
    guide: dict[str, Any], names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    names.addresses["cache"] = [f"127.0.0.{number}" for number in (2, 3, 4)]
    pods = []
    for address in names.addresses["cache"]:
        monkeypatch.setenv("POD_IP", address)
        pods.append(guide["pod"](port=port))
    views = await asyncio.gather(*(pod.start() for pod in pods))
    assert {view.size for view in views} == {3}
    await until_all_agree(pods)
    for pod in pods:
        await pod.leave()


async def test_what_is_told_of_another_cluster(
    guide: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    curious = Settings.local(outreach_interval=0.05)
    seeds = [f"127.0.0.1:{free_port()}"]

    async def provide() -> list[str]:
        return seeds

    async with AsyncExitStack() as stack:
        one = await member(stack, seeds[0], provide, settings=curious)
        watching = asyncio.create_task(guide["watch"](one))
        other = await member(stack, V4, settings=curious)
        seeds.append(str(other.endpoint))
        said = ""

        def has_said() -> bool:
            nonlocal said
            said += capsys.readouterr().out
            return f"1 in cluster {other.view.cluster_id} at {other.endpoint}" in said

        await until(has_said)
        assert said.startswith(f"version 1 of {one.view.cluster_id}: 1 members\n")
        watching.cancel()


async def test_going_on_without_a_majority(guide: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, V4)
        others = [await member(stack, V4, [a.endpoint]) for _ in range(2)]
        await until_all_agree([a, *others])
        before = a.view.cluster_id
        await guide["go_on_without_them"](a)
        assert "are a quorum and need no new cluster" in capsys.readouterr().out
        for other in others:
            await other.close()
        await guide["go_on_without_them"](a)
        assert capsys.readouterr().out == f"now {a.view.cluster_id} ['{a.endpoint}']\n"
        assert a.view.cluster_id != before
