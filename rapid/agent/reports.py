"""What happens to a member, as JSON objects for programs and as lines for people."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rapid.agent.printable import printable
from rapid.detection.alert import Alert
from rapid.overlay.cut import Removal
from rapid.overlay.member import Member
from rapid.view import (
    Change,
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RejoinDelayed,
    RejoinFailed,
    View,
    ViewChange,
    ViewsSkipped,
)

Report = dict[str, Any]
"""A JSON object with ``t``, the unix time, and ``event``."""


def now(event: str, **fields: object) -> Report:
    """The report of something that has just happened."""
    return {"t": time.time(), "event": event, **fields}


def as_report(change: Change, before: View | None = None) -> Report:
    """What is told of a change.

    A report that brings a view has ``view``, its name and size, whatever the event; ``joined`` and
    ``removed``, applied to the members of the last such report, give its members. Where views were
    skipped, these are the differences from ``before``, the last view that was told of.
    """
    match change:
        case ViewChange(view, joined, removed):
            return now("view", **_brought(view, joined, removed))
        case ViewsSkipped(view, skipped):
            return now("views skipped", **_brought(view, *_between(before, view)), skipped=skipped)
        case Evicted(cluster_id, version, rejoining):
            return now("evicted", cluster_id=cluster_id, version=version, rejoining=rejoining)
        case RejoinDelayed(waited, reason):
            return now("rejoin delayed", waited=round(waited, 1), reason=reason)
        case RejoinFailed(reason):
            return now("rejoin failed", reason=reason)
        case OtherCluster(endpoint, cluster_id, size, merging):
            return now(
                "other cluster", endpoint=str(endpoint), cluster_id=cluster_id, size=size, merging=merging
            )
        case QuorumLost(version):
            return now("quorum lost", version=version)
        case QuorumRestored(version):
            return now("quorum restored", version=version)


def _brought(view: View, joined: Iterable[Member], removed: Iterable[Removal]) -> Report:
    """The fields of every report that brings a view; those of ``view`` are also beside it."""
    name = {
        "cluster_id": view.cluster_id,
        "version": view.version,
        "size": view.size,
        "digest": view.digest,
    }
    gone = list(removed)
    return {
        **name,
        "joined": [str(member.endpoint) for member in joined],
        "removed": [str(removal.endpoint) for removal in gone],
        "left": [str(removal.endpoint) for removal in gone if removal.left],
        "view": name,
    }


def _between(before: View | None, after: View) -> tuple[list[Member], list[Removal]]:
    """Who came and who went, whichever way it was; a process that was started anew did both."""
    known = set(before.members) if before is not None else set()
    still = set(after.members)
    came = [member for member in after.members if member not in known]
    went = [member for member in (before.members if before is not None else ()) if member not in still]
    return came, [Removal(member.endpoint, member.node_id) for member in went]


def as_alert(t: float, alert: Alert) -> Report:
    """What is told of one observer's word; its ``ground`` is None where none is given."""
    return {
        "t": t,
        "observer": str(alert.observer),
        "subject": str(alert.subject.endpoint),
        "node_id": str(alert.subject.node_id),
        "status": alert.status.name.lower(),
        "ground": alert.ground.name.lower() if alert.ground else None,
        "rings": [ring for ring in range(alert.rings.bit_length()) if alert.rings >> ring & 1],
    }


def as_text(report: Report) -> str:
    """A line for people: the time, what happened, and who came and went. It is one line, and printable."""
    return printable(f"{stamp(report['t'])}  {_told(report)}")


def stamp(t: float) -> str:
    """The time of day, to the millisecond."""
    return f"{time.strftime('%H:%M:%S', time.localtime(t))}.{int(t % 1 * 1000):03}"


def said(alert: Report) -> str:
    """What an observer says, and on what ground, in a word or two."""
    status, ground = alert["status"], alert["ground"]
    return f"{status} ({ground})" if ground else str(status)


def _told(report: Report) -> str:
    match report:
        case {"event": event, "version": version, "size": size, "removed": removed}:
            gone = [f"-{e} (left)" if e in report["left"] else f"-{e}" for e in removed]
            who = " ".join([*(f"+{e}" for e in report["joined"]), *gone])
            skipped = f" after {report['skipped']} that were skipped" if event == "views skipped" else ""
            return f"view {version}, {size} member{'s' * (size != 1)}{skipped}: {who}"
        case {"event": "alerts", "alerts": alerts}:
            return f"alerts: {_of_each_subject(alerts)}"
        case {"event": event}:
            known = [(key, value) for key, value in report.items() if value is not None]
            rest = ", ".join(f"{key} {value}" for key, value in known if key not in ("t", "event"))
            return f"{event}{': ' * bool(rest)}{rest}"
        case _:
            raise ValueError(f"{report!r} is no report")


def _of_each_subject(alerts: Iterable[Report]) -> str:
    rings: dict[tuple[str, str], int] = {}
    for alert in alerts:
        key = (alert["subject"], said(alert))
        rings[key] = rings.get(key, 0) + len(alert["rings"])
    return ", ".join(
        f"{subject} {word} on {count} ring{'s' * (count != 1)}" for (subject, word), count in rings.items()
    )
