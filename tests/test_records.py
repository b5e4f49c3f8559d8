"""Records are dataclasses in all but the time at which their methods are written."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, field
from functools import cached_property
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from rapid.records import record, write_ahead


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the classes that the standard decorator has written methods of."""
    names: list[str] = []
    original = dataclasses._process_class  # type: ignore[attr-defined]  # what the decorator calls

    def process(cls: type, *rest: Any, **more: Any) -> type:
        names.append(cls.__name__)
        made: type = original(cls, *rest, **more)
        return made

    monkeypatch.setattr(dataclasses, "_process_class", process)
    return names


@record(frozen=True, slots=True, order=True)
class Point:
    """A frozen one."""

    x: int
    y: int = 2
    note: list[str] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x")

    @property
    def sum(self) -> int:
        return self.x + self.y


@record(slots=True)
class Mutable:
    """One that may change."""

    a: int
    b: str = "b"


@record(frozen=True)
class Cached:
    """One without slots."""

    a: int

    @cached_property
    def double(self) -> int:
        return 2 * self.a


@record(frozen=True, slots=True, kw_only=True)
class Options:
    """Given by name."""

    a: int = 1
    b: int = 2


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Standard:
    """What a record is compared with."""

    x: int
    y: int = 2


def test_nothing_is_compiled_while_the_class_is_made(compiled: list[str]) -> None:
    @record(frozen=True, slots=True, order=True)
    class Fresh:
        a: int = 1

    assert compiled == []
    assert Fresh().a == Fresh(1).a
    for _ in range(2):
        assert Fresh() == Fresh(1)
        assert hash(Fresh()) == hash(Fresh(1))
        assert Fresh(2) > Fresh()
        assert repr(Fresh(2)).endswith("Fresh(a=2)")
    assert compiled == ["Fresh"], "once, for all methods"


def test_nothing_is_compiled_any_more_after_all_was_written_ahead(compiled: list[str]) -> None:
    @record(frozen=True)
    class Ahead:
        a: int = 1

    write_ahead()
    assert compiled.count("Ahead") == 1
    before = list(compiled)
    assert Ahead() == Ahead(1)
    assert Options() == Options(a=1)
    assert compiled == before


@pytest.mark.parametrize("first", ["fields", "is_dataclass", "signature", "replace", "pickle", "match"])
def test_whatever_is_done_first_with_a_class_it_is_a_whole_dataclass(first: str) -> None:
    @record(frozen=True, slots=True)
    class Fresh:
        a: int
        b: int = 2

    match first:
        case "fields":
            assert [each.name for each in dataclasses.fields(Fresh)] == ["a", "b"]
        case "is_dataclass":
            assert dataclasses.is_dataclass(Fresh)
        case "signature":
            assert str(inspect.signature(Fresh)) == "(a: 'int', b: 'int' = 2) -> None"
        case "replace":
            assert dataclasses.replace(Fresh(1), b=3) == Fresh(1, 3)
        case "pickle":
            # what comes from another process has not been through __init__ here
            made: Any = Fresh.__new__(Fresh)
            made.__setstate__([1, 2])
            assert repr(made).endswith("Fresh(a=1, b=2)")
            assert made == Fresh(1)
        case "match":
            assert Fresh.__match_args__ == ("a", "b")


def test_defaults_order_repr_and_hash_are_those_of_a_dataclass() -> None:
    assert Point(1) == Point(1, 2, ["not compared"])
    assert hash(Point(1)) == hash(Point(1, 2))
    assert Point(1) < Point(1, 3) <= Point(1, 3) < Point(2, 0)
    assert Point(1).sum == 3
    assert repr(Point(1)) == "Point(x=1, y=2, note=[])"
    assert Point(1).note is not Point(1).note
    another: Any = Mutable(1)
    assert another != Point(1)
    assert Options(b=3) == Options(a=1, b=3)
    assert Mutable.__hash__ is None
    assert str(inspect.signature(Point)) == str(
        inspect.signature(dataclasses.dataclass(frozen=True)(copied_from_source()))
    )


def copied_from_source() -> type:
    class Point:
        x: int
        y: int = 2
        note: list[str] = field(default_factory=list, compare=False)

    return Point


