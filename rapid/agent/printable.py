"""Text from others, as a terminal may be given it: it moves no cursor, and makes no line of its own."""

from __future__ import annotations


def printable(text: object) -> str:
    """The text with an escape such as ``\\x1b`` in place of each character that is not seen as itself.

    These are all control characters (line breaks and tabs too), the separators of lines and
    paragraphs, spaces other than the usual one, marks that change the direction of writing, other
    invisible ones, and lone surrogates, which no encoding takes.
    """
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(character if character.isprintable() else _escape(character) for character in shown)


def quoted(text: str) -> str:
    """As :func:`printable`; in quotation marks where it would not read as one word."""
    shown = printable(text)
    if shown and " " not in shown and '"' not in shown:
        return shown
    return '"' + shown.replace('"', r"\"") + '"'


def pair(key: str, value: str) -> str:
    """An entry of a member's metadata, ``key=value``, which cannot pass for two."""
    name = quoted(key)
    if "=" in name and not name.startswith('"'):
        name = f'"{name}"'
    return f"{name}={quoted(value)}"


def _escape(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
