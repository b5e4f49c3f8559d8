"""The figures of a section, as SVG. matplotlib is imported only when one is made."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.experiments import COLD
from benchmarks.results import FAULTS
from benchmarks.runs import Run
from benchmarks.sections import Cell, Section
from benchmarks.store import OK
from benchmarks.trial import FAULTY
from rapid.errors import RapidError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Plot(NamedTuple):
    """A figure and what is to be said under it, besides the conditions of its section."""

    svg: str
    caption: str


TIMES_OF = {
    "bootstrap": "seconds from the release of all joiners to a process's first view of all",
    COLD: "seconds from the start of the first process to a process's first view of all",
    "freeze": "seconds from the silence to a survivor's first view of the right size",
    "crash": "seconds from the kill to a survivor's first view of the right size",
    **dict.fromkeys(FAULTS, "seconds from the begin of the fault to another's removal of whom it struck"),
}
OVER_SIZES = {
    "bootstrap": ("seconds until all see all", "distinct sizes"),
    COLD: ("seconds until all see all", "CPU s, all together"),
    "crash": ("seconds until all survivors agree", "view changes of a survivor, most"),
    "freeze": ("seconds until all survivors agree", "view changes of a survivor, most"),
    "idle": ("CPU, % of a core", "B/s", "PSS, MB a member"),
    "churn": ("seconds a restart", "views told to the founder, a restart"),
    **dict.fromkeys(
        FAULTS, ("others that removed it, %", "view changes of another, most", "these removals, all together")
    ),
}
BEGIN = {"bootstrap": "released", COLD: "started", "crash": "killed", "freeze": "killed", "churn": "restart",
         **dict.fromkeys(FAULTS, "struck")}  # fmt: skip
_WIDE = 20
"""A logarithmic axis from this ratio of the largest to the smallest on."""


def plots(section: Section) -> Iterator[Plot]:
    """All figures that its runs allow."""
    if not section.sizes():
        return
    experiment = section.conditions.experiment
    if experiment in TIMES_OF and any(time is not None for cell in section.cells for time in cell.times):
        yield _distributions(section, TIMES_OF[experiment])
    if any(cell.column(name) for cell in section.cells for name in OVER_SIZES[experiment]):
        yield _over_sizes(section, OVER_SIZES[experiment])
    if experiment in BEGIN and (shown := list(_first_runs(section))):
        yield _reports(shown, BEGIN[experiment])


def _distributions(section: Section, what: str) -> Plot:
    """The share of processes over time, a panel for each size. What never came keeps a curve below 1."""
    cells = [cell for cell in section.cells if cell.times]
    # simulated sizes far beyond those of processes would need panels of their own
    real = sorted({cell.nodes for cell in cells if any(map(_is_real, cell.counted))})
    real = real or sorted({cell.nodes for cell in cells})
    figure = _figure(max(6.0, 3.2 * len(real)), 3.2)
    panels = figure.subplots(1, len(real), sharey=True, squeeze=False)[0]
    for panel, nodes in zip(panels, real, strict=True):
        shown = [cell for cell in cells if cell.nodes == nodes]
        for cell in shown:
            times = cell.times
            there = sorted(time for time in times if time is not None)
            shares = [(count + 1) / len(times) for count in range(len(there))]
            color = _color(section, cell.label)
            panel.step([0.0, *there], [0.0, *shares], where="post", label=cell.label, color=color)
        _time_axis(panel, [time for cell in shown for time in cell.times if time is not None])
        panel.set_title(f"N = {nodes}")
        panel.set_ylim(0, 1.02)
        panel.legend(fontsize="small")
    panels[0].set_ylabel("share of the processes")
    figure.supxlabel("seconds", fontsize="medium")
    sizes = ", ".join(map(str, real))
    caption = f"Distribution of the {what}; N = {sizes}; {section.number_of_runs()} of each."
    if section.failed():
        caption += " Failed runs are among them: a process that never had that view keeps its curve below 1."
    return Plot(_svg(figure), caption)


def _over_sizes(section: Section, names: tuple[str, ...]) -> Plot:
    """Numbers of the runs over the size: medians, with lines from the least to the most."""
    shown = [name for name in names if any(cell.column(name) for cell in section.cells)]
    figure = _figure(max(6.0, 3.6 * len(shown)), 3.4)
    for panel, name in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        sizes = set()
        for label in section.labels():
            cells = [cell for cell in section.cells if cell.label == label and cell.column(name)]
            columns = [cell.column(name) for cell in cells]
            middle = [statistics.median(column) for column in columns]
            below = [median - min(column) for median, column in zip(middle, columns, strict=True)]
            above = [max(column) - median for median, column in zip(middle, columns, strict=True)]
            sizes |= {cell.nodes for cell in cells}
            panel.errorbar(
                [cell.nodes for cell in cells], middle, [below, above], marker="o", capsize=3, label=label,
                color=_color(section, label),
            )  # fmt: skip
        panel.set_title(name, fontsize="medium")
        panel.set_xscale("log")
        panel.set_xticks(sorted(sizes), [str(size) for size in sorted(sizes)])
        panel.minorticks_off()
        panel.set_xlabel("N")
        panel.set_ylim(bottom=0)
        panel.legend(fontsize="small")
    sizes_text = ", ".join(map(str, section.sizes()))
    return Plot(
        _svg(figure), f"Medians over the runs that went well, lines from the least to the most; N ="
        f" {sizes_text}; {section.number_of_runs()} of each, {section.failed()} failed in all.",
    )  # fmt: skip


def _reports(shown: list[Run], begin: str) -> Plot:
    """Every view that every process reported, a panel for each system."""
    figure = _figure(max(6.0, 3.2 * len(shown)), 3.0)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for panel, run in zip(panels, shown, strict=True):
        moment = run.at(begin)
        assert moment is not None, "only such runs are shown"
        for is_faulty, color in ((False, "C0"), (True, "C3")):
            points = [
                (at - moment.at, size)
                for process in run.members()
                if (process.role == FAULTY) == is_faulty
                for at, size in process.views
                if at >= moment.at
            ]
            times, sizes = [at for at, _ in points], [size for _, size in points]
            panel.plot(times, sizes, ".", markersize=3, rasterized=True, color=color)
        panel.set_title(run.system, fontsize="medium")
        panel.set_xlim(left=0)
        panel.set_ylim(0, 1.05 * run.nodes)
        panel.set_xlabel("seconds")
    panels[0].set_ylabel("size of the view")
    struck = " Red: those of the member that the fault has struck." * (shown[0].experiment in FAULTS)
    return Plot(
        _svg(figure), f"Every view that any process reported, over the seconds since the moment '{begin}';"
        f" N = {shown[0].nodes}; one run of each system, the first that went well.{struck}",
    )  # fmt: skip


def _first_runs(section: Section) -> Iterator[Run]:
    """Of each real system, one at the largest size that most of them have."""
    good: dict[int, list[Cell]] = {}
    for cell in section.cells:
        if any(run.outcome == OK and _is_real(run) for run in cell.runs):
            good.setdefault(cell.nodes, []).append(cell)
    if good:
        nodes = max(good, key=lambda size: (len(good[size]), size))
        for cell in good[nodes]:
            yield next(run for run in cell.runs if run.outcome == OK)


def _is_real(run: Run) -> bool:
    return any(moment.busy is not None for moment in run.moments)


def _color(section: Section, label: str) -> str:
    """The same for a system in all figures of a section."""
    return f"C{section.labels().index(label) % 10}"


def _time_axis(panel: Axes, times: list[float]) -> None:
    positive = [time for time in times if time > 0]
    if positive and max(positive) > _WIDE * min(positive):
        panel.set_xscale("log")


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as absent:
        raise RapidError("a report needs matplotlib: pip install matplotlib") from absent
    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    text = io.StringIO()
    # the same results, the same bytes; letters as text
    with rc_context({"svg.hashsalt": "rapid", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", dpi=150, metadata={"Date": None})
    found = text.getvalue()
    return found[found.index("<svg") :]
