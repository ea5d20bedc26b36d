"""Questions of others: each published layout is read, what is not sound is named and refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.benchmarks import Question, choices, read_questions

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def one(path: Path) -> Question:
    (question,) = read_questions(path)
    return question


def test_astrobench_as_astromllab_publishes_it(tmp_path: Path) -> None:
    """Parquet with question and A to D; the answers are held back."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"question": "Why?", "A": "a", "B": "b", "C": "c", "D": "d"}] * 2
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    questions = read_questions(tmp_path / "train.parquet")
    assert [q.options for q in questions] == [("a", "b", "c", "d")] * 2
    assert [q.answer for q in questions] == [None, None]
    assert len({q.id for q in questions}) == 2


def test_options_as_a_list_with_a_place(tmp_path: Path) -> None:
    row = {"question": "Why?", "options": ["a", "b", "c"], "answer": 2}
    for name, content in (
        ("a.json", [row]),
        ("b.json", {"version": 1, "questions": [row]}),
        ("c.json", {"q7": row}),
        ("d.jsonl", json.dumps(row) + "\n\n"),
    ):
        question = one(write(tmp_path, name, content))
        assert (question.options, question.answer) == (("a", "b", "c"), 2)
    assert one(tmp_path / "c.json").id == "q7"


def test_the_tsv_of_vlmevalkit(tmp_path: Path) -> None:
    """As AstroMMBench was run; a picture in base64 is longer than csv allows a cell by itself."""
    picture = PNG + bytes(200_000)
    head = "index\tquestion\thint\tA\tB\tC\tanswer\tcategory\timage\n"
    body = f"7\tWhich?\tLook.\tx\ty\t\tB\tgalaxies\t{base64.b64encode(picture).decode()}\n"
    question = one(write(tmp_path, "set.tsv", head + body))
    assert question == Question("7", "Look.\nWhich?", ("x", "y"), 1, picture, "galaxies")


def test_a_picture_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(PNG)
    row = {"question": "?", "options": ["a", "b"], "answer": "a", "image": "images/a.png"}
    assert one(write(tmp_path, "a.json", [row])).image == tmp_path / "images" / "a.png"


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "images/none.png"])
def test_a_file_of_questions_opens_nothing_elsewhere(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.png").write_bytes(PNG)
    (tmp_path / "set").mkdir()
    row = {"question": "?", "options": ["a", "b"], "answer": "a", "image": path}
    with pytest.raises(InvalidRequest, match="picture"):
        read_questions(write(tmp_path / "set", "a.json", [row]))


@pytest.mark.parametrize(
    ("answer", "place"),
    [("B", 1), ("b", 1), ("(B)", 1), ("B.", 1), (1, 1), ("1", 1), ("nine", 1), ("two", 0)],
)
def test_an_answer_is_a_letter_a_place_or_the_option(
    tmp_path: Path, answer: Any, place: int
) -> None:
    row = {"question": "?", "choices": {"A": "two", "B": "nine"}, "correct_answer": answer}
    assert one(write(tmp_path, "a.json", [row])).answer == place


def test_an_option_that_reads_like_a_place_is_the_option(tmp_path: Path) -> None:
    row = {"question": "How many?", "options": ["2", "1", "0"], "answer": "1"}
    assert one(write(tmp_path, "a.json", [row])).answer == 1
    row["answer"] = "2"
    assert one(write(tmp_path, "a.json", [row])).answer == 0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"options": ["a", "b"]}, "no question"),
        ({"question": " ", "options": ["a", "b"]}, "no question"),
        ({"question": "?"}, "no options"),
        ({"question": "?", "options": ["a"]}, "no options"),
        ({"question": "?", "options": [["a"], "b"]}, "no options"),
        ({"question": "?", "A": "a", "C": "c"}, "A, B, and so on"),
        ({"question": "?", "options": ["a", "b"], "answer": "C"}, "'C'"),
        ({"question": "?", "options": ["a", "b"], "answer": 2}, "'2'"),
        ({"question": "?", "options": ["a", "b"], "image": 3}, "type int"),
        ("text", "is str"),
    ],
)
def test_a_question_that_is_not_sound_is_named(tmp_path: Path, row: Any, said: str) -> None:
    good = {"question": "?", "options": ["a", "b"]}
    with pytest.raises(InvalidRequest, match="question 1") as error:
        read_questions(write(tmp_path, "a.json", [good, row]))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", "{"), ("a.json", '{"a": 1}'), ("a.json", "[]"), ("a.txt", ""), ("a.tsv", "")],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(InvalidRequest, match=name.replace(".", r"\.")):
        read_questions(write(tmp_path, name, content))
    with pytest.raises(InvalidRequest, match="no questions at"):
        read_questions(tmp_path / "missing.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["question", "options", "answer", "image", "A", "B", "id", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_json_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = write(tmp_path_factory.mktemp("questions"), "a.json", json.dumps(data))
    try:
        for question in read_questions(path):
            assert len(question.options) >= 2
            assert question.answer is None or 0 <= question.answer < len(question.options)
    except InvalidRequest:
        pass


def test_options_are_moved_on_and_found_again() -> None:
    question = Question("1", "Which?", ("x", "y", "z"), 0)
    first = question.choice()
    assert first.question.splitlines()[:4] == ["Which?", "A. x", "B. y", "C. z"]
    assert first.answers == ("A", "B", "C")
    for shift in range(3):
        lines = question.choice(shift).question.splitlines()[1:4]
        for letter, line in enumerate(lines):
            assert line[3:] == question.options[question.chosen(letter, shift)]


def test_every_field_that_is_read_is_told_in_the_documents() -> None:
    """They were told in a Python module only, which a user of the command does not open."""
    page = Path(__file__).parents[4] / "docs" / "trust.md"
    told = page.read_text("utf-8").partition("## Multiple choice of others")[2]
    fields = (choices._QUESTION, choices._OPTIONS, choices._ANSWER)
    more = (choices._IMAGE, choices._CATEGORY, choices._ID, ("hint",))
    for names in (*fields, *more):
        for name in names:
            assert f"`{name}`" in told, name
