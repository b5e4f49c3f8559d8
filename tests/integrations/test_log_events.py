"""The events in the log are those of the tables in the reference: people search for them."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from structlog.testing import capture_logs

from rapid import QuorumLost
from tests.runtime.reactor_loop import until

from .clusters import ROOT, cluster_of, defined_by

PACKAGE = ROOT / "rapid"
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
NO_EVENTS = {"is_enabled_for", "relay", "flush"}
"""What else is called on the log."""


class Logged(NamedTuple):
    """One event that the code may log."""

    event: str
    level: str
    fields: tuple[str, ...]


def logged_by(package: Path) -> set[Logged]:
    """Every call of a module's ``log``. One event of two places counts twice if its fields differ."""
    return {event for file in sorted(package.rglob("*.py")) for event in _logged_in(file)}


def _logged_in(file: Path) -> Iterator[Logged]:
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    names = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method)) if method in NO_EVENTS:
                continue
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=method), args=[what]):
                match what:
                    case ast.Constant(value=str(event)):
                        pass
                    case ast.Name(id=name) if isinstance(names.get(name), str):
                        event = str(names[name])
                    case _:
                        raise AssertionError(f"{file}:{node.lineno}: the event is no constant of this module")
                fields = {str(keyword.arg) for keyword in node.keywords} - {"exc_info"}
                if method == "exception" or "exc_info" in {keyword.arg for keyword in node.keywords}:
                    fields.add("exception")
                yield Logged(event, LEVELS[method], tuple(sorted(fields)))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                raise AssertionError(f"{file}:{node.lineno}: an event is one constant, the rest are fields")


PAGE = (ROOT / "docs" / "reference" / "log.md").read_text(encoding="utf-8")


def documented(page: str = PAGE) -> list[Logged]:
    """The tables of the reference: each row of an event has its level and its fields."""
    rows = re.findall(
        r"^\| `([^`]+)` \| (debug|info|warning|error) \|((?: `\w+`,?)*) \| (?=[^|\s])", page, re.MULTILINE
    )
    return [
        Logged(event, level, tuple(sorted(re.findall(r"`(\w+)`", fields)))) for event, level, fields in rows
    ]


def test_the_table_has_what_the_code_logs_and_nothing_else() -> None:
    table = documented()
    assert len(table) == len(set(table)) > 0
    assert set(table) == logged_by(PACKAGE)


def test_each_field_is_explained_and_none_that_is_not_there() -> None:
    section = PAGE.partition("\n## Fields\n")[2].partition("\n## ")[0]
    explained = [
        name
        for cell in re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", cell)
    ]
    assert sorted(explained) == sorted({name for event in documented() for name in event.fields})


def test_no_field_has_a_name_that_a_record_has_already() -> None:
    """They are in a dictionary, but formatters of others flatten that."""
    record = logging.makeLogRecord({})
    taken = {*vars(record), "message", "asctime", "event", "fields"}
    assert taken.isdisjoint(name for event in logged_by(PACKAGE) for name in event.fields)


def test_a_row_without_a_meaning_is_none() -> None:
    page = "| `a` | info | `x`, `y` | it is |\n| `b` | info | | it is |\n| `c` | info | `x` | |\n"
    assert documented(page) == [Logged("a", "info", ("x", "y")), Logged("b", "info", ())]


def test_nobody_makes_a_logger_but_the_one() -> None:
    made = re.compile(r"structlog\.get_logger\((.*?)\)")
    found = {
        file.relative_to(PACKAGE).as_posix(): made.findall(file.read_text(encoding="utf-8"))
        for file in PACKAGE.rglob("*.py")
    }
    assert {name: made for name, made in found.items() if made} == {"log.py": ['"rapid"']}


def test_the_scan_finds_what_it_is_to_find(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        'KNOWN = "it is known"\n'
        "def f():\n"
        '    log.warning(KNOWN, why="so", exc_info=error)\n'
        '    log.exception("it failed")\n'
        '    log.info("it is", a=1, b=2)\n'
        "    log.is_enabled_for(logging.INFO)\n"
    )
    assert logged_by(tmp_path) == {
        Logged("it is known", "warning", ("exception", "why")),
        Logged("it failed", "error", ("exception",)),
        Logged("it is", "info", ("a", "b")),
    }


async def test_the_guide_logs_changes() -> None:
    guide = defined_by("observability.md", about="structlog")
    with capture_logs() as captured:

        def of_the_guide() -> list[dict[str, Any]]:
            # what the library logs itself says at which member, or of which peer
            return [dict(line) for line in captured if not {"local", "peer"} & line.keys()]

        async with cluster_of(2) as (a, b):
            a.subscribe(guide["log_change"])
            await until(lambda: len(of_the_guide()) == 1)
            await b.leave()
            await until(lambda: len(of_the_guide()) == 2)
            a._feed.publish(QuorumLost(a.view.version))
            await until(lambda: len(of_the_guide()) == 3)
    logs = of_the_guide()
    assert [(line["event"], line["log_level"], line.get("size")) for line in logs] == [
        ("view changed", "info", 2),
        ("view changed", "info", 1),
        ("not to be relied on", "error", None),
    ]
    assert sorted(logs[0]["joined"]) == sorted(str(cluster.endpoint) for cluster in (a, b))
