"""The blocks of code in the pages, each with what a comment before it says about running it.

A comment is seen by nobody who reads the page. It stands right before its block and is one of these:

    <!-- context: NAME -->        what tests/docs/contexts.py has under that name is there meanwhile
    <!-- run: ARGUMENTS until TEXT -->   the program runs with these until it has printed that, then Ctrl-C
    <!-- output -->               what follows is no commands, but what a program prints
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
SHELL = ("sh", "bash", "shell", "console")
"""Languages of blocks that are for a shell. One without a language is when it begins so:"""
BEGINNINGS = ("$ ", "rapid ", "make ", "pip ", "python ")

_SAID = re.compile(r"<!--\s*(context|run|output)\b:?\s*(.*?)\s*-->\s*$", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of a page; ``line`` is that of its first line of code, from 1."""

    page: Path
    line: int
    language: str
    code: str
    said: dict[str, str]
    """What the comment before it says, by its first word."""

    @property
    def where(self) -> str:
        """For a message, and for a test's name."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """All of them, in order."""
    comment = ""
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            assert token.map is not None
            said = _SAID.match(comment)
            yield Block(
                page,
                token.map[0] + 2,
                token.info.partition(" ")[0].strip(),
                token.content,
                {said[1]: said[2]} if said is not None else {},
            )
        comment = token.content if token.type == "html_block" else ""


def python(page: Path) -> list[Block]:
    """What is Python."""
    return [block for block in blocks(page) if block.language == "python"]


def commands(page: Path) -> Iterator[tuple[Block, str]]:
    """Each command line for a shell, without its prompt and comment; continued lines are joined."""
    for block in blocks(page):
        unnamed = not block.language and block.code.startswith(BEGINNINGS)
        if not (unnamed or block.language in SHELL) or "output" in block.said:
            continue
        lines = block.code.replace("\\\n", " ").splitlines()
        # where there are prompts, the lines without are what the commands print
        prompted = [line for line in lines if line.startswith("$ ")]
        for line in prompted or lines:
            command = re.sub(r"(^|\s)#.*", "", line.removeprefix("$ ")).strip()
            if command:
                yield block, command
