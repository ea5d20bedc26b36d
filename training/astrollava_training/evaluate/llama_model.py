"""A GGUF pair under evaluation, run by llama.cpp as a user's `Describer` runs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from astrollava import Describer
from astrollava._flight import in_flight
from astrollava._session import Picture, continued, user_turn
from astrollava.engine import Sampling
from astrollava.errors import ImageError
from astrollava.prompts import custom
from astrollava.results import Description
from astrollava.streams import TextStream
from astrollava.vocabularies import Vocabulary
from astrollava_training.evaluate.models import Model, Query, Reply, Rule

__all__ = ["LlamaModel"]


@dataclass(frozen=True)
class _Begun:
    texts: list[TextStream[Description]]
    scores: tuple[tuple[float, ...], ...]


class LlamaModel(Model):
    """A `Describer` under evaluation.

    Parameters
    ----------
    describer : Describer
        Closed with this.
    """

    def __init__(self, describer: Describer) -> None:
        self._describer = describer
        # Not by `classify_many`: an evaluation wants what the answers score before any temperature,
        # and all that is asked about a picture from one encoding of it.
        self._session = describer._session
        self.name = describer.facts.name
        self.image_size = self._session.engine.image_size

    def facts(self) -> dict[str, Any]:
        """Return the model's fact sheet and the runtime."""
        return {"runtime": "llama.cpp", **asdict(self._describer.facts)}

    def rule(self, vocabulary: Vocabulary) -> Rule:
        """Return the rule `Describer.classify` follows."""
        facts = self._describer.facts
        if self._session.is_calibrated(vocabulary):
            return Rule("sum", facts.label_temperature or 1.0)
        return Rule("corrected" if facts.label_temperature is None else "word")

    def answer(self, queries: Iterable[Query]) -> Iterator[Reply]:
        """Answer queries, as many in flight as the engine works on."""
        session, client = self._session, object()

        def take(query: Query) -> tuple[Query, Picture]:
            return query, session.render(query.picture(), query.options)

        def begin(taken: tuple[Query, Picture]) -> _Begun:
            query, picture = taken
            seen = session.encode(picture)
            sampling = Sampling(max_tokens=query.max_tokens)
            begun = _Begun([], ())
            try:
                for words in query.say:
                    stream = session.describe(seen, custom(words), sampling, client=client)
                    begun.texts.append(stream.start())
                scores = []
                for choice in query.score:
                    prompt = session.engine.format([user_turn(choice.question, image=True)])
                    answers = [continued(prompt, answer) for answer in choice.answers]
                    found = session.engine.score(prompt, [seen.embedding], answers)
                    scores.append(tuple(score.logprob for score in found))
            except BaseException:
                drop(begun)
                raise
            return _Begun(begun.texts, tuple(scores))

        def finish(begun: _Begun) -> Reply:
            return Reply(tuple(stream.result.text for stream in begun.texts), begun.scores)

        def drop(begun: _Begun) -> None:
            for stream in begun.texts:
                stream.close()

        found = in_flight(
            queries,
            take,
            begin,
            finish,
            drop,
            window=session.window,
            together=session.engine.images_together,
            on_error="return",
            progress=False,
            what="asking",
        )
        for reply in found:
            if isinstance(reply, ImageError):
                yield Reply(error=f"{type(reply).__name__}: {reply}")
            elif isinstance(reply, Exception):
                raise reply
            else:
                yield reply

    def close(self) -> None:
        """Free the model."""
        self._describer.close()
