"""Multiple-choice questions of published benchmarks, read from the files they come in.

Read are JSON (a list of objects, an object with one such list in it, or an object of objects by
id), JSON lines, TSV and CSV, and Parquet. An object, or row, has

- the question, as ``question``, ``query`` or ``prompt``, after a ``hint`` where there is one;
- the options, as a list or an object by letters in ``options`` or ``choices``, or in columns ``A``,
  ``B``, ``C``, ...;
- the answer, as ``answer``, ``correct_answer``, ``correct_option`` or ``ideal``: a letter, an
  option's own words, or its place counted from 0. It may be missing, as where the authors keep it;
- a picture, as ``image``, ``image_path`` or ``img``: a path below the file's folder, or base64;
- a category, as ``category``, ``subfield``, ``topic`` or ``task``.

This covers what these publish:

- AstroMLab's *Astrobench_MCQ_v1* (Ting et al. 2024, arXiv:2407.11194): Parquet with ``question``,
  ``A`` to ``D``; the answers are held back.
- AstroBench's sets as others pass them on: ``question``, ``options`` as a list, ``answer`` as a
  place.
- The TSV files of VLMEvalKit (``index``, ``question``, ``hint``, ``A`` to ``D``, ``answer``,
  ``category``, ``image`` as base64), in which AstroMMBench (Shi et al. 2025, arXiv:2510.00063) was
  run.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.models import Choice

__all__ = ["Question", "read_questions"]

_LETTERS = string.ascii_uppercase
_QUESTION = ("question", "query", "prompt")
_OPTIONS = ("options", "choices")
_ANSWER = ("answer", "correct_answer", "correct_option", "ideal")
_IMAGE = ("image", "image_path", "img")
_CATEGORY = ("category", "subfield", "topic", "task")
_ID = ("index", "id", "question_id")
#: Bytes of a file of questions at most: pictures in base64 included.
_MOST_BYTES = 2**30
#: What LLaVA-1.5 was taught to answer with a letter (Liu et al. 2023, arXiv:2310.03744).
_INSTRUCTION = "Answer with the option's letter from the given choices directly."


@dataclass(frozen=True)
class Question:
    """A multiple-choice question.

    Attributes
    ----------
    id : str
        Its name or number in the file.
    text : str
        The question.
    options : tuple of str
        Two or more.
    answer : int or None
        Place of the right option; None where it is not told.
    image : path, bytes or None
        The picture it is about, if any.
    category : str
        Of the benchmark; may be empty.
    """

    id: str
    text: str
    options: tuple[str, ...]
    answer: int | None
    image: Path | bytes | None = None
    category: str = ""

    def choice(self, shift: int = 0) -> Choice:
        """Return the question with lettered options, in an order moved on by `shift` places."""
        count = len(self.options)
        lines = [f"{_LETTERS[i]}. {self.options[(i + shift) % count]}" for i in range(count)]
        return Choice("\n".join([self.text, *lines, _INSTRUCTION]), tuple(_LETTERS[:count]))

    def chosen(self, letter: int, shift: int = 0) -> int:
        """Return the place of the option that stood at a letter."""
        return (letter + shift) % len(self.options)


def read_questions(path: str | Path) -> list[Question]:
    """Read the questions of a file.

    Parameters
    ----------
    path : path
        ``.json``, ``.jsonl``, ``.tsv``, ``.csv`` or ``.parquet``.

    Raises
    ------
    InvalidRequest
        For a file that is none of these, or a question without options, with its number.
    """
    file = Path(path)
    if not file.is_file():
        raise InvalidRequest(f"there are no questions at {file}", expected="a file of questions")
    if file.stat().st_size > _MOST_BYTES:
        raise InvalidRequest(
            f"{file} has {file.stat().st_size} bytes", expected=f"at most {_MOST_BYTES}"
        )
    readers = {
        ".json": _json,
        ".jsonl": _json_lines,
        ".tsv": lambda f: _table(f, "\t"),
        ".csv": lambda f: _table(f, ","),
        ".parquet": _parquet,
    }
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise InvalidRequest(
            f"{file} is of no kind that is known", expected=f"one of {', '.join(readers)}"
        )
    try:
        rows = list(reader(file))
    except (ValueError, RecursionError, csv.Error) as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(f"{file} cannot be read ({type(error).__name__}: {error})") from error
    found = [_question(row, i, file) for i, row in enumerate(rows)]
    names = [question.id for question in found]
    if len(set(names)) < len(names):  # numbers in their place: results are kept by name
        found = [_renamed(question, i) for i, question in enumerate(found)]
    if not found:
        raise InvalidRequest(f"{file} has no questions")
    return found


def _json(file: Path) -> list[Any]:
    data = json.loads(file.read_text(encoding="utf-8-sig"))
    if isinstance(data, Mapping):
        lists = [value for value in data.values() if isinstance(value, list)]
        objects = [value for value in data.values() if isinstance(value, Mapping)]
        if len(lists) == 1:
            return list(lists[0])
        if len(objects) == len(data):
            return [{"id": name, **value} for name, value in data.items()]
    if not isinstance(data, list):
        raise InvalidRequest(f"{file} holds no list of questions")
    return data


def _json_lines(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8-sig") as stream:
        yield from (json.loads(line) for line in stream if line.strip())


def _table(file: Path, delimiter: str) -> list[Any]:
    # Pictures in base64 are longer than the 128 kB that csv allows a cell by itself.
    before = csv.field_size_limit(_MOST_BYTES)
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            return list(csv.DictReader(stream, delimiter=delimiter))
    finally:
        csv.field_size_limit(before)


def _parquet(file: Path) -> list[Any]:
    from pyarrow import ArrowException, parquet

    try:
        rows: list[Any] = parquet.read_table(file).to_pylist()
    except ArrowException as error:
        raise ValueError(str(error)) from error
    return rows


def _question(row: Any, number: int, file: Path) -> Question:
    where = f"{file}, question {number}"
    if not isinstance(row, Mapping):
        raise InvalidRequest(f"{where} is {type(row).__name__}", expected="an object")
    cells = {
        str(k).strip().lower() if len(str(k).strip()) > 1 else str(k).strip(): v
        for k, v in row.items()
        if v is not None and v != ""
    }
    text = _first(cells, _QUESTION)
    if not isinstance(text, str) or not text.strip():
        raise InvalidRequest(f"{where} has no {' or '.join(_QUESTION)}")
    if isinstance(cells.get("hint"), str):
        text = f"{cells['hint'].strip()}\n{text}"
    options = _options(cells, where)
    answer = _first(cells, _ANSWER)
    image = _first(cells, _IMAGE)
    return Question(
        id=str(_first(cells, _ID, number)),
        text=text.strip(),
        options=options,
        answer=None if answer is None else _place(answer, options, where),
        image=None if image is None else _image(image, file.parent, where),
        category=str(_first(cells, _CATEGORY, "")),
    )


def _first(cells: Mapping[str, Any], names: Iterable[str], default: Any = None) -> Any:
    return next((cells[name] for name in names if name in cells), default)


def _renamed(question: Question, number: int) -> Question:
    values = {**vars(question), "id": f"{number}:{question.id}"}
    return Question(**values)


def _options(cells: Mapping[str, Any], where: str) -> tuple[str, ...]:
    given = _first(cells, _OPTIONS)
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:  # a list kept as text in a table
            given = json.loads(given)
        except ValueError:
            given = None
    if isinstance(given, Mapping):
        given = [given[letter] for letter in sorted(given)]
    if given is None:
        letters = [letter for letter in _LETTERS if letter in cells]
        if letters != list(_LETTERS[: len(letters)]):
            raise InvalidRequest(f"{where} has options {letters}", expected="A, B, and so on")
        given = [cells[letter] for letter in letters]
    if (
        not isinstance(given, list)
        or not 2 <= len(given) <= len(_LETTERS)
        or any(isinstance(option, (list, dict)) for option in given)
    ):
        raise InvalidRequest(f"{where} has no options", expected="2 to 26, in a list or as A, B, …")
    return tuple(str(option).strip() for option in given)


def _place(answer: Any, options: tuple[str, ...], where: str) -> int:
    """Return the place of the right option."""
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(options):
        return answer
    words = str(answer).strip()
    if options.count(words) == 1:
        return options.index(words)
    letter = words.rstrip(".): ").lstrip("(").upper()
    if len(letter) == 1 and letter in _LETTERS[: len(options)]:
        return _LETTERS.index(letter)
    if words.isdecimal() and int(words) < len(options):
        return int(words)
    raise InvalidRequest(
        f"{where} has the answer {words[:80]!r}",
        expected=f"a letter up to {_LETTERS[len(options) - 1]}, one of the options, or its place",
    )


def _image(given: Any, folder: Path, where: str) -> Path | bytes:
    if isinstance(given, bytes):
        return given
    if isinstance(given, Mapping):  # as the Hugging Face hub writes pictures into Parquet
        given = given.get("bytes") or given.get("path")
        if isinstance(given, bytes):
            return given
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    if not isinstance(given, str):
        raise InvalidRequest(f"{where} has a picture of type {type(given).__name__}")
    if len(given) < 4096:
        path = (folder / given).resolve()
        # The file says which files are opened, so it may name none but those that came with it.
        if path.is_relative_to(folder.resolve()) and path.is_file():
            return path
    try:
        data = base64.b64decode(given.partition("base64,")[2] or given, validate=True)
    except binascii.Error:
        data = b""
    if len(data) < 16:
        raise InvalidRequest(
            f"{where} has the picture {given[:80]!r}",
            expected="a file below the folder of the questions, or base64",
        )
    return data
