"""The peers: what each is, how it is built, and the command that starts one member of it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rapid import __version__

HERE = Path(__file__).parent
BUILT = HERE / ".build"

TOOLCHAIN_MISSING = 3
"""The exit status of a build script where something that it needs is not to be had."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One membership library, or one variant of its settings. Variants share a folder, so a build.

    ``version`` is the one that the build pins; of ZooKeeper, which the distribution packages, the
    one that it was tried with. ``options`` are the variant's own. ``graceful`` makes a member leave.
    """

    name: str
    version: str
    folder: str
    options: tuple[str, ...] = ()
    needs_server: bool = False
    graceful: signal.Signals = signal.SIGTERM
    gives_up: bool = False

    def build_command(self, into: Path = BUILT) -> list[str]:
        """Builds it into its folder there; repeated at no cost. Status 3: the toolchain is missing."""
        return [str(HERE / self.folder / "build"), str(into / self.folder)]

    def command(self, listen: str, seeds: Sequence[str], *options: str, built: Path = BUILT) -> list[str]:
        """Starts the member at an address. The first of a cluster is its own seed.

        Where a server is needed it is the seed of all. More options are the contract's.
        """
        through = [part for seed in seeds for part in ("--seed", seed)]
        return [str(built / self.folder / "agent"), "--listen", listen, *through, *self.options, *options]

    def server_command(self, listen: str, data: Path, *options: str, built: Path = BUILT) -> list[str]:
        """Starts the server at an address, with a directory for what it keeps."""
        if not self.needs_server:
            raise ValueError(f"{self.name} has no server; only those with needs_server have")
        server = str(built / self.folder / "server")
        return [server, "--listen", listen, "--data", str(data), *options]

    def is_built(self, built: Path = BUILT) -> bool:
        """Whether its command is there. Nothing is run, so it may be of older sources: build first."""
        return os.access(built / self.folder / "agent", os.X_OK)


PEERS = (
    Peer("rapid", __version__, "rapid", gives_up=True),
    Peer("rapid-embedded", __version__, "embedded", gives_up=True),
    Peer("memberlist", "0.7.0", "memberlist"),
    Peer("kinship", "0.4.0", "kinship"),
    Peer("kinship-raised", "0.4.0", "kinship", options=("--raise-stream-limit",)),
    Peer("zookeeper", "3.8.0", "zookeeper", needs_server=True),
    Peer("pekko", "1.7.0", "pekko"),
)


def available(built: Path = BUILT) -> dict[Peer, bool]:
    """Every peer, and whether it has been built: a missing one is to be reported, not left out."""
    return {peer: peer.is_built(built) for peer in PEERS}


def named(name: str) -> Peer:
    """The peer of a name. ValueError, with the names that there are, where there is none."""
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise ValueError(f"{name!r} is no peer; there are {', '.join(peer.name for peer in PEERS)}")


def build_environment() -> dict[str, str]:
    """What a build script is started with: Python peers are built for the Python that runs this."""
    return {**os.environ, "PYTHON": sys.executable}
