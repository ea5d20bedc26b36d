"""Plugins written by a test, loaded as installed ones are."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin_files import Shelf


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A folder of the path, for plugins."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return Shelf(folder)
