"""What the tests of services share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host asked here is this machine: it needs no pause between two requests, or two tries.

    How long the core waits, and that it does, is tried beside the core.
    """
    monkeypatch.setattr("astrollava.hooks.fetching._limits.take_turn", lambda host: None)
    monkeypatch.setattr("astrollava.hooks.fetching.trying._PAUSE", 0.005)
