"""Backends that come and go behind nginx, by the views of a real cluster."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Collection
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from benchmarks.peers.fleet import free_addresses
from examples.service_discovery.backend import serve
from examples.service_discovery.balancer import Balancer, follow
from examples.service_discovery.nginx import Nginx, NoNginx, upstreams
from rapid import Cluster, Settings

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None,
    reason="there is no command nginx; on Debian: apt-get install nginx-light",
)


async def get(address: str) -> tuple[int, str]:
    """The status and the body."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body.decode().strip()


def test_the_backends_as_nginx_reads_them() -> None:
    assert upstreams(["b:2", "a:1"]) == "server a:1;\nserver b:2;\n"
    assert "down" in upstreams([])


async def test_a_missing_nginx_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(NoNginx, match="apt-get install"):
        async with Nginx("127.0.0.1:8080", tmp_path):
            raise AssertionError("it has started")


async def test_nginx_reads_only_what_is_news(tmp_path: Path) -> None:
    shown: list[Collection[str]] = []

    class Shown(Nginx):
        def show(self, backends: Collection[str]) -> None:
            shown.append(sorted(backends))

    balancer = Balancer(Shown("127.0.0.1:8080", tmp_path), lambda found: None)
    for backends in (["a:1", "b:2"], ["b:2", "a:1"], ["b:2"], []):
        balancer.take(backends)
    assert shown == [["a:1", "b:2"], ["b:2"], []]


@needs_nginx
async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    (address,) = free_addresses(1)
    async with await serve(address):
        with pytest.raises(NoNginx, match="has ended with status 1"):
            async with Nginx(address, tmp_path):
                raise AssertionError("it has started")


@needs_nginx
async def test_nginx_follows_the_views(tmp_path: Path) -> None:
    http, *backends = free_addresses(5)
    found: asyncio.Queue[Collection[str]] = asyncio.Queue()
    async with AsyncExitStack() as life:
        nginx = await life.enter_async_context(Nginx(http, tmp_path))
        assert (await get(http))[0] == 502
        watcher = Cluster("127.0.0.1:0", settings=Settings.local(), metadata={"role": "balancer"})
        await watcher.start()
        life.push_async_callback(watcher.close)
        following = asyncio.create_task(follow(watcher, Balancer(nginx, found.put_nowait)))
        life.push_async_callback(asyncio.wait, [following])
        life.callback(following.cancel)
        members = []
        for backend in backends:
            await life.enter_async_context(await serve(backend))
            member = Cluster(
                "127.0.0.1:0", seeds=[watcher.endpoint], settings=Settings.local(),
                metadata={"role": "backend", "http": backend},
            )  # fmt: skip
            await member.start()
            life.push_async_callback(member.close)
            members.append(member)
        while await found.get() != frozenset(backends):
            pass
        # new workers answer when nginx has read it, and the old ones until then
        while (await get(http))[0] != 200:
            pass
        await members[0].close()
        assert await found.get() == frozenset(backends[1:])
        while {(await get(http))[1] for _ in range(8)} != set(backends[1:]):
            pass
