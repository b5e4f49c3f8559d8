"""The guide tells of everything that there is, and its file is a good one."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path

import pytest

from rapid import Endpoint, Settings
from rapid.agent.admin import Admin
from rapid.agent.configuration import Configuration
from rapid.agent.guard import Guard
from rapid.agent.sources import configured

from .stub import Stub

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "agent.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Configuration)])
def test_every_field_is_explained(field: str) -> None:
    assert re.search(rf"^\|[^|]*`{field}`", GUIDE, re.MULTILINE)


def test_every_path_is_explained() -> None:
    stub = Stub()
    routes = Admin(stub, stub.record, stub.events, Guard(loopback=True)).application().routes
    paths = Counter(getattr(route, "path", "") for route in routes)
    assert paths.pop("/") == 1
    told = re.findall(r"^\| `(?:GET|POST) (/[^?`]*)", GUIDE, re.MULTILINE)
    assert Counter(told) == paths


def test_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAPID_ADMIN", raising=False)
    [text] = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    file = tmp_path / "agent.toml"
    file.write_text(text, encoding="utf-8")
    made = configured({}, str(file))
    assert made.as_settings() == Settings.wan(failures=5)
    assert made.admin_at() == Endpoint("127.0.0.1", 7480)
    made.cluster()
