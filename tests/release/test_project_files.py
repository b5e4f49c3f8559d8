"""The files for services around the repository parse, and the commands, files and groups in them exist."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.test_commands import check

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((GITHUB / "workflows").iterdir())
FORMS = sorted(file for file in (GITHUB / "ISSUE_TEMPLATE").iterdir() if file.stem != "config")
FILES = [
    *WORKFLOWS,
    *(GITHUB / "ISSUE_TEMPLATE").iterdir(),
    GITHUB / "dependabot.yml",
    ROOT / ".pre-commit-config.yaml",
    ROOT / ".readthedocs.yaml",
    ROOT / "CITATION.cff",
]

Table = dict[str, Any]


def read(file: Path) -> Table:
    # as text alone: YAML takes the key `on` for a truth value, and 3.10 for a number
    found = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert isinstance(found, dict)
    return found


def jobs() -> Iterator[tuple[str, Table]]:
    for file in WORKFLOWS:
        for name, job in read(file)["jobs"].items():
            yield f"{file.name}:{name}", job


def steps() -> Iterator[tuple[str, Table]]:
    for where, job in jobs():
        for step in job.get("steps", []):
            yield where, step


def lines() -> Iterator[tuple[str, str]]:
    """Each command line, and where it stands."""
    for where, step in steps():
        for line in step.get("run", "").splitlines():
            yield where, line
    for job, commands in _of_pages().items():
        for line in commands:
            yield f".readthedocs.yaml:{job}", line
    for repository in read(ROOT / ".pre-commit-config.yaml")["repos"]:
        for hook in repository["hooks"]:
            if repository["repo"] == "local":
                yield f".pre-commit-config.yaml:{hook['id']}", hook["entry"]


def _of_pages() -> dict[str, list[str]]:
    build = read(ROOT / ".readthedocs.yaml")["build"]["jobs"]
    return {"install": build["install"], "build": build["build"]["html"]}


def wrong_pin(line: str) -> bool:
    """Whether a line uses what somebody else can change: a tag or a branch in place of a commit."""
    if (found := re.search(r"uses:\s*(\S+)(.*)", line)) is None or found[1].startswith("./"):
        return False
    return not (re.search(r"@[0-9a-f]{40}$", found[1]) and re.search(r"# v\d+\.\d+\.\d+$", found[2]))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_it_parses(file: Path) -> None:
    assert read(file)


@pytest.mark.skipif(shutil.which("make") is None, reason="the files are about make, which is not here")
@pytest.mark.parametrize(("where", "line"), list(lines()), ids=[where for where, _ in lines()])
def test_its_commands_exist(where: str, line: str) -> None:
    check(line)


def test_the_commands_are_found() -> None:
    found = {line for _, line in lines()}
    targets = ("quick", "test", "lint", "types", "docs", "package")
    assert {"make lint", *(f"make {target} PYTHON=python" for target in targets)} <= found


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_actions_are_pinned_to_a_commit_with_its_version(file: Path) -> None:
    found = file.read_text(encoding="utf-8").splitlines()
    assert any("uses:" in line for line in found)
    assert [line for line in found if wrong_pin(line)] == []


@pytest.mark.parametrize(
    "line",
    ["- uses: a/b@v4", "- uses: a/b@main # v4.0.0", "- uses: a/b", f"- uses: a/b@{'0' * 40}"],
)
def test_a_wrong_pin_is_found(line: str) -> None:
    assert wrong_pin(line)


def test_only_the_job_that_publishes_may_do_more_than_read() -> None:
    assert [read(file)["permissions"] for file in WORKFLOWS] == [{"contents": "read"}] * len(WORKFLOWS)
    more = {where: job["permissions"] for where, job in jobs() if "permissions" in job}
    assert more == {"release.yml:publish": {"id-token": "write"}}
    assert [file.name for file in WORKFLOWS if "secrets." in file.read_text(encoding="utf-8")] == []
    kept = [where for where, step in steps() if "checkout" in step.get("uses", "")]
    dropped = [where for where, step in steps() if step.get("with", {}).get("persist-credentials") == "false"]
    assert kept == dropped


def test_no_text_of_others_is_put_into_a_command() -> None:
    assert [(where, line) for where, line in lines() if "${{" in line] == []


def test_every_job_ends() -> None:
    assert [where for where, job in jobs() if "steps" in job and "timeout-minutes" not in job] == []


def test_a_release_is_checked_and_publishes_what_was_built() -> None:
    release = read(GITHUB / "workflows" / "release.yml")
    assert release["on"] == {"push": {"tags": ["v*"]}}
    publish = release["jobs"]["publish"]
    assert publish["needs"] == "checks"
    assert publish["environment"]["name"] == "pypi"
    checks = release["jobs"]["checks"]
    assert checks["needs"] == "version"
    assert (ROOT / checks["uses"]).is_file()
    (taken,) = (step["with"] for step in publish["steps"] if "download-artifact" in step["uses"])
    (left,) = (step["with"] for _, step in steps() if "upload-artifact" in step.get("uses", ""))
    assert (taken["name"], taken["path"]) == (left["name"], left["path"])


def test_the_tests_run_with_every_supported_interpreter() -> None:
    matrix = read(GITHUB / "workflows" / "checks.yml")["jobs"]["tests"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    classified = [text for text in CONFIGURATION["project"]["classifiers"] if text.startswith(prefix)]
    assert {text.removeprefix("Programming Language :: Python :: ") for text in classified} <= set(matrix)
    assert CONFIGURATION["project"]["requires-python"] == f">={matrix[0]}"


def test_owners_are_named_for_what_is_there() -> None:
    text = (GITHUB / "CODEOWNERS").read_text(encoding="utf-8")
    rules = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    assert rules[0][0] == "*"
    assert [path for path, *_ in rules[1:] if not (ROOT / path.lstrip("/")).exists()] == []
    assert all(owners and all(owner.startswith("@") for owner in owners) for _, *owners in rules)


@pytest.mark.parametrize("file", FORMS, ids=lambda file: file.name)
def test_a_form_for_issues_has_fields_with_labels(file: Path) -> None:
    form = read(file)
    assert {"name", "description", "body"} <= set(form)
    assert all(field["attributes"]["label"] for field in form["body"])
    names = [field["id"] for field in form["body"]]
    assert len(names) == len(set(names))


def test_updates_are_looked_for_where_there_is_something() -> None:
    updates = read(GITHUB / "dependabot.yml")["updates"]
    assert [update for update in updates if not (ROOT / update["directory"].lstrip("/")).is_dir()] == []
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}


def test_the_paper_is_cited() -> None:
    (paper,) = read(ROOT / "CITATION.cff")["references"]
    assert paper["title"] == "Stable and Consistent Membership at Scale with Rapid"
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Suresh", "Malkhi", "Gopalan", "Porto Carreiro", "Lokhandwala"]
    assert paper["year"] == "2018"


def test_groups_are_for_the_project_and_extras_for_users() -> None:
    groups, extras = CONFIGURATION["dependency-groups"], CONFIGURATION["project"]["optional-dependencies"]
    assert not set(groups) & set(extras)
    (every,) = extras["all"]
    named = re.fullmatch(r"rapid-membership\[(.+)\]", every)
    assert named is not None
    assert named[1].split(",") == sorted(set(extras) - {"all"})
    # an index may have something else under that name, or nothing
    wanted = [entry for group in groups.values() for entry in group if isinstance(entry, str)]
    assert [entry for entry in wanted if entry.startswith("rapid-membership")] == []


def test_the_page_on_installing_names_every_extra() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    rows = " ".join(re.findall(r"^\| (`.+?) \|", page, re.MULTILINE))
    assert sorted(re.findall(r"`(\w+)`", rows)) == sorted(CONFIGURATION["project"]["optional-dependencies"])
