"""What the first start of a process loads, and on which thread."""

from __future__ import annotations

import subprocess
import sys

import pytest

GATED = """
import asyncio, sys, threading
from importlib.abc import MetaPathFinder
from rapid import Cluster, Settings, StateError, blocking

class Gate(MetaPathFinder):
    # holds up the import of gRPC until the caller's loop has gone round
    opened = threading.Event()
    reached = threading.Event()
    passed = []

    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            self.reached.set()
            self.passed.append((threading.current_thread().name, self.opened.wait(20)))
        return None

sys.meta_path.insert(0, Gate())
made = dict(settings=Settings.local())
assert "grpc" not in sys.modules
assert "rapid.runtime.membership" not in sys.modules

async def turns():
    while not Gate.reached.is_set():
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
"""
FREE = """
async def main():
    cluster = Cluster("127.0.0.1:0", **made)
    starting = asyncio.create_task(cluster.{method}())
    await turns()
    assert not starting.done()
    Gate.opened.set()
    await starting
    await cluster.leave()

asyncio.run(main())
assert Gate.passed == [("rapid", True)], Gate.passed
"""
ENDED = """
async def main():
    cluster = Cluster("127.0.0.1:0", **made)
    starting = asyncio.create_task(cluster.start())
    await turns()
    await cluster.{end}
    Gate.opened.set()
    try:
        await starting
    except (StateError, asyncio.CancelledError) as error:
        assert str(error) in ("", "the member was closed before it listened"), error
    else:
        raise AssertionError("it was started after its end")
    try:
        await cluster.bind()
    except StateError:
        pass
    else:
        raise AssertionError("it listens after its end")

asyncio.run(main())
# the library's thread is as good as before
with blocking.Cluster("127.0.0.1:0", **made) as again:
    assert again.view.size == 1
"""
CANCELLED = """
async def main():
    cluster = Cluster("127.0.0.1:0", **made)
    starting = asyncio.create_task(cluster.start())
    await turns()
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    Gate.opened.set()
    async with Cluster("127.0.0.1:0", **made) as other:
        assert other.view.size == 1

asyncio.run(main())
"""
TWICE = """
async def main():
    cluster = Cluster("127.0.0.1:0", **made)
    binding = asyncio.create_task(cluster.bind())
    await turns()
    for again in (cluster.bind, cluster.start):
        try:
            await again()
        except StateError as error:
            assert "once" in str(error) or "has not returned" in str(error), error
        else:
            raise AssertionError("two at once")
    Gate.opened.set()
    await binding
    await cluster.start()
    await cluster.leave()

asyncio.run(main())
"""
SEVERAL = """
async def main():
    clusters = [Cluster("127.0.0.1:0", **made) for _ in range(3)]
    starting = [asyncio.create_task(cluster.start()) for cluster in clusters]
    await turns()
    Gate.opened.set()
    await asyncio.gather(*starting)
    await asyncio.gather(*(cluster.leave() for cluster in clusters))

asyncio.run(main())
assert Gate.passed == [("rapid", True)], Gate.passed
"""
FAILED = """
class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "grpc":
            raise ImportError("no gRPC for this interpreter")
        return None

sys.meta_path.insert(0, Missing())

async def main():
    try:
        await Cluster("127.0.0.1:0", **made).start()
    except ImportError as error:
        assert "no gRPC for this interpreter" in str(error)
    else:
        raise AssertionError("started without gRPC")

asyncio.run(main())
"""


def succeeds(program: str) -> None:
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("method", ["start", "bind"])
def test_the_callers_loop_goes_on_while_the_first_start_loads_grpc(method: str) -> None:
    succeeds(GATED + FREE.format(method=method))


@pytest.mark.parametrize("end", ["close()", "leave()", "__aexit__(None, None, None)"])
def test_a_member_that_is_ended_while_grpc_is_loaded_never_listens(end: str) -> None:
    succeeds(GATED + ENDED.format(end=end))


def test_a_start_that_is_cancelled_while_grpc_is_loaded_hinders_no_other() -> None:
    succeeds(GATED + CANCELLED)


def test_who_is_loading_grpc_cannot_be_started_again() -> None:
    succeeds(GATED + TWICE)


def test_members_that_start_together_load_grpc_once() -> None:
    succeeds(GATED + SEVERAL)


def test_what_cannot_be_imported_is_raised_by_the_start() -> None:
    succeeds(GATED + FAILED)
