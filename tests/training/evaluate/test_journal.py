"""An evaluation that is killed goes on where it was, and never on other answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import self_killing
from astrollava.errors import InvalidRequest
from astrollava_training.evaluate import Plan, Reply, evaluate, open_data
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.run import JOURNAL
from telling import Teller

HEADER = {"model": "a", "data": {"sha256": "b"}}
REPLIES = {
    ("default", "a"): Reply(("It’s “é”.\n",), ((-1.5, -0.25),)),
    ("default", "b"): Reply(error="broken"),
    ("jpeg", "a"): Reply((), ()),
}


def write(path: Path) -> bytes:
    journal = Journal(path, HEADER)
    for (view, name), reply in REPLIES.items():
        journal.add(view, name, reply)
    journal.close()
    return path.read_bytes()


@given(st.data())
def test_whatever_a_killed_process_left_is_gone_on_from(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A half line read as a whole one, or left before the next, would lose or spoil answers."""
    path = tmp_path_factory.mktemp("journal") / "answers.jsonl"
    whole = write(path)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = whole[:cut].count(b"\n")
    journal = Journal(path, HEADER)
    assert len(journal) == max(kept - 1, 0)
    for (view, name), reply in list(REPLIES.items())[: len(journal)]:
        assert journal.get(view, name) == reply
    for (view, name), reply in list(REPLIES.items())[len(journal) :]:
        assert journal.get(view, name) is None
        journal.add(view, name, reply)
    journal.close()
    assert path.read_bytes() == whole


def test_answers_of_another_evaluation_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl")
    with pytest.raises(InvalidRequest, match=r"another evaluation: other data \(") as error:
        Journal(tmp_path / "a.jsonl", {**HEADER, "data": {"sha256": "c"}})
    # Once, and with what is there and what was asked for.
    said = str(error.value)
    assert said.count("another folder") == said.count("a.jsonl") == 1
    assert "sha256: b there, c here" in said
    assert "no journal" not in said
    (tmp_path / "b.jsonl").write_text("no json\n")
    with pytest.raises(InvalidRequest, match="no journal"):
        Journal(tmp_path / "b.jsonl", HEADER)


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InvalidRequest, match="out cannot be made a folder: File exists"):
        Journal(tmp_path / "out" / "a.jsonl", HEADER)


def test_what_is_another_is_told_in_words(tmp_path: Path) -> None:
    header = {"words": {"describe": "D" * 90, "bar": "Is there a bar?"}, "max_tokens": 200}
    Journal(tmp_path / "a.jsonl", header).close()
    other = {"words": {"describe": "E" * 90}, "max_tokens": 20, "model": {"sha256": "0" * 64}}
    with pytest.raises(InvalidRequest) as error:
        Journal(tmp_path / "a.jsonl", other)
    said = str(error.value)
    for part in (
        "other questions (describe, bar only there)",
        "other length of texts: 200 there, 20 here",
        "other model only here",
    ):
        assert part in said, part


def test_nothing_is_asked_twice(tiny_votes: Path, tmp_path: Path) -> None:
    model, plan = Teller(tiny_votes), Plan(paper=False, resamples=10)
    first = evaluate(model, open_data(tiny_votes), plan, out=tmp_path)
    asked = model.asked
    again = evaluate(model, open_data(tiny_votes), plan, out=tmp_path)
    assert model.asked == asked > 0
    assert again.to_dict() == first.to_dict()
    # Other scores of the same answers need no new ones; another model does.
    evaluate(model, open_data(tiny_votes), Plan(paper=False, resamples=10, seed=4), out=tmp_path)
    assert model.asked == asked
    with pytest.raises(InvalidRequest, match="another folder"):
        evaluate(Teller(tiny_votes, sure=0.5), open_data(tiny_votes), plan, out=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_an_evaluation_killed_again_and_again_ends_with_the_same_report(
    tiny_votes: Path, tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp")
    code = (
        "import sys; from pathlib import Path; from self_killing import die_at;"
        " from astrollava_training.cli import main;"
        " die_at(Path(sys.argv[1]), int(sys.argv[2])); sys.exit(main(sys.argv[3:]))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(self_killing.__file__).parent)}
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def evaluated(out: Path, die_at: int = 1000) -> int:
        given = ["evaluate", "embedded", "--split", "all", "--data", str(tiny_votes)]
        given += ["--no-similarity", "--resamples", "20", "-o", str(out)]
        command = [sys.executable, "-c", code, str(out / JOURNAL), str(die_at), *given]
        return subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, timeout=200
        ).returncode

    assert evaluated(whole) == 0
    lines = 1 + 16 + 1  # header, pictures, the blank one
    assert len((whole / JOURNAL).read_bytes().splitlines()) == lines
    for wanted in (3, 9):
        assert evaluated(broken, wanted) == -signal.SIGKILL
        assert (broken / JOURNAL).read_bytes().count(b"\n") >= wanted
    assert not (broken / "report.json").exists()
    assert evaluated(broken) == 0
    for name in ("report.json", "report.md", "report.html", "pictures.jsonl"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
    assert json.loads((broken / "report.json").read_bytes())["about"]["pictures"] == 16
