"""Prometheus' format for ``/metrics``, where prometheus_client is installed."""

from __future__ import annotations

from rapid.agent.admin import Exposition
from rapid.cluster import Cluster


def exposition_of(cluster: Cluster) -> Exposition | None:
    """Gives a cluster's metrics as text; None without that package: counters are plain JSON then.

    To be called on an event loop, before the cluster starts.
    """
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        from rapid.integrations.prometheus import ClusterCollector
    except ModuleNotFoundError as missing:
        if missing.name not in ("prometheus_client", "ssl", "_ssl"):
            raise
        return None
    registry = CollectorRegistry()
    registry.register(ClusterCollector(cluster))
    return lambda: (generate_latest(registry), CONTENT_TYPE_LATEST)
