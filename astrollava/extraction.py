"""Objects out of images: a model held to the grammar of a schema, and asked question by question.

A schema is told to the model and becomes a grammar, so that whatever the model says is an object of
that schema. A small model was never taught to fill in forms, though: asked to, the embedded one
says true to everything. What it was taught is to answer questions. So a property that is described
by a question, and is one of a few values, is asked alone, in words, and only its answer is put into
the object; see docs/extract.md for what was measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from astrollava import prompts
from astrollava import schema as schemas
from astrollava._session import (
    Seen,
    Session,
    continued,
    generation_record,
    softmax,
    supplied,
    user_turn,
)
from astrollava.errors import ContextTooLong, ExtractionFailed, InvalidRequest
from astrollava.grounding import find_claims, find_loops
from astrollava.prompts import Prompt
from astrollava.results import Extraction, Flag

if TYPE_CHECKING:
    from astrollava.engine import Sampling
    from astrollava.schema.nodes import Literals

__all__ = ["Form", "extract"]

#: Characters of a text that was cut off which its error shows; it has all of it.
_SHOWN = 200

_PUNCTUATION = str.maketrans('"_{}[]', " " * 6)

_FIRST = "Look at the image and answer with a JSON object of these properties:"


@dataclass(frozen=True)
class Form:
    """What is to be extracted, read and checked once for any number of images.

    Attributes
    ----------
    kind : type or mapping
        What was asked for.
    schema : mapping
        Its JSON schema.
    compiled : Compiled
        The same, read.
    questions : tuple of Question
        What is asked alone.
    asked : Prompt
        What is asked for the rest.
    """

    kind: Any
    schema: Mapping[str, Any]
    compiled: schemas.Compiled
    questions: tuple[schemas.Question, ...]
    asked: Prompt

    @classmethod
    def of(cls, kind: Any, prompt: str | Prompt | None = None) -> Form:
        """Read what is asked for.

        Raises
        ------
        InvalidSchema
            It cannot be held to.
        InvalidRequest
            The prompt is blank.
        """
        given = schemas.schema_of(kind)
        compiled = schemas.compile_schema(given)
        # Refused here, before any image is read.
        schemas.grammar(compiled)
        if prompt is None:
            words = prompts.custom(f"{_FIRST}\n{schemas.outline(compiled)}")
            prompt = Prompt("extract", words.version, words.text)
        asked = prompt if isinstance(prompt, Prompt) else prompts.custom(prompt)
        return cls(kind, given, compiled, tuple(schemas.questions(compiled)), asked)


def extract(
    session: Session, seen: Seen, form: Form, sampling: Sampling, *, client: object = None
) -> Extraction:
    """Fill in a form from an image.

    Parameters
    ----------
    session : Session
        The model.
    seen : Seen
        The image.
    form : Form
        What is asked for.
    sampling : Sampling
        How the text is drawn that no question decides. Questions are answered by the most probable
        answer, whatever the temperature.
    client : object, optional
        As for `Engine.complete`.

    Raises
    ------
    ExtractionFailed
        The text was cut off, or the type refuses it for reasons a schema cannot say; the error has
        the text.
    """
    filling = _Filling(session, seen, form, sampling, client)
    text = filling.text()
    value = _built(form, text)
    record = session.provenance(seen, form.asked, sampling, filling.generation)
    record = replace(record, prompt={**record.prompt, "schema": form.schema})
    return Extraction(
        provenance=record,
        thumbnail=seen.thumbnail,
        value=value,
        text=text,
        probabilities=filling.shares,
        flags=_flags(text, seen, form.asked),
    )


def _flags(text: str, seen: Seen, asked: Prompt) -> tuple[Flag, ...]:
    """Find what not to believe, also where the name of a property says what a number is."""
    # As words, each at its place: "redshift":0.03 becomes redshift: 0.03.
    words = text.translate(_PUNCTUATION).replace(" :", ": ")
    claims = find_claims(words, has_wcs=seen.has_wcs, supplied_names=supplied(seen, asked.text))
    found = (*claims, *find_loops(words))
    return tuple(replace(flag, text=text[flag.start : flag.end]) for flag in found)


class _Filling:
    """One form being filled in, from the first value to the last.

    At temperature 0 a value that is one of a few is the most probable of them, each scored whole:
    token by token, a model held to a grammar may take another, whose first letter it likes best.
    """

    def __init__(
        self, session: Session, seen: Seen, form: Form, sampling: Sampling, client: object
    ) -> None:
        self._engine = session.engine
        self._images = [seen.embedding]
        self._form = form
        self._sampling = sampling
        self._client = client
        self._left = form.compiled
        self._prompt = self._engine.format([user_turn(form.asked.text, image=True)])
        self.shares: dict[str, dict[str, float]] = {}
        self.generation: dict[str, Any] = {}

    def text(self) -> str:
        """Return the object as JSON."""
        for question in self._form.questions:
            prompt = self._engine.format([user_turn(question.text, image=True)])
            answers = [continued(prompt, word) for word in question.choices.words]
            self._decide(question.path, question.choices, self._scored(prompt, answers))
        greedy = self._sampling.temperature == 0
        known = schemas.ahead(self._left)
        while greedy and known.choices is not None:
            scores = self._scored(self._prompt + known.text, _ended(known.choices))
            self._decide(known.path, known.choices, scores)
            known = schemas.ahead(self._left)
        if not known.path:
            self.generation = {"finish_reason": "scored", "labels": len(self.shares)}
            return known.text
        while True:
            text = self._written()
            if not self._look_through(text, greedy):
                return text

    def _look_through(self, text: str, greedy: bool) -> bool:
        """Score what was chosen; True if a choice was changed, so that the text must be, too."""
        for place in schemas.places(text, self._form.compiled):
            if place.path in self.shares:
                continue
            before = self._prompt + text[: place.start]
            try:
                scores = self._scored(before, _ended(place.choices))
            except ContextTooLong:
                # No room for the longest: nothing can be said of the others.
                continue
            left = self._left
            best = self._decide(place.path, place.choices, scores, change=greedy)
            if best != text[place.start : place.end] and self._left != left:
                return True
        return False

    def _scored(self, prompt: str, texts: Sequence[str]) -> list[float]:
        return [score.logprob for score in self._engine.score(prompt, self._images, texts)]

    def _decide(
        self, path: str, choices: Literals, scores: Sequence[float], *, change: bool = True
    ) -> str:
        """Note the shares of values, require the best of them, and return its text."""
        self.shares[path] = dict(zip(_labels(choices), softmax(scores, 1.0), strict=True))
        best = schemas.only(choices, max(range(len(scores)), key=scores.__getitem__))
        if change:
            self._left = schemas.fixed(self._left, {path: best})
        return best.texts[0]

    def _written(self) -> str:
        """Let the model write all that is not decided."""
        completion = self._engine.complete(
            self._prompt,
            self._images,
            sampling=self._sampling,
            grammar=schemas.grammar(self._left),
            client=self._client,
        )
        text = completion.run()
        reason = completion.finish_reason
        if reason != "stop":
            cut = {"length": "max_tokens was reached", "context": "the context is full"}
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
            raise ExtractionFailed(
                f"the object was cut off: {cut.get(reason or '', 'it was cancelled')} ({shown})",
                hint="Ask for less, set maxLength and maxItems in the schema, or give more room"
                " with max_tokens or n_ctx",
                text=text,
            )
        self.generation = generation_record(completion)
        return text


def _ended(choices: Literals) -> list[str]:
    """Return the texts of values so that none is the start of another."""
    # A number goes on where another ends: a comma tells 1 from 12.
    numbers = any(text[-1:].isdigit() for text in choices.texts)
    return [f"{text}," for text in choices.texts] if numbers else list(choices.texts)


def _labels(choices: Literals) -> list[str]:
    """Return the values as keys: strings as they are, unless another value is written so."""
    pairs = list(zip(choices.values, choices.texts, strict=True))
    labels = [value if isinstance(value, str) else text for value, text in pairs]
    return labels if len(set(labels)) == len(labels) else list(choices.texts)


def _built(form: Form, text: str) -> Any:
    try:
        value = json.loads(text)
        schemas.validate(value, form.compiled)
    # A vocabulary may have tokens that llama.cpp and Python read differently.
    except (ValueError, RecursionError) as error:
        raise ExtractionFailed(
            f"the model wrote what its grammar forbids ({error})",
            hint="Its vocabulary may be damaged: check the file against its published hash",
            text=text,
        ) from error
    try:
        return schemas.build(form.kind, value)
    except InvalidRequest as error:
        raise ExtractionFailed(
            error.problem, expected=error.expected, hint=error.hint, text=text
        ) from error
