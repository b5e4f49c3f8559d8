"""A tag names the version that is released: ``python -m tests.release.tag vX.Y.Z`` checks it.

It runs before anything is published. It reads the files and imports nothing of the library, so that it works
where nothing is installed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def version(root: Path = ROOT) -> str:
    """The version that is built."""
    text = (root / "rapid" / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


def headings(root: Path = ROOT) -> dict[str, str]:
    """Each section of the changelog, in order, with its date; without one it is empty."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", text, re.MULTILINE))


def cited(root: Path = ROOT) -> str:
    """The version in CITATION.cff."""
    text = (root / "CITATION.cff").read_text(encoding="utf-8")
    (found,) = re.findall(r"^version: (.+)$", text, re.MULTILINE)
    return str(found)


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """Why this tag must not be released."""
    built = version(root)
    found = []
    if tag != f"v{built}":
        found.append(f"the tag is {tag!r}, but rapid/__init__.py has {built!r}: tag v{built}, or change it")
    if not headings(root).get(built):
        found.append(f"CHANGELOG.md has no section with a date for {built}: ## [{built}] - YYYY-MM-DD")
    if cited(root) != built:
        found.append(f"CITATION.cff has version {cited(root)!r}: write {built!r}")
    return found


def main(tag: str, root: Path = ROOT) -> int:
    """Print what is wrong; the exit status is 1 then, else 0."""
    found = problems(tag, root)
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
