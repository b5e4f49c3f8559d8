"""``rapid force-new-cluster``: have a running agent go on without a majority that is gone for good."""

from __future__ import annotations

import argparse
import json
import sys

from rapid.cli import members, remote

COMMAND = "force-new-cluster"
WARNING = (
    "The members that this agent reaches will go on as a new cluster. If the others live on elsewhere,"
    " there will be two."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid force-new-cluster``."""
    parser.description = (
        "Have a running agent go on, as a new cluster, with those members that it reaches, when the"
        " majority is gone for good. Refused while a quorum answers. Where the agent has an admin_token,"
        " give it as RAPID_ADMIN_TOKEN."
    )
    remote.configure(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask whether you mean it")


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog."""
    if not args.yes and not _confirmed():
        return remote.fail(COMMAND, "nothing was done; --yes says that you mean it", 2)

    def force(agent: remote.Agent) -> None:
        view = agent.post("/force-new-cluster")
        print(json.dumps(view) if args.json else members.as_text(view))

    return remote.talk(COMMAND, args, force)


def _confirmed() -> bool:
    """Ask a person, where there is one."""
    if not sys.stdin.isatty():
        return False
    print(WARNING, file=sys.stderr)
    print("Type 'yes' to do it: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == "yes"
