"""What all tests share: where real data lie, and how hypothesis behaves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
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

# A shell starts what runs in its background deaf to Ctrl-C, and nohup to a hang-up; so would be the
# commands tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the tests' own: they must neither use nor fill the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASTROLLAVA_CACHE", str(folder))
        yield folder


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


@pytest.fixture(scope="session")
def fixed_runtime(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables under which llama.cpp puts the class token first, as upstream will."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler and a system with LD_PRELOAD")
    library = tmp_path_factory.mktemp("fixed") / "fixed_runtime.so"
    source = ROOT / "tests" / "support" / "fixed_runtime.c"
    command = [compiler, "-shared", "-fPIC", "-O1", str(source), "-o", str(library), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return {"LD_PRELOAD": str(library)}
