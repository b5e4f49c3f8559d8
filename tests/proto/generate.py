"""Generate what rapid.proto becomes in Python: ``make proto`` runs this, in a checkout.

``rapid/proto/descriptor.py`` has the file's serialised FileDescriptorProto, from which the messages are
built; ``rapid/proto/rapid_pb2.pyi`` has their types.
"""

from __future__ import annotations

import string
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).parents[2]
PROTO = "rapid/proto/rapid.proto"
HEADER = '''\
# Generated from rapid.proto by `make proto`: do not edit.
"""The serialised FileDescriptorProto of rapid.proto."""

from typing import Final

FILE: Final = (
'''
PLAIN = frozenset(string.ascii_letters + string.digits + "._")
AT_ONCE = 24
"""Bytes in a line of descriptor.py."""


def compiled(folder: Path) -> descriptor_pb2.FileDescriptorProto:
    """What protoc makes of rapid.proto; it leaves the types in this folder, too."""
    descriptor_set = folder / "rapid.pb"
    command = (sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", f"--pyi_out={folder}")
    subprocess.run([*command, f"--descriptor_set_out={descriptor_set}", PROTO], check=True, cwd=ROOT)
    file = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes()).file[0]
    for message in file.message_type:
        leave_out_json_names(message)
    return file


def leave_out_json_names(message: descriptor_pb2.DescriptorProto) -> None:
    """What every runtime derives by itself; the code that protoc generates has none of them either."""
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        leave_out_json_names(nested)


def module(file: descriptor_pb2.FileDescriptorProto) -> str:
    """The text of descriptor.py: one message after the other, so that a change of one shows as that."""
    kind = descriptor_pb2.FileDescriptorProto
    head = kind(name=file.name, package=file.package)
    parts = [("the file", head)]
    parts += [(message.name, kind(message_type=[message])) for message in file.message_type]
    parts += [("the end", kind(syntax=file.syntax))]
    if b"".join(part.SerializeToString() for _, part in parts) != file.SerializeToString():
        raise SystemExit(f"{PROTO} has more than a name, a package and messages: {__file__} knows no more")
    lines = []
    for name, part in parts:
        data = part.SerializeToString()
        lines.append(f"    # {name}\n")
        lines += [f"    {literal(data[at : at + AT_ONCE])}\n" for at in range(0, len(data), AT_ONCE)]
    return HEADER + "".join(lines) + ")\n"


def literal(data: bytes) -> str:
    """These bytes as Python, in double quotes and ASCII."""
    return 'b"' + "".join(chr(byte) if chr(byte) in PLAIN else f"\\x{byte:02x}" for byte in data) + '"'


def generated(folder: Path) -> dict[str, str]:
    """The text of each generated file of rapid/proto, by name; the folder is used for files of protoc."""
    file = compiled(folder)
    types = (folder / "rapid" / "proto" / "rapid_pb2.pyi").read_text(encoding="utf-8")
    return {"descriptor.py": module(file), "rapid_pb2.pyi": types}


def main() -> None:
    """Write the files into the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in generated(Path(folder)).items():
            (ROOT / "rapid" / "proto" / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
