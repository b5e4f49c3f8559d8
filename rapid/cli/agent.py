"""``rapid agent``: one member as a process of its own, one line for each view."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import structlog

from rapid.cluster import Cluster
from rapid.discovery import SeedProvider, dns, file, srv
from rapid.errors import EndpointError, LeaveTimeout, MetadataError, RapidError, SettingsError
from rapid.overlay.member import Endpoint
from rapid.runtime.tls import TLS
from rapid.settings import Settings
from rapid.view import (
    Change,
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    ViewChange,
    ViewsSkipped,
)

Report = dict[str, Any]
"""One line of output, as a JSON object."""
Print = Callable[[Report], None]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid agent``."""
    parser.description = (
        "Run one member until SIGTERM or SIGINT, then leave. A second signal ends it without waiting for"
        " the others to agree."
    )
    parser.epilog = (
        "Exit status: 0 when a signal ended it, 1 when it could not listen or join or was evicted, 2 for"
        " bad arguments."
    )
    parser.add_argument(
        "--listen",
        required=True,
        metavar="HOST:PORT",
        help="the address to serve on; port 0 takes any free one",
    )
    parser.add_argument(
        "--advertise", metavar="HOST:PORT", help="the address that others reach it by, where that is another"
    )
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="a process to join through; any number. With none of any kind, found a cluster",
    )
    seeds.add_argument(
        "--seed-dns", metavar="NAME:PORT", help="join through any of the addresses that the name has"
    )
    seeds.add_argument(
        "--seed-srv",
        metavar="NAME",
        help="join through the targets of the SRV records of a name such as _rapid._tcp.example.org",
    )
    seeds.add_argument(
        "--seed-file",
        metavar="FILE",
        help="join through the processes in a file, one HOST:PORT on a line; # begins a comment",
    )
    parser.add_argument(
        "--metadata",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="something that all members shall know of this one; any number",
    )
    parser.add_argument(
        "--settings",
        choices=("lan", "wan", "local"),
        default="lan",
        help="what the network is like (%(default)s)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="one setting that shall differ, such as probe_interval=2; any number",
    )
    parser.add_argument(
        "--join-timeout", type=float, metavar="SECONDS", help="give up joining after this long"
    )
    parser.add_argument(
        "--bootstrap-expect",
        type=int,
        default=1,
        metavar="N",
        help="found no cluster before N processes have seen each other, and wait for them (%(default)s)",
    )
    parser.add_argument("--cluster-id", metavar="HEX", help="join this cluster or none")
    parser.add_argument("--no-rejoin", action="store_true", help="end when evicted, instead of joining again")
    parser.add_argument(
        "--merge", action="store_true", help="join a larger cluster when one is found behind a seed"
    )
    parser.add_argument("--tls-ca", metavar="FILE", help="trust these authorities; with it, TLS is required")
    parser.add_argument("--tls-certificate", metavar="FILE", help="this member's certificate chain")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key")
    parser.add_argument("--json", action="store_true", help="print JSON objects")
    parser.add_argument(
        "--wait",
        action="store_true",
        help="import everything, print 'ready', and begin at a line on standard input",
    )
    parser.add_argument(
        "--tether",
        action="store_true",
        help="end at once when standard input ends: not to outlive the process behind it",
    )


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog above."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    # standard output is for the views
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
    )
    try:
        cluster = _cluster(args)
    except (EndpointError, MetadataError, SettingsError) as problem:
        return _fail(problem, 2)
    if args.wait and not _released():
        return _fail("standard input ended before the line to begin at", 1)
    if args.tether:
        threading.Thread(target=_outlive_nobody, name="tether", daemon=True).start()
    try:
        return asyncio.run(_Agent(cluster, _print_json if args.json else _print_text).run())
    except RapidError as problem:
        return _fail(problem, 1)


@dataclass(frozen=True)
class _Agent:
    cluster: Cluster
    report: Print

    async def run(self) -> int:
        ended_by_signal = False
        following = asyncio.create_task(self._follow())

        def stop() -> None:
            nonlocal ended_by_signal
            ended_by_signal = True
            following.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        try:
            return await following
        except asyncio.CancelledError:
            if not ended_by_signal:
                raise
        finally:
            await self.cluster.close()
        return 0

    async def _follow(self) -> int:
        """Report all that happens to the member; leave when cancelled."""
        await self.cluster.start()
        cluster = self.cluster
        self.report(_now("listening", endpoint=str(cluster.endpoint), node_id=str(cluster.node_id)))
        try:
            async for change in cluster.changes():
                self.report(as_report(change))
        except asyncio.CancelledError:
            await self._leave()
            raise
        # the iteration ends by itself only after an eviction
        return _fail("the cluster went on without this member", 1)

    async def _leave(self) -> None:
        self.report(_now("leaving"))
        try:
            await self.cluster.leave()
        except LeaveTimeout as timeout:
            print(f"rapid agent: {timeout}", file=sys.stderr)


