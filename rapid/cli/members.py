"""``rapid members``: who is in the view of a running agent."""

from __future__ import annotations

import argparse
import json

from rapid.agent.printable import pair, printable
from rapid.cli import remote


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid members``."""
    parser.description = "Print the members of a running agent's view, with their node ids and metadata."
    remote.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog."""

    def show(agent: remote.Agent) -> None:
        view = agent.get("/members")
        print(json.dumps(view) if args.json else as_text(view))

    return remote.talk("members", args, show)


def as_text(view: remote.Answer) -> str:
    """A line for each member, and one for the view."""
    members = view["members"]
    names = [printable(member["endpoint"]) for member in members]
    width = max(map(len, names), default=0)
    many = "s" * (len(members) != 1)
    lines = [f"cluster {view['cluster_id']}, view {view['version']}, {view['size']} member{many}"]
    for name, member in zip(names, members, strict=True):
        metadata = " ".join(pair(key, value) for key, value in member["metadata"].items())
        lines.append(f"{name:<{width}}  {member['node_id']}  {metadata}".rstrip())
    return "\n".join(map(printable, lines))
