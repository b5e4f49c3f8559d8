"""``rapid certs``: an authority of one's own and certificates of it, to develop and try things with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DAYS_LIMIT = 825


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid certs``."""
    parser.description = (
        "Make a certificate for one member, signed by an authority whose key is kept in DIR: the first"
        " run makes the authority, later ones use it, and replace the certificate when it is for the"
        " same first host. For development: whoever can read DIR can be any member. Needs the extra 'tls'."
    )
    parser.epilog = "Exit status: 0, 1 when it could not be done, 2 for bad arguments."
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the files are; made when missing")
    parser.add_argument(
        "--host",
        action="append",
        required=True,
        metavar="HOST",
        help="a name or address that the others reach the member by; any number, the first names the files",
    )
    parser.add_argument(
        "--days", type=int, default=90, metavar="N", help="how long the certificate is valid (%(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog above."""
    try:
        from rapid.cli.authority import Authority, CertificateError, alternative_names
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] != "cryptography":
            raise
        return _fail(
            "the package 'cryptography' is not installed; pip install 'rapid-membership[tls]'", status=1
        )
    if not 1 <= args.days <= DAYS_LIMIT:
        return _fail(f"--days {args.days}: take 1 to {DAYS_LIMIT}", status=2)
    try:
        names = alternative_names(args.host)
    except CertificateError as problem:
        return _fail(problem, status=2)
    try:
        authority = Authority.found_in(args.directory)
        made = authority.certify(args.host[0], names, args.days)
    except (CertificateError, OSError) as problem:
        return _fail(problem, status=1)
    print(f"ca           {made.ca}")
    print(f"certificate  {made.certificate}, for {', '.join(args.host)}, until {made.until:%Y-%m-%d}")
    print(f"key          {made.key}")
    return 0


def _fail(problem: object, *, status: int) -> int:
    print(f"rapid certs: {problem}", file=sys.stderr)
    return status
