"""Where shards are to be: what is known as tables, what is wanted as constraints, and a solver."""

from __future__ import annotations

import sqlite3

from ortools.sat.python import cp_model

SCHEMA = """
CREATE TABLE IF NOT EXISTS shards (shard TEXT PRIMARY KEY, load INTEGER NOT NULL, tenant TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS members (
    version INTEGER, member TEXT, capacity INTEGER, draining INTEGER, PRIMARY KEY (version, member)
);
CREATE TABLE IF NOT EXISTS placed (
    version INTEGER, shard TEXT, member TEXT,
    PRIMARY KEY (version, shard),       -- under one token a shard has one member, whoever writes
    FOREIGN KEY (version, member) REFERENCES members
);
CREATE TABLE IF NOT EXISTS fence (cluster_id TEXT, version INTEGER);
"""
SECONDS = 5.0
"""For the solver; the best placement that it has found by then is taken."""


class Unplaceable(Exception):
    """No placement keeps all rules. What was placed stays as it is."""


def solve(tables: sqlite3.Connection, version: int, before: int | None) -> dict[str, str]:
    """The member of each shard for the members of this version, with the fewest moves from ``before``.

    Raises :class:`Unplaceable`. It takes its time: not to be called on an event loop.
    """
    shards = {s: (load, tenant) for s, load, tenant in tables.execute("SELECT * FROM shards ORDER BY shard")}
    members = {
        member: (0 if draining else capacity)
        for member, capacity, draining in tables.execute(
            "SELECT member, capacity, draining FROM members WHERE version = ? ORDER BY member", (version,)
        )
    }
    was = dict(tables.execute("SELECT shard, member FROM placed WHERE version = ?", (before,)))

    model = cp_model.CpModel()
    on = {(s, m): model.new_bool_var(f"{s} on {m}") for s in shards for m in members}
    # each shard is somewhere, and in one place only
    for s in shards:
        model.add_exactly_one(on[s, m] for m in members)
    # nobody bears more than it can, and who is draining bears nothing
    for m, capacity in members.items():
        model.add(sum(load * on[s, m] for s, (load, _) in shards.items()) <= capacity)
    # a tenant's shards are spread evenly over those that take any
    taking = [m for m, capacity in members.items() if capacity]
    for tenant in sorted({tenant for _, tenant in shards.values()}):
        of = [s for s, (_, t) in shards.items() if t == tenant]
        for m in taking:
            model.add(sum(on[s, m] for s in of) <= -(-len(of) // len(taking)))
    # the fewest moves, and among these the least that the busiest bears
    moves = sum(1 - on[s, m] for s, m in was.items() if (s, m) in on)
    total = sum(load for load, _ in shards.values())
    busiest = model.new_int_var(0, total, "busiest")
    for m in members:
        model.add(sum(load * on[s, m] for s, (load, _) in shards.items()) <= busiest)
    model.minimize((total + 1) * moves + busiest)

    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = SECONDS
    solver.parameters.num_workers = 1
    # else it takes the program's handler for Ctrl-C away, and the process ends without leaving
    solver.parameters.catch_sigint_signal = False
    if solver.status_name(solver.solve(model)) not in ("OPTIMAL", "FEASIBLE"):
        raise Unplaceable(f"no placement of {len(shards)} shards on the members of version {version}")
    return {s: m for (s, m), here in on.items() if solver.boolean_value(here)}
