"""Prompts: what a record names must be what the model was asked."""

from __future__ import annotations

import dataclasses
import doctest
import hashlib
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava import prompts
from astrollava.errors import InvalidRequest

# Published texts: a changed text under an old version would make records lie.
PUBLISHED = {
    ("describe", "1"): "Describe this image.",
    ("describe-galaxy10", "1"): (
        "Describe the following galaxy image in detail. "
        "What type of galaxy is it and what are its key features?"
    ),
    ("classify", "1"): "What type of galaxy is this?",
}


def test_a_text_never_changes_under_its_version() -> None:
    assert {(p.id, p.version): p.text for p in prompts.PROMPTS} == PUBLISHED


def test_every_prompt_is_found_by_its_id_and_ids_are_unique() -> None:
    assert len({p.id for p in prompts.PROMPTS}) == len(prompts.PROMPTS)
    for prompt in prompts.PROMPTS:
        assert prompts.get(prompt.id) is prompt
        assert str(prompt) == prompt.text


def test_an_unknown_id_is_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidRequest, match=r"'descrbe'.*Did you mean 'describe'.*custom\(text\)"):
        prompts.get("descrbe")


@pytest.mark.parametrize("wrong", ["", "Describe", "xyzzy", None, 3, ["describe"]])
def test_no_wrong_id_is_taken_for_a_prompt(wrong: object) -> None:
    with pytest.raises(InvalidRequest, match="Expected one of describe, "):
        prompts.get(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["", " \n\t", None, b"Describe", 1])
def test_a_blank_or_foreign_text_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidRequest, match="prompt"):
        prompts.custom(wrong)  # type: ignore[arg-type]


@given(st.text(st.characters()).filter(str.strip))
def test_custom_keeps_the_text_and_derives_the_version_from_it(text: str) -> None:
    prompt = prompts.custom(text)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert prompt == prompts.Prompt("custom", f"sha256-{digest[:12]}", text)
    assert prompts.custom(text + "?").version != prompt.version


def test_a_lone_surrogate_does_not_break_the_version() -> None:
    assert prompts.custom("\ud800").version.startswith("sha256-")


def test_prompts_are_frozen_and_travel_between_processes() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompts.DESCRIBE.text = "other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(prompts.DESCRIBE)) == prompts.DESCRIBE


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(prompts).failed == 0
