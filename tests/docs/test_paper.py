"""Every module and test that the pages name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .blocks import PAGES, ROOT

NAMED = re.compile(r"`((?:rapid|tests|benchmarks|examples|docs)/[\w./-]*)(?:::(\w+))?`")


def missing(text: str) -> list[str]:
    """What the text names and is not there."""
    found = []
    for name, test in NAMED.findall(text):
        file = ROOT / name
        if not file.exists():
            found.append(name)
        elif test and not re.search(rf"(?m)^(async )?def {test}\(", file.read_text(encoding="utf-8")):
            found.append(f"{name}::{test}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_it_names_exists(page: Path) -> None:
    assert missing(page.read_text(encoding="utf-8")) == []


def test_the_map_names_the_core() -> None:
    text = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
    named = {name for name, _ in NAMED.findall(text)}
    for package in ("consensus", "detection"):
        for module in (ROOT / "rapid" / package).glob("*.py"):
            if module.name != "__init__.py":
                assert f"rapid/{package}/{module.name}" in named


def test_what_is_missing_is_found() -> None:
    text = "`rapid/overlay/rings.py` `rapid/overlay/rungs.py` `tests/docs/test_paper.py::test_nothing`"
    assert missing(text) == ["rapid/overlay/rungs.py", "tests/docs/test_paper.py::test_nothing"]
