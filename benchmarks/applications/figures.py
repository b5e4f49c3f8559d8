"""What is drawn and told of the applications. matplotlib is imported only when a figure is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.sections import spread
from rapid.errors import RapidError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Results = dict[str, Any]
"""As ``results.json`` has it."""
_GAP = 0.1
"""Seconds without a transaction from which on it is a gap."""
_BIN = 0.5
"""Seconds that are counted together in a figure."""


def write_datastore(results: Results, out: Path) -> list[Path]:
    """The figure of one run of each system, and a table of all."""
    runs = results["runs"]
    figure, panels = _panels(len(_first_of_each(runs)), "transactions a second")
    for panel, run in zip(panels, _first_of_each(runs), strict=True):
        times = [at - run["struck"] for at, _ in run["done"]]
        _rate(panel, times, run["begun"] - run["struck"], run["ended"] - run["struck"])
        panel.axvline(0, color="C3", linewidth=1)
        for at in terms(run):
            panel.axvline(at - run["struck"], color="0.8", linewidth=0.8, zorder=0)
        panel.set_title(run["system"], fontsize="medium")
        panel.set_xlabel("seconds since the black hole")
    caption = (
        "Transactions a second, half a second at a time, around the moment from which on nothing passes"
        " between the serialiser and one other server (red). Grey: some server took another one for it."
    )
    header = ["system", "runs", "transactions/s before", "after", "after, % of before",
              "changes of serialiser", "longest gap, s", "gaps, s together"]  # fmt: skip
    rows = []
    for system, alike in _by_system(runs).items():
        before = [rate(run, run["begun"], run["struck"]) for run in alike]
        after = [rate(run, run["struck"], run["ended"]) for run in alike]
        share = [100 * a / b for a, b in zip(after, before, strict=True)]
        rows.append([system, str(len(alike)), *map(spread, (before, after, share)),
                     spread([float(changes(run)) for run in alike]),
                     spread([max(gaps(run), default=0.0) for run in alike]),
                     spread([sum(gaps(run)) for run in alike])])  # fmt: skip
    return _write(out, "A data store with a serialiser", results, figure, caption, header, rows)


def write_discovery(results: Results, out: Path) -> list[Path]:
    """The figure of one run of each system, and a table of all."""
    runs = results["runs"]
    shown = _first_of_each(runs)
    figure, panels = _panels(len(shown), "milliseconds")
    for panel, run in zip(panels, shown, strict=True):
        good = [(at - run["struck"], 1000 * took) for at, took, status in run["done"] if status == 200]
        bad = [(at - run["struck"], 1000 * took) for at, took, status in run["done"] if status != 200]
        panel.plot(*_columns(good), ".", markersize=1.5, color="C0", rasterized=True)
        panel.plot(*_columns(bad), "x", markersize=5, color="C3")
        panel.axvline(0, color="C3", linewidth=1)
        for at, _ in run["reloads"]:
            panel.axvline(at - run["struck"], color="0.6", linewidth=0.8, zorder=0)
        panel.set_title(run["system"], fontsize="medium")
        panel.set_yscale("log")
        panel.set_xlabel("seconds since the failure")
    caption = (
        "How long each request took, by its begin; a red cross is one that failed. At the red line some of"
        " the backends fail, at the grey ones nginx is given other backends."
    )
    header = ["system", "runs", "reloads", "seconds until the last", "failed requests", "requests",
              "median before, ms", "99th percentile before", "99th after", "99.9th after",
              "longest after"]  # fmt: skip
    rows = []
    for system, alike in _by_system(runs).items():
        before = [latencies(run, run["begun"], run["struck"]) for run in alike]
        after = [latencies(run, run["struck"], run["ended"]) for run in alike]
        rows.append([
            system, str(len(alike)),
            spread([float(sum(at >= run["struck"] for at, _ in run["reloads"])) for run in alike]),
            spread([last_reload(run) for run in alike]),
            spread([float(sum(status != 200 for _, _, status in run["done"])) for run in alike]),
            spread([float(len(run["done"])) for run in alike]),
            spread([percentile(took, 50) for took in before]),
            spread([percentile(took, 99) for took in before]),
            spread([percentile(took, 99) for took in after]),
            spread([percentile(took, 99.9) for took in after]),
            spread([percentile(took, 100) for took in after]),
        ])  # fmt: skip
    return _write(out, "Service discovery with nginx", results, figure, caption, header, rows)


def latencies(run: Results, begin: float, end: float) -> list[float]:
    """Milliseconds of all requests that began between two unix times, those that failed too; ascending."""
    return sorted(1000 * took for at, took, _ in run["done"] if begin <= at < end)


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The least of them that so many per cent of them do not exceed; 0 of none."""
    if not ascending:
        return 0.0
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]


