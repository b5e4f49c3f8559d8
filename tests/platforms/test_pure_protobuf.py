"""protobuf in pure Python, as it is with musl: it does the same, and the log says that it is slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.platforms.processes import ROOT, agent

PURE = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
LOGGED = """
import asyncio, logging, sys
from tests.platforms import two_members

logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(levelname)s %(message)s")
asyncio.run(two_members.with_a_loop())
two_members.with_threads()
"""
EVENT = "WARNING protobuf is running in pure Python consequence="


def printed(program: str, *arguments: str, **environment: str) -> list[str]:
    # by default there is compiled code here
    env = {name: value for name, value in os.environ.items() if name not in PURE} | environment
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
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


EXCHANGE = """
import sys
from google.protobuf.internal import api_implementation
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto.codec import decode, encode
from rapid.protocol.messages import Snapshot
from rapid.overlay.configuration import Configuration

metadata = {f"key {n}": "\\u00fc" * n for n in range(40)}
members = [Member(Endpoint("a" * 200, port), NodeId(bytes([port] * 16)), metadata) for port in range(1, 9)]
message = Snapshot(members[0].endpoint, Configuration.of(ClusterId(bytes(16)), 7, members, 10))
assert (api_implementation.Type() == "python") is (sys.argv[1] == "pure")
if len(sys.argv) == 2:
    print(encode(message).hex())
else:
    found = decode(bytes.fromhex(sys.argv[2]), message.sender)
    assert found.configuration.members == message.configuration.members
    assert found.configuration.digest == message.configuration.digest
    assert found.configuration.members[0].metadata == metadata
"""


@pytest.mark.parametrize("kinds", [("pure", "compiled"), ("compiled", "pure")])
def test_each_reads_what_the_other_writes(kinds: tuple[str, str]) -> None:
    environments = [PURE if kind == "pure" else {} for kind in kinds]
    (written,) = printed(EXCHANGE, kinds[0], **environments[0])
    assert printed(EXCHANGE, kinds[1], written, **environments[1]) == []


MALFORMED = """
from rapid.errors import WireError
from rapid.overlay.member import Endpoint
from rapid.proto.codec import decode
from rapid.proto.frames import FrameReader

SENDER = Endpoint("a", 1)
no_text = bytes.fromhex("0a 01 80")
nested = b"\\x7b" * 30_000  # a group of an unknown field in another
for name, data in {
    "host": bytes.fromhex("0a 03") + no_text,
    "metadata": bytes.fromhex("1a 0c 0a 0a 1a 08") + b"\\x1a\\x06" + no_text + bytes.fromhex("12 01 61"),
    "groups": nested,
    "closed groups": nested + b"\\x7c" * 30_000,
    "cut short": bytes.fromhex("0a 7f 0a"),
    "field 0": b"\\0\\0",
    "wire type": b"\\x0e",
    "endless number": b"\\x08" + b"\\xff" * 20,
}.items():
    for read in (FrameReader(1 << 20).open, lambda data: decode(data, SENDER)):
        try:
            read(data)
        except WireError as error:
            print(name, error.reason)
"""


def test_bytes_that_are_no_message_are_rejected_as_by_compiled_code() -> None:
    rejected = printed(MALFORMED, **PURE)
    assert rejected == printed(MALFORMED)
    assert len(rejected) == 16


def test_members_of_both_kinds_form_one_cluster(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        agent(env, tmp_path) as compiled,
        agent(env | PURE, tmp_path, "--seed", compiled.endpoint) as pure,
    ):
        assert compiled.wait_for("view")["size"] == 2
        pure.terminate()
        assert compiled.wait_for("view")["left"] == [pure.endpoint]
        _, err = pure.communicate(timeout=30)
        assert "protobuf is running in pure Python" in err
        compiled.terminate()
        assert compiled.communicate(timeout=30)[1] == ""
