"""An interpreter that lacks what another system's, or another build's, lacks; for processes of their own.

What cannot be had this way: the other system's own errors, and gRPC as built for it. Nothing is imported here
that would look at what is removed.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple


class System(NamedTuple):
    """What a system has not that Linux has, and what ``sys.platform`` is there."""

    platform: str
    modules: tuple[str, ...]
    attributes: Mapping[str, str]
    """By module; a ``*`` at the end stands for any rest of the name."""
    loops_take_signals: bool = True


SYSTEMS = {
    "windows": System(
        "win32",
        ("crypt", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"),
        {
            # but what asyncio itself needs on this system, such as sysconf
            "os": "chown fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid"
            " getpriority getuid killpg memfd_create mkfifo nice pidfd_open pipe2 posix_fadvise pread pwrite"
            " register_at_fork SCHED_* sched_* sendfile setpriority setsid statvfs uname O_CLOEXEC O_NOFOLLOW"
            " PRIO_*",
            "signal": "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2"
            " pthread_sigmask setitimer siginterrupt sigwait",
            "select": "EPOLL* POLL* epoll poll",
            "_socket": "AF_UNIX SO_REUSEPORT SOCK_CLOEXEC SOCK_NONBLOCK socketpair",
        },
        loops_take_signals=False,
    ),
    "macos": System(
        "darwin",
        (),
        {
            "os": "SCHED_* sched_* memfd_create pidfd_open pipe2 posix_fadvise eventfd*",
            "select": "EPOLL* epoll",
            "_socket": "SOCK_CLOEXEC SOCK_NONBLOCK",
        },
    ),
}


class _Blocker(importlib.abc.MetaPathFinder):
    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def find_spec(self, name: str, *_: object) -> None:
        if name in self._names or name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class _Sys(ModuleType):
    """``sys`` as it is elsewhere; all but its platform is that of this process."""

    def __init__(self, platform: str) -> None:
        super().__init__("sys")
        vars(self)["platform"] = platform

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(sys, name, value)


def block(*modules: str) -> None:
    """Have these modules, and what is in them, not be there."""
    for name in [name for name in sys.modules if name.partition(".")[0] in modules]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Blocker(modules))


def pretend(name: str) -> None:
    """Have this process lack what the system lacks. To be called before anything else is imported."""
    system = SYSTEMS[name]
    block(*system.modules)
    for module, names in system.attributes.items():
        _remove(importlib.import_module(module), names.split())
    if system.platform == "win32":
        import _socket

        # one option in place of another that does nothing here: what nobody shares is shared by nobody
        _socket.SO_EXCLUSIVEADDRUSE = _socket.SO_KEEPALIVE  # type: ignore[attr-defined]  # Windows has it
    if not system.loops_take_signals:
        _have_loops_refuse_signals()
    _have_platform_be(system.platform)


def _remove(module: ModuleType, names: Sequence[str]) -> None:
    for wanted in names:
        found = [name for name in vars(module) if name == wanted or f"{name[: len(wanted) - 1]}*" == wanted]
        for name in found:
            delattr(module, name)


def _have_loops_refuse_signals() -> None:
    import asyncio

    def refuse(*_: object) -> None:
        raise NotImplementedError

    for kind in (asyncio.SelectorEventLoop, asyncio.AbstractEventLoop):
        kind.add_signal_handler = kind.remove_signal_handler = refuse  # type: ignore[method-assign, assignment]  # as it is there


def _have_platform_be(platform: str) -> None:
    """In the modules of the library only: what others do by the platform they would do with its libraries."""
    loader = importlib.machinery.SourceFileLoader
    execute = loader.exec_module

    def exec_module(self: importlib.machinery.SourceFileLoader, module: ModuleType) -> None:
        execute(self, module)
        if module.__name__.partition(".")[0] == "rapid" and vars(module).get("sys") is sys:
            vars(module)["sys"] = _Sys(platform)

    loader.exec_module = exec_module  # type: ignore[method-assign, assignment]  # that is what this is for
