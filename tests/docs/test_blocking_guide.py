"""What the guide on threads defines does what it says; the other guides have tests beside their subject."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import rapid
from rapid import blocking

from .bench import Bench
from .blocks import ROOT, python

PAGE = ROOT / "docs" / "guides" / "blocking.md"
LOCAL = rapid.Settings.local()
ANY = "127.0.0.1:0"


@pytest.fixture
def guide(tmp_path: Path) -> dict[str, Any]:
    bench = Bench(PAGE, tmp_path)

    async def run() -> None:
        for block in python(PAGE):
            await bench.run(block)

    asyncio.run(run())
    return bench.names


@pytest.fixture
def cluster() -> Iterator[blocking.Cluster]:
    with blocking.Cluster(ANY, settings=LOCAL) as member:
        yield member


def test_two_threads_see_each_other(guide: dict[str, Any], cluster: blocking.Cluster) -> None:
    with ThreadPoolExecutor() as pool:
        assert pool.submit(guide["work"], ANY, str(cluster.endpoint)).result(timeout=40) == 2


def test_the_changes_are_followed_until_the_end(guide: dict[str, Any]) -> None:
    first = threading.Event()

    class Seen(list[str]):
        def append(self, line: str) -> None:
            super().append(line)
            first.set()

    seen = Seen()
    with blocking.Cluster(ANY, settings=LOCAL) as cluster, ThreadPoolExecutor() as pool:
        following = pool.submit(guide["follow"], cluster, seen)
        assert first.wait(timeout=40)
        cluster.close()
        following.result(timeout=40)
    assert seen == ["view 1: 1 joined, 0 are gone"]


def test_a_request_is_sent_to_the_member_that_has_the_user(
    guide: dict[str, Any], cluster: blocking.Cluster
) -> None:
    application = guide["Application"](guide["Cache"](cluster))
    answers: list[Any] = []
    assert application({"PATH_INFO": "/ann"}, lambda *answer: answers.append(answer)) == []
    where = f"http://{cluster.endpoint.host}/ann"
    assert answers == [("307 Temporary Redirect", [("Location", where)])]


def test_a_worker_joins_through_the_seeds_and_leaves(
    guide: dict[str, Any], cluster: blocking.Cluster
) -> None:
    guide["SEEDS"][:] = [str(cluster.endpoint)]
    worker = SimpleNamespace()
    guide["post_fork"](None, worker)
    assert worker.cluster.view.size == 2
    guide["worker_exit"](None, worker)
    assert cluster.wait_for(predicate=lambda view: view.size == 1, timeout=10).size == 1


def test_a_worker_that_could_not_join_exits_without_an_error(
    guide: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = rapid.Settings.local(join_timeout=0.2)
    monkeypatch.setattr(rapid.Settings, "local", lambda: impatient)
    worker = SimpleNamespace()
    guide["SEEDS"][:] = ["127.0.0.1:1"]
    with pytest.raises(rapid.JoinError):
        guide["post_fork"](None, worker)
    guide["worker_exit"](None, worker)


def test_the_leader_steps_with_its_token(guide: dict[str, Any], cluster: blocking.Cluster) -> None:
    stop, tokens = threading.Event(), []

    def step(token: rapid.FencingToken) -> None:
        tokens.append(token)
        if len(tokens) == 2:
            stop.set()

    guide["lead"](cluster, step, stop, pause=0.0)
    assert tokens == [cluster.view.token] * 2
