"""Files that appear when they are whole, under their own name."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["put_aside", "whole"]


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """Give another name in the same folder, and let that file be the target if all goes well.

    The name ends as the target's does: many choose a format by it. A device or a pipe is given as
    it is, and what a link leads to is replaced, not the link.
    """
    if _is_no_file(target):
        yield target
        return
    place, aside = _places(target)
    try:
        yield aside
        _take_mode(aside, place)
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def put_aside(target: Path) -> Iterator[Path]:
    """Give the target itself, and put back what was there if anything goes wrong.

    For who must know the name while the file is written. A process that is killed leaves what was
    there under another name.
    """
    if _is_no_file(target):
        yield target
        return
    place, aside = _places(target)
    there = place.is_file()
    if there:
        place.replace(aside)
    try:
        yield target
    except BaseException:
        if there:
            aside.replace(place)
        else:
            place.unlink(missing_ok=True)
        raise
    if there:
        _take_mode(place, aside)
        aside.unlink(missing_ok=True)


def _is_no_file(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _places(target: Path) -> tuple[Path, Path]:
    place = target.resolve()
    return place, place.with_name(f".{secrets.token_hex(4)}-{place.name}")


def _take_mode(new: Path, old: Path) -> None:
    """Let a file be readable to whom the one before it is."""
    with suppress(OSError):
        new.chmod(stat.S_IMODE(old.stat().st_mode))
