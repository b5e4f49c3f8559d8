"""gRPC, imported without its support for forks, and quiet: the modules of this library take it from here.

From 1.80 on that support starts gRPC's threads anew in every child of a fork. They go on with the
connections that the child has inherited, and most often crash it. gRPC reads the variable that turns
the support off once: while it is imported, or before 1.80 when it is first used. So it does with the one for
what its core prints on standard error, such as a line for each stranger that does not know TLS.

Before 1.78 a child that ends the ordinary way waits for ever for the thread of gRPC that it has not
inherited, once the last object of grpc.aio is freed. See :func:`let_children_end`.
"""

from __future__ import annotations

import os
import re
import sys
from functools import cache

from rapid.errors import StateError
from rapid.log import log

__all__ = ["grpc", "let_children_end", "require_usable", "warn_at_fork"]

VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"

UNSAFE_FORK = "children of this process may crash: gRPC's fork support is on"
"""The event in the log when a process forks that gRPC is not prepared for."""

_WANTED = {VARIABLE: "0", "GRPC_VERBOSITY": "NONE"}
_FIRST_UNSAFE = (1, 80)
_FIRST_TO_LET_CHILDREN_END = (1, 78)
_OFF = ("0", "no", "false")
_THREAD = "grpc_global_tim"
"""How Linux shows the name of the thread that gRPC has for as long as it is in use."""


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:2]))


_was_imported = "grpc._cython.cygrpc" in sys.modules
_value = os.environ.get(VARIABLE)

_set = {name: value for name, value in _WANTED.items() if name not in os.environ}
os.environ.update(_set)
try:
    import grpc
    import grpc.aio

    if _number(grpc.__version__) < _FIRST_UNSAFE:
        # the first use: without it these versions write a line to standard error at each fork
        grpc.local_server_credentials()
finally:
    for _name in _set:
        del os.environ[_name]


def is_safe(version: str, value: str | None, *, was_imported: bool) -> bool:
    """Whether this version of gRPC leaves the children of a fork alone.

    ``value`` is that of the variable, None without one; ``was_imported``: somebody else had imported
    gRPC already.
    """
    if _number(version) < _FIRST_UNSAFE:
        return True
    return not was_imported if value is None else value.lower() in _OFF


_used_before_fork: int | None = None
"""The process that had threads of gRPC's when this one was forked from it; None when there were none."""


def _has_threads_of_grpc() -> bool:
    """Whether gRPC is at work in this process. Only Linux can tell; False elsewhere."""
    try:
        tasks = os.listdir("/proc/self/task")
    except OSError:
        return False
    return any(map(_is_of_grpc, tasks))


def _is_of_grpc(task: str) -> bool:
    try:
        with open(f"/proc/self/task/{task}/comm", encoding="utf-8") as file:
            return file.read().startswith(_THREAD)
    except OSError:
        # it has ended since it was listed
        return False


def _note_fork() -> None:
    """In the parent, which lets its child inherit what is noted."""
    global _used_before_fork
    if _used_before_fork is None and _has_threads_of_grpc():
        _used_before_fork = os.getpid()


def _forget_fork() -> None:
    """In the parent, once its child has inherited it: what holds of the child does not hold of the parent."""
    global _used_before_fork
    if _used_before_fork == os.getpid():
        _used_before_fork = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_note_fork, after_in_parent=_forget_fork)


def require_usable() -> None:
    """Raise :class:`StateError` where gRPC would hang or crash: in a child of a process in which it worked.

    Where gRPC's own support for forks is on it looks after itself.
    """
    is_on = _was_imported if _value is None else _value.lower() not in _OFF
    if _used_before_fork is not None and not is_on:
        raise StateError(
            f"process {os.getpid()} was forked from {_used_before_fork} while gRPC was in use there, and "
            "gRPC does not survive that: open channels and servers after the fork, or start processes by "
            "spawn or forkserver"
        )


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
