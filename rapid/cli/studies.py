"""``rapid simulate conflicts``, ``spectrum``, ``costs``, ``growth``: the paper's figures, of this code."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from rapid.cli import figures
from rapid.cli.progress import followed
from rapid.cli.workers import pool
from rapid.errors import RapidError
from rapid.proto.codec import Encoder
from rapid.protocol.messages import Message
from rapid.simulation.conflicts import Conflicts, ConflictStudy
from rapid.simulation.costs import Cost, CostStudy
from rapid.simulation.errors import ScenarioError
from rapid.simulation.growth import Bootstrap, GrowthStudy, exponents
from rapid.simulation.spectrum import PAPER_BOUND, Spectrum, SpectrumStudy

Part = TypeVar("Part")
Measured = TypeVar("Measured")


class Study(Protocol):
    """A study falls into parts that can be measured apart, in any process."""

    def parts(self) -> list[Any]: ...

    def measure(self, part: Any) -> Any: ...

    def combined(self, measured: Iterable[Any]) -> list[Any]: ...


class Command(NamedTuple):
    """One study on the command line. What ``table`` and ``plot`` take is what its study gives."""

    what: str
    options: Callable[[argparse.ArgumentParser], None]
    study: Callable[[argparse.Namespace], Any]
    table: Callable[[Any, list[Any]], str]
    plot: Callable[[list[Any], Path], None]


def configure(parser: argparse.ArgumentParser) -> None:
    """Give a command these studies as commands of its own; ``args.study`` is the name of one, or None."""
    inner = parser.add_subparsers(dest="study", metavar="STUDY", title="studies, instead of seeds")
    for name, command in COMMANDS.items():
        study = inner.add_parser(name, help=command.what, description=_sentence(command.what))
        command.options(study)
        add = study.add_argument
        add("--seed", type=int, default=1, metavar="N", help="of all that is drawn (%(default)s)")
        add("--plot", type=Path, metavar="FILE", help="draw it too (needs the extra 'analysis')")
        # what was given before the study's name holds, so these have no default here
        add("--jobs", type=jobs, default=argparse.SUPPRESS, metavar="N", help="processes to use (1)")
        add("--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit status 0; 2 for a parameter out of range; 1 when the study or its plot fails."""
    command = COMMANDS[args.study]
    try:
        study = command.study(args)
        if args.plot is not None:
            figures.check(args.plot)
        rows = study.combined(_measured(study, args.jobs, args.study))
        print(_as_json(study, rows) if args.json else command.table(study, rows), flush=True)
        if args.plot is not None:
            command.plot(rows, args.plot)
    except BrokenPipeError:
        raise
    except (RapidError, OSError) as problem:
        print(f"rapid simulate {args.study}: {problem}", file=sys.stderr)
        return 2 if isinstance(problem, ScenarioError) else 1
    return 0


def _measured(study: Study, processes: int, what: str) -> Iterator[Any]:
    parts = study.parts()
    if processes == 1:
        yield from followed(map(study.measure, parts), len(parts), what)
        return
    with pool(processes) as workers:
        yield from followed(workers.map(study.measure, parts), len(parts), what)


def numbers(text: str) -> tuple[int, ...]:
    """``1,2,3`` as an option's value; each once."""
    parts = text.split(",")
    if any(not (part.isascii() and part.isdigit()) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers such as 50,200")
    return tuple(dict.fromkeys(map(int, parts)))


def jobs(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 256):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 256")
    return int(text)


# -- conflicts


def _conflict_options(parser: argparse.ArgumentParser) -> None:
    default = ConflictStudy()
    add = parser.add_argument
    add("--nodes", type=int, default=default.nodes, metavar="N", help="members of a cluster (%(default)s)")
    add("--k", type=int, default=default.k, metavar="K", help="rings (%(default)s)")
    add("--h", type=numbers, default=default.h, metavar="H,...", help="high watermarks to try (6,7,8,9)")
    add("--l", type=numbers, default=default.l, metavar="L,...", help="low watermarks to try (1,2,3,4)")
    add("--failed", type=numbers, default=default.failed, metavar="F,...",
        help="numbers of members that fail at once (2,4,8,16)")  # fmt: skip
    add("--repetitions", type=int, default=default.repetitions, metavar="N",
        help="clusters to draw for each number of failed members (%(default)s)")  # fmt: skip
    add("--published", action="store_true",
        help="as the paper seems to have done it: failed members report like others, each ring is a report"
        " of its own, and nothing is inferred")  # fmt: skip


def _conflict_study(args: argparse.Namespace) -> ConflictStudy:
    return ConflictStudy(
        nodes=args.nodes, k=args.k, h=args.h, l=args.l, failed=args.failed, repetitions=args.repetitions,
        seed=args.seed, published=args.published,
    )  # fmt: skip


def _conflict_table(study: ConflictStudy, rows: list[Conflicts]) -> str:
    found = {(row.h, row.l, row.failed): row for row in rows}
    lines = [
        [str(h), str(low), *(f"{100 * found[h, low, failed].rate:.2f}" for failed in study.failed)]
        for h, low in study.settings
    ]
    text = (
        f"{study.nodes} members, K = {study.k}, {study.repetitions} repetitions:"
        " per cent of the members whose proposal leaves out a failed one\n"
        + _aligned(["H", "L", *(f"F={failed}" for failed in study.failed)], lines)
    )
    silent = [
        f"H={row.h} L={row.l} F={row.failed}: {row.silent} of {row.members} members proposed nothing"
        for row in rows
        if row.silent
    ]
    return "\n".join([text, *silent])


# -- spectrum


def _spectrum_options(parser: argparse.ArgumentParser) -> None:
    default = SpectrumStudy()
    add = parser.add_argument
    add("--nodes", type=numbers, default=default.nodes, metavar="N,...",
        help="sizes (50,100,200,500,1000,2000,5000,10000)")  # fmt: skip
    add("--k", type=int, default=default.k, metavar="K", help="rings (%(default)s)")
    add("--clusters", type=int, default=default.clusters, metavar="N",
        help="clusters of each size (%(default)s)")  # fmt: skip


def _spectrum_study(args: argparse.Namespace) -> SpectrumStudy:
    return SpectrumStudy(nodes=args.nodes, k=args.k, clusters=args.clusters, seed=args.seed)


def _spectrum_table(study: SpectrumStudy, rows: list[Spectrum]) -> str:
    lines = [
        [str(row.nodes), f"{row.mean:.4f}", f"{row.least:.4f}", f"{row.most:.4f}", f"{row.above}"]
        for row in rows
    ]
    return (
        f"lambda/2K of the observer graph, K = {study.k}, {study.clusters} clusters of each size\n"
        + _aligned(["N", "mean", "least", "most", f">= {PAPER_BOUND}"], lines)
    )


# -- costs


def _cost_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=numbers, default=(10, 20, 50, 200, 1000, 5000), metavar="N,...",
                        help="sizes (10,20,50,200,1000,5000)")  # fmt: skip


