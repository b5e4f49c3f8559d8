"""Docstrings name things as ``:class:`View```: here these become links within the reference."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:class|func|meth|data|mod):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """What is public is linked to; the rest is code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each object that it has read."""
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(lambda role: _linked(role[1], obj), obj.docstring.value)


def _linked(name: str, of: griffe.Object) -> str:
    public: set[str] = {str(name) for name in of.package.exports or ()}
    first = name.removeprefix("rapid.").partition(".")[0]
    owner = of if of.is_class else of.parent
    if first in public:
        return f"[`{name}`][rapid.{name.removeprefix('rapid.')}]"
    if owner is not None and owner.is_class and first in owner.members:
        return f"[`{name}`][{owner.path}.{first}]"
    return f"`{name}`"
