"""The studies' plots. matplotlib is imported only when one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rapid.errors import RapidError
from rapid.simulation.conflicts import Conflicts
from rapid.simulation.costs import Cost
from rapid.simulation.errors import ScenarioError
from rapid.simulation.growth import Bootstrap, exponents
from rapid.simulation.spectrum import PAPER_BOUND, Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def check(file: Path) -> None:
    """Find out before any work is done that there could be no plot in this file.

    Raises :class:`ScenarioError` for a bad name, :class:`RapidError` when matplotlib is not installed.
    """
    formats = _figure().canvas.get_supported_filetypes()
    if file.suffix[1:].lower() not in formats:
        raise ScenarioError("plot", f"{file}: name a file that ends in one of .{', .'.join(sorted(formats))}")
    if not file.parent.is_dir():
        raise ScenarioError("plot", f"{file}: there is no directory {file.parent}")


def conflicts(rows: list[Conflicts], file: Path) -> None:
    """A panel for each H; in it, the conflict rate over the number of failed, a line for each L."""
    highs = list(dict.fromkeys(row.h for row in rows))
    lows = list(dict.fromkeys(row.l for row in rows))
    figure = _figure(2 + 2.2 * len(highs), 3)
    panels = figure.subplots(1, len(highs), sharey=True, squeeze=False)[0]
    for panel, h in zip(panels, highs, strict=True):
        for low in lows:
            line = [row for row in rows if (row.h, row.l) == (h, low)]
            panel.plot(
                [row.failed for row in line], [100 * row.rate for row in line], marker="o", label=f"L = {low}"
            )
        panel.set_title(f"H = {h}")
        panel.set_xscale("log", base=2)
        _plain_ticks(panel, [row.failed for row in rows])
        panel.set_xlabel("failed members")
    panels[0].set_ylabel("conflicting proposals, %")
    panels[-1].legend()
    _save(figure, file)


def spectrum(rows: list[Spectrum], file: Path) -> None:
    """lambda/2K over the size: the mean, the span, and the paper's bound."""
    figure = _figure(6, 3.5)
    panel = figure.subplots()
    sizes, means = [row.nodes for row in rows], [row.mean for row in rows]
    spans = [
        [row.mean - row.least for row in rows],
        [row.most - row.mean for row in rows],
    ]
    panel.errorbar(sizes, means, spans, marker="o", capsize=3, label="mean, least and most")
    panel.axhline(PAPER_BOUND, color="tab:red", linestyle="--", label=f"the paper's bound, {PAPER_BOUND}")
    panel.set_xscale("log")
    _plain_ticks(panel, sizes)
    panel.set_xlabel("members")
    panel.set_ylabel("lambda / 2K")
    panel.legend()
    _save(figure, file)


def costs(rows: list[Cost], file: Path) -> None:
    """Messages, and bytes, that a member sends for a view change, over the size."""
    figure = _figure(8, 3.5)
    sizes = [row.nodes for row in rows]
    messages, volume = figure.subplots(1, 2)
    for label, traffics in (
        ("the view change", [row.change for row in rows]),
        ("probes and acks", [row.probing for row in rows]),
    ):
        messages.plot(sizes, [traffic.mean_sent for traffic in traffics], marker="o", label=label)
        volume.plot(sizes, [traffic.mean_bytes / 1000 for traffic in traffics], marker="o", label=label)
    for panel, title in ((messages, "messages sent a member"), (volume, "kB sent a member")):
        panel.set_xscale("log")
        _plain_ticks(panel, sizes)
        panel.set_ylim(bottom=0)
        panel.set_xlabel("members")
        panel.set_title(title)
        panel.legend()
    _save(figure, file)


def growth(rows: list[Bootstrap], file: Path) -> None:
    """Time, and what all members send together, over the size, on logarithmic axes."""
    figure = _figure(10, 3.5)
    sizes = [row.nodes for row in rows]
    grown = exponents(rows)
    for panel, name, title, values in zip(
        figure.subplots(1, 3),
        grown,
        ("virtual seconds", "messages, all together", "MB, all together"),
        (
            [row.seconds for row in rows],
            [row.messages * row.nodes for row in rows],
            [row.bytes * row.nodes / 1e6 for row in rows],
        ),
        strict=True,
    ):
        panel.plot(sizes, values, marker="o")
        panel.set_xscale("log")
        panel.set_yscale("log")
        _plain_ticks(panel, sizes)
        panel.set_xlabel("members")
        panel.set_title(f"{title}: N^{grown[name]:.2f}")
    _save(figure, file)


def _plain_ticks(panel: Axes, values: list[int]) -> None:
    """The measured values and nothing else as ticks."""
    shown = sorted(set(values))
    panel.set_xticks(shown, [str(value) for value in shown])
    panel.minorticks_off()


def _figure(width: float = 1, height: float = 1) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as absent:
        raise RapidError("a plot needs matplotlib: pip install 'rapid-membership[analysis]'") from absent
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Figure, file: Path) -> None:
    from matplotlib import rc_context

    is_svg = file.suffix.lower() == ".svg"
    # the same figures, the same bytes; letters as text
    with rc_context({"svg.hashsalt": "rapid", "svg.fonttype": "none"}):
        figure.savefig(file, metadata={"Date": None} if is_svg else None)
