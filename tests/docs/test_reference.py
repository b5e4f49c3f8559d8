"""The reference has all that is public, and the pages in the sources link to what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rapid
import rapid.simulation

from .blocks import PAGES, ROOT

REFERENCE = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md"))
SHOWN = set(re.findall(r"^::: ([\w.]+)$", REFERENCE, re.MULTILINE))


@pytest.mark.parametrize("name", rapid.__all__)
def test_it_is_in_the_reference(name: str) -> None:
    found = getattr(rapid, name)
    home = getattr(found, "__module__", None) or found.__name__
    assert {f"rapid.{name}", f"rapid.view.{name}", home} & SHOWN


def test_the_simulator_is_in_the_reference() -> None:
    assert "rapid.simulation" in SHOWN


def test_each_integration_is_in_the_reference() -> None:
    modules = {file.stem for file in (ROOT / "rapid" / "integrations").glob("*.py")}
    # the tally is what the two kinds of metrics have in common
    assert {f"rapid.integrations.{name}" for name in modules - {"__init__", "tally"}} <= SHOWN


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
