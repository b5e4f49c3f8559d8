"""The tables, shared by all members, and what may be written into them by whom."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing

import rapid
from examples.placement import policy

Solve = Callable[[sqlite3.Connection, int, int | None], dict[str, str]]


class Superseded(Exception):
    """A newer leader has written. Nothing was written."""


class Store:
    """A file on this machine stands for the database that the members of a cluster share."""

    def __init__(self, path: str) -> None:
        self._path = path
        with closing(self._open()) as db:
            db.executescript("PRAGMA journal_mode = WAL;" + policy.SCHEMA)

    def declare(self, shards: Iterable[tuple[str, int, str]]) -> None:
        """What is to be placed: name, load and tenant of each shard."""
        with closing(self._open()) as db, db:
            db.executemany("INSERT OR REPLACE INTO shards VALUES (?, ?, ?)", shards)

    def place(self, token: rapid.FencingToken, view: rapid.View, solve: Solve = policy.solve) -> int:
        """Place all shards on the members of a view, unless they are already; returns how many have moved.

        ``token`` is that of the leader's term: raises :class:`Superseded` when it is not the newest, and
        what ``solve`` raises. Nothing was written then.
        """
        with closing(self._open()) as db:
            db.execute("BEGIN IMMEDIATE")
            with db:
                self._pass_fence(db, token)
                before = self._newest(db)
                if before is not None and before >= view.version:
                    return 0
                db.executemany(
                    "INSERT INTO members VALUES (?, ?, ?, ?)",
                    [
                        (
                            view.version,
                            str(member.endpoint),
                            int(member.metadata.get("capacity", "100")),
                            member.metadata.get("draining") == "yes",
                        )
                        for member in view.members
                    ],
                )
                was = dict(db.execute("SELECT shard, member FROM placed WHERE version = ?", (before,)))
                now = solve(db, view.version, before)
                db.executemany(
                    "INSERT INTO placed VALUES (?, ?, ?)", [(view.version, s, m) for s, m in now.items()]
                )
                return sum(was[shard] != member for shard, member in now.items() if shard in was)

    def placed(self, token: rapid.FencingToken) -> dict[str, str]:
        """The member of each shard under the token of one view; nothing before it was placed."""
        with closing(self._open()) as db:
            if db.execute("SELECT 1 FROM fence WHERE cluster_id = ?", (token.cluster_id,)).fetchone() is None:
                return {}
            return dict(db.execute("SELECT shard, member FROM placed WHERE version = ?", (token.version,)))

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, timeout=30.0)
        db.execute("PRAGMA foreign_keys = ON")
        return db

    def _pass_fence(self, db: sqlite3.Connection, token: rapid.FencingToken) -> None:
        if db.execute("SELECT count(*) FROM fence").fetchone() == (0,):
            db.execute("INSERT INTO fence VALUES (?, 0)", (token.cluster_id,))
        passed = db.execute(
            "UPDATE fence SET version = ? WHERE cluster_id = ? AND version <= ?",
            (token.version, token.cluster_id, token.version),
        )
        if passed.rowcount == 0:
            raise Superseded(f"{token} is not the newest leader's")

    def _newest(self, db: sqlite3.Connection) -> int | None:
        newest: int | None = db.execute("SELECT max(version) FROM placed").fetchone()[0]
        return newest
