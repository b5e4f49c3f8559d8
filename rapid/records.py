"""Dataclasses whose methods are written when they are first asked for.

The standard decorator compiles ``__init__``, ``__eq__`` and the others while the class is made: half a
millisecond for a small class, and more for a frozen one. That was a sixth of what a start cost, for classes
of which most processes make no instance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

__all__ = ["record", "write_ahead"]

_unused: list[type] = []
"""Records whose methods were not written ahead."""


def write_ahead() -> None:
    """Write the methods of all records.

    A member does so once it listens: most messages are first used in a view change, which is no time to
    compile anything.
    """
    while _unused:
        # this one is asked for whatever else is there
        _unused.pop().__init__  # type: ignore[misc]  # noqa: B018 - to ask is what writes it


def _record(
    *,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
    repr: bool = True,
    eq: bool = True,
    order: bool = False,
) -> Callable[[type], type]:
    """As :func:`dataclasses.dataclass` with these arguments, except for when the methods are written."""
    later = ["__init__", "__replace__", "__dataclass_fields__", "__dataclass_params__"]
    later += ["__repr__"] * repr + ["__eq__"] * eq + ["__hash__"] * (eq and frozen)
    later += ["__lt__", "__le__", "__gt__", "__ge__"] * order

    def make(plain: type) -> type:
        fields = tuple(plain.__annotations__)

        def write(name: str) -> Any:
            """This attribute, which the class has from now on; AttributeError where Python makes none."""
            # in a copy: two threads may do this at once, with the same result
            standard = dataclasses.dataclass(frozen=frozen, kw_only=kw_only, repr=repr, eq=eq, order=order)
            written = vars(standard(_copy(plain)))
            if name not in written:
                raise AttributeError(f"type object {plain.__name__!r} has no attribute {name!r}")
            # all at once: written one by one they would cost three times as much
            for other in unwritten.keys() & written.keys():
                setattr(made, other, written[other])
            return written[name]

        unwritten = {name: _Unwritten(name, write) for name in later if name not in vars(plain)}
        more: dict[str, Any] = {"__match_args__": () if kw_only else fields, **unwritten}
        if frozen:
            more |= _frozen(fields, lambda: made)
        if slots:
            more["__slots__"] = fields
        if frozen and slots:
            more |= _pickled(fields)
        # a slot has no default: that is in __init__
        made = _copy(plain, more, without=fields if slots else ())
        _unused.append(made)
        return made

    return make


if TYPE_CHECKING:
    # to whoever reads types, a record is a dataclass
    from dataclasses import dataclass as record
else:
    record = _record


class _Unwritten:
    """Stands for an attribute of a class until it is asked for."""

    __slots__ = ("_name", "_write")

    def __init__(self, name: str, write: Callable[[str], Any]) -> None:
        self._name = name
        self._write = write

    def __get__(self, instance: object, owner: type) -> Any:
        written = self._write(self._name)
        return written.__get__(instance, owner) if callable(written) else written


def _copy(of: type, more: Mapping[str, Any] | None = None, without: tuple[str, ...] = ()) -> type:
    """The same class made anew, with more attributes, and without some."""
    kept = {name: value for name, value in vars(of).items() if name not in {*without, *_OF_INSTANCES}}
    return type(of)(of.__name__, of.__bases__, {**kept, "__qualname__": of.__qualname__, **(more or {})})


_OF_INSTANCES = ("__dict__", "__weakref__")
"""What each class gets anew."""


def _frozen(fields: tuple[str, ...], made: Callable[[], type]) -> dict[str, Any]:
    """Methods by which instances do not change."""

    def refuse(self: object, what: str, name: str) -> None:
        if type(self) is made() or name in fields:
            raise dataclasses.FrozenInstanceError(f"cannot {what} field {name!r}")

    def __setattr__(self: object, name: str, value: object) -> None:
        refuse(self, "assign to", name)
        object.__setattr__(self, name, value)

    def __delattr__(self: object, name: str) -> None:
        refuse(self, "delete", name)
        object.__delattr__(self, name)

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _pickled(fields: tuple[str, ...]) -> dict[str, Any]:
    """Methods by which pickle and copy fill the slots of what does not change."""

    def __getstate__(self: object) -> list[object]:
        return [getattr(self, name) for name in fields]

    def __setstate__(self: object, state: list[object]) -> None:
        for name, value in zip(fields, state, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": __getstate__, "__setstate__": __setstate__}
