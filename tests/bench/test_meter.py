"""What /proc says of processes, and what has gone over the loopback device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.loopback import SHARED
from benchmarks.matrix import Matrix, build
from benchmarks.meter import measure
from benchmarks.peers.registry import Peer, named
from benchmarks.progress import Progress
from benchmarks.simulated import SYSTEM

ROOT = Path(__file__).parents[2]
BURN = "import os, time\nwhile time.process_time() < 0.2: pass\nos.write(1, b'x')\nos.read(0, 1)"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])"
DATAGRAMS = """
import json, socket
from benchmarks.loopback import carried, leave_network
network = leave_network()
before = carried()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
    receiver.bind(("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(3):
            sender.sendto(b"x" * 100, receiver.getsockname())
after = carried()
print(json.dumps([network, after.bytes - before.bytes, after.packets - before.packets]))
"""


def test_a_group_is_all_that_a_process_has_started() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.read(1) == b"x"
        moment = measure("now", [parent.pid], memory=True)
        parent.communicate(b"x")
    assert list(moment.usage) == [parent.pid]
    used = moment.usage[parent.pid]
    assert used.user + used.system >= 0.2
    assert used.rss is not None
    assert used.pss is not None
    # two interpreters, which share pages
    assert 4_000_000 < used.pss < used.rss
    assert moment.busy is not None
    assert moment.busy >= 0.2


def test_memory_is_measured_only_on_demand() -> None:
    usage = measure("now", [os.getpgrp()]).usage[os.getpgrp()]
    assert (usage.rss, usage.pss) == (None, None)


def test_what_has_ended_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], start_new_session=True) as process:
        process.wait()
        assert measure("now", [process.pid]).usage == {}


def test_bytes_and_packets_are_those_of_ip_and_each_counts_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DATAGRAMS],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    network, size, packets = json.loads(done.stdout)
    if network == SHARED:
        pytest.skip("this user may not make a network namespace here, so others' traffic counts too")
    # 20 bytes of IP and 8 of UDP around each
    assert (size, packets) == (3 * 128, 3)


def test_the_systems_take_turns_and_the_simulated_come_last() -> None:
    matrix = Matrix(
        ["crash"], [named("rapid"), named("kinship")], [5, 9], [100], 2, {"settle": 1.0, "part": 0.1}, 60.0
    )
    runs = [(plan.system, plan.nodes, plan.number) for plan in matrix.plans()]
    assert runs == [
        ("rapid", 5, 1), ("kinship", 5, 1), ("rapid", 5, 2), ("kinship", 5, 2),
        ("rapid", 9, 1), ("kinship", 9, 1), ("rapid", 9, 2), ("kinship", 9, 2),
        (SYSTEM, 100, 1), (SYSTEM, 100, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo install Go >&2; exit 3", "install Go"),
        ("echo no network >&2; exit 1", "its build ended with status 1: no network"),
        ("exit 1", "its build ended with status 1: it said nothing"),
    ],
)
def test_why_a_peer_is_missing(
    script: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Peer, "build_command", lambda self: ["sh", "-c", script])
    with Progress(1) as progress:
        assert build([named("memberlist")], progress) == {"memberlist": problem}
