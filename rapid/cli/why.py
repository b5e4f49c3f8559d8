"""``rapid why``: why a member was removed, as far as a running agent knows."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rapid.agent.printable import printable
from rapid.agent.reports import said, stamp
from rapid.cli import remote
from rapid.errors import EndpointError
from rapid.overlay.member import Endpoint


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid why``."""
    parser.description = (
        "Print why a member was removed: which of its observers reported it, on which rings, when, as what"
        " and on what ground. Ask an agent that was a member then; what it remembers is bounded."
    )
    remote.configure(parser)
    parser.add_argument("endpoint", metavar="HOST:PORT", help="the member's address, as others know it")


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog; 1 also for an address that the agent knows nothing of."""
    try:
        endpoint = Endpoint.parse(args.endpoint)
    except EndpointError as problem:
        return remote.fail("why", problem, 2)

    def ask(agent: remote.Agent) -> None:
        answer = agent.get("/why", endpoint=str(endpoint))
        print(json.dumps(answer) if args.json else as_text(answer))

    return remote.talk("why", args, ask)


def as_text(answer: remote.Answer) -> str:
    """What is known, the latest first."""
    endpoint, member = answer["endpoint"], answer["member"]
    lines = []
    if member is not None:
        since = f"since view {member['since']}" if member["since"] else "since a view that was skipped"
        lines.append(f"{endpoint} is a member {since}, as {member['node_id']}")
    if answer["alerts"]:
        lines.append("reported, and not agreed on yet:")
        lines += _table(answer["alerts"])
    for removal in answer["removals"]:
        lines += _removal(removal)
    if not answer["removals"]:
        lines.append("no removal of it is remembered")
    lines.append(f"the member asked judges by {answer['judge']}, others by judges of their own")
    return "\n".join(map(printable, lines))


def _removal(removal: dict[str, Any]) -> list[str]:
    how = "left" if removal["left"] else "was removed as failed"
    by = f"view {removal['version']}"
    if removal["skipped"]:
        by = f"one of the {removal['skipped'] + 1} views up to {removal['version']}"
        how = "went"
    lines = [f"{removal['endpoint']} {how} with {by} at {stamp(removal['t'])}, as {removal['node_id']}"]
    if not removal["reports"]:
        return [*lines, "  this agent has heard none of the reports, only what came of them: ask another"]
    rings, k = removal["rings"], removal["k"]
    missing = ""
    if len(rings) < k:
        missing = "; the observers of the others were reported, too, came later or kept silent"
    return [*lines, f"  reported on {len(rings)} of {k} rings{missing}:", *_table(removal["reports"])]


def _table(reports: list[dict[str, Any]]) -> list[str]:
    width = max(len(report["observer"]) for report in reports)
    room = max(len(said(report)) for report in reports)
    return [
        f"  {stamp(report['t'])}  {report['observer']:<{width}}  {said(report):<{room}}  "
        f"ring{'s' * (len(report['rings']) != 1)} {', '.join(map(str, report['rings']))}"
        for report in reports
    ]
