"""A member for the life of an application, served by FastAPI and by Starlette."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import rapid
from rapid import Cluster, Settings, blocking
from rapid.integrations.fastapi import CurrentCluster, current_cluster, lifespan, router

from .clusters import ANY, LOCAL, defined_by


@pytest.fixture
def other() -> Iterator[blocking.Cluster]:
    """A member for the application to join."""
    with blocking.Cluster(ANY, settings=LOCAL, metadata={"role": "cache", "zone": "a"}) as cluster:
        yield cluster


def application(other: blocking.Cluster) -> FastAPI:
    def make() -> Cluster:
        return Cluster(ANY, seeds=[other.endpoint], settings=LOCAL, metadata={"role": "web"})

    app = FastAPI(lifespan=lifespan(make))
    app.include_router(router())

    @app.get("/me")
    async def me(cluster: CurrentCluster) -> str:
        return str(cluster.endpoint)

    return app


def test_it_joins_at_the_begin_and_leaves_at_the_end(other: blocking.Cluster) -> None:
    app = application(other)
    for round_ in range(2):  # what was served once can be served again
        with TestClient(app) as client:
            view = other.wait_for(size=2, timeout=15.0)
            assert rapid.Endpoint.parse(client.get("/me").json()) in view
        after = other.wait_for(timeout=15.0, predicate=lambda view: view.size == 1)
        assert after.version == 2 * round_ + 3


def test_the_router(other: blocking.Cluster) -> None:
    with TestClient(application(other)) as client:
        view = other.wait_for(size=2, timeout=15.0)
        name = {"cluster_id": view.cluster_id, "version": view.version, "digest": view.digest}
        assert client.get("/cluster/version").json() == name
        members = [
            {"endpoint": str(m.endpoint), "node_id": str(m.node_id), "metadata": dict(m.metadata)}
            for m in view.members
        ]
        assert client.get("/cluster/members").json() == {**name, "members": members}
        caches = client.get("/cluster/members", params={"role": "cache"}).json()["members"]
        assert [cache["metadata"] for cache in caches] == [{"role": "cache", "zone": "a"}]
        for query in ({}, {"name": "reports"}, {"role": "web"}, {"role": "cache"}):
            found = client.get("/cluster/leader", params=query).json()
            leader = view.leader(role=query.get("role"), name=query.get("name", ""))
            assert leader is not None
            assert found["leader"]["node_id"] == str(leader.node_id)
            assert found["me"] == (leader.endpoint != other.endpoint)
        missing = client.get("/cluster/leader", params={"role": "none"})
        assert (missing.status_code, "'none'" in missing.json()["detail"]) == (404, True)
        for question in ("livez", "readyz"):
            answer = client.get(f"/cluster/{question}")
            body = answer.json()
            assert (answer.status_code, body["state"], body["ready"]) == (200, "member", True)
        paths = client.get("/openapi.json").json()["paths"]
        assert {path for path in paths if path.startswith("/cluster/")} == {
            f"/cluster/{what}" for what in ("members", "version", "leader", "livez", "readyz")
        }


def test_a_member_that_has_ended_is_neither_live_nor_ready(other: blocking.Cluster) -> None:
    with TestClient(application(other)) as client:
        assert client.portal is not None
        cluster = client.app_state["rapid_cluster"]
        client.portal.call(cluster.close)
        for question in ("livez", "readyz"):
            answer = client.get(f"/cluster/{question}")
            assert (answer.status_code, answer.json()["state"]) == (503, "closed")


def test_the_server_does_not_start_when_the_member_cannot() -> None:
    settings = Settings.local(join_timeout=0.2)
    app = FastAPI(lifespan=lifespan(lambda: Cluster(ANY, seeds=["127.0.0.1:1"], settings=settings)))
    with pytest.raises(rapid.JoinError), TestClient(app):
        raise AssertionError("it was served")


def test_without_a_lifespan_the_error_says_what_to_do() -> None:
    app = FastAPI()
    app.include_router(router("/elsewhere"))
    with pytest.raises(rapid.StateError, match="lifespan"), TestClient(app) as client:
        client.get("/elsewhere/version")


def test_starlette_alone(other: blocking.Cluster) -> None:
    async def size(request: Request) -> JSONResponse:
        return JSONResponse((await current_cluster(request).wait_for(size=2)).size)

    def make() -> Cluster:
        return Cluster(ANY, seeds=[other.endpoint], settings=LOCAL)

    with TestClient(Starlette(routes=[Route("/", size)], lifespan=lifespan(make))) as client:
        assert client.get("/").json() == 2


def test_the_guide() -> None:
    guide = defined_by("frameworks.md", about="FastAPI")
    with TestClient(guide["app"]) as client:
        only = client.get("/cluster/leader").json()["leader"]["endpoint"]
        assert client.get("/owner/some-key").json() == only
        assert client.get("/cluster/version").json()["version"] == 1
    assert guide["stopped"] == ["the pool"]
