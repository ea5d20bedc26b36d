"""Two reports, paired: a difference is seen where there is one, and not where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate import Plan, evaluate, open_data
from astrollava_training.evaluate.compare import compare, mcnemar
from telling import Teller

PLAN = Plan(paper=False, questions=False, resamples=50)


@pytest.fixture(scope="module")
def votes(shared_data: Path) -> Path:
    return shared_data / "galaxies" / "votes.csv"


@pytest.fixture(scope="module")
def reports(votes: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    models: dict[str, dict[str, Any]] = {
        "right": {}, "worse": {"wrong": 0.2}, "unsure": {"sure": 0.4}
    }  # fmt: skip
    for name, how in models.items():
        found[name] = tmp_path_factory.mktemp(name)
        evaluate(Teller(votes, **how), open_data(votes), PLAN).write(found[name])
    return found


def test_a_worse_model_is_seen(reports: dict[str, Path]) -> None:
    found = compare(reports["right"], reports["worse"], resamples=300)
    row = found.rows["accuracy"]
    assert row["difference"].high < 0
    assert row["difference"].value == pytest.approx(row["second"].value - row["first"].value)
    assert found.mcnemar["only_second"] == 0
    assert found.mcnemar["p"] < 1e-6
    assert found.same_label == pytest.approx(1 - 0.2, abs=0.05)
    assert found.same_text == 1.0
    assert found.rows["statements f1"]["difference"].value == 0.0
    assert row["needed"] < found.about["pictures"]


def test_the_same_model_is_no_better_than_itself(reports: dict[str, Path]) -> None:
    found = compare(reports["right"], reports["right"])
    assert all(row["difference"].value == 0.0 for row in found.rows.values())
    assert all(row["needed"] is None for row in found.rows.values())
    # None of so many differ: that is little of few, not certainty.
    same = found.rows["accuracy"]["difference"]
    assert same.low == pytest.approx(-same.high)
    assert 0.0 < same.high < 0.05
    assert found.mcnemar == {"only_first": 0, "only_second": 0, "p": 1.0}


def test_confidence_differs_where_labels_do_not(reports: dict[str, Path]) -> None:
    found = compare(reports["right"], reports["unsure"])
    assert found.rows["accuracy"]["difference"].value == 0.0
    assert found.rows["ece"]["difference"].low > 0


def test_one_model_by_two_rules_is_told_apart(reports: dict[str, Path], tmp_path: Path) -> None:
    """The title set a model against itself, and nothing said what was compared."""
    plain = json.loads((reports["right"] / "report.json").read_text("utf-8"))
    plain["about"]["rule"] = "word"
    (tmp_path / "report.json").write_text(json.dumps(plain), "utf-8")
    (tmp_path / "pictures.jsonl").write_bytes((reports["right"] / "pictures.jsonl").read_bytes())
    title = compare(reports["right"], tmp_path, resamples=10).markdown().splitlines()[0]
    assert " by the rule word against " in title
    same = compare(reports["right"], reports["right"], resamples=10).markdown()
    assert "by the rule" not in same
    assert "| ECE |" in same


def test_pictures_in_only_one_report_are_left_out_and_told(
    reports: dict[str, Path], tmp_path: Path
) -> None:
    lines = (reports["worse"] / "pictures.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "pictures.jsonl").write_text("".join(reversed(lines[5:])), "utf-8")
    (tmp_path / "report.json").write_bytes((reports["worse"] / "report.json").read_bytes())
    found = compare(reports["right"], tmp_path)
    assert (found.about["pictures"], found.about["apart"]) == (len(lines) - 5, 5)
    assert "5 in only one" in found.markdown()
    # Matched by name, not by place.
    assert found.rows["accuracy"]["first"].value == 1.0


def test_reports_on_other_data_are_refused(
    reports: dict[str, Path], tiny_votes: Path, tmp_path: Path
) -> None:
    evaluate(Teller(tiny_votes), open_data(tiny_votes), PLAN).write(tmp_path)
    with pytest.raises(InvalidRequest, match="other hashes"):
        compare(reports["right"], tmp_path)
    with pytest.raises(InvalidRequest, match="holds no report"):
        compare(reports["right"], tmp_path / "none")


def test_a_comparison_is_written(reports: dict[str, Path], tmp_path: Path) -> None:
    compare(reports["right"], reports["worse"], resamples=20).write(tmp_path / "new")
    plain = json.loads((tmp_path / "new" / "compare.json").read_text("utf-8"))
    assert plain["rows"]["accuracy"]["difference"]["error"] > 0
    assert "exact McNemar test p < 0.001." in (tmp_path / "new" / "compare.md").read_text("utf-8")
    assert "| accuracy |" in (tmp_path / "new" / "compare.md").read_text("utf-8")


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 5), (10, 10), (3, 40), (900, 1100)])
def test_the_exact_test_is_that_of_scipy(first: int, second: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar(first, second) == pytest.approx(wanted, rel=1e-9)


def test_a_difference_that_is_none_is_seldom_seen(reports: dict[str, Path]) -> None:
    """Of a hundred pairs of equally good models, about five may look different at 5 %."""
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(200):
        right = rng.random((2, 100)) < 0.7
        only = (right[0] & ~right[1]).sum(), (right[1] & ~right[0]).sum()
        seen += mcnemar(int(only[0]), int(only[1])) < 0.05
    assert seen <= 16
