"""The command ``rapid``. Each of its commands is a module with ``configure(parser)`` and ``run(args)``."""

from __future__ import annotations

import argparse
import atexit
import errno
import gc
import io
import os
import select
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TextIO

from rapid import __version__

if TYPE_CHECKING:
    # the commands are imported by name: what makes a program of one file looks for statements like this
    from rapid.cli import (  # noqa: F401 - see above
        agent,
        bench,
        certs,
        completion,
        demo,
        force_new_cluster,
        leave,
        members,
        overlay,
        simulate,
        watch,
        why,
    )

UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""What hinders printing, and is no fault of the command."""
COMMANDS = {
    "agent": "run one member until it is told to stop, and print its views",
    "members": "print the members of a running agent's view",
    "watch": "print what happens to a running agent, as it happens",
    "why": "print why a member was removed, as far as a running agent knows",
    "leave": "have a running agent leave its cluster, and end",
    "force-new-cluster": "have a running agent go on without a majority that is gone for good",
    "demo": "run many members here, kill some, and watch the others agree",
    "simulate": "try the protocol in many seeded worlds full of faults",
    "bench": "measure clusters of this and other libraries, and report it",
    "certs": "make certificates for trying TLS out",
    "overlay": "print who observes whom among any endpoints",
    "completion": "print a script that has a shell complete this command",
}


def entry() -> NoReturn:
    """Run the command line as a process of its own; the exit status is that of :func:`main`.

    An agent is loaded without looking for garbage, and ends without taking the interpreter apart: that is
    a tenth of what either costs.
    """
    is_agent = sys.argv[1:2] == ["agent"]
    if is_agent:
        gc.disable()
    status = main()
    if is_agent:
        _end_at_once(status)
    sys.exit(status)


def _end_at_once(status: int) -> NoReturn:
    """End the process once what is registered for its end is done: the system frees the memory."""
    # as at any end, so that the log is written out, and a tool that watches the process is told
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # whoever reads it has gone
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. 2 for arguments that make no sense.

    Ends without a word when whoever reads its output has gone (1), and at Ctrl-C (130).
    """
    _have_standard_streams()
    try:
        try:
            status = _run(arguments)
        except SystemExit:
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _discard_output()
        return 1
    except KeyboardInterrupt:
        # what nobody reads must not hold up the end
        if not _is_taken(sys.stdout):
            _discard_output(flush=False)
        return 130
    except OSError as problem:
        if problem.errno not in UNWRITABLE:
            raise
        _discard_output()
        with suppress(OSError):
            print(f"rapid: cannot write: {problem.strerror}", file=sys.stderr)
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    parser = _parser()
    parser.add_argument("command", choices=COMMANDS, nargs="?", metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="see rapid COMMAND --help")
    args = parser.parse_args(arguments)
    if args.version:
        print(f"rapid {__version__}")
        return 0
    if args.command is None:
        parser.error("which command?")
    # only the module of the one command is imported: a start takes no longer than it must
    command = _module(args.command)
    inner = argparse.ArgumentParser(prog=f"rapid {args.command}", description=COMMANDS[args.command])
    command.configure(inner)
    status: int = command.run(inner.parse_args(args.arguments))
    return status


def _have_standard_streams() -> None:
    """Where a standard stream is closed, have it lead nowhere: no other file may take its number.

    What the encoding of standard output does not have is printed as an escape.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # the lowest number that is free, and so this one
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - as long as the process
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_taken(stream: TextIO) -> bool:
    """Whether there is room for more, as far as the system can tell."""
    try:
        return bool(select.select([], [stream], [], 0)[1])
    except (OSError, ValueError):
        return True  # a file is always ready, and is no stream that can be asked on every system


def _discard_output(*, flush: bool = True) -> None:
    """The interpreter flushes once more on its way out, and would complain, or wait."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            if flush:
                stream.flush()
                continue
        except OSError:
            pass  # nobody takes it, and that is why it is discarded
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def whole_parser() -> argparse.ArgumentParser:
    """All commands with their options, for those who want to know: :func:`main` loads one command only."""
    parser = _parser()
    commands = parser.add_subparsers()
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what)
        # one that is not installed says so and exits
        with suppress(SystemExit), redirect_stderr(io.StringIO()):
            _module(name).configure(command)
        command.description = what
    return parser


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="rapid",
        description="Stable and consistent cluster membership.",
        epilog="\n".join(["commands:", *(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    return parser


def _module(command: str) -> ModuleType:
    name = f"rapid.cli.{command.replace('-', '_')}"
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name != name:
            raise
        sys.exit(
            f"rapid {command}: the module {name} is not in this program, which was built without it: build "
            "it with the whole package, with PyInstaller by --collect-all rapid"
        )
