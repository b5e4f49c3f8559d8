"""How much a member remembers."""

from __future__ import annotations

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import Member
from rapid.protocol.node import Node

_VALUES = (Configuration, Cut, Member, str, bytes, int, float, type(None))


def state_size(node: Node) -> int:
    """The number of values that a member holds, the shared and immutable ones not opened.

    It depends on the size of the view and on what is under way, never on how much has happened.
    """
    seen: set[int] = set()
    waiting: list[object] = [node]
    count = 0
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, _VALUES) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            waiting += value.keys()
            waiting += value.values()
        elif hasattr(value, "__iter__") and hasattr(value, "__len__"):
            waiting += list(value)
        else:
            waiting += vars(value).values() if hasattr(value, "__dict__") else ()
            for kind in type(value).__mro__:
                slots = kind.__dict__.get("__slots__", ())
                waiting += [getattr(value, name) for name in slots if hasattr(value, name)]
    return count
