"""A folder with a report is not written over by another, and a report can be made again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from astrollava.errors import InvalidRequest
from astrollava_training.cli import main
from astrollava_training.evaluate import Plan, evaluate, open_data
from telling import Teller

PLAN = Plan(split="val", paper=False, resamples=10)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"split": "test"}, "split 'val' there, 'test' here"),
        ({"rule": "word"}, "rule 'sum' there, 'word' here"),
        ({"limit": 2}, "limit none there, 2 here"),
        ({"seed": 4, "resamples": 20}, "resamples 10 there, 20 here; seed 0 there, 4 here"),
    ],
)
def test_a_report_made_otherwise_is_left_alone(
    tiny_votes: Path, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    """The report of one split was written over by that of another, without a word."""
    model, data = Teller(tiny_votes), open_data(tiny_votes)
    first = evaluate(model, data, PLAN, out=tmp_path)
    first.write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = dataclasses.replace(PLAN, **changed)
    with pytest.raises(InvalidRequest, match=said) as error:
        evaluate(model, data, other, out=tmp_path)
    assert "-o" in error.value.hint
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    # The same again goes on; and of the same answers another report can be made.
    assert evaluate(model, data, PLAN, out=tmp_path).to_dict() == first.to_dict()
    (tmp_path / "report.json").unlink()
    asked = model.asked
    evaluate(model, data, other, out=tmp_path).write(tmp_path)
    assert model.asked == asked or "split" in changed


def test_another_model_leaves_no_answers_where_it_is_refused(
    tiny_votes: Path, tmp_path: Path
) -> None:
    """A journal of the refused run would keep the first from being made again."""
    model, data = Teller(tiny_votes), open_data(tiny_votes)
    evaluate(model, data, PLAN).write(tmp_path)
    other = Teller(tiny_votes)
    other.name = "other"
    with pytest.raises(InvalidRequest, match="model 'teller' there, 'other' here"):
        evaluate(other, data, PLAN, out=tmp_path)
    assert not (tmp_path / "answers.jsonl").exists()


def test_reports_of_earlier_versions_and_of_others(tiny_votes: Path, tmp_path: Path) -> None:
    model, data, path = Teller(tiny_votes), open_data(tiny_votes), tmp_path / "report.json"
    path.write_text(json.dumps({"about": {"split": "val"}}))
    evaluate(model, data, PLAN, out=tmp_path)
    for strange in ("[1]", "no json", '{"about": 1}', "{}"):
        path.write_text(strange)
        with pytest.raises(InvalidRequest, match="is no report of evaluate"):
            evaluate(model, data, PLAN, out=tmp_path)


def test_the_command_says_it(
    tiny_votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llama_cpp")
    given = ["evaluate", "embedded", "--data", str(tiny_votes), "--no-similarity"]
    given += ["--no-questions", "--resamples", "10", "-o", str(tmp_path)]
    assert main([*given, "--split", "val"]) == 0
    before = (tmp_path / "report.json").read_bytes()
    assert main([*given, "--split", "val"]) == 0
    capsys.readouterr()
    assert main([*given, "--split", "test"]) == 2
    said = capsys.readouterr().err
    assert "made otherwise: split 'val' there, 'test' here" in said
    assert "another folder with -o" in said
    assert (tmp_path / "report.json").read_bytes() == before
