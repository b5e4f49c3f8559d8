"""The results in a file of SQLite: everything that was measured, nothing that was concluded from it."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.meter import Moment
from benchmarks.origin import Origin
from rapid.errors import RapidError

RUNNING, OK, FAILED, MISSING, INTERRUPTED = "running", "ok", "failed", "missing", "interrupted"
_FORMAT = 1
SCHEMA = f"""
pragma user_version = {_FORMAT};

-- one call of `rapid bench run`
create table sessions (
    id integer primary key,
    begun real not null,            -- unix time in seconds, as all times of real processes
    command text not null,
    code text not null,             -- commit; with a digest of the changes where there were any
    dirty integer not null,
    cpu text not null,
    cores integer not null,
    memory integer not null,        -- bytes
    kernel text not null,
    python text not null,
    libraries text not null,        -- JSON: name to version
    settings text not null,         -- JSON: of rapid's members
    network text not null           -- own: lo carried only the run; shared: anything else here too
) strict;

-- one cluster of one system, or the reason why there was none
create table runs (
    id integer primary key,
    session integer not null references sessions,
    experiment text not null,
    system text not null,
    version text not null,
    nodes integer not null,
    number integer not null,        -- 1, 2, ... of the same experiment, system and size
    options text not null,          -- JSON: of the experiment
    begun real not null,
    ended real,
    outcome text not null,          -- ok, failed, missing, interrupted; running: it was cut short
    problem text                    -- why, unless ok
) strict;

-- who took part; a restarted member is another process of the same name
create table processes (
    id integer primary key,
    run integer not null references runs,
    name text not null,             -- the address
    role text not null,             -- founder, joiner, restarted, server, faulty (struck by a fault)
    started real not null,
    killed real                     -- when the benchmark ended it, if it did within the experiment
) strict;

-- all views, as the processes report them
create table views (
    process integer not null references processes,
    at real not null,               -- by the process's own clock; virtual seconds where simulated
    size integer not null
) strict;
create index views_of_process on views (process);

-- instants of an experiment, and what was counted then, each since some time before
create table moments (
    id integer primary key,
    run integer not null references runs,
    name text not null,
    at real not null,
    bytes integer,                  -- carried by lo, IP headers included, each packet once
    packets integer,
    busy real,                      -- CPU seconds of the whole machine
    own real                        -- CPU seconds of the benchmark's own process
) strict;

-- what a process, with its children, had used at a moment
create table samples (
    moment integer not null references moments,
    process integer not null references processes,
    user real not null,             -- CPU seconds since its start
    system real not null,
    rss integer,                    -- bytes; null where memory was not measured
    pss integer
) strict;
create index samples_of_moment on samples (moment);
"""
REMOVALS = """
-- who was in a view of a process and not in its next, where the process says who is in them
create table if not exists removals (
    process integer not null references processes,
    at real not null,
    name text not null              -- the address
) strict;
create index if not exists removals_of_process on removals (process);
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a run. ``group`` is by which a moment's usage names it."""

    name: str
    role: str
    started: float
    killed: float | None
    group: int
    views: tuple[tuple[float, int], ...]
    """Times and sizes."""
    removals: tuple[tuple[float, str], ...] = ()
    """Times and names of members that were in one of its views and not in the next."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that is to be made."""

    experiment: str
    system: str
    version: str
    nodes: int
    number: int
    options: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return f"{self.experiment} of {self.nodes} {self.system}, run {self.number}"


class Store:
    """A file of results, made when it is not there. Each run is written whole, at its end.

    RapidError when the file is something else.
    """

    def __init__(self, file: Path) -> None:
        try:
            self._db = sqlite3.connect(file)
        except sqlite3.Error as problem:
            raise RapidError(f"{file} is no database of results: {problem}") from problem
        try:
            self._prepare(file)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, file: Path) -> None:
        try:
            found: int = self._db.execute("pragma user_version").fetchone()[0]
            is_new = not self._db.execute("select count(*) from sqlite_master").fetchone()[0]
        except sqlite3.Error as problem:
            raise RapidError(f"{file} is no database of results: {problem}") from problem
        if is_new:
            self._db.executescript(f"begin; {SCHEMA} commit;")
        elif found != _FORMAT:
            raise RapidError(f"{file} has the format {found}, not {_FORMAT}; name another file")
        # a file of before there was this table is given it
        self._db.executescript(REMOVALS)

    def session(self, origin: Origin) -> int:
        """Begin to write results of one origin."""
        with self._db as db:
            return _insert(db, "sessions", asdict(origin))

    def begin(self, session: int, plan: Plan) -> int:
        """A run begins: it stands as running from now on."""
        row = {
            "session": session, "experiment": plan.experiment, "system": plan.system,
            "version": plan.version, "nodes": plan.nodes, "number": plan.number,
            "options": json.dumps(dict(plan.options), sort_keys=True), "begun": time.time(),
            "outcome": RUNNING,
        }  # fmt: skip
        with self._db as db:
            return _insert(db, "runs", row)

    def end(
        self, run: int, outcome: str, problem: str | None = None,
        processes: Iterable[Process] = (), moments: Iterable[Moment] = (),
    ) -> None:  # fmt: skip
        """The run has come to its end: all of it is in the file, or nothing."""
        with self._db as db:
            ids: dict[int, int] = {}
            for process in processes:
                row = {
                    "run": run, "name": process.name, "role": process.role, "started": process.started,
                    "killed": process.killed,
                }  # fmt: skip
                key = ids[process.group] = _insert(db, "processes", row)
                db.executemany(
                    "insert into views values (?, ?, ?)", [(key, at, size) for at, size in process.views]
                )
                db.executemany(
                    "insert into removals values (?, ?, ?)",
                    [(key, at, name) for at, name in process.removals],
                )
            for moment in moments:
                traffic = {} if moment.traffic is None else moment.traffic._asdict()
                row = {
                    "run": run, "name": moment.name, "at": moment.at, "busy": moment.busy, "own": moment.own,
                }  # fmt: skip
                key = _insert(db, "moments", row | traffic)
                samples = [
                    (key, ids[group], used.user, used.system, used.rss, used.pss)
                    for group, used in moment.usage.items()
                ]
                db.executemany("insert into samples values (?, ?, ?, ?, ?, ?)", samples)
            db.execute(
                "update runs set ended = ?, outcome = ?, problem = ? where id = ?",
                (time.time(), outcome, problem, run),
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return self._db.execute(query, values).fetchall()

    def records(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The same, by the names of the columns."""
        cursor = self._db.execute(query, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def origins(self) -> dict[int, Origin]:
        """All sessions."""
        found = self.records("select * from sessions order by id")
        return {record.pop("id"): Origin(**record) for record in found}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _insert(db: sqlite3.Connection, table: str, row: dict[str, Any]) -> int:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    key = db.execute(f"insert into {table} ({names}) values ({marks})", list(row.values())).lastrowid
    assert key is not None, "a row was inserted"
    return key
