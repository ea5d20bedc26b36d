"""All of `trust` on models whose answers are known, and its commands on the embedded model."""

from __future__ import annotations

import csv
import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10, from_labels
from astrollava_training.cli import main
from astrollava_training.evaluate.asking import ask
from astrollava_training.evaluate.benchmarks import Question, ask_questions
from astrollava_training.evaluate.items import Dataset, Item
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.models import Choice, open_model
from astrollava_training.evaluate.robustness import CHANGES
from astrollava_training.evaluate.trust import Sample, as_seen, header, trust
from astrollava_training.evaluate.trust_report import trust_markdown
from knowing_model import KnowingModel, picture_of

COUNT = 24


def truth_of(number: int) -> dict[str, str]:
    return {
        "bar": "yes" if number % 2 else "no",
        "ring": "yes" if number % 3 == 0 else "no",
        "spiral": "yes" if number % 5 < 2 else "no",
    }


def data(vocabulary: Any = GALAXY10) -> Dataset:
    items = tuple(
        Item(f"g{i}", partial(picture_of, i), i % 10, "val", truth_of(i), f"g{i}")
        for i in range(COUNT)
    )
    return Dataset("made", vocabulary, items, {"sha256": "0"})


def knowing(**options: Any) -> KnowingModel:
    return KnowingModel(
        {i: truth_of(i) for i in range(COUNT)}, {i: i % 10 for i in range(COUNT)}, **options
    )


@pytest.fixture(scope="module")
def seeing() -> dict[str, Any]:
    return trust(knowing(), Sample(data(), resamples=100), Journal(None, {}))


def test_a_model_that_sees_is_trusted(seeing: dict[str, Any]) -> None:
    for entry in seeing["probes"].values():
        assert entry["rows"]["model"]["accuracy"].value == 1.0
        assert entry["rows"]["margin"]["accuracy"].low > 0.0
    assert seeing["descriptions"]["model"]["unsupported"].value == 0.0
    assert seeing["descriptions"]["shuffled"]["unsupported"].value > 0.2
    # Its pictures are of one grey level, which neither pose nor noise changes.
    assert seeing["changes"].keys() == CHANGES.keys()
    for name in ("turned 90°", "turned 30°", "mirrored", "cropped to 80 %", "JPEG quality 75"):
        row = seeing["changes"][name]
        assert row["labels kappa"].value == row["answers kappa"].value == 1.0, name
        assert row["accuracy"].value == 1.0
    # But another stretch makes another picture of it, and that must show.
    assert seeing["changes"]["stretch, power 0.6"]["labels"].value < 0.5
    assert seeing["changes"]["stretch, power 0.6"]["accuracy lost"].low > 0.3
    assert seeing["options"]["consistency"].value == 1.0
    assert seeing["options"]["rows"]["margin"]["accuracy"].low > 0.2


def test_a_model_that_always_agrees_is_not() -> None:
    nodding = knowing(answer_with=lambda question, truth: "Yes, at a redshift of z = 0.1.")
    found = trust(nodding, Sample(data(), resamples=50), Journal(None, {}))
    for entry in found["probes"].values():
        assert entry["rows"]["model"]["false_yes"].value == 1.0
        assert entry["rows"]["margin"]["accuracy"].value <= 0.0
    assert found["descriptions"]["model"]["claiming"].value == 1.0
    assert found["blank"]["white"]["yes"] == 8
    assert found["blank"]["noise"]["claims"] == 1
    assert math.isnan(found["changes"]["mirrored"]["answers kappa"].value)


def test_the_report_has_every_table_and_holds_what_a_model_says(seeing: dict[str, Any]) -> None:
    """A bar or a line break in an answer would break the table it stands in."""
    seeing["blank"]["black"]["text"] = "one | two\nthree"
    text = trust_markdown(seeing)
    for word in ("adversarial", "unsupported", "turned 30°", "any order", "noise of 15", "±"):
        assert word in text
    widths: list[int] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            widths.append(line.count("|"))
        else:
            assert len(set(widths)) <= 1
            widths = []


def test_a_run_that_was_ended_goes_on_and_one_of_another_kind_is_refused(tmp_path: Path) -> None:
    sample, path = Sample(data(), resamples=10), tmp_path / "answers.jsonl"
    first = knowing()
    journal = Journal(path, header(first, sample))
    whole = trust(first, sample, journal)
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:100]) + lines[100][:20])
    second = knowing()
    journal = Journal(path, header(second, sample))
    again = trust(second, sample, journal)
    journal.close()
    assert first.asked - second.asked == 99
    assert repr(again) == repr(whole)
    with pytest.raises(InvalidRequest, match=r"other split, limit or seed: .*0. there, .*1. here"):
        Journal(path, header(second, Sample(data(), resamples=10, seed=1)))


