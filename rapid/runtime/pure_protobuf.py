"""A warning where protobuf has no compiled code: its wheels have none for musl, and none without the GIL."""

from __future__ import annotations

from functools import cache

from google.protobuf.internal import api_implementation

from rapid.log import log

PURE_PROTOBUF = "protobuf is running in pure Python"
"""The event in the log, once for a process: messages cost about ten times the CPU time."""


@cache
def warn_of_pure_protobuf() -> None:
    """Have it logged, the first time, that this process has a protobuf that is much slower than others."""
    if api_implementation.Type() == "python":
        log.warning(
            PURE_PROTOBUF,
            consequence="reading and writing messages takes about ten times the CPU time",
            remedy="protobuf has compiled wheels for glibc, macOS and Windows; use an image with glibc",
        )
