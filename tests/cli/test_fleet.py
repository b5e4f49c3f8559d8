"""What is kept of the lines that an agent prints."""

from __future__ import annotations

import json
from asyncio.subprocess import Process
from typing import Any
from unittest.mock import Mock

from rapid import View, ViewChange, ViewsSkipped
from rapid.agent.reports import as_report, now
from rapid.cli.agreement import disagreements
from rapid.cli.fleet import Agent


def line(report: dict[str, Any]) -> bytes:
    return json.dumps(report).encode() + b"\n"


def view(version: int) -> View:
    return View("c", version, f"d{version}", ())


def test_an_agent_that_is_ready_says_so_in_json() -> None:
    agent = Agent(Mock(spec=Process))
    assert not agent.is_ready
    agent.take(line(now("listening", endpoint="a:1", node_id="b")))
    assert agent.is_ready
    assert agent.endpoint == "a:1"


def test_views_that_were_skipped_are_no_gap_and_lead_to_the_newest_view() -> None:
    told, other = Agent(Mock(spec=Process)), Agent(Mock(spec=Process))
    for version in (1, 2, 3, 4, 5):
        other.take(line(as_report(ViewChange(view(version), (), ()))))
    told.take(line(as_report(ViewChange(view(1), (), ()))))
    told.take(line(as_report(ViewsSkipped(view(4), 2))))
    told.take(line(as_report(ViewChange(view(5), (), ()))))
    assert [report["version"] for report in told.views] == [1, 4, 5]
    assert (told.views[1]["joined"], told.views[1]["removed"], told.views[1]["left"]) == ([], [], [])
    assert disagreements({"told": told.views, "other": other.views}) == []
    # one more than it was told of is a gap
    told.views[1]["skipped"] = 1
    assert disagreements({"told": told.views}) == ["told has reported version 4 after 1"]