def test_other_classes_are_refused() -> None:
    vocabulary = from_labels((*GALAXY10.labels[:9], "Comets"))
    with pytest.raises(InvalidRequest, match="galaxy10"):
        Sample(data(vocabulary)).items()


@pytest.fixture(scope="module")
def votes(shared_data: Path) -> str:
    return str(shared_data / "galaxies" / "votes.csv")


def test_trust_of_the_embedded_model(
    votes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command, a real model and real pictures; the second run asks nothing."""
    command = ["trust", "embedded", "--data", votes, "--limit", "3", "--resamples", "20"]
    assert main([*command, "-o", str(tmp_path)]) == 0
    printed, told = capsys.readouterr()
    assert "# What astrollava-embedded-v0 invents" in printed
    assert "3 pictures of the split 'val' of votes, by default: --split takes another" in told
    report = json.loads((tmp_path / "trust.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert report["about"]["pictures"] == 3
    answers = tmp_path / "answers.jsonl"
    before = answers.read_bytes()
    assert main([*command, "-o", str(tmp_path)]) == 0
    assert answers.read_bytes() == before
    assert capsys.readouterr().out == printed


@pytest.mark.parametrize("bits", [[], ["--fewer-bits"]])
def test_a_picture_that_cannot_be_read_is_named_and_the_others_asked(
    votes: str, bits: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One torn picture of a thousand ended a night's run at the place where it came."""
    data = tmp_path / "data"
    pictures = sorted((Path(votes).parent / "images").glob("*.jpg"))[:3]
    for name, picture in zip(("Barred Spiral", "Edge-on", "Merging"), pictures, strict=True):
        (data / name).mkdir(parents=True)
        (data / name / f"{picture.name}").write_bytes(picture.read_bytes())
    (data / "Merging" / "torn.jpg").write_bytes(pictures[0].read_bytes()[:300])
    given = ["--data", str(data), "--vocabulary", "galaxy10", "--split", "all"]
    out = tmp_path / "out"
    command = ["trust", *bits, *given, "--resamples", "20", "-o", str(out)]
    assert main(command) == 0
    printed, told = capsys.readouterr()
    assert "1 picture could not be read and counts nowhere: 'Merging/torn.jpg' (" in told
    assert "'Merging/torn.jpg' (" in printed
    about = json.loads((out / f"{'fewer-bits' if bits else 'trust'}.json").read_text())["about"]
    assert (about["pictures"], list(about["unread"])) == (3, ["Merging/torn.jpg"])
    assert main(command) == 0
    assert capsys.readouterr().out == printed
    for picture in data.glob("*/*.jpg"):
        picture.write_bytes(b"torn")
    assert main([*command[:-1], str(tmp_path / "other")]) == 2
    assert "0 of 4 pictures can be read: " in capsys.readouterr().err


def test_a_picture_drawn_as_the_model_sees_it_is_the_one_it_sees(
    shared_data: Path, votes: str
) -> None:
    """Else every change would be blamed for what the drawing did."""
    jpeg = sorted((Path(votes).parent / "images").glob("*.jpg"))[0]
    fits = shared_data / "fits" / "decals_small.fits"
    items = [Item(p.name, partial(_itself, p), None, "val") for p in (jpeg, fits)]
    with open_model("embedded", threads=1) as model:
        asked = {"say": ("Describe this image.",), "score": (Choice.of(GALAXY10),)}
        plain = ask(model, items, Journal(None, {}), "plain", **asked)
        drawn = ask(model, items, Journal(None, {}), "drawn", change=as_seen(model), **asked)
    assert plain == drawn
    assert plain[0] != plain[1]


def _itself(path: Path) -> Path:
    return path


def test_fewer_bits_of_the_embedded_model(votes: str, tmp_path: Path) -> None:
    command = ["trust", "--fewer-bits", "--data", votes, "--limit", "3", "--resamples", "20"]
    assert main([*command, "-o", str(tmp_path)]) == 0
    rows = json.loads((tmp_path / "fewer-bits.json").read_text("utf-8"))["rows"]
    assert list(rows) == ["f16", "q8_0", "q4_k_m", "q4_0"]
    assert rows["f16"]["labels"]["value"] == 1.0
    assert rows["f16"]["moved"]["value"] == 0.0
    for kind in ("q8_0", "q4_k_m", "q4_0"):
        assert 0.0 < rows[kind]["moved"]["value"] < 0.5
    hashes = {
        json.loads(path.read_text("utf-8").splitlines()[0])["header"]["model"]["files"]["text"][
            "sha256"
        ]
        for path in tmp_path.glob("answers-*.jsonl")
    }
    assert len(hashes) == 4


def test_questions_and_retention_of_the_embedded_model(votes: str, tmp_path: Path) -> None:
    pictures = sorted((Path(votes).parent / "images").glob("*.jpg"))[:3]
    rows = []
    for i, picture in enumerate(pictures):
        (tmp_path / f"{i}.jpg").write_bytes(picture.read_bytes())
        rows.append(
            {
                "question": "Bar?",
                "options": ["yes", "no"],
                "answer": "AB"[i % 2],
                "image": f"{i}.jpg",
            }
        )
    file = tmp_path / "set.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    out = tmp_path / "questions"
    assert main(["questions", str(file), "embedded", "--resamples", "20", "-o", str(out)]) == 0
    with (out / "predictions.csv").open(newline="", encoding="utf-8") as stream:
        predictions = list(csv.DictReader(stream))
    assert [row["answer"] for row in predictions] == ["A", "B", "A"]
    found = json.loads((out / "questions.json").read_text("utf-8"))
    assert found["n"] == 3
    assert {"blank", "shuffled", "longest"} <= found["rows"].keys()
    out = tmp_path / "retention"
    models = ["embedded", "embedded", "embedded"]
    assert main(["retention", str(file), *models, "--resamples", "20", "-o", str(out)]) == 0
    (row,) = json.loads((out / "retention.json").read_text("utf-8"))["rows"].values()
    assert (row["lost"], row["gained"], row["p"]) == (0, 0, 1.0)


def test_questions_to_a_checkpoint_of_torch(votes: str, tmp_path: Path) -> None:
    """Two runtimes, one score: what is asked must not depend on who computes it."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import llava_checkpoints
    from astrollava.convert import convert

    folder = llava_checkpoints.save(llava_checkpoints.model(tower="siglip"), tmp_path / "model")
    files = convert(folder, tmp_path / "pair", quantize="f32", mmproj_quantize="f32")
    pictures = sorted((Path(votes).parent / "images").glob("*.jpg"))[:3]
    questions = [Question(str(i), "?", ("x", "y"), 0, p) for i, p in enumerate(pictures)]
    chosen = []
    for name in (str(folder), f"{files.text},{files.mmproj}"):
        with open_model(name, device="cpu", threads=1) as model:
            chosen.append(ask_questions(model, questions, Journal(None, {})))
    assert chosen[0].orders.tolist() == chosen[1].orders.tolist()
    assert chosen[0].blank.tolist() == chosen[1].blank.tolist()


def test_sheets_from_a_table_and_their_scores(
    votes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = sorted((Path(votes).parent / "images").glob("*.jpg"))[:3]
    table = tmp_path / "texts.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("picture", "source", "text"))
        for i, picture in enumerate(pictures):
            (tmp_path / picture.name).write_bytes(picture.read_bytes())
            writer.writerow((picture.name, "one", f"First {i}"))
            writer.writerow((picture.name, "two", f"Second {i}"))
    out = tmp_path / "sheets"
    assert main(["ratings", "sheet", str(table), "--raters", "2", "-o", str(out)]) == 0
    assert len(list(out.glob("sheet-*.html"))) == 2
    key = json.loads((out / "key.json").read_text("utf-8"))
    for rater in ("a", "b"):
        lines = ["sheet,rater,row,accuracy,completeness,fitness"]
        for row, about in key["rows"].items():
            mark = {"one": 4, "two": 2}.get(about["sources"][0], 1)
            lines.append(f"{key['sheet']},{rater},{row},{mark},{mark},{mark}")
        (tmp_path / f"{rater}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    tables = [str(tmp_path / f"{rater}.csv") for rater in ("a", "b")]
    capsys.readouterr()
    assert main(["ratings", "score", str(out / "key.json"), *tables, "-o", str(tmp_path)]) == 0
    assert "Krippendorff's alpha" in capsys.readouterr().out
    found = json.loads((tmp_path / "ratings.json").read_text("utf-8"))
    assert found["accuracy"]["pairs"]["one - two"]["difference"]["value"] == 2.0


def test_sheets_from_a_model(
    votes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ratings", "sheet", "--model", "embedded", "--data", votes, "--limit", "3"]
    assert main([*command, "-o", str(tmp_path)]) == 0
    # Commands differ in the split they take, and did not say which they took.
    told = "3 pictures of the split 'val' of votes, by default: --split takes another"
    assert told in capsys.readouterr().err
    rows = json.loads((tmp_path / "key.json").read_text("utf-8"))["rows"].values()
    assert {source for row in rows for source in row["sources"]} == {"embedded", "shuffled"}


@pytest.mark.parametrize(
    "command",
    [
        ["ratings", "sheet", "-o", "x"],
        ["ratings", "sheet", "missing.csv", "-o", "x"],
        ["ratings", "score", "missing.json", "missing.csv"],
        ["questions", "missing.json"],
        ["trust", "--data", "missing.csv"],
    ],
)
def test_what_is_missing_is_said_in_one_line(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.startswith("astrollava-train: ")
    assert said.count("\n") == 1
