"""What stands behind the front door: image, model and words brought together for one request.

`Describer` and `Conversation` say what can be asked; here it is done, so that both do it alike.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from astrollava import _plugged, prompts
from astrollava._fetched import READING, Facts, catalogued, image_of
from astrollava._versions import versions
from astrollava.errors import ClosedError, InvalidRequest
from astrollava.grounding import find_claims, find_loops, find_untaught
from astrollava.results import Answer, Catalogued, Classification, Description, Flag, Provenance
from astrollava.streams import TextStream
from astrollava.vocabularies import GALAXY10, from_labels

if TYPE_CHECKING:
    from astrollava.engine import Completion, Engine, ImageEmbedding, Sampling
    from astrollava.images import Rendered
    from astrollava.models import ModelFacts
    from astrollava.prompts import Prompt
    from astrollava.vocabularies import Vocabulary

__all__ = [
    "DESCRIBING",
    "READING",
    "RENDERING",
    "SAMPLING",
    "Picture",
    "Seen",
    "Session",
    "continued",
    "generation_record",
    "softmax",
    "supplied",
    "user_turn",
]

DESCRIBING = ("facts",)
RENDERING = ("interval", "stretch", "combine")
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed", "max_tokens")

#: What others call an option, where the spelling does not lead to it.
_OTHER_WORDS = {
    "labels": "vocabulary",
    "label": "vocabulary",
    "classes": "vocabulary",
    "candidate_labels": "vocabulary",
    "extension": "hdu",
    "ext": "hdu",
}

#: Keys of `SkyImage.meta` whose values name the object or how it was observed.
_NAMING = ("object", "telescope", "instrument", "survey", "filter")

#: Vocabularies whose scores on a blank picture are remembered.
_PRIORS = 256

Result = TypeVar("Result", Description, Answer)
Finish = Callable[[str, tuple[Flag, ...], Provenance], Result]


@dataclass(frozen=True, eq=False)
class Picture:
    """An image that was read and rendered.

    The pixels that were read are not kept: many images may be in flight.

    Attributes
    ----------
    source : mapping
        What it was read from.
    has_wcs : bool
        Whether it has a scale on the sky.
    names : tuple of str
        The header's names for the object and how it was observed.
    rendered : Rendered
        What the model sees.
    given : object
        The source itself, where plugins are to be told of it; else None.
    catalogued : tuple of Catalogued or None
        What catalogues say of what is in its middle; None where none was asked.
    """

    source: Mapping[str, Any]
    has_wcs: bool
    names: tuple[str, ...]
    rendered: Rendered
    given: Any
    catalogued: tuple[Catalogued, ...] | None

    @functools.cached_property
    def thumbnail(self) -> bytes:
        """The picture the model sees, as PNG bytes."""
        from astrollava.images.png import encode_png

        return encode_png(self.rendered.rgb)


@dataclass(frozen=True, eq=False)
class Seen(Picture):
    """A picture, also as the language model reads it: what is asked of it needs no more."""

    embedding: ImageEmbedding


@dataclass(frozen=True, eq=False)
class Session:
    """An engine and what is known about the model in it."""

    engine: Engine
    facts: ModelFacts
    #: Question and answers of a vocabulary -> what a blank picture scores.
    priors: dict[tuple[object, ...], list[float]] = field(default_factory=dict)

    @property
    def window(self) -> int:
        """How many images to have in flight, so that the engine need not wait for one."""
        return 2 * self.engine.parallel + 2

    def options(
        self,
        given: Mapping[str, Any],
        accepted: Sequence[str] = (*READING, *RENDERING, *SAMPLING),
        *,
        named: Sequence[str] = (),
    ) -> tuple[dict[str, Any], Sampling]:
        """Part options into those that make the picture and those that choose the words.

        An option given as None counts as left out. ``named`` are the parameters the method has
        besides: one of those may have been meant.
        """
        from astrollava.engine import Sampling

        for name in given:
            if name not in accepted:
                known = (*named, *accepted)
                near = _meant(name, known)
                raise InvalidRequest(
                    f"there is no option {name!r}",
                    expected=f"one of {', '.join(known)}",
                    hint=f"Did you mean {near!r}?" if near else "",
                )
        chosen = {name: value for name, value in given.items() if value is not None}
        if "facts" in chosen:
            chosen["facts"] = Facts(chosen["facts"], chosen.get("timeout", 60.0))
        words = {name: chosen.pop(name) for name in SAMPLING if name in chosen}
        return chosen, Sampling(**words)

    def look(self, source: Any, options: Mapping[str, Any], *, told: bool = False) -> Seen:
        """Read, render and encode an image; ``told`` as for `render`."""
        return self.encode(self.render(source, options, told=told))

    def render(self, source: Any, options: Mapping[str, Any], *, told: bool = False) -> Picture:
        """Read and render an image.

        Nothing of the source is kept, unless it is to be described (``told``) and there are plugins
        that want to know of it.
        """
        from astrollava import images

        if self.engine.closed:
            raise ClosedError("this Describer is closed", hint="Make a new one")
        image = image_of(source, options)
        described, known = image.describe_source(), None
        facts = options.get("facts")
        if facts:
            known, described["facts"] = catalogued(image, facts)
        rendered = images.render(
            image,
            size=self.engine.image_size,
            rule=self.facts.render_rule,
            background=self.facts.render_background,
            **{k: v for k, v in options.items() if k in RENDERING},
        )
        return Picture(
            source=described,
            has_wcs=image.wcs is not None,
            names=tuple(str(image.meta[key]) for key in _NAMING if image.meta.get(key)),
            rendered=rendered,
            given=source if told and _plugged.listening() else None,
            catalogued=known,
        )

    def encode(self, picture: Picture) -> Seen:
        """Run the vision tower on a picture, or remember what it gave."""
        return Seen(
            picture.source,
            picture.has_wcs,
            picture.names,
            picture.rendered,
            picture.given,
            picture.catalogued,
            self.engine.encode_image(picture.rendered.rgb),
        )

    def describe(
        self, seen: Seen, asked: Prompt, sampling: Sampling, *, client: object = None
    ) -> TextStream[Description]:
        """Describe an image; nothing is computed yet."""

        def finish(text: str, flags: tuple[Flag, ...], provenance: Provenance) -> Description:
            described = Description(
                provenance=provenance,
                thumbnail=seen.thumbnail,
                text=text,
                flags=flags,
                catalogued=seen.catalogued,
            )
            if seen.given is not None:
                _plugged.tell(described, seen.given)
            return described

        turn = user_turn(asked.text, image=True)
        return self.speak(seen, [turn], asked, sampling, finish, client=client)

    def answer(
        self,
        seen: Seen,
        question: str,
        sampling: Sampling,
        *,
        before: Sequence[Answer] = (),
        client: object = None,
    ) -> TextStream[Answer]:
        """Answer a question in the light of those before it; nothing is computed yet."""
        messages: list[Mapping[str, Any]] = []
        for turn in before:
            messages += [
                user_turn(turn.question, image=not messages),
                {"role": "assistant", "content": turn.text},
            ]
        messages.append(user_turn(question, image=not messages))

        def finish(text: str, flags: tuple[Flag, ...], provenance: Provenance) -> Answer:
            return Answer(
                provenance=provenance,
                thumbnail=seen.thumbnail,
                question=question,
                text=text,
                flags=flags,
            )

        asked = prompts.custom(question)
        return self.speak(seen, messages, asked, sampling, finish, client=client)

    def classify(
        self,
        seen: Seen,
        labels: Vocabulary,
        sampling: Sampling,
        *,
        threshold: float | None = None,
        correct_prior: bool | None = None,
    ) -> Classification:
        """Give probabilities over labels; abstain under the threshold, by default the model's."""
        calibrated = self.is_calibrated(labels)
        own = (self.facts.label_threshold or 0.0) if calibrated else 0.0
        limit = own if threshold is None else threshold
        if not 0.0 <= limit <= 1.0:
            raise InvalidRequest(f"threshold is {threshold}", expected="a number from 0 to 1")
        if correct_prior is None:
            # A model of ours says of a blank picture that it is empty: its answers to anything else
            # there are worth nothing.
            correct_prior = self.facts.label_temperature is None
        corrected = correct_prior and not calibrated
        shares = self.label_shares(seen, labels, correct_prior=corrected)
        present = self.label_presence(seen, labels)
        asked = prompts.scoring(labels.name, labels.question, labels.answers)
        generation = {
            "finish_reason": "scored",
            "labels": len(shares),
            "prior_corrected": corrected,
        }
        return Classification(
            provenance=self.provenance(seen, asked, sampling, generation),
            thumbnail=seen.thumbnail,
            vocabulary=labels.name,
            probabilities=shares,
            abstained=max(shares.values()) < limit,
            threshold=limit,
            calibrated=calibrated,
            present=present,
        )

    def speak(
        self,
        seen: Seen,
        messages: Sequence[Mapping[str, Any]],
        asked: Prompt,
        sampling: Sampling,
        finish: Finish[Result],
        *,
        client: object = None,
    ) -> TextStream[Result]:
        """Answer the last of the messages; ``finish`` makes the result of the whole text."""
        engine = self.engine
        completion = engine.complete(
            engine.format(messages), [seen.embedding], sampling=sampling, client=client
        )

        def conclude() -> Result:
            text: str = completion.text.strip()
            flags = (
                *find_untaught(text, asked.text, self.facts.questions),
                *find_claims(text, has_wcs=seen.has_wcs, supplied_names=supplied(seen, asked.text)),
                *find_loops(text),
            )
            record = self.provenance(seen, asked, sampling, generation_record(completion))
            return finish(text, flags, record)

        return TextStream(completion, conclude, seen.thumbnail)

    def is_calibrated(self, labels: Vocabulary) -> bool:
        """Whether the model's file holds constants fitted for these labels and this question."""
        return self.facts.label_temperature is not None and labels == GALAXY10

    def label_shares(
        self, seen: Seen, labels: Vocabulary, *, correct_prior: bool
    ) -> dict[str, float]:
        """Return the probability of each label; they add up to one."""
        scores = self._scores(seen.embedding, labels)
        if self.is_calibrated(labels):
            shares = softmax(scores, self.facts.label_temperature or 1.0)
        else:
            if correct_prior:
                # How likely the words are whatever is shown would drown the picture (Zhao et al.
                # 2021, arXiv:2102.09690).
                blank = self._scores_of_nothing(labels)
                scores = [score - nothing for score, nothing in zip(scores, blank, strict=True)]
            lengths = [max(len(labels.answers[label].split()), 1) for label in labels.labels]
            shares = softmax([s / n for s, n in zip(scores, lengths, strict=True)], 1.0)
        return dict(zip(labels.labels, shares, strict=True))

    def label_presence(self, seen: Seen, labels: Vocabulary) -> float | None:
        """Return how probable it is that there is anything to label; None for a foreign model."""
        asked = labels.presence
        if asked is None or not self.is_calibrated(labels):
            return None
        either = from_labels({"yes": asked.yes, "no": asked.no}, question=asked.question)
        return softmax(self._scores(seen.embedding, either), 1.0)[0]

    def _scores(self, embedding: ImageEmbedding, labels: Vocabulary) -> list[float]:
        prompt = self.engine.format([user_turn(labels.question, image=True)])
        answers = [continued(prompt, labels.answers[label]) for label in labels.labels]
        return [score.logprob for score in self.engine.score(prompt, [embedding], answers)]

    def _scores_of_nothing(self, labels: Vocabulary) -> list[float]:
        """Return the scores on a blank picture, which are the same each time."""
        import numpy as np

        key = labels.question, tuple(labels.answers.items())
        known = self.priors.get(key)
        if known is None:
            blank = self.engine.encode_image(np.zeros((*self.engine.image_size, 3), np.uint8))
            known = self._scores(blank, labels)
            if len(self.priors) < _PRIORS:
                self.priors[key] = known
        return known

    def provenance(
        self, seen: Seen, asked: Prompt, sampling: Sampling, generation: Mapping[str, Any]
    ) -> Provenance:
        """Return the record of a result."""
        from astrollava.images import versions_behind

        facts, lost = self.facts, self.engine.lost_patches
        record = seen.rendered.record
        return Provenance(
            model={
                "name": facts.name,
                "files": facts.files,
                "quantization": facts.quantization,
                "licence": facts.licence,
                **({"repaired": list(facts.repaired)} if facts.repaired else {}),
                **({"lost_patches": list(lost)} if lost else {}),
            },
            prompt={"id": asked.id, "version": asked.version, "text": asked.text},
            sampling={name: getattr(sampling, name) for name in SAMPLING},
            rendering=record.to_dict(),
            source=seen.source,
            generation=generation,
            versions={**versions(), **versions_behind(record)},
            created=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        )


