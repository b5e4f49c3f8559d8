"""The version is written once, and everything that names it agrees."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import rapid
from rapid.cli import main

from . import tag

ROOT = Path(__file__).parents[2]


def test_the_build_reads_the_version_from_the_package() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "version" not in configuration["project"]
    assert configuration["project"]["dynamic"] == ["version"]
    assert ROOT / configuration["tool"]["hatch"]["version"]["path"] == ROOT / "rapid" / "__init__.py"
    assert tag.version() == rapid.__version__


def test_what_is_installed_has_the_same_version() -> None:
    assert version("rapid-membership") == rapid.__version__, "install again: pip install --editable ."


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rapid {rapid.__version__}\n"


def test_the_changelog_has_what_comes_and_then_this_version() -> None:
    headings = list(tag.headings())
    assert headings[:2] == ["Unreleased", rapid.__version__]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [heading for heading in headings if f"\n[{heading}]: https://" not in text] == []


def test_the_citation_has_this_version() -> None:
    assert tag.cited() == rapid.__version__


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree that is ready for the tag v1.2.0."""
    (tmp_path / "rapid").mkdir()
    (tmp_path / "rapid" / "__init__.py").write_text('__version__ = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.0] - 2031-01-02\n")
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    return tmp_path


def test_a_tag_of_what_is_ready_has_no_problems(tree: Path) -> None:
    assert tag.problems("v1.2.0", tree) == []


def test_the_exit_status_tells_whether_it_may_be_released(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tag.main("v1.2.0", tree) == 0
    assert capsys.readouterr() == ("", "")
    assert tag.main("v1.2.1", tree) == 1
    assert "the tag is 'v1.2.1'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["v1.2.1", "1.2.0", "v1.2.0rc1"])
def test_another_tag_is_refused(name: str, tree: Path) -> None:
    (problem,) = tag.problems(name, tree)
    assert repr(name) in problem


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("CHANGELOG.md", "## [Unreleased]\n"),
        ("CHANGELOG.md", "## [Unreleased]\n\n## [1.2.0]\n"),
        ("CITATION.cff", "cff-version: 1.2.0\nversion: 1.1.0\n"),
    ],
)
def test_what_does_not_name_the_version_is_refused(file: str, text: str, tree: Path) -> None:
    (tree / file).write_text(text)
    (problem,) = tag.problems("v1.2.0", tree)
    assert problem.startswith(file)
