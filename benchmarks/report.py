"""The report: one page with figures that needs nothing else, and a summary in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from benchmarks.experiments import EXPERIMENTS
from benchmarks.plots import plots
from benchmarks.runs import load
from benchmarks.sections import Section, sections, spread
from benchmarks.store import Store
from rapid.cli.progress import followed
from rapid.errors import RapidError

Row = Sequence[str]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: right; }
th { vertical-align: bottom; }
td:first-child, th:first-child { text-align: left; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption, .conditions { color: #555; font-size: 13px; }
"""


def write(store: Store, out: Path, *, compare_commits: bool) -> list[Path]:
    """Write both into a directory; their names. RapidError when nothing is stored."""
    total = store.rows("select count(*) from runs")[0][0]
    runs = list(followed(load(store), total, "runs read"))
    found = sections(runs, compare_commits=compare_commits)
    if not found:
        raise RapidError("no run is stored")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RapidError(f"{out} is no directory and cannot be made: {problem}") from problem
    page, summary = out / "index.html", out / "summary.md"
    page.write_text("".join(f"{part}\n" for part in _html(store, found)), encoding="utf-8")
    summary.write_text("".join(f"{part}\n" for part in _markdown(store, found)), encoding="utf-8")
    return [page, summary]


def table(section: Section) -> tuple[Row, list[Row]]:
    """A row for each system and size, those that are missing too."""
    columns = section.columns()
    header: Row = ["system", "N", "runs", *columns]
    rows: list[Row] = [
        [cell.label, str(cell.nodes), cell.outcome, *(spread(cell.column(name)) for name in columns)]
        for cell in section.cells
    ]
    return header, rows


def problems(section: Section) -> list[str]:
    """What went wrong or was missing, a line for each system and size."""
    return [
        f"{cell.label}, N = {cell.nodes}, {cell.outcome}: {problem}"
        for cell in section.cells
        for problem in cell.problems()
    ]


def _title(section: Section) -> str:
    experiment = section.conditions.experiment
    what = EXPERIMENTS[experiment].what if experiment in EXPERIMENTS else ""
    return f"{experiment}: {what}"


def _sessions(store: Store) -> tuple[Row, list[Row]]:
    header: Row = ["begun (UTC)", "commit", "machine", "Python", "libraries", "network", "command"]
    rows: list[Row] = []
    for (when,), origin in zip(
        store.rows("select datetime(begun, 'unixepoch') from sessions order by id"),
        store.origins().values(), strict=True,
    ):  # fmt: skip
        rows.append([when, origin.code, origin.machine, origin.python, origin.libraries, origin.network,
                     origin.command])  # fmt: skip
    return header, rows


_HEAD = (
    "Medians over the runs that went well, with the least and the most in brackets. Bytes and packets are"
    " those on the loopback device; docs/benchmarks.md says what each number means. The last column"
    " is the share of the machine that anything else had meanwhile: where it is not small, do not trust"
    " the times."
)


def _markdown(store: Store, found: list[Section]) -> Iterator[str]:
    yield f"# Benchmarks\n\n{_HEAD}"
    for section in found:
        yield f"\n## {_title(section)}\n\n{section.conditions}; {section.number_of_runs()} of each.\n"
        yield from _markdown_table(*table(section))
        if said := problems(section):
            yield ""
            yield from (f"- {line}" for line in said)
    yield "\n## Sessions\n"
    yield from _markdown_table(*_sessions(store))


def _markdown_table(header: Row, rows: list[Row]) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _html(store: Store, found: list[Section]) -> Iterator[str]:
    yield "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>Benchmarks</title>"
    yield f"<style>{_STYLE}</style>\n<h1>Benchmarks</h1>\n<p>{escape(_HEAD)}</p>"
    for section in followed(found, len(found), "sections drawn"):
        conditions = escape(str(section.conditions))
        yield f"<h2>{escape(_title(section))}</h2>\n<p class=conditions>{conditions}</p>"
        yield from _html_table(*table(section))
        if said := problems(section):
            yield f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in said)}</ul>"
        for plot in plots(section):
            caption = f"{escape(plot.caption)} {conditions}."
            yield f"<figure>\n{plot.svg}<figcaption>{caption}</figcaption>\n</figure>"
    yield "<h2>Sessions</h2>"
    yield from _html_table(*_sessions(store))


def _html_table(header: Row, rows: list[Row]) -> Iterator[str]:
    yield f"<table>\n<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in header)}</tr>"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
    yield "</table>"
