"""protobuf in pure Python, as it is with musl: it does the same, and the log says that it is slow."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.platforms.processes import ROOT

PURE = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
LOGGED = """
import asyncio, logging, sys
from tests.platforms import two_members

logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(levelname)s %(message)s")
asyncio.run(two_members.with_a_loop())
two_members.with_threads()
"""
EVENT = "WARNING protobuf is running in pure Python consequence="


def printed(program: str, **environment: str) -> list[str]:
    # by default there is compiled code here
    env = {name: value for name, value in os.environ.items() if name not in PURE} | environment
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_members_form_a_cluster_and_the_process_says_once_that_they_are_slow() -> None:
    lines = printed(LOGGED, **PURE)
    assert [line.startswith(EVENT) for line in lines].count(True) == 1
    assert lines.count("left") == 2


def test_with_compiled_code_nothing_is_said() -> None:
    lines = printed(LOGGED)
    assert not [line for line in lines if EVENT in line]
    assert lines.count("left") == 2


MESSAGES = """
from rapid.proto import rapid_pb2 as pb
from google.protobuf.internal import api_implementation

metadata = {f"key {n}": "ü" * n for n in range(40)}
endpoint = pb.Endpoint(host="a" * 200, port=65535)
member = pb.Member(endpoint=endpoint, node_id=bytes(range(16)), metadata=metadata)
data = member.SerializeToString(deterministic=True)
assert pb.Member.FromString(data) == member
print(api_implementation.Type() == "python", data.hex())
"""


def test_the_bytes_are_the_same() -> None:
    (pure,), (compiled,) = printed(MESSAGES, **PURE), printed(MESSAGES)
    assert (pure.split()[0], compiled.split()[0]) == ("True", "False")
    assert pure.split()[1] == compiled.split()[1]
