"""gRPC, imported without its support for forks: the modules of this library take it from here.

From 1.80 on that support starts gRPC's threads anew in every child of a fork. They go on with the
connections that the child has inherited, and most often crash it. gRPC reads the variable that turns
the support off once, while it is imported.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache

from rapid.log import log

__all__ = ["grpc", "warn_at_fork"]

VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"

UNSAFE_FORK = "children of this process may crash: gRPC's fork support is on"
"""The event in the log when a process forks that gRPC is not prepared for."""

_FIRST_UNSAFE = (1, 80)
_OFF = ("0", "no", "false")

_was_imported = "grpc._cython.cygrpc" in sys.modules
_value = os.environ.get(VARIABLE)

if _value is None:
    os.environ[VARIABLE] = "0"
try:
    import grpc
    import grpc.aio
finally:
    if _value is None:
        del os.environ[VARIABLE]


def is_safe(version: str, value: str | None, *, was_imported: bool) -> bool:
    """Whether this version of gRPC leaves the children of a fork alone.

    ``value`` is that of the variable, None without one; ``was_imported``: somebody else had imported
    gRPC already.
    """
    if tuple(map(int, re.findall(r"\d+", version)[:2])) < _FIRST_UNSAFE:
        return True
    return not was_imported if value is None else value.lower() in _OFF


@cache
def warn_at_fork() -> None:
    """From now on, have the first fork of this process logged when its children may crash."""
    if not hasattr(os, "register_at_fork"):
        return  # no process forks there
    if is_safe(grpc.__version__, _value, was_imported=_was_imported):
        return
    forking = iter([True])

    def warn() -> None:
        if next(forking, False):
            log.warning(
                UNSAFE_FORK,
                consequence="they may die of SIGSEGV or SIGABRT, though they never use this library",
                remedy=f"grpc was imported before rapid: set {VARIABLE}=0 in the environment of this process",
            )

    os.register_at_fork(before=warn)
