"""Whether processes have reported one and the same sequence of views, and how soon."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

View = Mapping[str, Any]
"""A report of ``rapid agent --json`` with the event ``view`` or ``views skipped``."""


def disagreements(sequences: Mapping[str, Sequence[View]]) -> list[str]:
    """What is wrong with the views that each process has reported, in order; nothing when they agree.

    They agree when every process has reported views without a gap, but for those that it was told of,
    and all that have reported a version have reported it with the same cluster id, digest and size. A
    process that came later begins later, one that was killed ends earlier.
    """
    found = []
    first: dict[int, tuple[str, View]] = {}
    for process, views in sequences.items():
        if not views:
            found.append(f"{process} has reported no view")
        for before, after in pairwise(views):
            if after["version"] != before["version"] + 1 + after.get("skipped", 0):
                found.append(f"{process} has reported version {after['version']} after {before['version']}")
        for view in views:
            other, known = first.setdefault(view["version"], (process, view))
            found += [
                f"version {view['version']}: {process} has the {name} {view[name]}, {other} has {known[name]}"
                for name in ("cluster_id", "digest", "size")
                if view[name] != known[name]
            ]
    return found


def seconds_until(size: int, since: float, sequences: Collection[Sequence[View]]) -> float:
    """From a unix time until the last process reported its first view of the size. All must have one."""
    firsts = [next(float(view["t"]) for view in views if view["size"] == size) for views in sequences]
    return max(firsts) - since


def summary(
    sequences: Mapping[str, Sequence[View]], victims: Collection[str], released: float, killed: float
) -> dict[str, Any]:
    """What has come of it: all processes saw all after ``released``, and the survivors ``killed``.

    ``agreed`` says that all is as it should be, ``problems`` what is not; times are unix time.
    """
    nodes = len(sequences)
    survivors = {process: views for process, views in sequences.items() if process not in victims}
    full = next(view["version"] for view in next(iter(survivors.values())) if view["size"] == nodes)
    after = [view for views in survivors.values() for view in views if view["version"] > full]
    changes = len({view["version"] for view in after})
    differences = disagreements(sequences)
    problems = list(differences)
    if changes != bool(victims):
        problems.append(f"{changes} view changes after the kill")
    if any(sorted(view["removed"]) != sorted(victims) or view["joined"] for view in after):
        problems.append("not all of those that were killed, and only those, were removed at once")
    if len({views[-1]["version"] for views in survivors.values()}) != 1:
        problems.append("the survivors are not at one version")
    return {
        "nodes": nodes,
        "killed": sorted(victims),
        "bootstrap_seconds": round(seconds_until(nodes, released, sequences.values()), 3),
        "distinct_sizes": sorted({view["size"] for views in sequences.values() for view in views}),
        "kill_to_view_seconds": round(seconds_until(len(survivors), killed, survivors.values()), 3)
        if victims
        else None,
        "view_changes_after_kill": changes,
        "identical_views": not differences,
        "agreed": not problems,
        "problems": problems,
    }
