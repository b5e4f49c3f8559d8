"""Prometheus' format for ``/metrics``, where that integration is installed."""

from __future__ import annotations

from rapid.agent.admin import Exposition
from rapid.cluster import Cluster


def exposition_of(cluster: Cluster) -> Exposition | None:
    """Gives a cluster's metrics as text; None without the integration: counters are plain JSON then."""
    return None
