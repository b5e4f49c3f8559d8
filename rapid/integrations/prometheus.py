"""A member's metrics for Prometheus. Needs the extra ``prometheus``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from rapid.errors import MissingExtraError
from rapid.integrations.standing import AnyCluster, standing
from rapid.integrations.tally import Tally
from rapid.standing import State

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
except ModuleNotFoundError as missing:
    raise MissingExtraError(__name__, "prometheus", missing.name) from missing


class ClusterCollector(Collector):
    """What one member knows, at each scrape: ``REGISTRY.register(ClusterCollector(cluster))``.

    Its counters count what comes after it was made and after the first view. Make it before
    :meth:`rapid.Cluster.start`; later, a :class:`rapid.Cluster` takes it only on a running event loop.
    A registry takes one of them: give a second member of the process a registry of its own. When the
    member has ended, it goes on giving what was last. :class:`rapid.StateError` after a fork.
    """

    def __init__(self, cluster: AnyCluster) -> None:
        self._cluster = cluster
        self._tally = Tally()
        self._unsubscribe = cluster.subscribe(self._tally.count)

    def close(self) -> None:
        """Count no changes from now on; the gauges go on. Any thread, any number of times."""
        self._unsubscribe()

    def describe(self) -> Iterable[Metric]:
        """The metrics whose names are known before anything has happened; the registry calls it."""
        return [Metric(metric.name, metric.documentation, metric.type) for metric in self._known()]

    def collect(self) -> Iterator[Metric]:
        """What holds now; the registry calls it at each scrape. Any thread."""
        yield from self._known()
        yield from self._counts()

    def _known(self) -> Iterator[Metric]:
        now, tally = standing(self._cluster), self._tally
        view = now.view
        yield GaugeMetricFamily(
            "rapid_cluster_size", "Members of the newest view", value=view.size if view is not None else 0
        )
        yield GaugeMetricFamily(
            "rapid_view_version", "Version of the newest view", value=view.version if view is not None else 0
        )
        yield GaugeMetricFamily(
            "rapid_ready", "1 when in a view and the quorum is not lost", value=now.state.is_ready
        )
        states = GaugeMetricFamily("rapid_state", "1 for the state that the member is in", labels=["state"])
        for state in State:
            states.add_metric([state.value], now.state is state)
        yield states
        yield CounterMetricFamily("rapid_view_changes", "Views after the first", value=tally.changes)
        yield CounterMetricFamily(
            "rapid_views_skipped", "Views that this member did not see", value=tally.skipped
        )
        yield CounterMetricFamily("rapid_members_joined", "Members that joined", value=tally.joined)
        removed = CounterMetricFamily(
            "rapid_members_removed", "Members that went, by reason", labels=["reason"]
        )
        for reason, count in tally.removed.items():
            removed.add_metric([reason.value], count)
        yield removed
        yield CounterMetricFamily(
            "rapid_quorum_losses", "Times that the quorum was lost", value=tally.quorums_lost
        )
        yield CounterMetricFamily(
            "rapid_evictions", "Times that the cluster went on without this member", value=tally.evictions
        )

    def _counts(self) -> Iterator[Metric]:
        """``cluster.stats``: what stands before a colon is the name, what stands after it the reason."""
        families: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for key, count in self._cluster.stats.items():
            kind, _, reason = key.partition(":")
            families[kind][reason.strip()] = count
        for kind, counts in sorted(families.items()):
            labels = ["reason"] if any(counts) else []
            family = CounterMetricFamily(
                f"rapid_{_name(kind)}", f"The count {kind!r} of Cluster.stats", labels=labels
            )
            for reason, count in sorted(counts.items()):
                family.add_metric([reason] if labels else [], count)
            yield family


def _name(kind: str) -> str:
    """In the characters that a metric's name may have."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in kind.lower())
