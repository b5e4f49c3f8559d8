"""What `make package` says of the archives: it must find what differs, and what is missing."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from .archives import MUST_HOLD, ROOT, missing_and_foreign, tracked, unequal


def packed(file: Path, *names: str) -> Path:
    """A source distribution of such files, all empty."""
    with tarfile.open(file, "w:gz") as archive:
        for name in ("PKG-INFO", *names):
            archive.addfile(tarfile.TarInfo(f"thing-1.0/{name}"), io.BytesIO())
    return file


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one file that git knows, one that is new, and one that it ignores."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("known.py", "new.py", "ignored.py", "removed.py"):
        (root / name).touch()
    (root / ".gitignore").write_text("ignored.py\n.gitignore\n")
    for command in (["init", "-q"], ["add", "known.py", "removed.py"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    (root / "removed.py").unlink()
    return root


def test_the_files_of_the_tree_must_be_there(tree: Path, tmp_path: Path) -> None:
    assert tracked(tree) == {"known.py", "new.py"}
    assert missing_and_foreign(packed(tmp_path / "a.tar.gz", "known.py", "new.py"), tree) == []


def test_a_missing_file_is_found(tree: Path, tmp_path: Path) -> None:
    assert missing_and_foreign(packed(tmp_path / "a.tar.gz", "new.py"), tree) == [
        "known.py is not in a.tar.gz"
    ]


def test_a_file_that_git_ignores_is_found(tree: Path, tmp_path: Path) -> None:
    sdist = packed(tmp_path / "a.tar.gz", "known.py", "new.py", "ignored.py")
    assert missing_and_foreign(sdist, tree) == ["ignored.py is in a.tar.gz, but not in the tree"]


def test_without_git_one_file_of_each_kind_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # no repository around the temporary directory is looked at
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert tracked(tmp_path) is None
    assert missing_and_foreign(packed(tmp_path / "a.tar.gz", *MUST_HOLD), tmp_path) == []
    sdist = packed(tmp_path / "a.tar.gz", *MUST_HOLD - {"LICENSE"})
    assert missing_and_foreign(sdist, tmp_path) == ["LICENSE is not in a.tar.gz"]


def test_those_files_are_there() -> None:
    assert [name for name in MUST_HOLD if not (ROOT / name).is_file()] == []


def test_archives_that_differ_or_are_missing_are_found(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "equal").write_bytes(b"same")
        (folder / "different").write_bytes(str(folder).encode())
    (one / "here").touch()
    (other / "there").touch()
    assert unequal(one, other) == ["different", "here", "there"]
