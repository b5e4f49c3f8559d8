"""A program that has configured nothing prints nothing, whatever happens to its members and callbacks.

The descriptors are captured, not Python's streams: gRPC's core and the interpreter itself write there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ASYNCIO = """
import asyncio

import rapid
from rapid import Settings

S = Settings.local(join_warning=0.3, rejoin_timeout=1.0)
NOT_JOINED = Settings.local(join_timeout=0.5)
ANY = "127.0.0.1:0"
well = True


class Raising:
    faulty = False

    def record(self, answered, now):
        raise RuntimeError("a judge")


class Odd(BaseException):
    pass


async def check(member):
    if not well and member.endpoint == c.endpoint:
        raise OSError("a prober")
    return True


def raising(error):
    async def coroutine(change):
        raise error

    def plain(change):
        raise error

    return coroutine, plain


async def seeds():
    raise LookupError("a provider")


async def refused(start, error):
    try:
        await start()
    except error:
        return
    raise AssertionError(f"no {error}")


async def end(cluster, *kinds):
    seen = set()
    async for change in cluster.changes():
        seen.add(type(change))
        if seen.issuperset(kinds):
            return


async def main():
    global c, well
    a = rapid.Cluster(ANY, settings=S, prober=check, judge=Raising)
    ends = SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), Odd()
    for error in (ValueError("a callback"), *ends):
        for callback in raising(error):
            a.subscribe(callback)
    await a.start()
    b = rapid.Cluster(ANY, seeds=[a.endpoint], settings=S, prober=check)
    await b.start()
    c = rapid.Cluster(ANY, seeds=[a.endpoint], settings=S)
    await c.start()
    await a.wait_for(3, timeout=30)

    # what cannot be done is raised, and nothing else
    await refused(rapid.Cluster(a.endpoint, settings=S).start, rapid.BindError)
    for nowhere in (["127.0.0.1:1", "nowhere.invalid:7400"], seeds):
        await refused(rapid.Cluster(ANY, seeds=nowhere, settings=NOT_JOINED).start, rapid.JoinError)

    # bytes of a stranger
    reader, writer = await asyncio.open_connection(*a.endpoint)
    writer.write(b"GET / HTTP/1.1\\r\\n\\r\\n")
    await reader.read()
    writer.close()

    well = False
    await end(c, rapid.Evicted, rapid.RejoinDelayed, rapid.RejoinFailed)
    d = rapid.Cluster(ANY, seeds=[a.endpoint], settings=S)
    await d.start()
    await a.wait_for(3, timeout=30)
    # two crash, and so the quorum is lost
    await b.close()
    await d.close()
    await end(a, rapid.QuorumLost)
    assert a.stats["callbacks failed"] >= 10, a.stats
    assert a.stats["judges replaced"], a.stats
    await a.close()
    await rapid.Cluster(ANY, settings=S).start()
    # which leaves when the process ends


asyncio.run(main())
"""

BLOCKING = """
import rapid
from rapid import Settings, blocking

S = Settings.local()
ANY = "127.0.0.1:0"


def raising(change):
    raise ValueError("a callback")


def exiting(change):
    raise SystemExit(3)


a = blocking.Cluster(ANY, settings=S)
a.subscribe(raising)
a.subscribe(exiting)
a.start()
b = blocking.Cluster(ANY, seeds=[a.endpoint], settings=S)
b.start()
c = blocking.Cluster(ANY, seeds=[a.endpoint], settings=S)
c.start()
a.wait_for(3, timeout=30)
try:
    blocking.Cluster(a.endpoint, settings=S).start()
except rapid.BindError:
    pass
b.close()
c.close()
for change in a.changes():
    if isinstance(change, rapid.QuorumLost):
        break
assert a.stats["callbacks failed"], a.stats
a.close()
with blocking.Cluster(ANY, settings=S) as left:
    assert left.view.size == 1
blocking.Cluster(ANY, settings=S).start()
"""

TLS_AND_PLAIN = """
import sys

import rapid
from rapid import Settings, blocking

sys.path.insert(0, sys.argv[1])
from tests.runtime.authority import Authority
import pathlib

folder = pathlib.Path(sys.argv[2])
ours, theirs = (Authority(folder / name) for name in ("ours", "theirs"))
tls = [authority.tls() for authority in (ours, theirs)]
S = Settings.local()
with blocking.Cluster("127.0.0.1:0", settings=S, tls=tls[0]) as a:
    for other in (None, tls[1]):
        try:
            blocking.Cluster(
                "127.0.0.1:0", seeds=[a.endpoint], settings=Settings.local(join_timeout=1.0), tls=other
            ).start()
        except rapid.JoinError:
            continue
        raise AssertionError("it was let in")
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", program, *arguments]
    # what the developer's shell asks for is not what a plain program has
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("GRPC_", "PYTHON"))
    } | {"PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, capture_output=True, timeout=55, check=False, env=plain)


@pytest.mark.parametrize("program", [ASYNCIO, BLOCKING], ids=["asyncio", "blocking"])
def test_nothing_is_printed_through_a_members_whole_life(program: str) -> None:
    done = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_programs_above_would_show_what_is_printed() -> None:
    """Once the application has said where: on standard error, and nothing on standard output."""
    done = run("import logging\nlogging.basicConfig(level=logging.INFO)\n" + BLOCKING)
    assert (done.returncode, done.stdout) == (0, b"")
    lines = done.stderr.decode().splitlines()
    of_rapid = [line for line in lines if ":rapid:" in line]
    for beginning in (
        "INFO:rapid:joined local=",
        "INFO:rapid:view changed local=",
        "WARNING:rapid:quorum lost local=",
        "ERROR:rapid:a subscriber's callback failed callback=",
        "INFO:rapid:closed without leaving local=",
        "INFO:rapid:left local=",
    ):
        assert any(line.startswith(beginning) for line in of_rapid), (beginning, of_rapid)
    assert "ValueError: a callback" in lines


def test_nothing_is_printed_where_one_side_has_tls_or_another_authority(tmp_path: Path) -> None:
    done = run(TLS_AND_PLAIN, str(Path(__file__).parents[1]), str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_agent_prints_its_reports_and_nothing_on_standard_error() -> None:
    command = [sys.executable, "-m", "rapid", "agent", "--json", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stderr is not None
        reports: list[dict[str, Any]] = []
        while not reports or reports[-1]["event"] != "view":
            reports.append(json.loads(agent.stdout.readline()))
        agent.send_signal(signal.SIGTERM)
        reports += map(json.loads, agent.stdout)
        assert agent.stderr.read() == ""
    assert agent.returncode == 0
    assert reports
