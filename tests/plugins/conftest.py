"""What the tests of services share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from astrollava.hooks.fetching._limits import courtesy


@pytest.fixture(autouse=True)
def no_courtesy() -> Iterator[None]:
    """The host asked here is this machine: it needs no pause between two requests."""
    with courtesy(1000.0):
        yield
