"""What was built can be built again: run by `make package` as ``python -m tests.release.archives DIST``.

Wheel and source distribution are built again from a copy of the tree, in another directory, with other
file times, permissions and time zone, and the wheel a third time without the source distribution between. All
must be equal to the last byte. And the source distribution must hold every file of the tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
MADE_BY_THE_BUILD = {"PKG-INFO"}
MUST_HOLD = {
    ".ci/run",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "benchmarks/command.py",
    "deploy/Containerfile",
    "docs/index.md",
    "examples/follow_views.py",
    "rapid/py.typed",
    "tests/release/archives.py",
}
"""One file of each kind, for a tree that git does not know."""


def tracked(root: Path) -> set[str] | None:
    """The files of the tree, also new ones unless git ignores them. ``None`` where there is no repository."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {name for name in done.stdout.split("\0") if name and (root / name).exists()}


def names(sdist: Path) -> set[str]:
    """The files of a source distribution, without its top directory."""
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


def missing_and_foreign(sdist: Path, root: Path) -> list[str]:
    """What a source distribution lacks, and what it has that the tree has not."""
    held = names(sdist) - MADE_BY_THE_BUILD
    files = tracked(root)
    if files is None:
        return [f"{name} is not in {sdist.name}" for name in sorted(MUST_HOLD - held)]
    found = [f"{name} is not in {sdist.name}" for name in sorted(files - held)]
    return found + [f"{name} is in {sdist.name}, but not in the tree" for name in sorted(held - files)]


def unequal(one: Path, other: Path) -> list[str]:
    """Names of archives that differ between two directories, or are in one only."""
    archives = {file.name for folder in (one, other) for file in folder.iterdir()}
    return sorted(
        name
        for name in archives
        if not ((one / name).is_file() and (other / name).is_file())
        or (one / name).read_bytes() != (other / name).read_bytes()
    )


def copy_of(sdist: Path, target: Path) -> Path:
    """The files of a source distribution, from the tree, with another time and other permissions."""
    for name in names(sdist) - MADE_BY_THE_BUILD:
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, file)
        file.chmod(0o640 | (ROOT / name).stat().st_mode & 0o100)
        os.utime(file, (1_000_000_000, 1_000_000_000))
    return target


def build(source: Path, target: Path, *options: str) -> None:
    """Build as `make package` does, but for the surroundings."""
    command = [sys.executable, "-m", "build", "--outdir", str(target), *options, str(source)]
    surroundings = {**os.environ, "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "7"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, umask=0o077)
    if done.returncode != 0:
        raise SystemExit(f"the second build failed:\n{done.stdout}{done.stderr}")


def main(dist: Path) -> None:
    """End with a message where something is not as it must be."""
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    with TemporaryDirectory() as directory:
        folder = Path(directory)
        build(copy_of(sdist, folder / "copy"), folder / "again")
        build(ROOT, folder / "straight", "--wheel")
        shutil.copyfile(sdist, folder / "straight" / sdist.name)
        problems = [f"{name} of another directory differs" for name in unequal(dist, folder / "again")]
        problems += [f"{name} built without the sdist differs" for name in unequal(dist, folder / "straight")]
    problems += missing_and_foreign(sdist, ROOT)
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{sdist.name} has every file of the tree; it and {wheel.name} can be built again to the last byte")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
