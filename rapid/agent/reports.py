"""What happens to a member, as JSON objects for programs and as lines for people."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rapid.detection.alert import Alert
from rapid.view import (
    Change,
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    ViewChange,
    ViewsSkipped,
)

Report = dict[str, Any]
"""A JSON object with ``t``, the unix time, and ``event``."""


def now(event: str, **fields: object) -> Report:
    """The report of something that has just happened."""
    return {"t": time.time(), "event": event, **fields}


def as_report(change: Change) -> Report:
    """What is told of a change."""
    match change:
        case ViewChange(view, joined, removed):
            return now(
                "view",
                cluster_id=view.cluster_id,
                version=view.version,
                size=view.size,
                digest=view.digest,
                joined=[str(member.endpoint) for member in joined],
                removed=[str(removal.endpoint) for removal in removed],
                left=[str(removal.endpoint) for removal in removed if removal.left],
            )
        case ViewsSkipped(view, skipped):
            return now(
                "views skipped",
                cluster_id=view.cluster_id,
                version=view.version,
                size=view.size,
                digest=view.digest,
                skipped=skipped,
            )
        case Evicted(cluster_id, version, rejoining):
            return now("evicted", cluster_id=cluster_id, version=version, rejoining=rejoining)
        case OtherCluster(endpoint, cluster_id, size, merging):
            return now(
                "other cluster", endpoint=str(endpoint), cluster_id=cluster_id, size=size, merging=merging
            )
        case QuorumLost(version):
            return now("quorum lost", version=version)
        case QuorumRestored(version):
            return now("quorum restored", version=version)


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
    """A line for people: the time, what happened, and who came and went."""
    return f"{stamp(report['t'])}  {_told(report)}"


def stamp(t: float) -> str:
    """The time of day, to the millisecond."""
    return f"{time.strftime('%H:%M:%S', time.localtime(t))}.{int(t % 1 * 1000):03}"


def said(alert: Report) -> str:
    """What an observer says, and on what ground, in a word or two."""
    status, ground = alert["status"], alert["ground"]
    return f"{status} ({ground})" if ground else str(status)


def _told(report: Report) -> str:
    match report:
        case {"event": "view", "version": version, "size": size}:
            gone = [f"-{e} (left)" if e in report["left"] else f"-{e}" for e in report["removed"]]
            who = " ".join([*(f"+{e}" for e in report["joined"]), *gone])
            return f"view {version}, {size} member{'s' * (size != 1)}: {who}"
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
