"""An index shows the README, with no file beside it, so its links are absolute; and they lead somewhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.docs.blocks import PAGES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Source"]
FILE = re.compile(re.escape(REPOSITORY) + r"/(?:blob|tree)/main/([^#]*)(?:#(.*))?$")
SHOWN_ELSEWHERE = [ROOT / "README.md", ROOT / "SECURITY.md"]


def targets(text: str) -> Iterator[str]:
    """Of all links and images."""
    for token in MarkdownIt("commonmark").parse(text):
        for part in token.children or ():
            if part.type in ("link_open", "image"):
                yield str(part.attrs["href" if part.type == "link_open" else "src"])
    # and what is written as HTML
    yield from re.findall(r"""<(?:a|img)\b[^>]*\b(?:href|src)=["']([^"']*)""", text)


def relative(text: str) -> list[str]:
    """Targets that need a file beside the page."""
    return [target for target in targets(text) if not target.startswith(("https://", "#"))]


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as they stand in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(target: str) -> str | None:
    """What is wrong with a link into the repository."""
    if (found := FILE.match(target)) is None:
        return None
    path, anchor = ROOT / found[1], found[2]
    if not path.exists():
        return f"no file {found[1]}"
    if anchor and anchor not in anchors(path):
        return f"no heading {anchor!r} in {found[1]}"
    return None


@pytest.mark.parametrize("page", SHOWN_ELSEWHERE, ids=lambda page: page.name)
def test_what_is_shown_elsewhere_has_no_relative_links(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(list(targets(text))) > 3
    assert relative(text) == []


@pytest.mark.parametrize(
    "text",
    ["[a](docs/a.md)", "[a][b]\n\n[b]: docs/a.md", "![a](a.svg)", '<img src="a.svg">', '<a href="/a">a</a>'],
)
def test_a_relative_link_is_found(text: str) -> None:
    assert len(relative(text)) == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_the_repository_lead_somewhere(page: Path) -> None:
    found = [(target, broken(target)) for target in targets(page.read_text(encoding="utf-8"))]
    assert [(target, problem) for target, problem in found if problem] == []


def test_the_links_of_the_project_lead_somewhere() -> None:
    urls = PROJECT["urls"]
    assert set(urls) >= {"Homepage", "Documentation", "Source", "Issues", "Changelog"}
    assert [url for url in urls.values() if not url.startswith(REPOSITORY)] == []
    assert [broken(url) for url in urls.values() if broken(url)] == []


@pytest.mark.parametrize("target", ["docs/nowhere.md", "docs/design.md#nowhere"])
def test_a_link_that_leads_nowhere_is_found(target: str) -> None:
    assert broken(f"{REPOSITORY}/blob/main/{target}")


def test_no_definition_of_a_link_is_left_unused() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    defined = set(re.findall(r"^\[([\w-]+)\]: ", text, re.MULTILINE))
    assert defined == set(re.findall(r"\]\[([\w-]+)\]", text))
