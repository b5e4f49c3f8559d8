"""The generated code is that of the committed definition."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_generated_code_is_fresh(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="the generator is installed with the test dependencies")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT}",
            f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}",
            "rapid/proto/rapid.proto",
        ],
        check=True,
        cwd=ROOT,
    )
    for name in ("rapid_pb2.py", "rapid_pb2.pyi"):
        committed = ROOT / "rapid" / "proto" / name
        assert (tmp_path / "rapid" / "proto" / name).read_text() == committed.read_text(), (
            f"{committed} is stale: run python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. "
            "rapid/proto/rapid.proto"
        )
