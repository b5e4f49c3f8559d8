"""Children that are forked beside a live member, and never use the library, come to no harm."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rapid.runtime.fork_support import VARIABLE, is_safe

ROOT = Path(__file__).parents[2]

FORKING = """
import collections, multiprocessing, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor

import rapid.blocking

S = rapid.Settings.local()
fork = multiprocessing.get_context("fork")


def work(n):
    return sum(range(n))


def waited(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    codes = collections.Counter()
    with rapid.blocking.Cluster("127.0.0.1:0", settings=S) as a, \\
            rapid.blocking.Cluster("127.0.0.1:0", seeds=[str(a.endpoint)], settings=S) as b:
        a.wait_for(2, timeout=20)
        print(os.environ.get("GRPC_ENABLE_FORK_SUPPORT"))
        for _ in range(5):
            bare = []
            for _ in range(20):
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                bare.append(pid)
            codes.update(map(waited, bare))
            children = [fork.Process(target=work, args=(1000,)) for _ in range(20)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            codes.update(child.exitcode for child in children)
            with ProcessPoolExecutor(2, mp_context=fork) as pool:
                codes.update(value - 4950 for value in pool.map(work, [100] * 4))
            codes.update(subprocess.run(["true"], preexec_fn=lambda: None).returncode for _ in range(4))
        for _ in range(5):
            # one that unwinds the block and runs the handlers at exit
            pid = os.fork()
            if pid == 0:
                sys.exit(0)
            codes[waited(pid)] += 1
        print(a.view.size, b.view.version, dict(codes))


main()
"""


def forking(before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    # a fork of a process with threads is warned of by newer Pythons, and is what this is about
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", before + FORKING]
    with_more = {name: value for name, value in os.environ.items() if name != VARIABLE} | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, env=with_more)


def test_children_beside_a_member_all_end_well_and_it_stays_one() -> None:
    done = forking()
    assert done.stdout == "None\n2 2 {0: 245}\n", done.stderr
    assert done.stderr == ""


def test_children_end_well_where_the_application_has_imported_grpc_with_the_variable() -> None:
    done = forking("import grpc\n", **{VARIABLE: "0"})
    assert done.stdout == "0\n2 2 {0: 245}\n", done.stderr


USED = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import {first}, {second}
from rapid import Settings, StateError, blocking
S = Settings.local()

def work():
    with blocking.Cluster("127.0.0.1:0", settings=S) as a:
        with blocking.Cluster("127.0.0.1:0", seeds=[a.endpoint], settings=S) as b:
            return a.wait_for(2, timeout=20).size

def child():
    if (pid := os.fork()) == 0:
        try:
            print(work())
        except StateError as error:
            print(error)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)

child()
{use}
child()
"""
USES = [
    "channel = grpc.insecure_channel('127.0.0.1:1')",
    "server = grpc.server(ThreadPoolExecutor(1)); server.add_insecure_port('127.0.0.1:0'); server.start()",
]


def used(first: str, second: str, use: str) -> list[str]:
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    program = USED.format(first=first, second=second, use=use)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55, check=False, env=clean)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the names of threads")
@pytest.mark.parametrize("use", USES)
def test_a_child_forked_while_the_application_uses_grpc_is_told_what_to_do(use: str) -> None:
    """It would hang, or be ended by gRPC."""
    before, after = used("rapid.runtime.membership", "grpc", use)
    assert before == "2", "a fork after the import alone does no harm"
    assert "while gRPC was in use there" in after
    assert "open channels and servers after the fork" in after


def test_a_child_forked_once_the_application_has_closed_its_channel_may_have_a_member() -> None:
    use = USES[0] + "; channel.close(); del channel; import gc; gc.collect()"
    assert used("rapid.runtime.membership", "grpc", use) == ["2", "2"]


RISKY = """
import os
from unittest import mock
import grpc
grpc.__version__ = "1.80.0"
from structlog.testing import capture_logs
import rapid.blocking
from rapid.log import log
with capture_logs() as logs, rapid.blocking.Cluster("127.0.0.1:0", settings=rapid.Settings.local()):
    for _ in range(2):
        if (pid := os.fork()) == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    log.flush()
logs = [line for line in logs if line["log_level"] == "warning"]
print([line["event"] for line in logs])
print(*[line["remedy"] for line in logs])
"""


def test_the_first_fork_that_may_harm_its_child_is_logged_with_what_to_do() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", RISKY]
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=clean)
    events, remedies = done.stdout.splitlines()
    assert events == '["children of this process may crash: gRPC\'s fork support is on"]', done.stderr
    assert f"{VARIABLE}=0" in remedies


@pytest.mark.parametrize(
    ("version", "value", "was_imported", "safe"),
    [
        ("1.85.3", None, False, True),
        ("1.85.3", None, True, False),
        ("1.85.3", "0", True, True),
        ("1.85.3", "False", True, True),
        ("1.85.3", "1", False, False),
        ("1.80.0", None, True, False),
        ("1.79.9", None, True, True),
        ("1.66.2", "1", True, True),
        ("2.0.0rc1", None, True, False),
    ],
)
def test_a_fork_is_safe_with_an_older_grpc_or_without_its_fork_support(
    version: str, value: str | None, was_imported: bool, safe: bool
) -> None:
    assert is_safe(version, value, was_imported=was_imported) is safe


def test_no_module_imports_grpc_but_the_one() -> None:
    importing = set()
    for file in (ROOT / "rapid").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            names += [name.name for name in node.names] if isinstance(node, ast.Import) else []
            if any(name.partition(".")[0] == "grpc" for name in names):
                importing.add(file.name)
    assert importing == {"fork_support.py"}
