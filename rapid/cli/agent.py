"""``rapid agent``: one member as a process of its own, one line for each view."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
from argparse import SUPPRESS
from collections import Counter
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

from rapid.agent.configuration import BASES, KINDS, Configuration
from rapid.agent.output import Output
from rapid.agent.printable import printable
from rapid.agent.reports import as_text
from rapid.agent.signals import ending_signals
from rapid.agent.sources import configured, written_in
from rapid.errors import EndpointError, MetadataError, RapidError, SettingsError, StateError
from rapid.log import configured_by

FEWER_THREADS = "-event_engine_client,-event_engine_listener,-event_engine_callback_cq"
"""gRPC's experiments that an agent does without: a message is passed on between fewer threads."""

LOWEST = logging.WARNING
"""The level that the agent's log begins at: what is below is the reports on standard output."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid agent``."""
    parser.description = (
        "Run one member until SIGTERM, SIGINT or SIGHUP, then leave. A second signal ends it without"
        " waiting for the others to agree. What is not said here is taken from the variables RAPID_LISTEN,"
        " RAPID_SEEDS and so on, and then from the file; the guide docs/guides/agent.md names all of them."
    )
    parser.epilog = (
        "Exit status: 0 when a signal or 'rapid leave' ended it, 1 when it could not listen or join or was"
        " evicted, 2 for bad arguments, variables or a bad file."
    )
    # what is not given is not there, so that it can come from elsewhere
    _configure_member(parser)
    _configure_seeds(parser.add_mutually_exclusive_group())
    _configure_service(parser)


def _configure_member(parser: argparse.ArgumentParser) -> None:
    def option(*names: str, help: str, **rest: Any) -> None:
        parser.add_argument(*names, default=SUPPRESS, help=help, **rest)

    option("--listen", metavar="HOST:PORT", help="the address to serve on; port 0 takes any free one")
    option(
        "--advertise", metavar="HOST:PORT", help="the address that others reach it by, where that is another"
    )
    option(
        "--metadata",
        action="append",
        metavar="KEY=VALUE",
        help="something that all members shall know of this one; any number",
    )
    option("--settings", choices=BASES, help="what the network is like (lan)")
    option(
        "--set",
        action="append",
        metavar="NAME=VALUE",
        help="one setting that shall differ, such as probe_interval=2; any number",
    )
    option("--join-timeout", type=float, metavar="SECONDS", help="give up joining after this long")
    option(
        "--bootstrap-expect",
        type=int,
        metavar="N",
        help="found no cluster before N processes have seen each other, and wait for them (1)",
    )
    option("--cluster-id", metavar="HEX", help="join this cluster or none")
    option("--cluster-name", metavar="NAME", help="have nothing to do with processes of another name")
    option(
        "--rejoin",
        action=argparse.BooleanOptionalAction,
        help="join again when evicted, which is the default, or end then",
    )
    option(
        "--merge",
        action=argparse.BooleanOptionalAction,
        help="join a larger cluster when one is found behind a seed, or not, which is the default",
    )
    option("--tls-ca", metavar="FILE", help="trust these authorities; with it, TLS is required")
    option("--tls-certificate", metavar="FILE", help="this member's certificate chain")
    option("--tls-key", metavar="FILE", help="its private key")
    option(
        "--tls-mutual",
        action=argparse.BooleanOptionalAction,
        help="whoever connects needs a certificate too, which is the default, or anybody may",
    )
    option(
        "--tls-verify-address",
        action=argparse.BooleanOptionalAction,
        help="whoever connects must have a certificate that names the host it says it is, or any of the"
        " authorities', which is the default",
    )
    option(
        "--tls-server-name",
        metavar="NAME",
        help="the one name in the certificates of all members, asked for in place of each one's host",
    )


def _configure_seeds(seeds: argparse._MutuallyExclusiveGroup) -> None:
    seeds.add_argument(
        "--seed",
        action="append",
        dest="seeds",
        default=SUPPRESS,
        metavar="HOST:PORT",
        help="a process to join through; any number. With none of any kind, found a cluster",
    )
    seeds.add_argument(
        "--seed-dns",
        default=SUPPRESS,
        metavar="NAME:PORT",
        help="join through any of the addresses that the name has",
    )
    seeds.add_argument(
        "--seed-srv",
        default=SUPPRESS,
        metavar="NAME",
        help="join through the targets of the SRV records of a name such as _rapid._tcp.example.org",
    )
    seeds.add_argument(
        "--seed-file",
        default=SUPPRESS,
        metavar="FILE",
        help="join through the processes in a file, one HOST:PORT on a line; # begins a comment",
    )


