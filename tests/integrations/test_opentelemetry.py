"""A member's metrics and spans, as the OpenTelemetry SDK takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, NumberDataPoint, Sum
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import rapid
from rapid import Cluster
from rapid.integrations.opentelemetry import Instrumentation
from tests.runtime.reactor_loop import until

from .clusters import ANY, LOCAL, QUICK, cluster_of, defined_by, until_agreed

GAUGES = {"rapid.cluster.size", "rapid.view.version", "rapid.ready", "rapid.state"}
COUNTERS = {
    "rapid.view.changes",
    "rapid.views.skipped",
    "rapid.members.joined",
    "rapid.members.removed",
    "rapid.quorum.losses",
    "rapid.evictions",
    "rapid.stats",
}


class Sdk:
    """The SDK, with all that it is given kept in memory."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def instrument(self, cluster: Cluster) -> Instrumentation:
        return Instrumentation(cluster, meter_provider=self.meters, tracer_provider=self.tracers)

    def values(self) -> dict[str, float]:
        """The newest value of each metric, with the value of its attribute if it has one."""
        return {
            "/".join([name, *map(str, (point.attributes or {}).values())]): point.value
            for name, data in self.metrics().items()
            for point in data.data_points
            if isinstance(point, NumberDataPoint)
        }

    def metrics(self) -> Mapping[str, Gauge | Sum]:
        data = self.reader.get_metrics_data()
        return {
            metric.name: metric.data
            for resource in (data.resource_metrics if data is not None else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if isinstance(metric.data, Gauge | Sum)
        }

    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


@pytest.fixture
def sdk() -> Iterator[Sdk]:
    sdk = Sdk()
    yield sdk
    sdk.meters.shutdown()
    sdk.tracers.shutdown()


async def test_the_names_and_kinds(sdk: Sdk) -> None:
    async with cluster_of(2) as (a, _):
        sdk.instrument(a)
        metrics = sdk.metrics()
        assert {name for name, data in metrics.items() if isinstance(data, Gauge)} == GAUGES
        sums = {name: data for name, data in metrics.items() if isinstance(data, Sum)}
        assert set(sums) == COUNTERS
        assert all(data.is_monotonic for data in sums.values())


async def test_a_span_for_each_change(sdk: Sdk) -> None:
    async with cluster_of(3) as (a, b, c):
        with sdk.tracers.get_tracer("the application").start_as_current_span("a request"):
            sdk.instrument(a)
        assert [span.name for span in sdk.spans()] == ["a request"]
        async with Cluster(ANY, seeds=[a.endpoint], settings=LOCAL) as d:
            await until_agreed([a, b, c, d])
        await until_agreed([a, b, c])
        await c.close()
        await until(lambda: len(sdk.spans()) == 4)
        _, joined, left, failed = sdk.spans()
        assert {span.name for span in (joined, left, failed)} == {"rapid.view_change"}
        attributes = [dict(span.attributes or {}) for span in (joined, left, failed)]
        version = a.view.version
        assert [found["rapid.view.version"] for found in attributes] == [version - 2, version - 1, version]
        assert [found["rapid.cluster.size"] for found in attributes] == [4, 3, 2]
        assert {found["rapid.cluster.id"] for found in attributes} == {a.view.cluster_id}
        assert attributes[0]["rapid.view.joined"] == (str(d.endpoint),)
        assert attributes[1]["rapid.view.removed"] == (f"{d.endpoint} left",)
        assert attributes[2]["rapid.view.removed"] == (f"{c.endpoint} failed",)
        assert all(span.parent is None for span in (joined, left, failed))
        values = sdk.values()
        assert values["rapid.cluster.size"] == 2
        assert values["rapid.view.version"] == version
        assert values["rapid.view.changes"] == 3
        assert values["rapid.members.joined"] == 1
        assert values["rapid.members.removed/left"] == values["rapid.members.removed/failed"] == 1
        assert (values["rapid.ready"], values["rapid.state/member"]) == (1, 1)
        assert sum(value for name, value in values.items() if name.startswith("rapid.state/")) == 1
        assert values["rapid.stats/frames sent"] > 0


async def test_a_span_for_views_that_were_not_seen(sdk: Sdk) -> None:
    async with cluster_of(1) as (a,):
        sdk.instrument(a)
        view = a.view
        newer = rapid.View(view.cluster_id, view.version + 3, "0" * 32, view.members)
        a._feed.publish(rapid.ViewsSkipped(newer, 2))
        await until(sdk.spans)
        (span,) = sdk.spans()
        attributes = dict(span.attributes or {})
        assert (attributes["rapid.view.version"], attributes["rapid.view.skipped"]) == (view.version + 3, 2)
        assert sdk.values()["rapid.views.skipped"] == 2


async def test_the_loss_of_the_quorum(sdk: Sdk) -> None:
    async with cluster_of(3, settings=QUICK) as (a, b, c):
        sdk.instrument(a)
        await asyncio.gather(b.close(), c.close())
        await until(lambda: sdk.values()["rapid.quorum.losses"] == 1)
        values = sdk.values()
        assert (values["rapid.ready"], values["rapid.state/quorum lost"]) == (0, 1)
        assert values["rapid.state/member"] == 0


async def test_when_it_is_closed_nothing_more_is_told(sdk: Sdk) -> None:
    async with cluster_of(2) as (a, b):
        instrumentation = sdk.instrument(a)
        assert sdk.values()["rapid.cluster.size"] == 2
        instrumentation.close()
        await b.leave()
        await until(lambda: a.view.size == 1)
        assert sdk.values() == {}
        assert sdk.spans() == ()


async def test_before_the_start(sdk: Sdk) -> None:
    cluster = Cluster(ANY, settings=LOCAL)
    sdk.instrument(cluster)
    assert "rapid.cluster.size" not in sdk.values()
    async with cluster:
        assert sdk.values()["rapid.cluster.size"] == 1
        assert sdk.spans() == ()


async def test_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    guide = defined_by("observability.md", about="opentelemetry")
    async with guide["cluster"]:
        assert guide["instrumentation"] is not None
    guide["instrumentation"].close()
