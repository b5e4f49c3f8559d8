"""The messages load with any supported protobuf, wherever the library lies and whatever else is loaded."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from rapid.proto import rapid_pb2

ROOT = Path(__file__).parents[2]

WORKS = """
from rapid.overlay.member import Endpoint
from rapid.proto.codec import decode, encode
from rapid.protocol.messages import Restarted
message = Restarted(Endpoint("10.0.0.1", 7400), bytes(range(16)))
assert decode(encode(message), message.sender) == message
print("works")
"""


def run(program: str, *path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that looks into these folders or archives first, and in this checkout last."""
    places = os.pathsep.join(map(str, path or (ROOT,)))
    command = [sys.executable, "-c", program]
    with_more = os.environ | {"PYTHONPATH": places} | environment
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=with_more, cwd="/"
    )


def test_another_file_of_that_name_in_the_default_pool_does_no_harm() -> None:
    other = (
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "other = descriptor_pb2.FileDescriptorProto(name='rapid/proto/rapid.proto', package='rapid.v1')\n"
        "other.message_type.add(name='Endpoint')\n"
        "descriptor_pool.Default().AddSerializedFile(other.SerializeToString())\n"
    )
    before, after = run(other + WORKS), run(WORKS + other + WORKS)
    assert (before.stdout, before.stderr) == ("works\n", "")
    assert (after.stdout, after.stderr) == ("works\nworks\n", "")


def test_two_copies_of_the_library_have_messages_of_their_own() -> None:
    """One of them is vendored by somebody else, and of another version."""
    program = (
        "import importlib.util, sys\n"
        "import rapid.proto.descriptor as descriptor, rapid.proto.rapid_pb2 as ours\n"
        "descriptor.FILE = descriptor.FILE.replace(b'sequence', b'sequelae')\n"
        "spec = importlib.util.spec_from_file_location('vendored', ours.__file__)\n"
        "theirs = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(theirs)\n"
        "print(theirs.Probe(sequelae=7).SerializeToString() == ours.Probe(sequence=7).SerializeToString())\n"
    )
    done = run(program)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_it_loads_from_an_archive_where_no_file_lies_beside_it(tmp_path: Path) -> None:
    archive = tmp_path / "frozen.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for file in sorted((ROOT / "rapid").rglob("*.py")):
            made.write(file, file.relative_to(ROOT))
    done = run(WORKS + "import rapid; print(rapid.__file__)", archive)
    assert done.stdout == f"works\n{archive / 'rapid' / '__init__.py'}\n", done.stderr


def test_it_works_with_the_protobuf_that_is_all_python() -> None:
    """There is no other where its C is not built, such as on musl."""
    done = run(
        "from google.protobuf.internal import api_implementation\n"
        "assert api_implementation.Type() == 'python'\n" + WORKS,
        PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python",
    )
    assert (done.stdout, done.stderr) == ("works\n", "")


def test_the_requirement_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert rapid_pb2.REQUIREMENT in project["dependencies"]
    oldest = ".".join(map(str, rapid_pb2.OLDEST))
    assert rapid_pb2.REQUIREMENT.startswith(f"protobuf>={oldest},")


def install(tmp_path: Path, version: str, **modules: str) -> None:
    """Put such a protobuf into this folder."""
    package = tmp_path / "google" / "protobuf"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = {version!r}\n")
    (package / "message.py").write_text("class DecodeError(Exception): pass\n")
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text)


def imported(tmp_path: Path, version: str, **modules: str) -> str:
    """What an import of the messages ends with, where such a protobuf is installed."""
    install(tmp_path, version, **modules)
    done = run("import rapid.proto.codec", tmp_path, ROOT)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("version", ["3.20.3", "4.21.12", "4.24.4", "4.24.0rc2"])
def test_a_protobuf_that_is_too_old_is_refused_with_what_to_do(version: str, tmp_path: Path) -> None:
    works = "class DescriptorPool: pass\n"
    assert imported(tmp_path, version, descriptor_pool=works, message_factory=works) == (
        f"ImportError: unsupported protobuf: {version} is installed, and rapid-membership needs "
        "protobuf>=4.25,<9; install it with: python -m pip install 'protobuf>=4.25,<9'"
    )


START = """
import asyncio
import rapid
import rapid.blocking

async def start():
    async with rapid.Cluster("127.0.0.1:0"):
        print("started")

def start_blocking():
    with rapid.blocking.Cluster("127.0.0.1:0"):
        print("started")

for attempt in (lambda: asyncio.run(start()), start_blocking, start_blocking):
    try:
        attempt()
    except ImportError as error:
        print(error)
"""


def test_each_start_with_a_protobuf_that_is_too_old_says_what_to_do(tmp_path: Path) -> None:
    install(tmp_path, "3.20.3")
    done = run(START, tmp_path, ROOT)
    assert done.stdout.count("install it with: python -m pip install 'protobuf>=4.25,<9'\n") == 3, done.stderr
    assert "started" not in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "pool",
    [
        "",
        "class DescriptorPool: pass",
        "class DescriptorPool:\n    def AddSerializedFile(self, data): return None",
        "class DescriptorPool:\n    def AddSerializedFile(self, data): raise TypeError('no such syntax')",
        None,
    ],
    ids=["no pool", "no method", "nothing built", "a refusal", "no module"],
)
def test_a_protobuf_that_has_lost_what_is_used_is_refused_with_what_to_do(
    pool: str | None, tmp_path: Path
) -> None:
    modules = {"message_factory": ""} if pool is None else {"message_factory": "", "descriptor_pool": pool}
    line = imported(tmp_path, "9.0.0", **modules)
    assert re.match(r"ImportError: unsupported protobuf: 9\.0\.0 is installed, .* install it with: ", line)
