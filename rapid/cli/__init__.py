"""The command ``rapid``. Each of its commands is a module with ``configure(parser)`` and ``run(args)``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "agent": "run one member until it is told to stop, and print its views",
    "demo": "run many members here, kill some, and watch the others agree",
    "simulate": "try the protocol in many seeded worlds full of faults",
    "bench": "measure clusters of this and other libraries, and report it",
    "certs": "make certificates for trying TLS out",
    "overlay": "print who observes whom among any endpoints",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. 2 for arguments that make no sense."""
    parser = argparse.ArgumentParser(
        prog="rapid",
        description="Stable and consistent cluster membership.",
        epilog="\n".join(["commands:", *(f"  {name:<9} {what}" for name, what in COMMANDS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("command", choices=COMMANDS, nargs="?", metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="see rapid COMMAND --help")
    args = parser.parse_args(arguments)
    if args.version:
        print(f"rapid {_version()}")
        return 0
    if args.command is None:
        parser.error("which command?")
    # only the module of the one command is imported: a start takes no longer than it must
    command = import_module(f"rapid.cli.{args.command}")
    inner = argparse.ArgumentParser(prog=f"rapid {args.command}", description=COMMANDS[args.command])
    command.configure(inner)
    try:
        status: int = command.run(inner.parse_args(args.arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # the interpreter flushes once more on its way out, and would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("rapid-membership")
    except PackageNotFoundError:
        return "(not installed)"
