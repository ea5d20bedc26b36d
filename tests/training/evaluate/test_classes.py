"""Folders and labels named otherwise than expected: nothing is made of them without a word."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.cli import main
from astrollava_training.evaluate import Plan, evaluate, open_data, open_model
from astrollava_training.evaluate.notes import notes_of, notes_of_unread
from astrollava_training.evaluate.sets.classes import classes_of, truth_of
from galaxy10_files import png

KNOWN = ("barred_spiral", "merging", "round_smooth")


def write_folders(root: Path, names: tuple[str, ...], count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(count):
            rgb = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
            (root / name / f"{i}.png").write_bytes(png(rgb))
    return root


def test_one_unknown_folder_leaves_the_others_what_they_are(tmp_path: Path) -> None:
    """It made every class a stranger in words no model was taught: accuracy fell to a third."""
    data = open_data(write_folders(tmp_path / "set", (*KNOWN, "barred_spirl")))
    assert data.vocabulary.labels == (*GALAXY10.labels, "barred spirl")
    answers = data.vocabulary.answers
    assert {label: answers[label] for label in GALAXY10.labels} == dict(GALAXY10.answers)
    places = {Path(item.id).parts[0]: item.label for item in data.items}
    assert places == {"barred_spiral": 5, "merging": 1, "round_smooth": 2, "barred_spirl": 10}
    truths = {item.label: item.truth for item in data.items}
    assert truths[5]["bar"] == "yes"
    assert not truths[10]
    (note,) = data.notes
    for said in ("3 of 4", "'barred_spirl' (3 pictures; like barred_spiral", "--vocabulary"):
        assert said in note


def test_a_vocabulary_that_is_stated_is_kept_to(tmp_path: Path) -> None:
    root = write_folders(tmp_path / "set", (*KNOWN, "ring"))
    data = open_data(root, vocabulary="galaxy10")
    assert data.vocabulary is GALAXY10
    assert [item.label for item in data.items if "ring" in item.id] == [None] * 3
    assert "'ring' (3 pictures" in data.notes[0]
    assert "without a class" in data.notes[0]
    own = open_data(root, vocabulary="own")
    assert own.vocabulary.labels == ("barred spiral", "merging", "ring", "round smooth")
    assert not own.notes
    with pytest.raises(InvalidRequest, match=r"no vocabulary named 'galaxy1'.*galaxy10.*, or own"):
        open_data(root, vocabulary="galaxy1")
    with pytest.raises(InvalidRequest, match="no class is named as in galaxy10: 'ring', 'star'"):
        classes_of(["ring", "star"], "galaxy10")


def test_a_table_of_labels_is_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream)
        lines.writerow(("image", "label"))
        lines.writerows((f"{i}.png", name) for i, name in enumerate((*KNOWN, "ring", "")))
    data = open_data(path)
    assert [item.label for item in data.items] == [5, 1, 2, 10, None]
    assert len(data.notes) == 1
    stated = open_data(path, vocabulary="galaxy10")
    assert [item.label for item in stated.items] == [5, 1, 2, None, None]


def test_votes_leave_no_choice_of_a_vocabulary(tiny_votes: Path) -> None:
    with pytest.raises(InvalidRequest, match="Leave out --vocabulary"):
        open_data(tiny_votes, vocabulary="own")
    assert open_data(tiny_votes, vocabulary="galaxy10").vocabulary is GALAXY10


def test_few_known_names_and_numbers_are_told() -> None:
    classes = classes_of(["merging", "cats", "dogs"])
    assert classes.vocabulary.labels == ("cats", "dogs", "merging")
    assert "1 of 3 classes are named as in galaxy10 ('merging')" in classes.notes[0]
    assert not classes_of(["cats", "dogs"]).notes
    numbers = classes_of(["0", "5"])
    assert numbers.vocabulary.labels == ("0", "5")
    assert "numbers, which say nothing" in numbers.notes[0]
    assert classes_of(["0", "5"], "galaxy10").places == {"0": 0, "5": 5}
    assert truth_of(GALAXY10, 5)["bar"] == "yes"


def test_plain_folders_are_scored_as_a_whole(tmp_path: Path) -> None:
    """One in ten of them by a hash were a handful of pictures, or none."""
    data = open_data(write_folders(tmp_path / "set", KNOWN))
    assert data.usual_split("test") == "all"
    items = data.chosen("all")
    assert len(items) == 9
    first, few = notes_of(data, "all", items)
    assert "every picture is scored" in first
    assert "only 9 pictures with a class" in few
    split = write_folders(tmp_path / "split", ("test/merging", "test/round_smooth"))
    assert open_data(split).usual_split("test") == "test"


def test_a_hashed_split_is_told_with_its_size(tmp_path: Path) -> None:
    data = open_data(write_folders(tmp_path / "set", KNOWN, 30))
    items = data.chosen("test")
    told = notes_of(data, "test", items)[0]
    assert f"'test' are the {len(items)} of 90 pictures" in told
    some = notes_of(data, "all", data.chosen("all", 2))[0]
    assert "2 of 90 pictures are scored" in some
    assert some.endswith(", if they can be read"), "it said: if it can"
    assert 2 <= len(items) < 20


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_a_limit_below_two_is_told_as_such(tmp_path: Path, limit: int) -> None:
    """It was said that the split had no pictures."""
    data = open_data(write_folders(tmp_path / "set", KNOWN))
    with pytest.raises(InvalidRequest, match=f"a limit of {limit} pictures"):
        data.chosen("all", limit)


def test_the_command_says_it_and_the_report_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llama_cpp")
    root = write_folders(tmp_path / "set", (*KNOWN, "ring"))
    common = ["--resamples", "20", "--no-similarity", "-o", str(tmp_path / "out")]
    assert main(["evaluate", "embedded", "--data", str(root), *common]) == 0
    told = capsys.readouterr()
    for said in ("'ring' (3 pictures", "every picture is scored", "only 12 pictures"):
        assert said in told.err
        assert said in told.out.replace("Only", "only")
        assert said in (tmp_path / "out" / "report.json").read_text("utf-8")
    html = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert html.count('<p class="note">') == 3
    assert "every picture is scored, and it is fitted on others only" in html
    assert main(["evaluate", "embedded", "--data", str(root), "--vocabulary", "own"]) == 0
    assert "'ring' (" not in capsys.readouterr().err


def test_pictures_that_cannot_be_read_are_named_wherever_scores_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 10 pictures 2 were bad: every one was said to be scored, and neither was named."""
    pytest.importorskip("llama_cpp")
    root = write_folders(tmp_path / "set", KNOWN)
    bad = [sorted((root / name).iterdir())[0] for name in KNOWN[:2]]
    for path in bad:
        path.write_bytes(b"no picture")
    common = ["--resamples", "20", "--no-similarity", "-o", str(tmp_path / "out")]
    assert main(["evaluate", "embedded", "--data", str(root), *common]) == 0
    told = capsys.readouterr()
    page, _, collapsed = (tmp_path / "out" / "report.html").read_text("utf-8").partition("<details")
    assert collapsed
    for text in (told.err, told.out, page, (tmp_path / "out" / "report.md").read_text("utf-8")):
        assert "2 pictures could not be read and count nowhere" in text
        for path in bad:
            assert path.name in text
    for text in (told.out, page):
        assert "7 of 9 pictures are scored" in text
        assert "nly 7 pictures with a class are scored:" in text
    assert "every picture is scored, if it can be read" in told.err
    assert "only 9 pictures with a class are scored, if all can be read" in told.err


