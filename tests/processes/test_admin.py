"""Operators and real agents: what they are told, and what becomes of what they say."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from rapid.agent.address import admin_endpoint
from rapid.cli.fleet import Agent, Fleet
from rapid.cli.remote import Agent as Remote
from rapid.cli.remote import Refused

from .forming import LOCAL, until, until_all_see

pytest.importorskip("uvicorn", reason="the package uvicorn, which serves the endpoint, is not installed")


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def started(fleet: Fleet, *options: str) -> tuple[Agent, Remote]:
    """An agent with an admin endpoint."""
    agent = await fleet.start(*LOCAL, "--admin", "0", *options)
    await until(fleet, lambda: agent.events("admin"))
    url = agent.events("admin")[0]["url"]
    return agent, Remote(admin_endpoint(url.removeprefix("http://").rstrip("/")))


async def get(remote: Remote, path: str, **query: str) -> dict[str, Any]:
    return await asyncio.to_thread(remote.get, path, **query)


async def test_a_member_that_was_killed_and_why_it_was_removed(fleet: Fleet) -> None:
    agent, remote = await started(fleet)
    await until(fleet, lambda: agent.view)
    others = [await fleet.start(*LOCAL, "--seed", str(agent)) for _ in range(3)]
    await until_all_see(fleet, 4, [agent, *others])
    members = (await get(remote, "/members"))["members"]
    assert {one["endpoint"] for one in members} == {str(agent), *map(str, others)}
    assert (await get(remote, "/readyz"))["ready"] is True
    *rest, victim = others
    victim.kill()
    await until_all_see(fleet, 3, [agent, *rest])
    [removal] = (await get(remote, "/why", endpoint=str(victim)))["removals"]
    assert removal["version"] == agent.views[-1]["version"]
    assert {report["observer"] for report in removal["reports"]} <= {str(agent), *map(str, rest)}
    assert {report["status"] for report in removal["reports"]} == {"down"}
    # its host refuses from then on; a busy one may be slow to say so
    grounds = {report["ground"] for report in removal["reports"]}
    assert "refused" in grounds
    assert grounds <= {"refused", "silent", "reinforced"}
    assert len(removal["rings"]) >= 9
    with pytest.raises(Refused, match="answer: they are a quorum and need no new cluster"):
        await asyncio.to_thread(remote.post, "/force-new-cluster")


async def test_an_agent_is_told_to_leave(fleet: Fleet) -> None:
    other = await fleet.start(*LOCAL)
    await until(fleet, lambda: other.view)
    agent, remote = await started(fleet, "--seed", str(other))
    await until_all_see(fleet, 2, [agent, other])
    assert await asyncio.to_thread(remote.post, "/leave") == {"left": True}
    await until(fleet, lambda: agent.ended)
    assert agent.status == 0
    assert [report["event"] for report in agent.reports][-1] in ("view", "leaving")
    await until_all_see(fleet, 1, [other])
    assert other.views[-1]["left"] == [str(agent)]


async def test_a_majority_is_gone_for_good(fleet: Fleet) -> None:
    agent, remote = await started(fleet)
    await until(fleet, lambda: agent.view)
    victim = await fleet.start(*LOCAL, "--seed", str(agent))
    await until_all_see(fleet, 2, [agent, victim])
    old = agent.views[-1]["cluster_id"]
    victim.kill()
    await until(fleet, lambda: agent.events("quorum lost"))
    with pytest.raises(Refused, match="quorum lost"):
        await get(remote, "/readyz")
    view = await asyncio.to_thread(remote.post, "/force-new-cluster")
    assert view["size"] == 1
    assert view["cluster_id"] != old
    await until(fleet, lambda: agent.view and agent.view["cluster_id"] == view["cluster_id"])
    assert (await get(remote, "/readyz"))["ready"] is True


async def test_an_agent_that_cannot_join_yet_is_alive_and_not_ready(fleet: Fleet) -> None:
    agent, remote = await started(fleet, "--seed", "127.0.0.1:1", "--join-timeout", "3600")
    assert await get(remote, "/livez") == {"state": "joining", "live": True, "ready": False}
    with pytest.raises(Refused, match="joining"):
        await get(remote, "/readyz")
    with pytest.raises(Refused, match="the agent has not joined yet"):
        await asyncio.to_thread(remote.post, "/leave")
    agent.terminate()
    await until(fleet, lambda: agent.ended)
    assert agent.status == 0


async def test_a_signal_ends_an_agent_that_is_watched(fleet: Fleet) -> None:
    agent, remote = await started(fleet)
    await until(fleet, lambda: agent.view)
    stream = remote.events()
    assert (await asyncio.to_thread(next, stream))["event"] == "agent"
    agent.terminate()
    rest = await asyncio.to_thread(list, stream)
    assert [report["event"] for report in rest] == ["view", "leaving"]
    await until(fleet, lambda: agent.ended)
    assert agent.status == 0


async def test_an_admin_port_in_use_ends_with_one_line(fleet: Fleet) -> None:
    agent, remote = await started(fleet)
    second = await fleet.start(*LOCAL, "--admin", str(remote.at))
    await until(fleet, lambda: second.ended)
    assert second.status == 1
    [said] = [line for line in second.last_words if "[warning" not in line]
    assert said == f"rapid agent: cannot listen on {remote.at} for the admin endpoint: Address already in use"
    assert agent.status is None


async def test_the_page_shows_what_real_agents_do(fleet: Fleet) -> None:
    playwright = pytest.importorskip(
        "playwright.async_api", reason="the package playwright, which drives the browser, is not installed"
    )
    if BROWSER is None:
        pytest.skip("no chromium, chromium-browser or google-chrome here")
    agent, remote = await started(fleet)
    await until(fleet, lambda: agent.view)
    expect = playwright.expect
    async with playwright.async_playwright() as play:
        browser = await play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(f"http://{remote.at}/")
        others = [await fleet.start(*LOCAL, "--seed", str(agent)) for _ in range(3)]
        await until_all_see(fleet, 4, [agent, *others])
        await expect(page.locator("#members tr")).to_have_count(4)
        others[0].kill()
        await until_all_see(fleet, 3, [agent, *others[1:]])
        await expect(page.locator("#members tr")).to_have_count(3)
        await expect(page.locator("#changes li").first).to_contain_text(f"removed: {others[0]}")
        await expect(page.locator("#connection")).to_have_text("live")
        agent.kill()
        await expect(page.locator("#connection")).to_have_class("lost")
        await browser.close()


async def test_an_agent_of_a_file_and_variables(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('listen = "127.0.0.1:0"\n[settings]\nbase = "local"\n[metadata]\nrole = "cache"\n')
    environment = {**os.environ, "RAPID_CONFIG": str(file), "RAPID_ADMIN": "0", "RAPID_METADATA__ZONE": "a"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rapid", "agent", "--json", "--tether",
        env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    agent = Agent(process)
    assert process.stdout is not None
    try:
        while agent.view is None:
            line = await process.stdout.readline()
            assert line, "it has ended"
            agent.take(line)
        url = agent.events("admin")[0]["url"]
        remote = Remote(admin_endpoint(url.removeprefix("http://").rstrip("/")))
        [member] = (await get(remote, "/members"))["members"]
        assert member["metadata"] == {"role": "cache", "zone": "a"}
    finally:
        process.kill()
        await process.communicate()