def test_fields_and_parameters_are_those_that_were_asked_for() -> None:
    pairs: tuple[tuple[Any, Any], ...] = (
        (record(frozen=True, slots=True, order=True), dataclasses.dataclass(frozen=True, order=True)),
        (record(eq=False, repr=False), dataclasses.dataclass(eq=False, repr=False)),
        (record(kw_only=True), dataclasses.dataclass(kw_only=True)),
    )
    for made, standard in pairs:
        here, there = made(copied_from_source()), standard(copied_from_source())
        here(x=1)
        for name in ("__dataclass_params__", "__dataclass_fields__"):
            assert repr(getattr(here, name)) == repr(getattr(there, name))
        written = ("__eq__", "__repr__", "__hash__", "__lt__")
        inherited = [name for name in written if getattr(here, name) is getattr(object, name)]
        assert inherited == [name for name in written if getattr(there, name) is getattr(object, name)]


def test_post_init_is_run() -> None:
    with pytest.raises(ValueError, match="x"):
        Point(-1)


def test_what_is_wrong_with_arguments_is_said_as_ever() -> None:
    with pytest.raises(TypeError, match=r"Mutable\.__init__\(\) missing 1 required positional argument: 'a'"):
        Mutable()  # type: ignore[call-arg]  # that is the point
    with pytest.raises(TypeError, match="positional"):
        Options(1)  # type: ignore[call-arg]  # that is the point


def test_slots_have_no_dict_and_take_no_other_attribute() -> None:
    assert not hasattr(Mutable(1), "__dict__")
    with pytest.raises(AttributeError):
        Mutable(1).c = 1  # type: ignore[attr-defined]  # that is the point
    changed = Mutable(1)
    changed.a = 2
    assert changed == Mutable(2)


@pytest.mark.parametrize("frozen", [Point(1), Cached(1), Options(), Standard(1)])
def test_what_is_frozen_refuses_changes(frozen: Any) -> None:
    name = dataclasses.fields(frozen)[0].name
    with pytest.raises(FrozenInstanceError, match=f"cannot assign to field '{name}'"):
        setattr(frozen, name, 5)
    with pytest.raises(FrozenInstanceError, match=f"cannot delete field '{name}'"):
        delattr(frozen, name)


def test_what_is_cached_beside_the_fields_is_kept() -> None:
    cached = Cached(2)
    assert cached.double == 4
    assert vars(cached) == {"a": 2, "double": 4}
    with pytest.raises(FrozenInstanceError):
        cached.other = 1  # type: ignore[attr-defined]  # that is the point


@pytest.mark.parametrize("value", [Point(1, 3, ["n"]), Mutable(1), Cached(3), Options(b=5)])
def test_pickles_and_copies_are_equal(value: Any) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    assert copy.copy(value) == value
    assert copy.deepcopy(value) == value
    assert dataclasses.replace(value) == value


@pytest.mark.skipif(sys.version_info < (3, 13), reason="copy.replace() came with Python 3.13")
def test_copy_replace_makes_a_changed_one() -> None:
    assert copy.replace(Point(1), x=2) == Point(2)  # type: ignore[attr-defined, unused-ignore]  # newer than 3.11


def test_a_method_that_this_python_does_not_write_is_not_there() -> None:
    assert hasattr(Point, "__replace__") == (sys.version_info >= (3, 13))


def test_patterns_take_fields_by_position() -> None:
    match Point(1, 5):
        case Point(x, y):
            assert (x, y) == (1, 5)
    assert Options.__match_args__ == ()


def test_a_subclass_calls_what_it_inherits() -> None:
    @record(slots=True)
    class Base:
        a: int

    class Derived(Base):
        def __init__(self, a: int) -> None:
            super().__init__(a + 1)

    assert Derived(1).a == 2

    @dataclasses.dataclass(frozen=True)
    class More(Cached):
        b: int = 0

    assert More(1, 2) == More(1, 2)
    assert More(1, 2).double == 2


def test_two_threads_that_make_the_first_instance_both_succeed() -> None:
    for _ in range(20):

        @record(frozen=True, slots=True, order=True)
        class Fresh:
            a: int
            b: int = 2

        together = Barrier(2)

        def first(made: Any = Fresh, together: Barrier = together) -> object:
            together.wait()
            return made(1)

        with ThreadPoolExecutor(2) as threads:
            one, other = [job.result() for job in [threads.submit(first), threads.submit(first)]]
        assert one == other == Fresh(1)


def test_a_record_has_the_name_and_place_of_its_class() -> None:
    assert (Point.__module__, Point.__qualname__, Point.__doc__) == (__name__, "Point", "A frozen one.")
    if not TYPE_CHECKING:
        assert Mutable.a.__class__.__name__ == "member_descriptor"
