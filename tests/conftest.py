"""What all tests share: where real data lie, and how hypothesis behaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Timings vary on shared machines: a slow example is no failure. CI must fail the same way twice.
settings.register_profile(
    "astrollava",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("astrollava")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real FITS files and galaxy pictures, which are not part of the repository."""
    path = Path(os.environ.get("ASTROLLAVA_SHARED", ROOT.parent / "shared" / "data"))
    if not (path / "fits").is_dir():
        pytest.skip(f"no real data at {path}; set ASTROLLAVA_SHARED to the folder that holds them")
    return path