def user_turn(text: str, *, image: bool) -> dict[str, Any]:
    """Make a user's message for the chat template, the image, if any, before the words."""
    if not image:
        return {"role": "user", "content": text}
    return {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}


def _meant(name: str, known: Sequence[str]) -> str:
    """Return the option that was probably meant, or nothing."""
    word = name.lower()
    other = _OTHER_WORDS.get(word, "")
    near = difflib.get_close_matches(word, known, n=1)
    return other if other in known else near[0] if near else ""


def continued(prompt: str, answer: str) -> str:
    """Write the answer as it would follow the prompt: after a word or a colon comes a space."""
    return answer if not prompt or prompt[-1].isspace() or prompt[-1] == ">" else f" {answer}"


def supplied(seen: Seen, question: str) -> list[str]:
    """Names the model need not have invented: the header's, and those in the question."""
    return [*seen.names, *(claim.text for claim in find_claims(question))]


def softmax(scores: Sequence[float], temperature: float) -> list[float]:
    """Return shares, adding up to one, of log-probabilities divided by a temperature."""
    top = max(scores)
    weights = [math.exp((score - top) / temperature) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def generation_record(completion: Completion) -> dict[str, Any]:
    """Return what provenance keeps of a text that was generated."""
    return {
        "finish_reason": completion.finish_reason,
        "prompt_tokens": completion.prompt_tokens,
        "reused_tokens": completion.reused_tokens,
        "generated_tokens": completion.generated_tokens,
        "seconds": round(completion.seconds, 3),
    }
