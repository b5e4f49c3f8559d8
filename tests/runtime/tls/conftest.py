"""Two authorities."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    """Another authority."""
    return Authority(tmp_path / "theirs", "another ca")
