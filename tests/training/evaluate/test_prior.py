"""The row ``prior``: of other pictures than those scored, or of none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from astrollava_training.evaluate import Plan, evaluate, open_data
from astrollava_training.evaluate.sets.galaxy10 import SDSS
from galaxy10_files import png, write_h5
from telling import Teller

PUBLISHED = 2645 / 17736  # of the commonest class of Galaxy10 DECaLS


def folders(root: Path, counts: dict[str, int]) -> Path:
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            rgb = rng.integers(0, 255, (16, 16, 3)).astype(np.uint8)
            (root / name / f"{i}.png").write_bytes(png(rgb))
    return root


def test_it_has_not_seen_what_it_is_scored_on(tmp_path: Path) -> None:
    """Class shares of a hash-made 'train' were those of the very pictures scored."""
    data = open_data(folders(tmp_path / "set", {"merging": 30, "barred_spiral": 5}))
    assert data.usual_split("test") == "all"
    assert data.prior_source("all") == "the published counts of galaxy10"
    assert data.prior("all").max() == pytest.approx(PUBLISHED, abs=1e-3)
    assert data.prior("all").argmax() == 2
    assert (data.prior("train") == data.prior("all")).all()
    # Those of a hash-made 'test' are others than those of 'train'.
    assert data.prior_source("test") == "the training split"
    assert data.prior("test").argmax() == 1


def test_statements_of_the_prior_are_of_classes_where_pictures_are_scored(tmp_path: Path) -> None:
    """They were the commonest values of the pictures scored, which is the best blind guess."""
    data = open_data(folders(tmp_path / "set", {"merging": 30, "barred_spiral": 5}))
    told = data.prior_truths("all")
    assert len(told) == 17736
    assert Counter(truth.get("merging") for truth in told)["yes"] == 1853
    assert {truth["merging"] for truth in data.prior_truths("test")} == {"yes", "no"}
    own = open_data(folders(tmp_path / "own", {"cats": 3, "dogs": 4}))
    assert own.prior_source("all") == "equal shares of all classes, the first of them"
    assert own.prior("all").tolist() == [0.5, 0.5]
    assert not any(own.prior_truths("all"))


def test_the_sdss_file_has_no_published_counts(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    write_h5(tmp_path / "Galaxy10.h5", 20, side=69, decals=False)
    data = open_data(tmp_path / "Galaxy10.h5")
    assert data.vocabulary is SDSS
    assert data.prior("all").tolist() == pytest.approx([0.1] * 10)
    assert [truth.get("winding") for truth in data.prior_truths("all")][-3:] == [
        "tight", "medium", "loose"
    ]  # fmt: skip


def test_the_report_says_what_it_is_of(tiny_votes: Path) -> None:
    plan = Plan(split="all", paper=False, resamples=10)
    report = evaluate(Teller(tiny_votes), open_data(tiny_votes), plan)
    assert "`prior` the commonest by the published counts of galaxy10;" in report.markdown()
    rows = report.labels["prior"]
    assert rows["top_2"].value >= rows["accuracy"].value
    other = evaluate(Teller(tiny_votes), open_data(tiny_votes), Plan(paper=False, resamples=10))
    assert "`prior` the commonest by the training split;" in other.markdown()


def test_a_report_has_the_table_of_all_rules(tiny_votes: Path) -> None:
    """The documents said that a table tells all three; only the page had it."""
    plan = Plan(split="all", paper=False, resamples=10)
    told = evaluate(Teller(tiny_votes), open_data(tiny_votes), plan).markdown()
    table = told.partition("### The same scores by other rules")[2].partition("## ")[0]
    for name in ("| sum |", "| word |", "| corrected |", "goes by `sum`"):
        assert name in table
