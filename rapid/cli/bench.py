"""``rapid bench``: measure clusters of real processes. The benchmarks are beside this package, not in it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

INSTALL = "pip install --editable '.[cli]' --group bench"
_ROOT = Path(__file__).parents[2]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid bench``. Ends with status 2 outside a source tree."""
    if not (_ROOT / "benchmarks" / "command.py").is_file():
        parser.exit(2, f"rapid bench: the benchmarks are not installed; in a checkout, {INSTALL}\n")
    if str(_ROOT) not in sys.path:
        sys.path.insert(0, str(_ROOT))
    from benchmarks import command

    command.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status as the epilog of the command says."""
    from benchmarks import command

    return command.run(args)