def last_reload(run: Results) -> float:
    """Seconds from the failure until nginx was given other backends for the last time; 0 if it was not."""
    return max((at - run["struck"] for at, _ in run["reloads"] if at >= run["struck"]), default=0.0)


def terms(run: Results) -> list[float]:
    """When any server named another serialiser than it had before, since the load began; unix times."""
    named: dict[str, str | None] = {}
    found = []
    for at, server, leader in run["leaders"]:
        if at >= run["begun"] and named.get(server) != leader:
            found.append(at)
        named[server] = leader
    return found


def changes(run: Results) -> int:
    """How often the serialiser changed since the black hole, for the server that saw most of it."""
    seen: dict[str, int] = {}
    for at, server, _ in run["leaders"]:
        if at >= run["struck"]:
            seen[server] = seen.get(server, 0) + 1
    return max(seen.values(), default=0)


def rate(run: Results, begin: float, end: float) -> float:
    """Transactions a second, between two unix times."""
    ends: list[float] = [at for at, _ in run["done"]]
    return sum(begin <= at < end for at in ends) / (end - begin)


def gaps(run: Results) -> list[float]:
    """The times of at least ``_GAP`` seconds in which no transaction ended, since the black hole."""
    ends: list[float] = sorted(at for at, _ in run["done"] if at >= run["struck"])
    marks: list[float] = [run["struck"], *ends, run["ended"]]
    return [gap for earlier, later in pairwise(marks) if (gap := later - earlier) >= _GAP]


def _rate(panel: Axes, times: Sequence[float], begin: float, end: float) -> None:
    """What happened at these times, over time, as a rate."""
    count = int((end - begin) / _BIN)
    counts = [0] * count
    for at in times:
        place = int((at - begin) / _BIN)
        if 0 <= place < count:
            counts[place] += 1
    panel.stairs([found / _BIN for found in counts], [begin + at * _BIN for at in range(count + 1)])
    panel.set_ylim(bottom=0)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _first_of_each(runs: Sequence[Results]) -> list[Results]:
    return [alike[0] for alike in _by_system(runs).values()]


def _by_system(runs: Sequence[Results]) -> dict[str, list[Results]]:
    found: dict[str, list[Results]] = {}
    for run in runs:
        found.setdefault(run["system"], []).append(run)
    return found


def _panels(count: int, what: str) -> tuple[Figure, list[Axes]]:
    try:
        from matplotlib.figure import Figure
    except ImportError as absent:
        raise RapidError("a figure needs matplotlib: pip install matplotlib") from absent
    figure = Figure(figsize=(max(6.0, 4.2 * count), 3.2), layout="constrained")
    panels = list(figure.subplots(1, count, sharey=True, squeeze=False)[0])
    panels[0].set_ylabel(what)
    return figure, panels


def _write(
    out: Path, title: str, results: Results, figure: Figure, caption: str, header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> list[Path]:  # fmt: skip
    from matplotlib import rc_context

    drawn, summary = out / "figure.svg", out / "summary.md"
    with rc_context({"svg.hashsalt": "rapid", "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", dpi=150, metadata={"Date": None})
    lines = _lines(title, results, caption, header, rows)
    summary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return [drawn, summary]


def _lines(
    title: str, results: Results, caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[str]:
    origin = results["origin"]
    options = ", ".join(f"{name} {value}" for name, value in results["options"].items())
    yield f"# {title}\n"
    yield f"Commit {origin['code']}; {origin['cpu']}, {origin['cores']} cores, Linux {origin['kernel']};"
    yield f"{origin['python']}; {options}. Medians, with the least and the most in brackets.\n"
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(row)} |"
    yield f"\n![figure](figure.svg)\n\n{caption}"
    yield from (f"\n- {line}" for line in results.get("missing", []))
