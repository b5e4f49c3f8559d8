"""For the tests of the runtime."""

from __future__ import annotations

import pytest

from rapid.runtime import resolver

from .names import Names


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What members resolve names with."""
    names = Names()
    monkeypatch.setattr(resolver, "getaddrinfo", names.getaddrinfo)
    return names
