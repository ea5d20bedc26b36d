"""Versions: Python, the packages astrollava needs and those it can use."""

from __future__ import annotations

import operator
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from itertools import zip_longest

from astrollava.doctor.check import Check

__all__ = ["check_extras", "check_packages", "check_python", "satisfies"]

_OLDEST_PYTHON = (3, 11)
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;\s*(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*([0-9.]+)")
_COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
# These make astrollava rather than serve who uses it.
_FOR_DEVELOPERS = {"dev", "docs", "test"}


def check_python() -> Check:
    """Check the version of Python."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if sys.version_info >= _OLDEST_PYTHON:
        return Check("python", "ok", found)
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    return Check("python", "problem", found, f"Install Python {oldest} or newer")


def check_packages() -> Check:
    """Check that each package astrollava depends on is there, in the range it asks for."""
    try:
        requirements = _requirements()
    except metadata.PackageNotFoundError:
        return Check(
            "packages",
            "warning",
            "astrollava runs from source, so its requirements are not known",
            "pip install --editable . in its folder",
        )
    present, wrong = [], []
    for name, ranges, extra in requirements:
        if extra is not None:
            continue
        version = _version(name)
        if version is None:
            wrong.append(f"{name} is missing")
        elif satisfies(version, ranges):
            present.append(f"{name} {version}")
        else:
            wrong.append(f"{name} is {version}, needed {ranges.strip()}")
    if wrong:
        return Check(
            "packages", "problem", ", ".join(wrong), "pip install --upgrade --force astrollava"
        )
    return Check("packages", "ok", ", ".join(present))


def check_extras() -> Iterator[Check]:
    """Tell which optional parts are installed; it is fine not to have them."""
    try:
        requirements = _requirements()
    except metadata.PackageNotFoundError:
        return
    extras: dict[str, bool] = {}
    for name, ranges, extra in requirements:
        if extra is None or extra in _FOR_DEVELOPERS:
            continue
        version = _version(name)
        present = version is not None and satisfies(version, ranges)
        extras[extra] = extras.get(extra, True) and present
    for extra, present in sorted(extras.items()):
        # Most users need none of them: not worth a list and a command for each.
        said = "is installed" if present else "is not installed (optional)"
        yield Check("extras", "ok", f"{extra} {said}")


def satisfies(version: str, ranges: str) -> bool:
    """Tell whether a version lies in the ranges of a requirement.

    Only the numbers of a release are compared, which is what our own requirements use.

    Examples
    --------
    >>> satisfies("0.3.36", ">=0.3.36,<0.3.37"), satisfies("0.4", ">=0.3.36,<0.3.37")
    (True, False)
    """
    found = _release(version)
    return all(
        _COMPARE[sign](*_padded(found, _release(bound))) for sign, bound in _CLAUSE.findall(ranges)
    )


def _release(version: str) -> tuple[int, ...]:
    matched = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, matched[0].split("."))) if matched else ()


def _padded(*versions: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Give two releases the same length: 2.0 and 2.0.0 are one."""
    return zip(*zip_longest(*versions, fillvalue=0), strict=True)


def _requirements() -> list[tuple[str, str, str | None]]:
    """Return ``(package, version ranges, extra)`` of each requirement of astrollava."""
    found = []
    for line in metadata.requires("astrollava") or ():
        matched = _REQUIREMENT.match(line)
        if matched:
            extra = _EXTRA.search(matched[3] or "")
            found.append((matched[1], matched[2], extra[1] if extra else None))
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
