"""What others say of themselves, on a terminal: nothing in it is obeyed or passes for a line of ours."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.agent.printable import pair, printable, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Grüße, 会 🙂", "plain, Grüße, 会 🙂"),
        ("[red]not obeyed[/red]", "[red]not obeyed[/red]"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("a\nb\r\tc\x7f", r"a\x0ab\x0d\x09c\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("\u202eevil\u2066\u200f", r"\u202eevil\u2066\u200f"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\ud800\ufeff\u200b\xa0", r"\ud800\ufeff\u200b\xa0"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_what_is_not_seen_as_itself_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_it_is_one_line_that_any_terminal_takes(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert shown.splitlines() in ([], [shown])
    shown.encode()
    assert printable(shown) == shown


def test_every_control_character_is_an_escape() -> None:
    for code in (*range(0x20), *range(0x7F, 0xA0)):
        assert chr(code) not in printable(chr(code))
    assert sum(printable(chr(code)) != chr(code) for code in range(sys.maxunicode + 1)) > 100_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [("cache", "cache"), ("", '""'), ("two words", '"two words"'), ('a"b', r'"a\"b"'), ("a\nb", r"a\x0ab")],
)
def test_a_word(text: str, shown: str) -> None:
    assert quoted(text) == shown


def test_a_pair_does_not_pass_for_two() -> None:
    assert pair("role", "cache") == "role=cache"
    assert pair("role", "cache  role=primary") == 'role="cache  role=primary"'
    assert pair("role=primary x", "") == '"role=primary x"=""'
    assert pair("role=primary", "x") == '"role=primary"=x'
