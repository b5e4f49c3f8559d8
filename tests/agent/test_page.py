"""The page in a real browser: what it shows of a cluster, without being asked again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from rapid.detection.alert import Ground, Status
from rapid.view import QuorumLost

from .stub import Stub, at, member

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

playwright = pytest.importorskip(
    "playwright.async_api", reason="the package playwright, which drives the browser, is not installed"
)

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome here")


@asynccontextmanager
async def shown(stub: Stub) -> AsyncIterator[Page]:
    """The page, open in a browser; what its script complains of fails the test."""
    problems: list[str] = []
    async with stub.serving() as where, playwright.async_playwright() as play:
        browser = await play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        try:
            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
            await page.goto(f"http://{where}/")
            yield page
        finally:
            await browser.close()
    assert problems == []


async def count(page: Page, selector: str, expected: int) -> None:
    await playwright.expect(page.locator(selector)).to_have_count(expected)


async def text(page: Page, selector: str, expected: str) -> None:
    await playwright.expect(page.locator(selector)).to_have_text(expected)


async def drawn(page: Page, **expected: int) -> None:
    for name, value in expected.items():
        await playwright.expect(page.locator("#graph")).to_have_attribute(f"data-{name}", str(value))


async def test_the_cluster_as_it_is() -> None:
    stub = Stub()
    stub.change([member(0, metadata={"role": "cache", "note": "<b>bold</b>"})])
    stub.change(member(number) for number in range(1, 12))
    async with shown(stub) as page:
        await count(page, "#members tr", 12)
        await text(page, "#version", "2")
        await text(page, "#state", "member")
        await text(page, "#me", str(at(0)))
        # what a member says of itself is text, whatever it looks like
        cell = page.locator(f"tr[data-endpoint='{at(0)}'] td").nth(2)
        await playwright.expect(cell).to_have_text("note=<b>bold</b> role=cache")
        await count(page, "#changes li", 2)
        await drawn(page, members=12, version=2, edges=120)


async def test_changes_and_alerts_as_they_come() -> None:
    stub = Stub()
    stub.change(member(number) for number in range(20))
    async with shown(stub) as page:
        await count(page, "#members tr", 20)
        stub.alert(at(7), range(4), ground=Ground.SILENT)
        alert = page.locator(f"#alerts li[data-subject='{at(7)}']")
        await playwright.expect(alert).to_contain_text("down (silent) on 4 of 10 rings")
        stub.alert(at(7), [4], ground=Ground.REFUSED)
        await playwright.expect(alert).to_contain_text("down (silent, refused) on 5 of 10 rings")
        await count(page, "tr.reported", 1)
        stub.change(removed=[at(7)])
        await count(page, "#members tr", 19)
        await text(page, "#alerts li", "none")
        await count(page, "#changes li[data-version='2'] .removed", 1)
        stub.change(joined=[member(7, life=1)], left=[at(3)])
        await text(page, "#version", "3")
        line = page.locator("#changes li[data-version='3']")
        await playwright.expect(line).to_contain_text(f"left: {at(3)}")
        stub.alert(at(5), [0], Status.LEAVING)
        await playwright.expect(page.locator("#alerts li")).to_contain_text("leaving on 1 of 10 rings")
        stub.events.append(stub.record.changed(QuorumLost(3)))
        await text(page, "#state", "quorum lost")


async def test_an_alert_is_kept_that_comes_before_an_older_answer() -> None:
    stub = Stub()
    stub.change(member(number) for number in range(20))
    async with shown(stub) as page:
        await count(page, "#members tr", 20)
        answered, arrived = asyncio.Event(), asyncio.Event()

        async def slowly(route: Route) -> None:
            answer = await route.fetch()
            answered.set()
            await arrived.wait()
            await route.fulfill(response=answer)

        await page.route("**/view", slowly)
        stub.events.append(stub.record.changed(QuorumLost(1)))
        await answered.wait()
        stub.alert(at(7), range(4))
        await count(page, "tr.reported", 1)
        arrived.set()
        await text(page, "#state", "quorum lost")
        await count(page, "tr.reported", 1)


async def test_a_member_is_looked_at() -> None:
    stub = Stub()
    stub.change(member(number) for number in range(30))
    assert stub.configuration is not None
    async with shown(stub) as page:
        await page.locator(f"tr[data-endpoint='{at(4)}']").click()
        await count(page, "tr.chosen", 1)
        await page.select_option("#ring", "3")
        observer, subject = stub.configuration.observers(at(4))[3], stub.configuration.subjects(at(4))[3]
        await text(page, "#detail", f"{at(4)} is observed by {observer}; observes {subject}.")
        await drawn(page, edges=32)
        await page.fill("#filter", "10.0.0.1")
        await count(page, "#members tr", 11)
        await text(page, "#shown", "11 of 30")


async def test_a_process_that_has_not_joined_yet() -> None:
    stub = Stub()
    async with shown(stub) as page:
        await text(page, "#state", "joining")
        stub.change([member(0)])
        await count(page, "#members tr", 1)
        await text(page, "#state", "member")
        await count(page, "#changes li", 1)


async def test_five_hundred_members() -> None:
    stub = Stub()
    stub.change(member(number, metadata={"zone": f"z{number % 3}", "role": "cache"}) for number in range(500))
    async with shown(stub) as page:
        await count(page, "#members tr", 500)
        await drawn(page, members=500)
        assert int(await page.locator("#graph").get_attribute("data-edges") or 0) == 5000
        for number in range(100, 125):
            stub.alert(at(number), range(10))
        await count(page, "#alerts li", 25)
        stub.change(removed=[at(number) for number in range(100, 125)])
        await text(page, "#size", "475")
        await drawn(page, members=475, version=2)
        await page.locator(f"tr[data-endpoint='{at(300)}']").click()
        await playwright.expect(page.locator("#detail")).to_contain_text(f"{at(300)} is observed by")
        # what has come meanwhile is shown too, and only the newest view is drawn
        for number in range(100, 125):
            stub.change([member(number, life=1)])
        await text(page, "#version", "27")
        await drawn(page, members=500, version=27)
        await count(page, "#changes li", 27)
