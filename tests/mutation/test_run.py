"""What `make mutants` makes of what mutmut found."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest

from .run import (
    HERE,
    ROOT,
    Known,
    Mutant,
    Result,
    Scope,
    changed_lines,
    function_of,
    problems,
    read_known,
    score,
)

MODULE = "rapid/overlay/some.py"
ONE, TWO = (Mutant(MODULE, "Class.method", f"a < {number}", f"a <= {number}") for number in (1, 2))
LEAST = {"rapid/overlay": 90}


def result(killed: int, *survivors: Mutant, module: str = MODULE) -> Result:
    outcomes = Counter(killed=killed - 1, timeout=1, survived=len(survivors))
    return Result(Scope(module, ()), outcomes, list(survivors))


def known(equivalent: tuple[Mutant, ...] = (), left_open: tuple[Mutant, ...] = ()) -> Known:
    return Known(frozenset(equivalent), frozenset(left_open))


def test_a_survivor_that_is_not_listed_is_a_problem() -> None:
    [problem] = problems([result(99, ONE)], known(), LEAST)
    assert problem.startswith("survives and is not listed")
    assert problems([result(99, ONE)], known(equivalent=(ONE,)), LEAST) == []
    assert problems([result(99, ONE)], known(left_open=(ONE,)), LEAST) == []


def test_a_listed_mutant_that_does_not_survive_is_a_problem_where_its_module_was_tried() -> None:
    [problem] = problems([result(99)], known(equivalent=(ONE,)), LEAST)
    assert problem.startswith("is listed and does not survive")
    assert problems([result(99, module="rapid/overlay/other.py")], known(equivalent=(ONE,)), LEAST) == []


def test_equivalent_mutants_do_not_count_and_open_ones_do() -> None:
    results = [result(9, ONE, TWO)]
    assert score(results, known(equivalent=(ONE,), left_open=(TWO,)), MODULE) == (9, 10)
    assert score(results, known(left_open=(ONE, TWO)), MODULE) == (9, 11)
    [problem] = problems(results, known(left_open=(ONE, TWO)), LEAST)
    assert problem == "score too low: rapid/overlay has 9 of 11; 90 % are asked for"
    assert problems(results, known(equivalent=(ONE,), left_open=(TWO,)), LEAST) == []


def test_an_entry_names_a_mutant_once_and_says_why() -> None:
    entry = f'[[{{kind}}]]\nmodule = "{MODULE}"\nfunction = "Class.method"\nwas = "a < 1"\nnow = "a <= 1"\n'
    why = 'why = "a is never 1"\n'
    assert read_known(entry.format(kind="open") + why) == known(left_open=(ONE,))
    with pytest.raises(ValueError, match="no reason for a survivor"):
        read_known(entry.format(kind="equivalent"))
    with pytest.raises(ValueError, match="listed twice"):
        read_known(entry.format(kind="open") + why + entry.format(kind="equivalent") + why)


def test_a_mutant_is_named_by_its_function_and_the_lines_that_it_changes() -> None:
    diff = "--- a.py\n+++ a.py\n@@ -1,3 +1,3 @@\n def f(self):\n-    return a < 1\n+    return a <= 1\n"
    assert changed_lines(diff) == ("return a < 1", "return a <= 1")
    assert function_of("rapid.a.xǁClassǁmethod__mutmut_12") == "Class.method"
    assert function_of("rapid.a.x_function__mutmut_1") == "function"


def test_what_is_listed_is_of_modules_that_are_tried_by_tests_that_exist() -> None:
    table = tomllib.loads((HERE / "scopes.toml").read_text())
    listed = read_known((HERE / "known.toml").read_text())
    assert {mutant.module for mutant in listed.equivalent | listed.open} <= set(table["modules"])
    for module, entry in table["modules"].items():
        assert Scope(module, ()).folder in table["scores"]
        for path in (module, *entry["tests"]):
            assert (ROOT / path).is_file(), path
