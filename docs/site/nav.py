"""Pages that mkdocs.yml does not name: each goes to the section of its directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Called by mkdocs before it builds."""
    docs = Path(config.docs_dir)
    named = set(_pages(config.nav))
    homes = {"Guides": docs / "guides", "Reference": docs / "reference", "How it works": docs}
    for title, directory in homes.items():
        sections = [entry for entry in config.nav if isinstance(entry, dict)]
        section: list[str] = next(entry[title] for entry in sections if title in entry)
        found = sorted(page.relative_to(docs).as_posix() for page in directory.glob("*.md"))
        section += [page for page in found if page not in named]
    return config


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for part in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(part)
