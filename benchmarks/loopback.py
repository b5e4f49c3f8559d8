"""A network of its own for the processes of a benchmark, and what has gone over it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

OWN = "own"
"""The loopback device carried nothing but the run."""
SHARED = "shared"
"""It carried whatever else went on here as well."""


class Traffic(NamedTuple):
    """What the loopback device has carried so far. Each packet counts once.

    Bytes are those of IP packets, with their headers; acknowledgements are packets like others. TCP
    hands over up to 64 kB as one packet here, which an Ethernet would carry as up to 45.
    """

    bytes: int
    packets: int


def carried() -> Traffic:
    """The counters of ``lo`` in this process's network."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            received_bytes, received_packets, *_ = counters.split()
            return Traffic(int(received_bytes), int(received_packets))
    raise OSError("this network has no device lo")


def leave_network() -> str:
    """Move this thread, and all processes that it starts from now on, to a network with nothing but ``lo``.

    Root may, and so may anybody where the kernel lets users make namespaces; this process must have one
    thread. There is no way back and none to the outside. Returns ``OWN``, or ``SHARED`` where it is
    not allowed; nothing has changed then.
    """
    # some systems let a user make the namespace and then do nothing in it, so another process tries first
    trying = os.fork()
    if trying == 0:
        try:
            _leave()
        except OSError:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(trying, 0)
    if status != 0:
        return SHARED
    _leave()
    return OWN


def _leave() -> None:
    user, group = os.geteuid(), os.getegid()
    is_root = user == 0
    # os.unshare exists from Python 3.12 on
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET if is_root else _CLONE_NEWNET | _CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace")
    if not is_root:
        # in the new namespace everybody stays who they are
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
