"""``rapid leave``: have a running agent leave its cluster, and end."""

from __future__ import annotations

import argparse
import json

from rapid.cli import remote


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid leave``."""
    parser.description = (
        "Have a running agent leave its cluster, and end. It is done when the others have agreed on a view"
        " without it. Where the agent has an admin_token, give it as RAPID_ADMIN_TOKEN."
    )
    remote.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog."""

    def leave(agent: remote.Agent) -> None:
        answer = agent.post("/leave")
        print(json.dumps(answer) if args.json else "it has left")

    return remote.talk("leave", args, leave)
