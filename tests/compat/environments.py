"""Virtual environments with the oldest dependencies, the newest, and protobuf of the lines between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from .tool import BUILD, ROOT, WHEELS, uv

TESTS = (
    "hypothesis>=6.100", "pytest>=8.2", "pytest-asyncio>=1.0", "pytest-timeout>=2.3", "pytest-xdist>=3.6"
)  # fmt: skip
"""What the tests need beside the library and its extras for DNS and TLS."""
UNASKED = "ignore:Type google._upb:DeprecationWarning"
"""What protobuf before 5.27 warns of while it is imported, from Python 3.12 on."""


class Environment(NamedTuple):
    """One of them; ``resolution`` is uv's, for what the library depends on itself."""

    name: str
    requirements: tuple[str, ...] = ()
    resolution: str = "highest"

    @property
    def python(self) -> Path:
        return BUILD / self.name / "bin" / "python"

    def make(self) -> None:
        """Make it anew, from wheels alone."""
        done(uv("venv", "--quiet", "--clear", "--python", sys.executable, str(self.python.parents[1])))
        install = ("pip", "install", "--quiet", "--python", str(self.python), *WHEELS)
        project = ("-r", "pyproject.toml", "--extra", "dns", "--extra", "tls")
        done(uv(*install, "--resolution", self.resolution, *project, *self.requirements))
        done(uv(*install, *TESTS))

    def versions(self) -> dict[str, str]:
        """Of what the library needs at least."""
        program = (
            "from importlib.metadata import version\n"
            "for name in ('protobuf', 'grpcio', 'structlog', 'xxhash'): print(name, version(name))\n"
        )
        lines = subprocess.check_output([self.python, "-c", program], text=True).splitlines()
        return dict(line.split() for line in lines)

    def test(self, *paths: str) -> bool:
        """Whether the tests pass there; what they say goes to standard output."""
        options = ("--quiet", "-n", "3", "--dist", "worksteal", "-p", "no:cacheprovider", "-W", UNASKED)
        command = [str(self.python), "-m", "pytest", *options, *paths]
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


ENVIRONMENTS = (
    Environment("oldest", resolution="lowest-direct"),
    Environment("protobuf-5.29", ("protobuf==5.29.*",)),
    Environment("protobuf-6.33", ("protobuf==6.33.*",)),
    Environment("newest"),
)


def done(process: subprocess.CompletedProcess[str]) -> None:
    """Raise SystemExit with what it says unless it has succeeded."""
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, process.args))} failed:\n{process.stderr}")
