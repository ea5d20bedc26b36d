"""The page of a report: complete without a network, and safe whatever a model says."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from astrollava_training.evaluate import Plan, evaluate, open_data
from astrollava_training.evaluate.page import page
from telling import Teller

ATTACK = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def report(shared_data: Path) -> Any:
    votes = shared_data / "galaxies" / "votes.csv"
    plan = Plan(paper=False, resamples=30, limit=80)
    return evaluate(Teller(votes, wrong=0.3), open_data(votes), plan)


def dom(document: Path, profile: Path) -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for name in names if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on the PATH")
    flags = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom"),
    ]
    done = subprocess.run(
        [browser, *flags, document.as_uri()], capture_output=True, check=True, timeout=120
    )
    return done.stdout.decode("utf-8")


def test_it_has_its_plots_tables_and_pictures_in_itself(report: Any) -> None:
    html = page(report)
    for part in ("Confusion matrix", "Reliability", "Recall of each class", "Risk over coverage"):
        assert f'aria-label="{part}"' in html, part
    assert html.count('src="data:image/jpeg;base64,') == len(report.worst) + len(report.samples)
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    # The letters of a picture may be any: other pictures than before had these three.
    assert "NaN" not in re.sub(r'"data:image/jpeg;base64,[^"]*"', "", html)
    assert "nan" not in re.findall(r">([^<]*)<", html)


def test_no_score_lies_beyond_the_window(report: Any) -> None:
    """AURC stood behind three columns of the one row that has them."""
    html = page(report)
    heads = [re.findall(r"<th>([^<]*)</th>", head) for head in html.split("<thead>")[1:]]
    scores = ["", "accuracy", "balanced accuracy", "macro-F1", "top-2"]
    assert scores in heads
    assert ["", "ECE", "Brier", "NLL", "AURC"] in heads
    assert not any({"over", "detectable"} & set(head) for head in heads)
    assert f"The best blind row is {report.labels['margin']['over']}." in html


def test_curves_that_are_one_to_the_eye_are_drawn_once(report: Any) -> None:
    """A temperature hardly changes who is surer: two lines, one under the other, said nothing."""
    html = page(report)
    risk = html.split('aria-label="Risk over coverage"')[1].split("</svg>")[0]
    assert risk.count("<polyline") == 2, "the model's, and what full knowledge would give"
    for told in ("model", "no ranking", "perfect ranking"):
        assert told in risk
    curve, rows = report.calibration["risk"]["before"], report.calibration["rows"]
    flat = [{**point, "risk": curve[-1]["risk"]} for point in curve]
    other = {**rows["before"], "aurc": dataclasses.replace(rows["before"]["aurc"], value=0.9)}
    calibration = {
        **report.calibration,
        "rows": {"before": rows["before"], "fitted": other},
        "risk": {"before": curve, "fitted": flat},
        "reliability": dict.fromkeys(
            ("before", "fitted"), report.calibration["reliability"]["before"]
        ),
    }
    both = page(dataclasses.replace(report, calibration=calibration))
    risk = both.split('aria-label="Risk over coverage"')[1].split("</svg>")[0]
    assert risk.count("<polyline") == 3


def test_the_verdict_says_on_how_many(report: Any) -> None:
    told = f"n = {report.about['labelled']}"
    assert told in page(report).split('class="verdict')[1].split("</p>")[0]
    assert f"Beats every blind answer in accuracy: yes ({told}; " in report.markdown()


def test_the_verdict_tells_the_test_it_goes_by(report: Any) -> None:
    """A lead with an interval above zero stood beside "not shown to be better", and no reason."""
    margin = {**report.labels["margin"], "p": 0.125}
    unsure = dataclasses.replace(report, labels={**report.labels, "margin": margin})
    verdict = page(unsure).split('class="verdict')[1].split("</p>")[0]
    assert "Not shown to be better" in verdict
    assert "exact McNemar test p = 0.125" in verdict
    assert "in accuracy: no" in unsure.markdown()
    assert "exact McNemar test p = 0.125)." in unsure.markdown()


def test_no_chance_is_told_as_none_and_no_number_to_the_last_digit(report: Any) -> None:
    """A p of 0.0002 read 0.000, and "needed" had eight digits where nothing differed."""
    margin = {**report.labels["margin"], "p": 0.0002, "needed": 13488981}
    told = dataclasses.replace(report, labels={**report.labels, "margin": margin})
    assert re.search(r"\| margin \|.* > 1,000,000 \|.* < 0\.001 \|", told.markdown())
    assert "takes &gt; 1,000,000 pictures" in page(told)
    assert "McNemar test: p &lt; 0.001." in page(told)
    assert told.to_dict()["labels"]["margin"]["needed"] == 13488981


def test_classes_of_few_pictures_are_told(report: Any) -> None:
    """The interval of one in two looks like a result."""
    few = [f"{name} ({row['n']})" for name, row in report.per_class.items() if row["n"] < 10]
    assert few
    assert f"say little about a class: {', '.join(few)}." in report.markdown()
    assert f"say little about a class: {', '.join(few)}." in page(report)


def test_the_verdict_follows_the_interval(report: Any) -> None:
    assert "Beats every blind answer" in page(report)
    labels = {**report.labels, "margin": dict(report.labels["margin"])}
    lead = dataclasses.replace(labels["margin"]["accuracy"], low=-0.01)
    labels["margin"]["accuracy"] = lead
    blind = dataclasses.replace(report, labels=labels)
    assert "Not shown to be better" in page(blind)
    assert not blind.beats_blind


@pytest.mark.browser
def test_a_browser_shows_all_and_runs_nothing(report: Any, tmp_path: Path) -> None:
    """Model output is untrusted: names and texts reach the page as words only."""
    pictures = tuple({**p, "texts": {**p["texts"], "describe": ATTACK}} for p in report.pictures)
    about = {**report.about, "model": ATTACK}
    path = tmp_path / "report.html"
    path.write_text(page(dataclasses.replace(report, pictures=pictures, about=about)), "utf-8")
    found = dom(path, tmp_path / "profile")
    assert "<title>owned" not in found
    assert "onerror=alert(1)&gt;" in found
    assert '<img src="x"' not in found
    assert found.count("<svg") == 5
    assert found.count("<article") == len(report.worst) + len(report.samples)
