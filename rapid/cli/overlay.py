"""``rapid overlay``: the rings, observers and subjects of any set of endpoints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rapid.agent.printable import printable
from rapid.errors import EndpointError, RapidError
from rapid.overlay.configuration import Configuration
from rapid.overlay.expander import Expansion, drawing, expansion
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid overlay``."""
    parser.description = (
        "Read HOST:PORT lines on standard input (blank lines and # comments are skipped) and print the"
        " K rings of these endpoints, who observes each and whom each observes."
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    default = Settings()
    parser.add_argument("--k", type=int, default=default.k, metavar="K", help="rings (%(default)s)")
    parser.add_argument(
        "--l", type=int, default=default.l, metavar="L", help="low watermark, for --analyse (%(default)s)"
    )
    parser.add_argument(
        "--analyse",
        action="store_true",
        help="add the observer graph's second eigenvalue (needs the extra 'analysis')",
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a drawing of the observer graph")


def run(args: argparse.Namespace) -> int:
    """Exit status 0; 2 for bad input or options; 1 when the analysis or the drawing fails."""
    try:
        low = Settings(k=args.k, h=args.k, l=args.l).l if args.analyse else 1
        Settings(k=args.k, h=args.k, l=low)
        endpoints = read_endpoints(sys.stdin.buffer)
    except RapidError as problem:
        print(f"rapid overlay: {printable(problem)}", file=sys.stderr)
        return 2
    configuration = Configuration.of(
        ClusterId(bytes(ClusterId.SIZE)),
        1,
        [Member(endpoint, NodeId(bytes(NodeId.SIZE))) for endpoint in endpoints],
        args.k,
    )
    try:
        analysis = expansion(configuration, low) if args.analyse else None
        if args.svg is not None:
            args.svg.write_text(drawing(configuration), encoding="utf-8")
    except (RapidError, OSError) as problem:
        print(f"rapid overlay: {printable(problem)}", file=sys.stderr)
        return 1
    print(as_json(configuration, endpoints, analysis) if args.json else as_text(configuration, analysis))
    return 0


def read_endpoints(lines: Iterable[bytes]) -> list[Endpoint]:
    """The endpoints in the order given; raise :class:`EndpointError`, which names the line."""
    first: dict[Endpoint, int] = {}
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode().partition("#")[0].strip()
            if not text:
                continue
            endpoint = Endpoint.parse(text)
        except UnicodeDecodeError:
            raise EndpointError(f"line {number}: not UTF-8") from None
        except EndpointError as problem:
            raise EndpointError(f"line {number}: {problem}") from None
        if endpoint in first:
            raise EndpointError(f"line {number}: {endpoint} is on line {first[endpoint]} already")
        first[endpoint] = number
    return list(first)


def as_json(configuration: Configuration, endpoints: Iterable[Endpoint], analysis: Expansion | None) -> str:
    """One object; observers and subjects are K endpoints in ring order, none for a lone endpoint."""
    shown: dict[str, object] = {
        "rings": [[str(endpoint) for endpoint in ring.endpoints] for ring in configuration.rings],
        "observers": {str(e): [str(o) for o in configuration.observers(e)] for e in endpoints},
        "subjects": {str(e): [str(s) for s in configuration.subjects(e)] for e in endpoints},
    }
    if analysis is not None:
        shown["analysis"] = asdict(analysis)
    return json.dumps(shown)


def as_text(configuration: Configuration, analysis: Expansion | None) -> str:
    """A short listing, endpoints in ring-0 order, neighbours with the number of rings they hold."""
    lines = [f"{configuration.size} endpoints on {configuration.k} rings"]
    for endpoint in configuration.endpoints:
        lines.append(str(endpoint))
        lines.append(f"  observed by {_tally(configuration.observers(endpoint))}")
        lines.append(f"  observes    {_tally(configuration.subjects(endpoint))}")
    if analysis is not None:
        lines.append(f"second eigenvalue    {analysis.second_eigenvalue:.3f}")
        lines.append(f"lambda/2K            {analysis.lambda_over_2k:.3f}")
        lines.append(f"detectable fraction  {analysis.detectable_fraction:.3f}")
    return "\n".join(map(printable, lines))


def _tally(neighbours: tuple[Endpoint, ...]) -> str:
    """Each neighbour once, in the order of its first ring."""
    rings: dict[Endpoint, int] = {}
    for neighbour in neighbours:
        rings[neighbour] = rings.get(neighbour, 0) + 1
    shown = [f"{endpoint} x{count}" if count > 1 else str(endpoint) for endpoint, count in rings.items()]
    return ", ".join(shown) or "nobody"
