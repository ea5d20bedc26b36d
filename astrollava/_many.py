"""Many images, or many questions, at a time, and asking without waiting: part of `Describer`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from astrollava import prompts, vocabularies
from astrollava._fetched import Ahead, several, with_ahead
from astrollava._flight import check_on_error, in_flight
from astrollava._session import DESCRIBING, READING, RENDERING, SAMPLING, Picture, Session
from astrollava.errors import InvalidRequest
from astrollava.results import Answer, Classification, Description

if TYPE_CHECKING:
    from astrollava.prompts import Prompt
    from astrollava.streams import TextStream
    from astrollava.vocabularies import Vocabulary

__all__ = ["Many"]

#: What can be iterated, and is one image, or its path.
_ONE: Final = (str, bytes, bytearray, memoryview, PathLike)

Begun = TypeVar("Begun")
Result = TypeVar("Result")


class Many:
    """What `Describer` does with many images at a time, or while the caller does something else."""

    _session: Session

    def describe_many(
        self,
        sources: Iterable[Any],
        *,
        prompt: str | Prompt | None = None,
        on_error: Literal["raise", "return"] = "raise",
        progress: bool = True,
        **options: Any,
    ) -> Generator[Description | Exception, None, None]:
        """Describe many images, several at a time; each as if it were alone.

        Parameters
        ----------
        sources : iterable
            Images as `describe` takes them; with ``fetch`` positions and names, a `SkyCoord` of
            many positions, or a table with columns ``ra`` and ``dec`` or the like: they are fetched
            ahead, several at a time. It is asked for more as results are taken, never more
            than some dozens ahead, so that it may go on for ever. Each is read before the next is
            asked for: it may be an array that is used again, or a file that is closed then.
            An array of two or three axes is one image, and refused; one of four is a stack of
            images, ``(images, bands, ny, nx)`` or ``(images, ny, nx, 3)``.
        prompt : str or Prompt, optional
            As for `describe`, for all of them.
        on_error : {"raise", "return"}
            What to do about an image that cannot be read or described: raise, which ends the
            iteration, or give the error in the place of the description.
        progress : bool, optional
            Show a bar on standard error, where that is a terminal.
        **options
            As for `describe`, for all of them.

        Returns
        -------
        iterator of Description
            In the order of the sources; with ``on_error="return"`` of exceptions, too. Leaving it
            early ends the work on what was ahead.

        Raises
        ------
        InvalidRequest
            If an option is unknown or out of range, or `sources` is a single image.
        """
        if "stream" in options:
            raise InvalidRequest(
                "describe_many does not stream the texts of many images",
                expected="no option stream",
                hint="Its results come one by one; for the pieces of one text call"
                " describe(source, stream=True)",
            )
        asked = prompts.chosen(prompt)
        session = self._session
        making, sampling = session.options(
            options,
            accepted=(*READING, *DESCRIBING, *RENDERING, *SAMPLING),
            named=("prompt", "on_error", "progress"),
        )
        client = object()

        def begin(picture: Picture) -> TextStream[Description]:
            seen = session.encode(picture)
            return session.describe(seen, asked, sampling, client=client).start()

        return _flight(
            session,
            sources,
            lambda source: session.render(source, making, told=True),
            begin,
            lambda spoken: spoken.result,
            lambda spoken: spoken.close(),
            making,
            on_error=check_on_error(on_error),
            progress=progress,
            what="describing",
        )

    def classify_many(
        self,
        sources: Iterable[Any],
        vocabulary: str | Vocabulary | Sequence[str] = "galaxy10",
        *,
        question: str | None = None,
        threshold: float | None = None,
        correct_prior: bool | None = None,
        on_error: Literal["raise", "return"] = "raise",
        progress: bool = True,
        **options: Any,
    ) -> Generator[Classification | Exception, None, None]:
        """Label many images.

        Parameters
        ----------
        sources, on_error, progress
            As for `describe_many`.
        vocabulary, question, threshold, correct_prior, **options
            As for `Describer.classify`.

        Returns
        -------
        iterator of Classification
            In the order of the sources; with ``on_error="return"`` of exceptions, too.
        """
        labels = vocabularies.get(vocabulary, question=question)
        session = self._session
        making, sampling = session.options(
            options,
            accepted=(*READING, *RENDERING),
            named=(
                "vocabulary",
                "question",
                "threshold",
                "correct_prior",
                "on_error",
                "progress",
            ),
        )

        def label(picture: Picture) -> Classification:
            return session.classify(
                session.encode(picture),
                labels,
                sampling,
                threshold=threshold,
                correct_prior=correct_prior,
            )

        return _flight(
            session,
            sources,
            lambda source: session.render(source, making),
            label,
            lambda labelled: labelled,
            lambda labelled: None,
            making,
            on_error=check_on_error(on_error),
            progress=progress,
            what="labelling",
        )

    def ask_all(self, source: Any, questions: Sequence[str], **options: Any) -> list[Answer]:
        """Answer several questions about one image, each on its own, all at a time.

        The image is read, rendered, encoded and read by the language model once.

        Parameters
        ----------
        source, **options
            As for `describe`.
        questions : sequence of str
            The questions, in words.

        Returns
        -------
        list of Answer
            In the order of the questions; each what `ask` answers.
        """
        if isinstance(questions, str):
            raise InvalidRequest("questions is one text", expected="a sequence of texts")
        session = self._session
        making, sampling = session.options(options, named=("questions",))
        seen, client = session.look(source, making), object()
        streams = [session.answer(seen, text, sampling, client=client) for text in questions]
        try:
            for stream in streams:
                stream.start()
            return [stream.result for stream in streams]
        finally:
            for stream in streams:
                stream.close()

    async def adescribe(
        self, source: Any, *, prompt: str | Prompt | None = None, **options: Any
    ) -> Description:
        """Describe an image without holding up the event loop; as `describe`.

        Cancelling the task ends the text. It comes whole: to have it piece by piece, iterate over
        ``describe(source, stream=True)`` in a thread.
        """
        _refuse_stream(options, "describe")
        asked = prompts.chosen(prompt)
        session = self._session
        making, sampling = session.options(
            options, accepted=(*READING, *DESCRIBING, *RENDERING, *SAMPLING), named=("prompt",)
        )
        seen = await asyncio.to_thread(session.look, source, making, told=True)
        return (await session.describe(seen, asked, sampling).finished()).result

    async def aask(self, source: Any, question: str, **options: Any) -> Answer:
        """Answer a question without holding up the event loop; as `ask`, but whole."""
        _refuse_stream(options, "ask")
        session = self._session
        making, sampling = session.options(options, named=("question",))
        seen = await asyncio.to_thread(session.look, source, making)
        return (await session.answer(seen, question, sampling).finished()).result

    async def aclassify(
        self,
        source: Any,
        vocabulary: str | Vocabulary | Sequence[str] = "galaxy10",
        *,
        question: str | None = None,
        threshold: float | None = None,
        correct_prior: bool | None = None,
        **options: Any,
    ) -> Classification:
        """Label an image without holding up the event loop; as `Describer.classify`."""
        labels = vocabularies.get(vocabulary, question=question)
        session = self._session
        making, sampling = session.options(
            options,
            accepted=(*READING, *RENDERING),
            named=("vocabulary", "question", "threshold", "correct_prior"),
        )
        seen = await asyncio.to_thread(session.look, source, making)
        return await asyncio.to_thread(
            session.classify,
            seen,
            labels,
            sampling,
            threshold=threshold,
            correct_prior=correct_prior,
        )


def _refuse_stream(options: Mapping[str, Any], method: str) -> None:
    if "stream" in options:
        raise InvalidRequest(
            f"a{method} does not stream: it gives the whole result",
            expected="no option stream",
            hint=f"To have the text piece by piece, iterate over {method}(..., stream=True) in a"
            " thread: asyncio.to_thread",
        )


def _flight(
    session: Session,
    sources: Iterable[Any],
    render: Callable[[Any], Picture],
    begin: Callable[[Picture], Begun],
    finish: Callable[[Begun], Result],
    drop: Callable[[Begun], None],
    making: Mapping[str, Any],
    **how: Any,
) -> Generator[Result | Exception, None, None]:
    """Work on images ahead, or fetch them ahead of that where they come from a service."""
    how["together"] = session.engine.images_together
    if "fetch" not in making:
        return in_flight(
            _several(sources), render, begin, finish, drop, window=session.window, **how
        )
    ahead = Ahead(render)
    window = session.window + ahead.threads
    given = several(sources) if "fetch" in making else _several(sources)
    flight = in_flight(_several(given), ahead.submit, begin, finish, drop, window=window, **how)
    return with_ahead(ahead, flight)


def _several(sources: Iterable[Any]) -> Iterable[Any]:
    if hasattr(sources, "colnames") or hasattr(sources, "columns"):
        raise InvalidRequest(
            f"sources is a {type(sources).__name__}, and nothing says how its rows become images",
            expected="an iterable of images, such as a column of paths: list(table['path'])",
            hint="Where its rows are positions, say where to fetch them: fetch='auto', size=...",
        )
    if getattr(sources, "ndim", None) in (2, 3):
        # Its planes or rows would be described one by one, and nothing would say so.
        raise InvalidRequest(
            f"sources is a single {type(sources).__name__} of shape {tuple(sources.shape)}",  # type: ignore[attr-defined]
            expected="an iterable of images, such as a list of arrays",
            hint="For one image call describe, or put it into a list; for a stack of images of one"
            " plane pass list(array)",
        )
    if isinstance(sources, Mapping):
        raise InvalidRequest(
            f"sources is a {type(sources).__name__}, and its keys are no images",
            expected="an iterable of images, such as a list of paths",
            hint="Pass list(sources.values()); where it holds columns of positions, say where to"
            " fetch them: fetch='auto', size=...",
        )
    if isinstance(sources, _ONE) or _is_one(sources) or not isinstance(sources, Iterable):
        raise InvalidRequest(
            f"sources is a single {type(sources).__name__}",
            expected="an iterable of images, such as a list of paths",
            hint="For one image call describe, or put it into a list",
        )
    return sources


def _is_one(sources: Any) -> bool:
    """Whether what can be iterated is one image all the same: an open file, or an HDU list."""
    return hasattr(sources, "read") or hasattr(sources, "fileinfo")
