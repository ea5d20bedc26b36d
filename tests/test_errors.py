"""Errors: the tree that is drawn is the tree there is, and an error survives a process pool."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava import errors
from astrollava.errors import AstrollavaError

CLASSES = [getattr(errors, name) for name in errors.__all__]

_LINE = re.compile(r"^    (?P<branch>[│ ]*[├└]── |)(?P<name>\w+)(?: \((?P<also>\w+)\))?")


def _drawn() -> dict[str, tuple[str | None, str | None]]:
    """Name -> (parent, builtin in brackets), read from the module's docstring."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _LINE.match(line)
        if match is None or not match["name"][0].isupper():
            continue
        depth = len(match["branch"]) // 4
        above[depth:] = [match["name"]]
        tree[match["name"]] = (above[depth - 1] if depth else None, match["also"])
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    real: dict[str, tuple[str | None, str | None]] = {}
    for kind in CLASSES:
        ours = [base.__name__ for base in kind.__bases__ if issubclass(base, AstrollavaError)]
        theirs = [b.__name__ for b in kind.__bases__ if not issubclass(b, AstrollavaError)]
        parent = ours[0] if ours else None
        also = theirs[0] if theirs and kind is not AstrollavaError else None
        real[kind.__name__] = (parent, also)
    assert _drawn() == real


def test_every_class_is_exported_and_described() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)
    assert [kind for kind in CLASSES if not (kind.__doc__ or "").strip().endswith(".")] == []


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_keeps_all_it_says_between_processes(kind: type[AstrollavaError]) -> None:
    # The FileNotFoundError and OSError families rebuild themselves from args in their own way.
    error = kind("x has shape (0, 5)", expected="at least one pixel", hint="Check the cutout")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert (
        str(copy)
        == str(error)
        == ("x has shape (0, 5). Expected at least one pixel. Check the cutout.")
    )
    assert (copy.problem, copy.expected, copy.hint) == (error.problem, error.expected, error.hint)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_one_except_clause_catches_all(kind: type[AstrollavaError]) -> None:
    with pytest.raises(AstrollavaError, match=r"^given\.$"):
        raise kind("given")


@given(st.text(), st.text(), st.text())
def test_a_message_names_all_its_parts(problem: str, expected: str, hint: str) -> None:
    said = str(AstrollavaError(problem, expected=expected, hint=hint))
    for part in (problem, expected, hint):
        assert part.rstrip(".") in said