def test_of_many_unreadable_pictures_some_are_named() -> None:
    assert notes_of_unread({}) == ()
    (one,) = notes_of_unread({"a.png": "cut\nshort " + "x" * 999})
    assert one.startswith("1 picture could not be read and counts nowhere: 'a.png' (cut short x")
    assert len(one) < 300
    (many,) = notes_of_unread({f"{i}.png": "bad" for i in range(8)})
    assert "'4.png' (bad); and 3 more" in many
    assert "5.png" not in many


def test_a_temperature_is_fitted_on_others_or_it_is_said_why(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp")
    data = open_data(write_folders(tmp_path / "set", KNOWN))
    plan = Plan(paper=False, resamples=10)
    with open_model("embedded") as model:
        whole = evaluate(model, data, plan)
    assert whole.about["split"] == "all"
    assert whole.calibration["fitted_on"] == 0
    assert "fitted on others only" in whole.markdown()


def test_the_papers_cosine_is_refused_before_a_model_answers_or_its_lack_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A class beside the ten of Galaxy10 has no text: a KeyError, when all had been asked."""
    pytest.importorskip("llama_cpp")
    root = write_folders(tmp_path / "set", (*KNOWN, "ring"))
    given = ["evaluate", "embedded", "--data", str(root), "--resamples", "10"]
    assert main([*given, "--similarity", "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "cosine cannot be told of set" in said
    assert "'ring'" in said
    assert "'Merging Galaxies'" not in said
    assert not (tmp_path / "out").exists()
    assert main(given) == 0
    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert "he paper's cosine (--similarity) is left out" in text
    assert main([*given, "--no-similarity"]) == 0
    assert "is left out" not in capsys.readouterr().out
