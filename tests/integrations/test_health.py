"""When a member is live, and when it is ready."""

from __future__ import annotations

import asyncio
import os

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import rapid
from rapid import Cluster, Endpoint, Evicted, OtherCluster, QuorumLost, QuorumRestored, blocking
from rapid.integrations.health import Health, live, ready
from tests.runtime.reactor_loop import until

from .clusters import ANY, LOCAL, QUICK, cluster_of, defined_by


async def test_from_the_beginning_to_the_end() -> None:
    cluster = Cluster(ANY, settings=LOCAL)
    assert live(cluster) == (200, {"state": "joining", "live": True, "ready": False})
    assert ready(cluster)[0] == 503
    view = await cluster.start()
    body = {
        "state": "member",
        "live": True,
        "ready": True,
        "endpoint": str(cluster.endpoint),
        "cluster_id": view.cluster_id,
        "version": 1,
        "size": 1,
    }
    assert live(cluster) == ready(cluster) == (200, body)
    await cluster.leave()
    gone = body | {"state": "closed", "live": False, "ready": False}
    assert live(cluster) == ready(cluster) == (503, gone)


async def test_one_that_never_starts_is_not_live_once_it_is_closed() -> None:
    cluster = Cluster(ANY, settings=LOCAL)
    await cluster.close()
    assert live(cluster) == (503, {"state": "closed", "live": False, "ready": False})


async def test_when_the_quorum_is_lost_it_lives_and_is_not_ready() -> None:
    async with cluster_of(3, settings=QUICK) as (a, b, c):
        await asyncio.gather(b.close(), c.close())
        await until(lambda: ready(a)[0] == 503)
        assert ready(a)[1]["state"] == "quorum lost"
        assert live(a)[0] == 200


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ([QuorumLost(1)], "quorum lost"),
        ([QuorumLost(1), QuorumRestored(1)], "member"),
        ([Evicted("c" * 32, 2, rejoining=True)], "evicted"),
        ([QuorumLost(1), Evicted("c" * 32, 2, rejoining=True)], "evicted"),
        ([Evicted("c" * 32, 2, rejoining=True), QuorumLost(1)], "evicted"),
        ([OtherCluster(Endpoint("b", 1), "d" * 32, 7, merging=True)], "merging"),
        ([OtherCluster(Endpoint("b", 1), "d" * 32, 7, merging=False)], "member"),
    ],
)
async def test_what_it_is_told_is_its_state(changes: list[rapid.Change], state: str) -> None:
    async with cluster_of(1) as (cluster,):
        for change in changes:
            cluster._feed.publish(change)
        status, body = ready(cluster)
        assert (status, body["state"], live(cluster)[0]) == (200 if state == "member" else 503, state, 200)


async def test_one_that_is_leaving_is_not_ready() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow_to_end(token: rapid.FencingToken) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await go.wait()

    async with cluster_of(1) as (cluster,), rapid.singleton(cluster, slow_to_end):
        await begun.wait()
        leaving = asyncio.create_task(cluster.leave())
        await until(lambda: ready(cluster)[1]["state"] == "leaving")
        assert (ready(cluster)[0], live(cluster)[0]) == (503, 200)
        go.set()
        await leaving


def test_for_threads() -> None:
    with blocking.Cluster(ANY, settings=LOCAL) as cluster:
        assert ready(cluster)[0] == 200
    assert live(cluster)[0] == 503


async def test_after_a_fork() -> None:
    cluster = Cluster(ANY, settings=LOCAL)
    cluster._pid = os.getpid() + 1  # as the child would see it
    with pytest.raises(rapid.StateError, match="fork"):
        live(cluster)


# over HTTP


@pytest.mark.parametrize("mounted", ["", "/below/this"])
async def test_the_application(mounted: str) -> None:
    cluster = Cluster(ANY, settings=LOCAL)
    app = Starlette(routes=[Mount(mounted, Health(cluster))]) if mounted else Health(cluster)
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url=f"http://here{mounted}") as client:
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        async with cluster:
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()) == ready(cluster)
            assert answer.headers["content-type"] == "application/json"
            head = await client.head("/readyz")
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(answer.content))
        assert (await client.get("/livez")).status_code == 503
        wrong = await client.post("/livez")
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, HEAD")
        assert (await client.get("/")).status_code == 404


async def test_the_application_refuses_a_websocket() -> None:
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    async def receive() -> dict[str, str]:
        raise AssertionError("there is nothing to read")

    await Health(Cluster(ANY))({"type": "websocket", "path": "/livez"}, receive, send)
    assert sent == [{"type": "websocket.close"}]


async def test_the_guide() -> None:
    guide = defined_by("frameworks.md", about="asgi")
    transport = httpx2.ASGITransport(guide["probes"])
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.get("/livez")).json()["state"] == "joining"


def test_the_guide_for_wsgi() -> None:
    guide = defined_by("frameworks.md", about="WSGI application")
    said: list[object] = []
    with blocking.Cluster(ANY, settings=LOCAL) as cluster:
        app = guide["Readiness"](cluster)
        assert app({}, lambda *args: said.append(args[0])) == [b"member"]
    assert app({}, lambda *args: said.append(args[0])) == [b"closed"]
    assert said == ["200 OK", "503 Service Unavailable"]
