"""The user's cache folder: whether it can be written, and what it costs where not."""

from __future__ import annotations

import contextlib
import secrets
import shutil

from astrollava._cache import VARIABLE, cache_folder, whole_file
from astrollava.doctor.check import Check
from astrollava.errors import ModelError

__all__ = ["check_cache"]


def check_cache() -> Check:
    """Check that the cache folder can be written, by writing a byte."""
    folder = cache_folder()
    trial = folder / f"doctor-{secrets.token_hex(4)}"
    try:
        with whole_file(trial) as file:
            file.write(b"\n")
        free = shutil.disk_usage(folder).free
    except ModelError as error:
        return Check(
            "cache folder",
            "warning",
            f"{error.problem}. It costs time at each start: large files are hashed, a LLaVA-1.5"
            " projector repaired and llama.cpp measured anew, images kept for other processes are"
            " not; and bundles need -o DIR",
            f"Set {VARIABLE} to a folder that can be written",
        )
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()
    return Check("cache folder", "ok", f"{folder} can be written, {free / 1e9:.1f} GB free")
