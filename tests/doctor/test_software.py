"""Versions are compared as numbers, and against what the package itself asks for."""

from __future__ import annotations

import pytest

from astrollava.doctor.software import check_extras, check_packages, check_python, satisfies


@pytest.mark.parametrize(
    ("version", "ranges", "expected"),
    [
        ("0.3.36", "<0.3.37,>=0.3.36", True),
        ("0.3.37", "<0.3.37,>=0.3.36", False),
        ("0.3.9", ">=0.3.36", False),  # as text, 9 comes after 3
        ("2.10.1", ">=2.9", True),
        ("2.0.0", "==2.0", True),  # as tuples, the longer one is the larger
        ("2.0", ">=2.0.0", True),
        ("1.5rc1", ">=1.4", True),
        ("1.5", "!=1.5", False),
        ("1.5", "", True),
    ],
)
def test_a_version_is_in_its_range_or_not(version: str, ranges: str, expected: bool) -> None:
    assert satisfies(version, ranges) is expected


def test_this_environment_is_fine() -> None:
    """The tests run in an environment the doctor would call healthy."""
    assert check_python().status == "ok"
    assert check_packages().status == "ok"
    assert all(check.status == "ok" for check in check_extras())


def test_a_missing_extra_is_one_short_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of packages and a command would read as a fault to mend."""
    from importlib import metadata

    real = metadata.version

    def without_torch(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", without_torch)
    (training,) = [check for check in check_extras() if check.detail.startswith("training")]
    assert training.status == "ok"
    assert training.detail == "training is not installed (optional)"
    assert training.advice == ""


def test_an_unsupported_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """The binding drifts between patch releases: the doctor must see the wrong one."""
    from importlib import metadata

    real = metadata.version

    def older(name: str) -> str:
        return "0.3.2" if name == "llama-cpp-python" else real(name)

    monkeypatch.setattr(metadata, "version", older)
    check = check_packages()
    assert check.status == "problem"
    assert "llama-cpp-python is 0.3.2" in check.detail
    assert "pip install" in check.advice


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    real = metadata.version

    def without_pillow(name: str) -> str:
        if name == "pillow":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", without_pillow)
    check = check_packages()
    assert check.status == "problem"
    assert check.detail == "pillow is missing"
