"""Every answer on disk as soon as it is given: an evaluation that was killed goes on from there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.models import Reply

__all__ = ["Journal"]


class Journal:
    """Answers of one model to one set of questions, one JSON object a line.

    Parameters
    ----------
    path : pathlib.Path, optional
        The file; without one nothing is kept.
    header : mapping
        What the answers depend on: model, data, questions. Plain values.

    Raises
    ------
    InvalidRequest
        The file holds the answers of another evaluation.
    """

    def __init__(self, path: Path | None, header: Mapping[str, Any]) -> None:
        self._known: dict[tuple[str, str], Reply] = {}
        self._file = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidRequest(
                f"{path.parent} cannot be made a folder: {error.strerror or error}",
                hint="Name another folder with -o",
            ) from error
        wanted = json.loads(json.dumps(header))
        whole = self._read(path, wanted) if path.exists() else 0
        self._file = path.open("r+" if path.exists() else "w", encoding="utf-8", newline="\n")
        # What a killed process left of a line would spoil the next one.
        self._file.seek(whole)
        self._file.truncate()
        if not whole:
            self._write({"header": wanted})

    def _read(self, path: Path, wanted: Any) -> int:
        """Read whole lines and return how many bytes they are."""
        lines = path.read_bytes().splitlines(keepends=True)
        whole = 0
        for number, line in enumerate(lines):
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                if number == 0:
                    header = dict(entry["header"])
                else:
                    scores = tuple(tuple(row) for row in entry["scores"])
                    reply = Reply(tuple(entry["texts"]), scores, entry["error"])
                    self._known[entry["view"], entry["id"]] = reply
            except (ValueError, KeyError, TypeError) as error:
                raise InvalidRequest(
                    f"{path} is no journal of answers: line {number + 1} ({error})",
                    hint="Write this report into another folder, or remove that file",
                ) from None
            if number == 0:
                self._check(path, header, wanted)
            whole += len(line)
        return whole

    @staticmethod
    def _check(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        if there != wanted:
            keys = [key for key in {**wanted, **there} if there.get(key) != wanted.get(key)]
            told = "; ".join(_difference(key, there.get(key), wanted.get(key)) for key in keys)
            raise InvalidRequest(
                f"{path} holds the answers of another evaluation: {told}",
                expected="the same model, data, questions and software",
                hint="Write this report into another folder with -o, or remove that file to ask"
                " all anew",
            )

    def __len__(self) -> int:
        return len(self._known)

    def get(self, view: str, name: str) -> Reply | None:
        """Return what was answered about a picture, None where it was not asked."""
        return self._known.get((view, name))

    def add(self, view: str, name: str, reply: Reply) -> None:
        """Keep what was answered about a picture."""
        self._known[view, name] = reply
        if self._file is not None:
            self._write({"view": view, "id": name, **asdict(reply)})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _write(self, entry: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
        # To the system at once: a killed process loses nothing that it has handed over.
        self._file.flush()


#: What the keys of headers are called.
_WORDS: Mapping[str, str] = {
    "words": "questions",
    "asked": "questions",
    "questions": "questions",
    "choice": "classes",
    "labels": "classes",
    "max_tokens": "length of texts",
    "drawn": "split, limit or seed",
    "changes": "changes of the picture",
    "versions": "software",
}

#: Details told of a difference, and how long a value may be to be told.
_DETAILS, _LONGEST = 3, 40


def _difference(key: str, there: Any, here: Any) -> str:
    """Return what is another, with the values where they are short."""
    name = f"other {_WORDS.get(key, key)}"
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        keys = [inner for inner in {**here, **there} if there.get(inner) != here.get(inner)]
        more = len(keys) - _DETAILS
        told = [f"{k}{_values(there.get(k), here.get(k))}" for k in keys[:_DETAILS]]
        return f"{name} ({', '.join(told)}{f' and {more} more' if more > 0 else ''})"
    return name + _values(there, here)


def _values(there: Any, here: Any) -> str:
    if there is None or here is None:
        return " only here" if there is None else " only there"
    both = [str(there), str(here)]
    if any(len(value) > _LONGEST for value in both):
        # Of a hash the beginning is enough, of a text or a list that it is another.
        if not all(re.fullmatch("[0-9a-f]{64}", value) for value in both):
            return ""
        both = [value[:8] for value in both]
    return f": {both[0]} there, {both[1]} here"
