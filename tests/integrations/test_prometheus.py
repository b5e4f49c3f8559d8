"""A member's metrics, as Prometheus reads them."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import rapid
from rapid import Cluster, blocking
from rapid.integrations.prometheus import ClusterCollector
from rapid.standing import State
from tests.runtime.reactor_loop import until

from .clusters import ANY, LOCAL, QUICK, cluster_of, defined_by, until_agreed

STABLE = {
    "rapid_cluster_size": "gauge",
    "rapid_view_version": "gauge",
    "rapid_ready": "gauge",
    "rapid_state": "gauge",
    "rapid_view_changes": "counter",
    "rapid_views_skipped": "counter",
    "rapid_members_joined": "counter",
    "rapid_members_removed": "counter",
    "rapid_quorum_losses": "counter",
    "rapid_evictions": "counter",
}
"""The names that dashboards and alerts are built on. To change one is to break them."""


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    """Every sample by its name, with its labels."""
    text = generate_latest(registry).decode()
    return {
        sample.name + "".join(f"{{{k}={v}}}" for k, v in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def state_of(scraped: dict[str, float]) -> str:
    """The one state that is 1; all the others are 0."""
    states = {state: scraped[f"rapid_state{{state={state}}}"] for state in State}
    assert sorted(states.values()) == [0] * (len(State) - 1) + [1]
    return max(states, key=lambda state: states[state]).value


def registry_for(cluster: Cluster | blocking.Cluster) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(ClusterCollector(cluster))
    return registry


async def test_the_names_and_types() -> None:
    async with cluster_of(1) as (cluster,):
        text = generate_latest(registry_for(cluster)).decode()
        types = {family.name: family.type for family in text_string_to_metric_families(text)}
        assert {name: types[name] for name in STABLE} == STABLE
        assert all(name in STABLE or types[name] == "counter" for name in types)


async def test_joins_and_removals_are_counted() -> None:
    async with cluster_of(3) as (a, b, c):
        registry = registry_for(a)
        await until(lambda: scraped(registry)["rapid_cluster_size"] == 3)
        first = a.view.version
        async with Cluster(ANY, seeds=[a.endpoint], settings=LOCAL) as d:
            await until_agreed([a, b, c, d])
        await until_agreed([a, b, c])
        await c.close()
        await until(lambda: a.view.size == 2)
        await until(lambda: scraped(registry)["rapid_members_removed_total{reason=failed}"] == 1)
        now = scraped(registry)
        assert now["rapid_cluster_size"] == 2
        assert now["rapid_view_version"] == a.view.version == first + 3
        assert now["rapid_view_changes_total"] == 3
        assert now["rapid_members_joined_total"] == 1
        assert now["rapid_members_removed_total{reason=left}"] == 1
        assert now["rapid_members_removed_total{reason=unknown}"] == 0
        assert (now["rapid_ready"], state_of(now)) == (1, "member")


async def test_the_loss_of_the_quorum() -> None:
    async with cluster_of(3, settings=QUICK) as (a, b, c):
        registry = registry_for(a)
        await asyncio.gather(b.close(), c.close())
        await until(lambda: scraped(registry)["rapid_quorum_losses_total"] == 1)
        now = scraped(registry)
        assert (now["rapid_ready"], state_of(now)) == (0, "quorum lost")
        assert now["rapid_cluster_size"] == 3


async def test_views_that_were_not_seen() -> None:
    async with cluster_of(2) as (a, b):
        registry = registry_for(a)
        await until(lambda: scraped(registry)["rapid_cluster_size"] == 2)
        gone = rapid.View(a.view.cluster_id, a.view.version + 5, "0" * 32, a.view.members[:1])
        a._feed.publish(rapid.Evicted(a.view.cluster_id, gone.version, rejoining=True))
        a._feed.publish(rapid.ViewsSkipped(gone, 4))
        await until(lambda: scraped(registry)["rapid_view_changes_total"] == 5)
        now = scraped(registry)
        assert now["rapid_views_skipped_total"] == 4
        assert now["rapid_members_removed_total{reason=unknown}"] == 1
        assert now["rapid_evictions_total"] == 1
        assert b.view.size == 2


async def test_the_counts_of_the_member(monkeypatch: pytest.MonkeyPatch) -> None:
    async with cluster_of(2) as (a, _):
        registry = registry_for(a)
        await until(lambda: scraped(registry).get("rapid_frames_received_total", 0) > 0)
        real = scraped(registry)
        assert real["rapid_bytes_sent_total"] > real["rapid_frames_sent_total"] > 0
        counts = {"dropped:queue": 3, "dropped:size": 4, "dropped": 1, "rejected:alert: late": 1, "stalls": 2}
        monkeypatch.setattr(Cluster, "stats", counts)
        now = scraped(registry)
        assert now["rapid_dropped_total{reason=queue}"] == 3
        assert now["rapid_dropped_total{reason=size}"] == 4
        assert now["rapid_dropped_total{reason=}"] == 1
        assert now["rapid_rejected_total{reason=alert: late}"] == 1
        assert now["rapid_stalls_total"] == 2


async def test_before_the_start_and_after_the_end() -> None:
    cluster = Cluster(ANY, settings=LOCAL)
    registry = registry_for(cluster)
    assert scraped(registry)["rapid_cluster_size"] == scraped(registry)["rapid_ready"] == 0
    await cluster.start()
    assert scraped(registry)["rapid_cluster_size"] == scraped(registry)["rapid_ready"] == 1
    await cluster.leave()
    assert (scraped(registry)["rapid_cluster_size"], scraped(registry)["rapid_ready"]) == (1, 0)


async def test_one_member_for_each_registry() -> None:
    async with cluster_of(2) as (a, b):
        registry = registry_for(a)
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            registry.register(ClusterCollector(b))


async def test_a_collector_that_is_closed_counts_no_further() -> None:
    async with cluster_of(2) as (a, b):
        registry = CollectorRegistry()
        collector = ClusterCollector(a)
        registry.register(collector)
        collector.close()
        await b.leave()
        await until(lambda: a.view.size == 1)
        assert scraped(registry)["rapid_view_changes_total"] == 0


async def test_a_member_for_threads() -> None:
    async with cluster_of(1) as (a,):
        other = blocking.Cluster(ANY, seeds=[a.endpoint], settings=LOCAL)
        registry = registry_for(other)
        await asyncio.to_thread(other.start)
        await until(lambda: scraped(registry)["rapid_cluster_size"] == 2)
        await asyncio.to_thread(other.leave)


async def test_the_guide() -> None:
    guide = defined_by("observability.md", about="prometheus")
    async with guide["cluster"]:
        assert scraped(guide["registry"])["rapid_cluster_size"] == 1
