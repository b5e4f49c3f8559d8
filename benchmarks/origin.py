"""Where results come from: the code, the machine, the libraries, the time."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rapid.settings import Settings

ROOT = Path(__file__).parents[1]
_LIBRARIES = ("grpcio", "protobuf", "structlog", "uvloop", "xxhash")


@dataclass(frozen=True, slots=True)
class Origin:
    """One call of ``rapid bench run``. ``libraries`` and ``settings`` are JSON objects.

    ``code`` is the commit; when files under version control differed from it, a digest of how they
    did follows, so that two states of the tree are never taken for one.
    """

    begun: float
    command: str
    code: str
    dirty: bool
    cpu: str
    cores: int
    memory: int
    kernel: str
    python: str
    libraries: str
    settings: str
    network: str

    @property
    def machine(self) -> str:
        """In one line."""
        return f"{self.cpu}, {self.cores} cores, {self.memory / 2**30:.0f} GiB, Linux {self.kernel}"


def origin(network: str) -> Origin:
    """Of results that are measured here and now, on such a network."""
    code, dirty = _code()
    return Origin(
        begun=time.time(),
        command=shlex.join(["rapid", *sys.argv[1:]]),
        code=code,
        dirty=dirty,
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        libraries=json.dumps({name: found for name in _LIBRARIES if (found := _installed(name))}),
        settings=json.dumps(asdict(Settings.lan())),
        network=network,
    )


def _code() -> tuple[str, bool]:
    try:
        commit = _git("rev-parse", "--short=12", "HEAD").decode().strip()
        difference = _git("diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return "no repository", True
    if not difference:
        return commit, False
    return f"{commit}+{hashlib.sha256(difference).hexdigest()[:8]}", True


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
