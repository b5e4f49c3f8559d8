"""A member's metrics, and its view changes as spans, for OpenTelemetry. Needs the extra ``opentelemetry``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from rapid import __version__
from rapid.errors import MissingExtraError
from rapid.integrations.standing import AnyCluster, standing
from rapid.integrations.tally import Tally
from rapid.standing import State
from rapid.view import Change, ViewChange, ViewsSkipped

try:
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter_provider
    from opentelemetry.trace import TracerProvider, get_tracer_provider
except ModuleNotFoundError as missing:
    raise MissingExtraError(__name__, "opentelemetry", missing.name) from missing

NAME = "rapid"
MEMBERS_LISTED = 64
"""A span names at most so many of those that joined, and of those that went."""


class Instrumentation:
    """Metrics of one member, and a span for each of its view changes, until :meth:`close`.

    Make it before :meth:`rapid.Cluster.start`; later, a :class:`rapid.Cluster` takes it only on a
    running event loop. The providers are the global ones unless they are given. Each span is a root of
    its own and takes no time: it marks the moment at which this member was told. The first view has
    none. :class:`rapid.StateError` after a fork.
    """

    def __init__(
        self,
        cluster: AnyCluster,
        *,
        meter_provider: MeterProvider | None = None,
        tracer_provider: TracerProvider | None = None,
    ) -> None:
        self._cluster = cluster
        self._tally = Tally()
        self._seen_first = False
        self._closed = False
        self._tracer = (tracer_provider or get_tracer_provider()).get_tracer(NAME, __version__)
        self._meter = (meter_provider or get_meter_provider()).get_meter(NAME, __version__)
        self._gauge("rapid.cluster.size", "{member}", "Members of the newest view", self._size)
        self._gauge("rapid.view.version", "1", "Version of the newest view", self._view_version)
        self._gauge("rapid.ready", "1", "1 when in a view and the quorum is not lost", self._ready)
        self._gauge("rapid.state", "1", "1 for the state that the member is in", self._state)
        self._counter("rapid.view.changes", "{view}", "Views after the first", self._changes)
        self._counter("rapid.views.skipped", "{view}", "Views that this member did not see", self._skipped)
        self._counter("rapid.members.joined", "{member}", "Members that joined", self._joined)
        self._counter("rapid.members.removed", "{member}", "Members that went, by reason", self._removed)
        self._counter("rapid.quorum.losses", "1", "Times that the quorum was lost", self._losses)
        self._counter(
            "rapid.evictions", "1", "Times that the cluster went on without this member", self._evictions
        )
        self._counter("rapid.stats", "1", "Each count of Cluster.stats", self._stats)
        self._unsubscribe = cluster.subscribe(self._happened)

    def close(self) -> None:
        """No spans and no metrics from now on. Any thread, any number of times."""
        self._closed = True
        self._unsubscribe()

    def _happened(self, change: Change) -> None:
        self._tally.count(change)
        match change:
            case ViewChange(view, joined, removed):
                if self._seen_first:
                    self._mark(
                        {
                            "rapid.cluster.id": view.cluster_id,
                            "rapid.view.version": view.version,
                            "rapid.cluster.size": view.size,
                            "rapid.view.joined.count": len(joined),
                            "rapid.view.removed.count": len(removed),
                            "rapid.view.joined": [str(m.endpoint) for m in joined[:MEMBERS_LISTED]],
                            "rapid.view.removed": [
                                f"{gone.endpoint} {'left' if gone.left else 'failed'}"
                                for gone in removed[:MEMBERS_LISTED]
                            ],
                        }
                    )
                self._seen_first = True
            case ViewsSkipped(view, skipped):
                self._seen_first = True
                self._mark(
                    {
                        "rapid.cluster.id": view.cluster_id,
                        "rapid.view.version": view.version,
                        "rapid.cluster.size": view.size,
                        "rapid.view.skipped": skipped,
                    }
                )

    def _mark(self, attributes: dict[str, str | int | list[str]]) -> None:
        # whatever is under way in the application is not what caused the change
        self._tracer.start_span("rapid.view_change", Context(), attributes=attributes).end()

    def _gauge(self, name: str, unit: str, description: str, values: Values) -> None:
        self._meter.create_observable_gauge(name, [self._while_open(values)], unit, description)

    def _counter(self, name: str, unit: str, description: str, values: Values) -> None:
        self._meter.create_observable_counter(name, [self._while_open(values)], unit, description)

    def _while_open(self, values: Values) -> Callable[[CallbackOptions], Iterable[Observation]]:
        # an instrument cannot be taken back
        return lambda _: () if self._closed else values()

    def _size(self) -> Iterator[Observation]:
        if (view := standing(self._cluster).view) is not None:
            yield Observation(view.size)

    def _view_version(self) -> Iterator[Observation]:
        if (view := standing(self._cluster).view) is not None:
            yield Observation(view.version)

    def _ready(self) -> Iterator[Observation]:
        yield Observation(int(standing(self._cluster).state.is_ready))

    def _state(self) -> Iterator[Observation]:
        now = standing(self._cluster).state
        for state in State:
            yield Observation(int(state is now), {"rapid.state": state.value})

    def _changes(self) -> Iterator[Observation]:
        yield Observation(self._tally.changes)

    def _skipped(self) -> Iterator[Observation]:
        yield Observation(self._tally.skipped)

    def _joined(self) -> Iterator[Observation]:
        yield Observation(self._tally.joined)

    def _removed(self) -> Iterator[Observation]:
        for reason, count in self._tally.removed.items():
            yield Observation(count, {"rapid.removal.reason": reason.value})

    def _losses(self) -> Iterator[Observation]:
        yield Observation(self._tally.quorums_lost)

    def _evictions(self) -> Iterator[Observation]:
        yield Observation(self._tally.evictions)

    def _stats(self) -> Iterator[Observation]:
        for key, count in self._cluster.stats.items():
            yield Observation(count, {"rapid.stat": key})


Values = Callable[[], Iterable[Observation]]
