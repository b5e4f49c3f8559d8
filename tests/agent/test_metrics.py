"""What ``/metrics`` says."""

from __future__ import annotations

import sys

import pytest

from rapid import Cluster, Settings
from rapid.agent.metrics import exposition_of


async def test_prometheus_is_given_a_members_metrics() -> None:
    pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    cluster = Cluster("127.0.0.1:0", settings=Settings.local())
    exposition = exposition_of(cluster)
    assert exposition is not None
    async with cluster:
        content, kind = exposition()
    assert kind.startswith("text/plain")
    assert b"\nrapid_cluster_size 1.0\n" in content


def test_without_the_integration_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert exposition_of(Cluster("127.0.0.1:0")) is None
