"""``rapid watch``: what happens to a running agent, as it happens."""

from __future__ import annotations

import argparse
import json

from rapid.agent.reports import as_text
from rapid.cli import remote


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid watch``."""
    parser.description = (
        "Print the view of a running agent, and then every change, until it ends or you do: the lines that"
        " the agent itself prints."
    )
    remote.configure(parser)
    parser.add_argument(
        "--alerts", action="store_true", help="also what its members report of each other before they agree"
    )


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog; 3 also when the agent ends, for there is none then."""

    def follow(agent: remote.Agent) -> None:
        for report in agent.events():
            if args.alerts or report["event"] != "alerts":
                print(json.dumps(report) if args.json else as_text(report), flush=True)
        raise remote.Unreachable(f"the agent at {agent.at} has ended")

    return remote.talk("watch", args, follow)
