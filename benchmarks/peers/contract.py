"""The contract of the agents: the options they take, the lines they print, and how those are read.

README.md beside this file tells it in words. Imported by agents in environments where nothing but
their own library is installed, so it needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """The process listens. ``at`` is unix time in seconds, as in all events."""

    at: float


@dataclass(frozen=True, slots=True)
class View:
    """The process has a new view; ``members`` are sorted addresses, or None where they were left out.

    ``removed`` are those of the view before that are not in it, as far as the line says so.
    """

    at: float
    size: int
    members: tuple[str, ...] | None
    removed: tuple[str, ...] = ()


Event = Ready | View


def parse(line: str | bytes) -> Event | None:
    """What a line of an agent says; None for an event that the contract does not know.

    Reads the lines of ``rapid agent --json`` as well, which say ``t`` for ``at`` and ``listening``
    for ``ready``. Raises ValueError for a line that is no such object.
    """
    try:
        report = json.loads(line)
        at = float(report["at"] if "at" in report else report["t"])
        match report["event"]:
            case "ready" | "listening":
                return Ready(at)
            case "view" | "views skipped":
                members = report.get("members")
                return View(
                    at, int(report["size"]), None if members is None else tuple(members),
                    tuple(report.get("removed", ())),
                )  # fmt: skip
            case _:
                return None
    except (KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"{line!r} is no line of an agent: {problem!r}") from problem


@dataclass(frozen=True, slots=True)
class Printer:
    """Prints events to standard output, one JSON object a line, at once."""

    with_members: bool

    def ready(self) -> None:
        """Say that the process listens."""
        _print({"at": time.time(), "event": "ready"})

    def view(self, members: Iterable[str]) -> None:
        """Say what the view is now."""
        listed = sorted(members)
        report: dict[str, object] = {"at": time.time(), "event": "view", "size": len(listed)}
        if self.with_members:
            report["members"] = listed
        _print(report)


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every agent has."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--listen", required=True, metavar="HOST:PORT")
    options.add_argument("--seed", action="append", default=[], metavar="HOST:PORT")
    options.add_argument("--no-members", action="store_true", help="print only the sizes of the views")
    options.add_argument("--wait", action="store_true", help="join at a line on standard input")
    options.add_argument("--tether", action="store_true", help="end at once when standard input ends")
    return options


def begin(options: argparse.Namespace) -> None:
    """Wait for the line of ``--wait``, and tie the process to standard input with ``--tether``."""
    if options.wait and not sys.stdin.readline():
        sys.exit("standard input ended before the line to join at")
    if options.tether:
        tether(_exit_now)


def tether(end: Callable[[], object]) -> None:
    """From now on, call something, on another thread, when standard input ends."""

    def follow() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        end()

    threading.Thread(target=follow, name="tether", daemon=True).start()


def exit_on_signals() -> None:
    """Have SIGTERM and SIGINT raise SystemExit(0) in the main thread, once.

    What then leaves is not cut short by another signal.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)


def _exit(*_: object) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def _exit_now() -> None:
    os._exit(1)


def _print(report: dict[str, object]) -> None:
    print(json.dumps(report), flush=True)