def _cost_study(args: argparse.Namespace) -> CostStudy:
    return CostStudy(size=encoded_size, nodes=args.nodes, seed=args.seed)


def encoded_size(message: Message) -> int:
    """The bytes of a message on the wire, without its frame."""
    return len(_ENCODER.encode(message))


_ENCODER = Encoder()


def _cost_table(_: CostStudy, rows: list[Cost]) -> str:
    header = ["N", "seconds", "sent", "most", "received", "most", "bytes", "most"]
    blocks = []
    for title, traffics in (
        ("the view change", [row.change for row in rows]),
        ("probes and acks meanwhile", [row.probing for row in rows]),
    ):
        lines = [
            [
                str(row.nodes), f"{row.seconds:.2f}",
                f"{t.mean_sent:.1f}", str(t.most_sent), f"{t.mean_received:.1f}", str(t.most_received),
                f"{t.mean_bytes:.0f}", str(t.most_bytes),
            ]
            for row, t in zip(rows, traffics, strict=True)
        ]  # fmt: skip
        heading = f"{title}: messages and bytes a member, the mean and the most"
        blocks.append(f"{heading}\n{_aligned(header, lines)}")
    return "One member crashes without a word; until all others agree\n\n" + "\n\n".join(blocks)


# -- growth


def _growth_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=numbers, default=(100, 300, 1000, 3000, 10_000), metavar="N,...",
                        help="sizes (100,300,1000,3000,10000)")  # fmt: skip


def _growth_study(args: argparse.Namespace) -> GrowthStudy:
    return GrowthStudy(size=encoded_size, nodes=args.nodes, seed=args.seed)


def _growth_table(_: GrowthStudy, rows: list[Bootstrap]) -> str:
    lines = [
        [str(row.nodes), f"{row.seconds:.2f}", str(row.sizes), f"{row.messages:.1f}", f"{row.bytes:.0f}"]
        for row in rows
    ]
    table = _aligned(["N", "seconds", "sizes", "messages a member", "bytes a member"], lines)
    grown = ", ".join(f"{name} as N^{exponent:.2f}" for name, exponent in exponents(rows).items())
    return f"All but one join that one at once; until all see all\n{table}\n\nall together grow: {grown}"


# -- what they share


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    padded = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, *rows)]
    return "\n".join("  ".join(row) for row in padded)


def _as_json(study: Any, rows: list[Any]) -> str:
    """The parameters, and a row for each setting."""
    asked = {name: value for name, value in asdict(study).items() if not callable(value)}
    found = [asdict(row) | ({"rate": row.rate} if isinstance(row, Conflicts) else {}) for row in rows]
    fitted = {"exponents": exponents(rows)} if isinstance(study, GrowthStudy) else {}
    return json.dumps({"parameters": asked, "rows": found} | fitted)


def _sentence(what: str) -> str:
    return f"{what[0].upper()}{what[1:]}."


COMMANDS = {
    "conflicts": Command(
        "how often members' cut detectors propose different cuts (the paper's figure 11)",
        _conflict_options, _conflict_study, _conflict_table, figures.conflicts,
    ),
    "spectrum": Command(
        "how good an expander the observer graph is at each size: lambda/2K",
        _spectrum_options, _spectrum_study, _spectrum_table, figures.spectrum,
    ),
    "costs": Command(
        "what a view change costs a member at each size: messages and bytes",
        _cost_options, _cost_study, _cost_table, figures.costs,
    ),
    "growth": Command(
        "how the time and the traffic of a bootstrap grow with the number of processes",
        _growth_options, _growth_study, _growth_table, figures.growth,
    ),
}  # fmt: skip