def as_report(change: Change) -> Report:
    """What is printed of a change."""
    match change:
        case ViewChange(view, joined, removed):
            return _now(
                "view",
                cluster_id=view.cluster_id,
                version=view.version,
                size=view.size,
                digest=view.digest,
                joined=[str(member.endpoint) for member in joined],
                removed=[str(removal.endpoint) for removal in removed],
                left=[str(removal.endpoint) for removal in removed if removal.left],
            )
        case ViewsSkipped(view, skipped):
            return _now(
                "views skipped",
                cluster_id=view.cluster_id,
                version=view.version,
                size=view.size,
                digest=view.digest,
                skipped=skipped,
            )
        case Evicted(cluster_id, version, rejoining):
            return _now("evicted", cluster_id=cluster_id, version=version, rejoining=rejoining)
        case OtherCluster(endpoint, cluster_id, size, merging):
            return _now(
                "other cluster", endpoint=str(endpoint), cluster_id=cluster_id, size=size, merging=merging
            )
        case QuorumLost(version):
            return _now("quorum lost", version=version)
        case QuorumRestored(version):
            return _now("quorum restored", version=version)


def as_text(report: Report) -> str:
    """A line for people: the time, what happened, and who came and went."""
    t: float = report["t"]
    stamp = f"{time.strftime('%H:%M:%S', time.localtime(t))}.{int(t % 1 * 1000):03}"
    match report:
        case {"event": "view", "version": version, "size": size}:
            gone = [f"-{e} (left)" if e in report["left"] else f"-{e}" for e in report["removed"]]
            who = " ".join([*(f"+{e}" for e in report["joined"]), *gone])
            return f"{stamp}  view {version}, {size} member{'s' * (size != 1)}: {who}"
        case _:
            rest = ", ".join(f"{key} {value}" for key, value in report.items() if key not in ("t", "event"))
            return f"{stamp}  {report['event']}{': ' * bool(rest)}{rest}"


def _now(event: str, **fields: object) -> Report:
    return {"t": time.time(), "event": event, **fields}


def _print_json(report: Report) -> None:
    print(json.dumps(report), flush=True)


def _print_text(report: Report) -> None:
    print(as_text(report), flush=True)


def _cluster(args: argparse.Namespace) -> Cluster:
    make = {"lan": Settings.lan, "wan": Settings.wan, "local": Settings.local}[args.settings]
    changes = _changes(args.set)
    if args.join_timeout is not None:
        changes["join_timeout"] = args.join_timeout
    return Cluster(
        args.listen,
        seeds=_seeds(args),
        metadata=_metadata(args.metadata),
        settings=make(**changes),
        advertise=args.advertise,
        rejoin=not args.no_rejoin,
        merge=args.merge,
        bootstrap_expect=args.bootstrap_expect,
        cluster_id=args.cluster_id,
        tls=_tls(args),
    )


def _seeds(args: argparse.Namespace) -> list[str] | SeedProvider:
    """What the one option of these that was given stands for."""
    if args.seed_dns is not None:
        return dns(*Endpoint.parse(args.seed_dns))
    if args.seed_srv is not None:
        return srv(args.seed_srv)
    if args.seed_file is not None:
        return file(args.seed_file)
    seeds: list[str] = args.seed
    return seeds


def _tls(args: argparse.Namespace) -> TLS | None:
    files = (args.tls_ca, args.tls_certificate, args.tls_key)
    if not any(files):
        return None
    if not all(files):
        raise SettingsError("tls", "--tls-ca, --tls-certificate and --tls-key belong together")
    return TLS(ca=args.tls_ca, certificate=args.tls_certificate, key=args.tls_key)


def _changes(pairs: list[str]) -> dict[str, float]:
    readers = {"int": int, "float": float}
    kinds = {field.name: field.type for field in fields(Settings) if field.type in readers}
    changes: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name not in kinds:
            raise SettingsError(name, f"no such setting; there are {', '.join(kinds)}")
        try:
            changes[name] = readers[kinds[name]](value)
        except ValueError:
            raise SettingsError(name, f"{value!r} is no {kinds[name]}") from None
    return changes


def _metadata(pairs: list[str]) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise MetadataError(f"{pair!r} is no KEY=VALUE, such as role=cache")
        if key in metadata:
            raise MetadataError(f"{key!r} is given twice")
        metadata[key] = value
    return metadata


def _released() -> bool:
    """Say that everything is ready and wait for a line; False when none comes."""
    # gRPC is by far the most of it
    import rapid.runtime.membership  # noqa: F401 - imported for what it loads

    print("ready", flush=True)
    return bool(sys.stdin.readline())


def _outlive_nobody() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def _end(*_: object) -> None:
    """Before there is a member, a signal just ends the process."""
    sys.exit(0)


def _fail(problem: object, status: int) -> int:
    print(f"rapid agent: {problem}", file=sys.stderr)
    return status
