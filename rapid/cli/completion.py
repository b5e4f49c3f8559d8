"""``rapid completion``: have a shell complete the command line."""

from __future__ import annotations

import argparse
import sys

from rapid.cli import whole_parser

SHELLS = ("bash", "zsh", "tcsh")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid completion``."""
    parser.description = (
        "Print a script that has a shell complete 'rapid', its commands and their options. For bash, in"
        " ~/.bashrc: eval \"$(rapid completion bash)\". For zsh, in a directory of $fpath: rapid"
        " completion zsh > _rapid. Needs the extra 'cli'."
    )
    parser.epilog = "Exit status: 0, 1 when what it is made with is not installed."
    parser.add_argument("shell", choices=SHELLS, help="which one")


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog."""
    try:
        import shtab
    except ModuleNotFoundError as missing:
        if missing.name != "shtab":
            raise
        print(
            "rapid completion: the package 'shtab' is not installed; pip install 'rapid-membership[cli]'",
            file=sys.stderr,
        )
        return 1
    print(shtab.complete(whole_parser(), shell=args.shell))
    return 0