def _configure_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--admin",
        default=SUPPRESS,
        metavar="[HOST:]PORT",
        help="answer operators and show a page there; on this machine only, unless a host is given. Needs"
        " the extra 'agent'",
    )
    parser.add_argument(
        "--config", metavar="FILE", help="a TOML file with what is not given otherwise (RAPID_CONFIG)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON objects")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="listen, say so, and join only at a line on standard input",
    )
    parser.add_argument(
        "--tether",
        action="store_true",
        help="end at once when standard input ends: not to outlive the process behind it",
    )


def _configure_log() -> None:
    import structlog
    from structlog.dev import ConsoleRenderer, plain_traceback, set_exc_info

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            set_exc_info,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            _made_printable,
            # no colours: their escapes could not be told from those that others have sent
            ConsoleRenderer(colors=False, exception_formatter=plain_traceback),
        ],
        # where standard error is at that time
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(LOWEST),
    )


def _made_printable(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: no value of an event begins a line of its own."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = printable(value)
    return event


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog above."""
    for number in ending_signals():
        signal.signal(number, _end)
    os.environ.setdefault("GRPC_EXPERIMENTS", FEWER_THREADS)
    configured_by(_configure_log, LOWEST)
    counts: Counter[str] = Counter()
    output = Output(json.dumps if args.json else as_text, counts)
    try:
        arguments = given(args)
        configuration = configured(arguments, args.config)
    except (MetadataError, SettingsError) as problem:
        return _fail(problem, 2)
    from rapid.agent.service import Agent

    try:
        agent = Agent(configuration, output.report, counts)
    except (EndpointError, MetadataError, SettingsError) as problem:
        source = written_in(problem, arguments, args.config)
        return _fail(f"{problem} ({source})" if source else problem, 2)
    _wait_for_a_turn()
    _load()
    if args.tether and not args.wait:
        _on_a_thread(_outlive_nobody)
    with output:
        try:
            return asyncio.run(agent.run(partial(_released, args.tether) if args.wait else None))
        except RapidError as problem:
            return _fail(problem, 1)
        finally:
            # the loop has taken its handlers back
            for number in ending_signals():
                signal.signal(number, _end)


def _wait_for_a_turn() -> None:
    """What wakes up does not interrupt what runs: many agents on few cores cost less (docs/performance.md).

    Threads inherit that, so it is done before gRPC begins its own. A policy that somebody chose stays.
    """
    if sys.platform == "linux":
        # a sandbox may forbid it, and musl refuses even to say what it is: then it is only slower
        with suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _load() -> None:
    """Import what a member takes, before anything waits for it."""
    import_module("rapid.runtime.membership")
    if not gc.isenabled():
        # the entry point has put it off; what is here now stays, and is not looked through again
        gc.freeze()
        gc.enable()


def given(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a :class:`Configuration` that the arguments give.

    Raises :class:`SettingsError` and :class:`MetadataError` for pairs that are none.
    """
    fields = {name: value for name, value in vars(args).items() if name in Configuration.__annotations__}
    if "seeds" in fields:
        fields["seeds"] = tuple(args.seeds)
    if "metadata" in fields:
        fields["metadata"] = _metadata(args.metadata)
    settings: dict[str, str | float] = _changes(getattr(args, "set", []))
    if "settings" in args:
        settings["base"] = args.settings
    if "join_timeout" in args:
        settings["join_timeout"] = args.join_timeout
    return {**fields, "settings": settings} if settings else fields


def _changes(pairs: list[str]) -> dict[str, str | float]:
    changes: dict[str, str | float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name not in KINDS:
            raise SettingsError(name, f"no such setting; there are {', '.join(KINDS)}")
        try:
            changes[name] = KINDS[name](value)
        except ValueError:
            raise SettingsError(name, f"{value!r} is no {KINDS[name].__name__}") from None
    return changes


def _metadata(pairs: list[str]) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise MetadataError(f"metadata: {pair!r} is no KEY=VALUE, such as role=cache")
        if key in metadata:
            raise MetadataError(f"metadata: {key!r} is given twice")
        metadata[key] = value
    return metadata


async def _released(tethered: bool) -> None:
    """Until a line on standard input, which is followed further if ``tethered``."""
    loop = asyncio.get_running_loop()
    line = loop.create_future()

    def told(text: str) -> None:
        if not line.done():
            line.set_result(text)

    def follow() -> None:
        # a signal may have ended the loop meanwhile: then nobody waits for the line
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(told, sys.stdin.readline())
        if tethered:
            _outlive_nobody()

    _on_a_thread(follow)
    if not await line:
        raise StateError("standard input ended before the line to begin at")


def _on_a_thread(follow: Callable[[], None]) -> None:
    """What reads standard input cannot be interrupted, and must not keep the process."""
    threading.Thread(target=follow, name="standard input", daemon=True).start()


def _outlive_nobody() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def _end(*_: object) -> None:
    """Before there is a member, and after, a signal just ends the process."""
    sys.exit(0)


def _fail(problem: object, status: int) -> int:
    print(f"rapid agent: {printable(problem)}", file=sys.stderr)
    return status
