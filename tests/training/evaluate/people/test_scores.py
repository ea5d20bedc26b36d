"""Ratings read back: hand-computed means and pairs, and files that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.people import read_ratings, score_ratings
from astrollava_training.evaluate.trust_report import ratings_markdown

HEADER = "sheet,rater,row,accuracy,completeness,fitness\r\n"
Write = Callable[[str, str], Path]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    rows = {
        f"r{2 * picture + i}": {
            "picture": f"p{picture}",
            "question": "",
            "sources": [source],
            "text": "",
        }
        for picture in range(3)
        for i, source in enumerate(("one", "two"))
    }
    path = tmp_path / "key.json"
    path.write_text(json.dumps({"sheet": "abc", "seed": 0, "rows": rows}), encoding="utf-8")
    return path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, lines: str) -> Path:
        path = tmp_path / name
        path.write_text(HEADER + lines, encoding="utf-8")
        return path

    return written


def lines(rater: str, values: str) -> str:
    """One row for each digit, which is the rating for all three criteria."""
    return "".join(f"abc,{rater},r{i},{v},{v},{v}\r\n" for i, v in enumerate(values))


def test_means_and_pairs_by_hand(key: Path, write: Write) -> None:
    # one: 5 4 3, two: 3 4 1 of the first rater; the second gives one less to r0 and nothing to r4.
    tables = [write("a.csv", lines("a", "534431")), write("b.csv", lines("b", "4344?1"))]
    found = score_ratings(read_ratings(key, tables), resamples=200)["accuracy"]
    # Means over raters: one 4.5, 4, 3; two 3, 4, 1.
    assert found["sources"]["one"]["mean"].value == pytest.approx(11.5 / 3)
    assert found["sources"]["two"]["mean"].value == pytest.approx(8 / 3)
    pair = found["pairs"]["one - two"]
    assert pair["difference"].value == pytest.approx(3.5 / 3)
    assert (pair["n"], pair["better"], pair["worse"]) == (3, pytest.approx(2 / 3), 0.0)
    # The interval is that of pictures: all are on the same side, the smallest lead is 0.
    assert 0.0 <= pair["difference"].low <= pair["difference"].value <= pair["difference"].high <= 2


def test_a_file_of_a_spreadsheet_is_read_as_well(key: Path, tmp_path: Path) -> None:
    path = tmp_path / "excel.csv"
    rows = HEADER + lines("a", "123451")
    path.write_text(rows.replace("\r\n", "\n"), encoding="utf-8-sig")
    assert read_ratings(key, [path]).values["fitness"].tolist() == [[1, 2, 3, 4, 5, 1]]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_spreadsheet_may_separate_cells_otherwise(
    key: Path, tmp_path: Path, separator: str
) -> None:
    """Where the decimal point is a comma, a spreadsheet saves semicolons."""
    path = tmp_path / "excel.csv"
    path.write_text((HEADER + lines("a", "123451")).replace(",", separator), encoding="utf-8")
    assert read_ratings(key, [path]).values["fitness"].tolist() == [[1, 2, 3, 4, 5, 1]]


def test_a_file_that_is_no_csv_is_told_without_numbers_of_errors(key: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none\.csv cannot be read: No such file") as error:
        read_ratings(key, [tmp_path / "none.csv"])
    assert "Errno" not in str(error.value)
    with pytest.raises(InvalidRequest, match="as a key: No such file") as error:
        read_ratings(tmp_path / "none.json", [])
    assert "Errno" not in str(error.value)
    (tmp_path / "a.csv").write_bytes(HEADER.encode() + lines("zoë", "1").encode("cp1252"))
    with pytest.raises(InvalidRequest, match="not written in UTF-8"):
        read_ratings(key, [tmp_path / "a.csv"])
    (tmp_path / "a.csv").write_text("rater,row\nada,r0\n")
    with pytest.raises(InvalidRequest, match="has the columns rater, row"):
        read_ratings(key, [tmp_path / "a.csv"])


def test_one_rater_is_told_in_words(key: Path, write: Write) -> None:
    """Agreement of one was printed as nan, and nobody saw how many had rated."""
    one = ratings_markdown(score_ratings(read_ratings(key, [write("a.csv", lines("a", "5344"))])))
    assert "nan" not in one
    assert "it takes two raters" in one
    assert "4 texts on 2 pictures, by rater: a 4. Resampled from so few pictures" in one
    tables = [write("a.csv", lines("a", "534431")), write("b.csv", lines("b", "4344?1"))]
    both = ratings_markdown(score_ratings(read_ratings(key, tables), resamples=50))
    assert "by rater: a 6, b 5." in both
    assert "alpha of the 5 texts rated by two or more (the control left out): nominal" in both
    tables = [write("a.csv", lines("a", "55")), write("b.csv", lines("b", "55"))]
    same = ratings_markdown(score_ratings(read_ratings(key, tables), resamples=50))
    assert "all ratings are the same" in same
    assert "nan" not in same


def test_alpha_is_told_to_be_of_the_texts_it_is_of(tmp_path: Path, write: Write) -> None:
    """Rows of the control were counted in the number of texts, and left out of alpha."""
    rows = {
        f"r{i}": {"picture": f"p{i // 2}", "question": "", "sources": [source], "text": ""}
        for i, source in enumerate(("one", "shuffled") * 3)
    }
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"sheet": "abc", "seed": 0, "rows": rows}), encoding="utf-8")
    mixed = [write("a.csv", lines("a", "514131")), write("d.csv", lines("d", "415131"))]
    found = score_ratings(read_ratings(key, mixed), resamples=50)
    assert (found["fitness"]["texts"], found["fitness"]["shared"]) == (6, 3)
    assert "alpha of the 3 texts rated by two or more" in ratings_markdown(found)
    bare = {name: row for name, row in rows.items() if row["sources"] == ["one"]}
    key.write_text(json.dumps({"sheet": "abc", "seed": 0, "rows": bare}), encoding="utf-8")
    own = [
        write(
            f"{name}.csv",
            "".join(f"abc,{name},r{2 * i},{v},{v},{v}\r\n" for i, v in enumerate(given)),
        )
        for name, given in (("a", "543"), ("d", "453"))
    ]
    alone = score_ratings(read_ratings(key, own), resamples=50)
    assert alone["fitness"]["alpha"] == found["fitness"]["alpha"]
    only = {name: {**row, "sources": ["shuffled"]} for name, row in bare.items()}
    key.write_text(json.dumps({"sheet": "abc", "seed": 0, "rows": only}), encoding="utf-8")
    nothing = ratings_markdown(score_ratings(read_ratings(key, own), resamples=50))
    assert "no text but those of the control was rated by two or more" in nothing


def test_a_single_picture_has_no_interval(key: Path, write: Write) -> None:
    """Drawn again and again it gave the narrowest of all."""
    found = score_ratings(read_ratings(key, [write("a.csv", lines("a", "53"))]), resamples=20)
    pair = found["accuracy"]["pairs"]["one - two"]
    assert (pair["difference"].value, pair["n"]) == (2.0, 1)
    assert isnan(pair["difference"].low)
    assert "| one - two | 2.000 | 1 |" in ratings_markdown(found)


def test_rows_not_rated_are_missing_and_not_low(key: Path, write: Write) -> None:
    ratings = read_ratings(key, [write("a.csv", lines("a", "5"))])
    found = score_ratings(ratings, resamples=20)["accuracy"]
    assert found["sources"]["one"]["mean"].value == 5.0
    assert isnan(found["sources"]["two"]["mean"].value)
    assert found["pairs"]["one - two"]["n"] == 0
    assert isnan(found["pairs"]["one - two"]["difference"].value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lines("a", "1").replace("abc", "xyz"), "sheet 'xyz'"),
        (lines("a", "6"), "'6'"),
        (lines("a", "1").replace("r0", "r9"), "'r9' is not in the key"),
        (lines("a", "1") * 2, "comes twice"),
        (lines("a", "1") + lines("b", "11").split("\r\n")[1] + "\r\n", "one name a file"),
        (lines("", "1"), "one name a file"),
        ("abc,a,r0,1\r\n", "4 cells"),
        ('abc,a,r0,1,1,"1\r\n', "cannot be read as CSV"),
        ("", "no rating"),
    ],
)
def test_a_file_that_is_not_of_this_sheet_is_named(
    key: Path, write: Write, content: str, said: str
) -> None:
    """Ratings of another sheet, added up, would look like ratings."""
    with pytest.raises(InvalidRequest, match=r"a\.csv|no rating") as error:
        read_ratings(key, [write("a.csv", content)])
    assert said in str(error.value)


def test_a_rater_counts_once(key: Path, write: Write) -> None:
    tables = [write("a.csv", lines("a", "1")), write("b.csv", lines("a", "2"))]
    with pytest.raises(InvalidRequest, match="another file"):
        read_ratings(key, tables)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("[" * 100_000, id="deep"),
        "",
        "[]",
        '{"sheet": 1, "rows": {}}',
        '{"sheet": "abc"}',
    ],
)
def test_a_key_that_is_none_is_refused(key: Path, content: str) -> None:
    key.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidRequest, match="as a key"):
        read_ratings(key, [])


@given(
    st.binary(max_size=300)
    | st.text(max_size=200).map(lambda t: (HEADER + t).encode("utf-8", "replace"))
)
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("ratings")
    known, table = folder / "key.json", folder / "a.csv"
    row = {"picture": "p", "question": "", "sources": ["one"]}
    known.write_text(json.dumps({"sheet": "abc", "rows": {"r0": row}}), encoding="utf-8")
    table.write_bytes(data)
    try:
        ratings = read_ratings(known, [table])
    except InvalidRequest:
        return
    assert np.isnan(ratings.values["accuracy"]).all() or "abc" in data.decode("utf-8-sig")
