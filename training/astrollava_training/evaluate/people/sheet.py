"""A blind rating sheet: one HTML page that needs no network, and the key that tells the sources.

Every text stands beside its picture without a word on where it comes from. Pictures, and the texts
of a picture, come in random order, another one on each page. The browser saves the answers as a CSV
file; `scores` reads them together with the key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.baselines import derangement

__all__ = ["CONTROL", "CRITERIA", "SCALE", "Criterion", "Text", "write_sheets"]

#: The name of the source that tells what was said about another picture.
CONTROL = "shuffled"

#: What a rating may be.
SCALE: tuple[int, ...] = (1, 2, 3, 4, 5)

#: Side of the pictures in pixels, where they have to be drawn.
_SIDE = 448
#: Files larger than this are drawn anew: a page of a hundred must still open.
_MOST_BYTES = 2**20

# What HTML cannot hold: control characters and halves of surrogate pairs.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_BROWSERS_READ = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


class Criterion(NamedTuple):
    """What a text is rated for, and what the ends of the scale mean."""

    name: str
    question: str
    low: str
    high: str


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "accuracy",
        "Is what is said true of this picture?",
        "mostly wrong",
        "nothing wrong",
    ),
    Criterion(
        "completeness",
        "Is what matters in the picture (or was asked for) said?",
        "nearly all is missing",
        "nothing is missing",
    ),
    Criterion(
        "fitness",
        "Would you use this text in a catalogue as it is?",
        "not at all",
        "without a change",
    ),
)


@dataclass(frozen=True)
class Text:
    """Something said about a picture.

    Attributes
    ----------
    picture : str
        Identifies the picture; the same for all sources.
    image : Any
        The picture: whatever `astrollava.images.read` takes.
    source : str
        Who said it: a model's name, ``"expert"``, ...
    text : str
        The description or answer.
    question : str
        What was asked; empty for a description.
    """

    picture: str
    image: Any
    source: str
    text: str
    question: str = ""


def write_sheets(
    texts: Sequence[Text],
    out: Path,
    *,
    pages: int = 1,
    control: bool = True,
    title: str = "What is said about these pictures",
    seed: int = 0,
) -> tuple[tuple[Path, ...], Path]:
    """Write rating sheets and their key.

    Parameters
    ----------
    texts : sequence of Text
        At most one of a source for each picture and question. Equal texts of several sources are
        shown once.
    out : pathlib.Path
        Folder of ``sheet-1.html``, ... and ``key.json``. Raters must not see the key.
    pages : int
        Number of pages, all with the same texts in orders of their own: one for each rater.
    control : bool
        Add the source `CONTROL`: what the first source says about another picture. Raters, or
        texts, that do not tell it from the rest measure nothing.
    title : str
        Heading of the pages.
    seed : int
        Of all random choices.

    Returns
    -------
    tuple of pathlib.Path, pathlib.Path
        The pages and the key.

    Raises
    ------
    InvalidRequest
        Where there is nothing to rate, or a source says two things to the same question.
    """
    if not texts or pages < 1:
        raise InvalidRequest(
            f"{len(texts)} texts for {pages} pages", expected="at least one of each"
        )
    _refuse_twice(texts)
    said = [*texts, *(_control(texts, seed) if control else ())]
    rows, key = _rows(said, seed)
    sheet = hashlib.sha256(json.dumps([seed, title, key], sort_keys=True).encode()).hexdigest()[:12]
    images = {text.picture: text.image for text in texts}
    shown = {picture: _shown(image) for picture, image in images.items()}
    out.mkdir(parents=True, exist_ok=True)
    written = []
    key_file = out / "key.json"
    if key_file.exists():
        raise InvalidRequest(
            f"{key_file} is the key of sheets written before",
            expected="a folder without one",
            hint="Name another folder: without its key, ratings sent out already cannot be scored",
        )
    for page in range(1, pages + 1):
        # Each page has an order of its own, so that tiredness hits no text on all of them.
        rng = np.random.default_rng((seed, page))
        groups = []
        for at in rng.permutation(len(images)):
            picture = list(images)[at]
            own = [row for row in rows if row["picture"] == picture]
            groups.append(
                {
                    "rows": [own[i] for i in rng.permutation(len(own))],
                    "mime": shown[picture][0],
                    "image": shown[picture][1],
                }
            )
        path = out / f"sheet-{page}.html"
        path.write_text(_page(title, sheet, page, groups), encoding="utf-8")
        written.append(path)
    key_file.write_text(
        json.dumps(
            {"sheet": sheet, "seed": seed, "scale": SCALE, "rows": key},
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )
    return tuple(written), key_file


def _refuse_twice(texts: Sequence[Text]) -> None:
    seen: set[tuple[str, str, str]] = set()
    for text in texts:
        mark = (text.picture, text.source, text.question)
        if mark in seen or text.source == CONTROL:
            raise InvalidRequest(
                f"{text.source!r} speaks twice about {text.picture!r}"
                if mark in seen
                else f"a source is called {CONTROL!r}",
                expected=f"one text of a source for each picture, none called {CONTROL!r}",
            )
        seen.add(mark)


def _control(texts: Sequence[Text], seed: int) -> list[Text]:
    """Return what the first source says, each text given to another picture."""
    first = [text for text in texts if text.source == texts[0].source]
    by_question: dict[str, list[Text]] = {}
    for text in first:
        by_question.setdefault(text.question, []).append(text)
    moved = []
    for own in by_question.values():
        if len(own) < 2:
            continue
        order = derangement(len(own), seed)
        moved += [
            Text(text.picture, text.image, CONTROL, own[at].text, text.question)
            for text, at in zip(own, order, strict=True)
        ]
    return moved


def _rows(texts: Sequence[Text], seed: int) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Return the texts in random order, so that no number tells the source, and the key."""
    merged: dict[tuple[str, str, str], list[str]] = {}
    for text in texts:
        merged.setdefault((text.picture, text.question, text.text), []).append(text.source)
    groups = list(merged.items())
    rows, key = [], {}
    for number, at in enumerate(np.random.default_rng(seed).permutation(len(groups)), 1):
        (picture, question, text), sources = groups[at]
        name = f"r{number:04d}"
        rows.append({"row": name, "picture": picture, "question": question, "text": text})
        key[name] = {"picture": picture, "question": question, "sources": sources, "text": text}
    return rows, key


def _shown(image: Any) -> tuple[str, str]:
    """Return a picture's type and its bytes in base64, as it is where a browser can read it."""
    from astrollava.images import read, render
    from astrollava.images.png import encode_png

    if isinstance(image, str | Path):
        data = Path(image).read_bytes()
        for start, mime in _BROWSERS_READ.items():
            if data.startswith(start) and len(data) <= _MOST_BYTES:
                return mime, base64.b64encode(data).decode("ascii")
    png = encode_png(render(read(image), size=(_SIDE, _SIDE)).rgb)
    return "image/png", base64.b64encode(png).decode("ascii")


@cache
def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _page(title: str, sheet: str, page: int, groups: Sequence[Mapping[str, Any]]) -> str:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: (
            _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value
        ),
    )
    style, script = _part("sheet.css"), _part("sheet.js")
    return environment.from_string(_part("sheet.html")).render(
        title=title,
        sheet=sheet,
        page=page,
        groups=groups,
        criteria=CRITERIA,
        values=SCALE,
        # Ours, not anybody's words; the hashes allow these two and nothing else to run.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
