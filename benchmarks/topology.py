"""Hosts with a network of their own: a namespace each, a router between them, faults on the way through.

Nothing outside these namespaces is touched: the links are made inside the router's, and the faults are
rules in it. There a lost packet is lost as on a real network: no sender's kernel hears of it.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

NAMESPACES = Path("/run/netns")
PREFIX = "rapid-lab-"
_GATEWAY = "169.254.1.1"
"""The router on every link; each host has one neighbour, since the kernel's table of them is small."""
_CLONE_NEWNET = 0x40000000
_serial = itertools.count()


class Host(NamedTuple):
    """One host: its namespace, its address, and the router's interface to it."""

    namespace: str
    address: str
    link: str


def towards(*hosts: Host, percent: int = 100) -> str:
    """Lose so many of a hundred packets to these hosts."""
    return f"oifname {_links(hosts)} {_lose(percent)}"


def out_of(*hosts: Host, percent: int = 100) -> str:
    """Lose so many of a hundred packets from these hosts."""
    return f"iifname {_links(hosts)} {_lose(percent)}"


def between(some: Collection[Host], others: Collection[Host]) -> tuple[str, str]:
    """Lose all packets from either group to the other."""
    return (
        f"iifname {_links(some)} oifname {_links(others)} {_lose(100)}",
        f"iifname {_links(others)} oifname {_links(some)} {_lose(100)}",
    )


class Network:
    """So many hosts, each of which reaches each other, until the end of the ``with``.

    Blocks for milliseconds. RuntimeError, with what the command has said, where one fails.
    """

    def __init__(self, count: int) -> None:
        self.prefix = f"{PREFIX}{os.getpid()}-{next(_serial)}-"
        self._router = f"{self.prefix}router"
        self.hosts = [
            Host(f"{self.prefix}{number}", f"10.77.{number // 250}.{number % 250}", f"host{number}")
            for number in range(1, count + 1)
        ]

    def __enter__(self) -> Self:
        remove_leftovers()
        _remove(self.prefix)  # of a dead process that had our number
        try:
            self._build()
        except BaseException:
            _remove(self.prefix)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove(self.prefix)

    def impose(self, *rules: str) -> None:
        """Let these faults, and no others, be in force from now on; with none, all is well."""
        chain = "\n".join(("type filter hook forward priority 0; policy accept;", *rules))
        table = f"table inet faults {{\nchain forward {{\n{chain}\n}}\n}}\n"
        # one transaction; the first line makes sure that there is something to delete
        self._nft("-f", "-", text="table inet faults {\n}\ndelete table inet faults\n" + table)

    def dropped(self) -> int:
        """The packets that the faults in force have cost so far."""
        listed = json.loads(self._nft("-j", "list", "table", "inet", "faults"))
        rules = [item["rule"]["expr"] for item in listed["nftables"] if "rule" in item]
        return sum(int(term["counter"]["packets"]) for terms in rules for term in terms if "counter" in term)

    @contextmanager
    def within(self, host: Host) -> Iterator[None]:
        """What this thread starts belongs to the host."""
        with open("/proc/thread-self/ns/net") as ours, open(NAMESPACES / host.namespace) as theirs:
            _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def _build(self) -> None:
        for namespace in (self._router, *(host.namespace for host in self.hosts)):
            _run("ip", "netns", "add", namespace)
        _run("ip", "netns", "exec", self._router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for host in self.hosts:
            _run(
                "ip", "-n", self._router, "-batch", "-",
                text=f"link add {host.link} type veth peer name eth0 netns {host.namespace}\n"
                f"address add {_GATEWAY}/32 dev {host.link}\n"
                f"link set {host.link} up\n"
                f"route add {host.address} dev {host.link}\n",
            )  # fmt: skip
            _run(
                "ip", "-n", host.namespace, "-batch", "-",
                text=f"link set lo up\n"
                f"link set eth0 up\n"
                f"address add {host.address}/32 dev eth0\n"
                f"route add {_GATEWAY} dev eth0\n"
                f"route add default via {_GATEWAY}\n",
            )  # fmt: skip
        self.impose()

    def _nft(self, *arguments: str, text: str = "") -> str:
        return _run("ip", "netns", "exec", self._router, "nft", *arguments, text=text)


def obstacle() -> str | None:
    """Why there can be no such network here; None where there can."""
    if not sys.platform.startswith("linux"):
        return f"network namespaces are Linux's, this is {sys.platform}"
    for command, package in (("ip", "iproute2"), ("nft", "nftables"), ("sysctl", "procps")):
        if shutil.which(command) is None:
            return f"there is no command {command} (package {package})"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    try:
        with Network(2) as network:
            network.impose(*between(network.hosts[:1], network.hosts[1:]), towards(*network.hosts, percent=1))
            network.dropped()
    except (RuntimeError, OSError) as error:
        return str(error)
    return None


def remove_leftovers() -> None:
    """Remove the networks of processes that did not live to do so themselves."""
    for entry in leftovers(PREFIX):
        owner = entry.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            _delete(entry)


def leftovers(prefix: str) -> list[Path]:
    """The namespaces whose names begin like this."""
    return sorted(NAMESPACES.glob(f"{prefix}*"))


def _remove(prefix: str) -> None:
    for entry in leftovers(prefix):
        _delete(entry)


def _delete(entry: Path) -> None:
    try:
        _run("ip", "netns", "delete", entry.name)
    except RuntimeError:
        if entry.exists():  # else another process that cleans up was first
            raise


def _links(hosts: Collection[Host]) -> str:
    return "{ " + ", ".join(f'"{host.link}"' for host in hosts) + " }"


def _lose(percent: int) -> str:
    chance = "" if percent == 100 else f"numgen random mod 100 < {percent} "
    return f"{chance}counter drop"


def _run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or f'status {done.returncode}'}")
    return done.stdout


def _enter(namespace: int) -> None:
    # os.setns is there from Python 3.12 on
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a network namespace: {os.strerror(number)}")
