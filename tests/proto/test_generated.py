"""The generated files are those of the committed definition."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from rapid.proto import rapid_pb2
from rapid.proto.descriptor import FILE

from .generate import ROOT, compiled, generated

TYPES = ROOT / "rapid" / "proto" / "rapid_pb2.pyi"


def test_the_generated_files_are_fresh(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="the generator is installed with the test dependencies")
    for name, text in generated(tmp_path).items():
        committed = ROOT / "rapid" / "proto" / name
        assert text == committed.read_text(encoding="utf-8"), f"{committed} is stale: run make proto"


def test_the_descriptor_is_that_of_the_definition(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools", reason="the generator is installed with the test dependencies")
    assert compiled(tmp_path).SerializeToString() == FILE
    assert rapid_pb2.DESCRIPTOR.serialized_pb == FILE


def test_the_types_name_each_message_and_field_that_there_is() -> None:
    classes = {
        node.name: fields(node)
        for node in ast.parse(TYPES.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    found = rapid_pb2.DESCRIPTOR.message_types_by_name
    assert classes == {name: set(message.fields_by_name) for name, message in found.items()}
    assert all(getattr(rapid_pb2, name).DESCRIPTOR is message for name, message in found.items())


def fields(message: ast.ClassDef) -> set[str]:
    """The names that the class annotates, without the constants."""
    annotated = (item.target for item in message.body if isinstance(item, ast.AnnAssign))
    names = {target.id for target in annotated if isinstance(target, ast.Name)}
    return {name for name in names if not name.isupper()}
