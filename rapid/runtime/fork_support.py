"""gRPC, imported without its support for forks: the modules of this library take it from here.

From 1.80 on that support starts gRPC's threads anew in every child of a fork. They go on with the
connections that the child has inherited, and most often crash it. gRPC reads the variable that turns
the support off once, while it is imported; before 1.80, when it is first used.

Before 1.78 a child that ends the ordinary way waits for ever for the thread of gRPC that it has not
inherited, once the last object of grpc.aio is freed. See :func:`let_children_end`.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache

from rapid.log import log

__all__ = ["grpc", "let_children_end", "warn_at_fork"]

VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"

UNSAFE_FORK = "children of this process may crash: gRPC's fork support is on"
"""The event in the log when a process forks that gRPC is not prepared for."""

_FIRST_UNSAFE = (1, 80)
_FIRST_TO_LET_CHILDREN_END = (1, 78)
_OFF = ("0", "no", "false")


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


_was_imported = "grpc._cython.cygrpc" in sys.modules
_value = os.environ.get(VARIABLE)

if _value is None:
    os.environ[VARIABLE] = "0"
try:
    import grpc
    import grpc.aio

    if _number(grpc.__version__) < _FIRST_UNSAFE:
        # the first use: without it these versions write a line to standard error at each fork
        grpc.local_server_credentials()
finally:
    if _value is None:
        del os.environ[VARIABLE]


def is_safe(version: str, value: str | None, *, was_imported: bool) -> bool:
    """Whether this version of gRPC leaves the children of a fork alone.

    ``value`` is that of the variable, None without one; ``was_imported``: somebody else had imported
    gRPC already.
    """
    if _number(version) < _FIRST_UNSAFE:
        return True
    return not was_imported if value is None else value.lower() in _OFF


@cache
def let_children_end() -> None:
    """From now on, let children of this process end where gRPC is too old to let them by itself.

    It keeps grpc.aio in use until the process ends, so that no child frees the last object of it.
    """
    if _number(grpc.__version__) < _FIRST_TO_LET_CHILDREN_END:
        grpc.aio.init_grpc_aio()


@cache
def warn_at_fork() -> None:
    """From now on, have the first fork of this process logged when its children may crash."""
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
