"""The drawings of the pages are what the library gives now."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from xml.etree import ElementTree

import pytest

from .blocks import ROOT

FIGURES = ROOT / "docs" / "figures"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("concepts_figures", FIGURES / "concepts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


@pytest.mark.parametrize("name", SCRIPT.FIGURES)
def test_it_is_as_committed(name: str) -> None:
    made = SCRIPT.FIGURES[name]()
    ElementTree.fromstring(made)
    committed = (FIGURES / name).read_text(encoding="utf-8")
    assert made == committed, "python docs/figures/concepts.py makes it anew"
    assert f"figures/{name}" in (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
