"""Prometheus' format for ``/metrics``, where that integration is installed."""

from __future__ import annotations

from importlib import import_module

from rapid.agent.admin import Exposition
from rapid.cluster import Cluster

INTEGRATION = "rapid.integrations.prometheus"
_NEEDED = ("prometheus_client", "rapid.integrations", INTEGRATION)


def exposition_of(cluster: Cluster) -> Exposition | None:
    """Gives a cluster's metrics as text; None without the integration: counters are plain JSON then.

    To be called on an event loop, before the cluster starts.
    """
    try:
        integration = import_module(INTEGRATION)
        client = import_module("prometheus_client")
    except ModuleNotFoundError as missing:
        if missing.name not in _NEEDED:
            raise
        return None
    registry = client.CollectorRegistry()
    registry.register(integration.ClusterCollector(cluster))
    return lambda: (client.generate_latest(registry), client.CONTENT_TYPE_LATEST)
