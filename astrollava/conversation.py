"""Several questions about one image, each answered in the light of those before it."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, overload

from astrollava._session import Seen, Session
from astrollava.results import Answer
from astrollava.streams import TextStream

if TYPE_CHECKING:
    from astrollava.engine import Sampling

__all__ = ["Conversation"]


class Conversation:
    """Several questions about one image, each answered in the light of those before it.

    Made by `Describer.chat`. An answer that was not read to its end is forgotten.
    """

    def __init__(self, session: Session, seen: Seen, sampling: Sampling) -> None:
        self._session = session
        self._seen = seen
        self._sampling = sampling
        self._turns: list[Answer] = []

    @property
    def turns(self) -> tuple[Answer, ...]:
        """The questions and answers so far."""
        return tuple(self._turns)

    @property
    def thumbnail(self) -> bytes:
        """The picture the model sees, as PNG bytes."""
        return self._seen.thumbnail

    @overload
    def ask(self, question: str, *, stream: Literal[False] = ...) -> Answer: ...
    @overload
    def ask(self, question: str, *, stream: Literal[True]) -> TextStream[Answer]: ...
    def ask(self, question: str, *, stream: bool = False) -> Answer | TextStream[Answer]:
        """Ask about the image.

        Parameters
        ----------
        question : str
            The question, in words.
        stream : bool, optional
            Give the text piece by piece.

        Returns
        -------
        Answer or TextStream of Answer

        Raises
        ------
        ContextTooLong
            If the conversation has grown beyond the model's context.
        """
        spoken = self._session.answer(self._seen, question, self._sampling, before=self._turns)
        spoken.then(self._turns.append)
        return spoken if stream else spoken.result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to free: the model belongs to the describer."""

    def __repr__(self) -> str:
        return f"<Conversation of {len(self._turns)} turns with {self._session.facts.name}>"
