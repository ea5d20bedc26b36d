"""Changes that change what they say they do, and agreement that no blind model earns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from astrollava_training.evaluate.features import FEATURES
from astrollava_training.evaluate.items import Item
from astrollava_training.evaluate.resampling import Resampling
from astrollava_training.evaluate.robustness import CHANGES, Said, agreement_row, shown, wording


@pytest.fixture(scope="module")
def galaxy(shared_data: Path) -> np.ndarray:
    path = sorted((shared_data / "galaxies" / "images").glob("*.jpg"))[0]
    return shown(path, (224, 224))


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_gives_another_picture_of_the_same_galaxy(
    name: str, galaxy: np.ndarray
) -> None:
    before = galaxy.copy()
    changed = CHANGES[name](galaxy)
    assert changed.shape == galaxy.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(galaxy, before), "the picture itself was changed"
    assert not np.array_equal(changed, galaxy)
    assert np.array_equal(changed, CHANGES[name](galaxy)), "not the same in every run"
    # Still about as bright: nothing was cut out or painted over.
    assert abs(float(changed.mean()) - float(galaxy.mean())) < 30


def test_turns_and_mirrors_are_exact(galaxy: np.ndarray) -> None:
    turned = galaxy
    for _ in range(4):
        turned = CHANGES["turned 90°"](turned)
    assert np.array_equal(turned, galaxy)
    twice = CHANGES["turned 90°"](CHANGES["turned 90°"](galaxy))
    assert np.array_equal(twice, CHANGES["turned 180°"](galaxy))
    assert np.array_equal(CHANGES["mirrored"](CHANGES["mirrored"](galaxy)), galaxy)


def test_a_small_turn_brings_no_black_corners_into_view() -> None:
    """They would be a feature of their own, to which a model may answer."""
    sky = np.full((64, 64, 3), 90, np.uint8)
    sky[24:40, 24:40] = 220
    assert CHANGES["turned 30°"](sky).min() >= 60


def test_a_crop_keeps_the_middle() -> None:
    rgb = np.zeros((100, 100, 3), np.uint8)
    rgb[30:70, 30:70] = 200
    assert (CHANGES["cropped to 60 %"](rgb) > 100).mean() == pytest.approx((40 / 60) ** 2, abs=0.02)


def test_strengths_are_in_order(galaxy: np.ndarray) -> None:
    def off(name: str) -> float:
        return float(np.abs(CHANGES[name](galaxy).astype(float) - galaxy).mean())

    assert off("noise of 15") > 2 * off("noise of 5") > 0
    assert off("JPEG quality 25") > off("JPEG quality 75") > 0
    assert CHANGES["stretch, power 0.6"](galaxy).mean() > galaxy.mean()
    assert CHANGES["stretch, power 1.6"](galaxy).mean() < galaxy.mean()


def said(classes: list[int], bar: list[str], text: list[str]) -> Said:
    answers = tuple(tuple(b if f == "bar" else "No." for f in FEATURES) for b in bar)
    return Said(np.eye(3)[classes], answers, tuple(text))


def test_agreement_by_hand() -> None:
    yes, no = "Yes.", "No."
    bar, none = "There is a bar. There is a ring.", "There is no bar."
    one = said([0, 1, 2, 0], [yes, yes, no, no], [bar, none, none, ""])
    other = said([0, 1, 1, 1], [yes, no, no, yes], [bar, bar, none, ""])
    labels = np.array([0, 1, 2, -1])
    row = agreement_row(one, other, labels, Resampling(4, resamples=100), seed=0)
    assert row["labels"].value == 0.5
    assert row["answers"].value == pytest.approx(1 - 2 / (4 * len(FEATURES)))
    assert row["statements"].value == pytest.approx((1 + 0 + 1 + 1) / 4)
    assert row["moved"].value == 0.5
    assert row["accuracy"].value == pytest.approx(2 / 3)
    assert row["accuracy lost"].value == pytest.approx(1 / 3)


def test_agreeing_with_oneself_blindly_earns_no_kappa() -> None:
    """A model that says the same of everything agrees in all of it, whatever is done."""
    blind = said([1] * 10, ["Yes."] * 10, ["A bar."] * 10)
    row = agreement_row(blind, blind, np.zeros(10, int), Resampling(10, resamples=50), seed=0)
    assert row["labels"].value == row["labels by chance"].value == 1.0
    for name in ("labels", "answers", "statements"):
        assert np.isnan(row[f"{name} kappa"].value)
    rng = np.random.default_rng(0)
    seeing = said(list(rng.integers(3, size=90)), ["Yes."] * 90, ["A bar."] * 90)
    row = agreement_row(seeing, seeing, np.zeros(90, int), Resampling(90, resamples=50), seed=0)
    assert row["labels kappa"].value == 1.0
    assert row["labels by chance"].value < 0.5


def test_every_question_has_other_words() -> None:
    assert wording.REWORDED.keys() == FEATURES.keys()
    assert not set(wording.REWORDED.values()) & set(FEATURES.values())
    for texts in (wording.DESCRIPTIONS, wording.LABEL_QUESTIONS):
        assert len(set(texts)) == len(texts)


def test_the_class_as_options_has_one_right_one() -> None:
    items = [Item(str(i), lambda: None, i % 10 if i % 7 else None, "val") for i in range(60)]
    questions = wording.letters(items, seed=3)
    assert len(questions) == sum(item.label is not None for item in items)
    places = [question.answer for question in questions]
    assert set(places) == {0, 1, 2, 3}
    for question in questions:
        assert len(set(question.options)) == 4
    assert questions == wording.letters(items, seed=3)
    assert questions != wording.letters(items, seed=4)
