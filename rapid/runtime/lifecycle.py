"""What is logged of one member's life: how it joined, each view, trouble with the quorum, its end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from rapid.log import log
from rapid.overlay.member import Endpoint
from rapid.protocol.outputs import (
    Event,
    Evicted,
    JoinDelayed,
    JoinFailed,
    Left,
    MergeFailed,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
)
from rapid.view import View, ViewChange, ViewsSkipped

NAMED = 20
"""Members of one list in the log that are named; of the others it says how many there are."""


class Lifecycle:
    """Logs the events of one member. On the driver's thread."""

    def __init__(self) -> None:
        self._local = ""
        """This member's endpoint: a process may have several members."""
        self._view: View | None = None
        self._is_member = False

    def listening(self, local: Endpoint, node_id: object) -> None:
        """The port is bound."""
        self._local = str(local)
        log.debug("listening", local=self._local, node_id=str(node_id))

    def viewed(self, change: ViewChange | ViewsSkipped) -> None:
        """There is a view, which the application is told of by this change."""
        before, self._view = self._view, change.view
        was_member, self._is_member = self._is_member, True
        if not log.is_enabled_for(logging.INFO):
            return
        view = change.view
        if not was_member:
            log.info(
                "joined",
                local=self._local, cluster_id=view.cluster_id, version=view.version, size=view.size,
                rejoined=before is not None,
            )  # fmt: skip
        elif before is not None and before.cluster_id != view.cluster_id:
            log.info(
                "now in another cluster",
                local=self._local, cluster_id=view.cluster_id, version=view.version, size=view.size,
                previous=before.cluster_id,
            )  # fmt: skip
        elif isinstance(change, ViewsSkipped):
            old, new = set(before.members if before is not None else ()), set(view.members)
            log.info(
                "views skipped",
                local=self._local, cluster_id=view.cluster_id, version=view.version, size=view.size,
                skipped=change.skipped,
                joined=_named(sorted(member.endpoint for member in new - old)),
                removed=_named(sorted(member.endpoint for member in old - new)),
            )  # fmt: skip
        else:
            log.info(
                "view changed",
                local=self._local, cluster_id=view.cluster_id, version=view.version, size=view.size,
                joined=_named(member.endpoint for member in change.joined),
                left=_named(gone.endpoint for gone in change.removed if gone.left),
                failed=_named(gone.endpoint for gone in change.removed if not gone.left),
            )  # fmt: skip

    def happened(self, event: Event, troubles: Sequence[str]) -> None:
        """Log an event that brings no view. ``troubles`` is what is known of seeds that are not reached."""
        match event:
            case JoinDelayed(waited, reason, rejoining):
                log.warning(
                    "joining takes long", local=self._local,
                    seconds=round(waited, 1), reason=explained(reason, troubles), rejoining=rejoining,
                )  # fmt: skip
            case JoinFailed(reason) if self._view is not None:
                log.warning(
                    "the member could not join again and is closed",
                    local=self._local, reason=explained(reason, troubles),
                )  # fmt: skip
            case Evicted(cluster_id, version, rejoining):
                self._is_member = False
                log.warning(
                    "evicted",
                    local=self._local, cluster_id=str(cluster_id), version=version, rejoining=rejoining,
                )  # fmt: skip
            case QuorumLost(version):
                log.warning("quorum lost", local=self._local, version=version, size=self._size)
            case QuorumRestored(version):
                log.info("quorum restored", local=self._local, version=version, size=self._size)
            case Left(agreed) if self._is_member:
                self._is_member = False
                log.info("left", local=self._local, agreed=agreed)
            case OtherCluster() | MergeFailed():
                self._met(event)

    def ended(self, error: BaseException | None) -> None:
        """The port is free. What has failed was logged where that happened."""
        if not self._local:
            # it never listened, which was raised where that was asked for
            return
        if self._is_member and error is None:
            log.info("closed without leaving", local=self._local)
        else:
            log.debug("closed", local=self._local)
        self._is_member = False

    def _met(self, event: OtherCluster | MergeFailed) -> None:
        match event:
            case OtherCluster(endpoint, cluster_id, size, merging=True):
                log.info(
                    "merging into another cluster",
                    local=self._local, endpoint=str(endpoint), cluster_id=str(cluster_id), size=size,
                )  # fmt: skip
            case OtherCluster(endpoint, cluster_id, size):
                log.warning(
                    "another cluster was found",
                    local=self._local, endpoint=str(endpoint), cluster_id=str(cluster_id), size=size,
                )  # fmt: skip
            case MergeFailed(endpoint, cluster_id, reason):
                log.warning(
                    "another cluster has not let this member in, which stays in its own",
                    local=self._local, endpoint=str(endpoint), cluster_id=str(cluster_id), reason=reason,
                )  # fmt: skip

    @property
    def _size(self) -> int:
        return 0 if self._view is None else self._view.size


def explained(reason: str, troubles: Sequence[str]) -> str:
    """The node's reason, and what is known of each seed."""
    return "; ".join([reason, *troubles])


def _named(endpoints: Iterable[Endpoint]) -> list[str]:
    names = [str(endpoint) for endpoint in endpoints]
    if len(names) > NAMED:
        return [*names[:NAMED], f"{len(names) - NAMED} more"]
    return names
