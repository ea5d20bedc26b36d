"""The front door: an image in, words, answers and labels out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from astrollava import prompts, vocabularies
from astrollava._session import READING, RENDERING, Seen, Session, user_turn
from astrollava.errors import InvalidRequest
from astrollava.prompts import Prompt
from astrollava.results import Answer, Classification, Description, Flag, Provenance
from astrollava.streams import TextStream

if TYPE_CHECKING:
    from astrollava.engine import Sampling
    from astrollava.models import ModelFacts
    from astrollava.selfcheck import SightReport
    from astrollava.vocabularies import Vocabulary

__all__ = ["Conversation", "Describer"]


class Describer:
    """Describes astronomical images, answers questions about them and labels them.

    Safe to use from several threads. Holds the model in memory until `close`, or the end of a
    ``with`` block.

    Parameters
    ----------
    model : str or path, optional
        ``"embedded"`` (the default: comes with the package, needs no network), another name of the
        catalogue (``"smolvlm-2.2b"``), ``"hf:owner/repository:Q4_K_M"``, or the path of a GGUF
        language model or of a folder with the pair. Files of a name that are not here are
        downloaded, with a bar on standard error where that is a terminal.
    mmproj : path, optional
        The projector file that belongs to ``model``; looked for beside it where left out.
    n_ctx : int, optional
        Tokens the context holds, for image, questions and answers together; chosen from the model
        by default.
    n_gpu_layers : int, optional
        Layers of the language model to keep on a GPU; -1 for all. Needs a llama-cpp-python built
        for it.
    projector_on_gpu : bool, optional
        Whether images are encoded on the GPU; by default wherever layers are kept there.
    threads : int, optional
        CPU threads; by default the cores this process may use.

    Raises
    ------
    ModelNotFound, InvalidModelFile, ProjectorMismatch, ModelLoadFailed, EngineUnavailable
        If the model cannot be used.
    DownloadFailed, HashMismatch, NotEnoughSpace
        If it has to be downloaded and cannot be.

    Examples
    --------
    >>> from astrollava import Describer
    >>> from astrollava.images import example
    >>> with Describer() as describer:
    ...     result = describer.describe(example())
    >>> print(result.provenance.model["name"])
    astrollava-embedded-v0
    """

    def __init__(
        self,
        model: str | PathLike[str] = "embedded",
        *,
        mmproj: str | PathLike[str] | None = None,
        n_ctx: int | None = None,
        n_gpu_layers: int = 0,
        projector_on_gpu: bool | None = None,
        threads: int | None = None,
    ) -> None:
        from astrollava import models
        from astrollava.engine import Engine
        from astrollava.faithful import faithful
        from astrollava.models import gguf

        right = faithful(models.resolve(model, mmproj))
        files = right.files
        # llama.cpp aborts the process on what a file may say: it sees only what passed here.
        gguf.check_pair(gguf.read_header(files.text), gguf.read_header(files.mmproj))
        facts = models.facts(files, given=right.given, repaired=right.repaired)
        engine = Engine(
            files.text,
            files.mmproj,
            mmproj_twin=right.twin,
            n_ctx=n_ctx,
            n_gpu_layers=n_gpu_layers,
            projector_on_gpu=n_gpu_layers != 0 if projector_on_gpu is None else projector_on_gpu,
            threads=threads,
        )
        self._session = Session(engine, facts)

    @property
    def facts(self) -> ModelFacts:
        """What is known about the model: files, hashes, quantization, render rule, licence."""
        return self._session.facts

    @overload
    def describe(
        self,
        source: Any,
        *,
        prompt: str | Prompt | None = ...,
        stream: Literal[False] = ...,
        **options: Any,
    ) -> Description: ...
    @overload
    def describe(
        self,
        source: Any,
        *,
        prompt: str | Prompt | None = ...,
        stream: Literal[True],
        **options: Any,
    ) -> TextStream[Description]: ...
    def describe(
        self,
        source: Any,
        *,
        prompt: str | Prompt | None = None,
        stream: bool = False,
        **options: Any,
    ) -> Description | TextStream[Description]:
        """Describe an image.

        Parameters
        ----------
        source : path, bytes, HDU, CCDData, Cutout2D, ndarray, PIL image, SkyImage and more
            The image: whatever `astrollava.images.read` takes.
        prompt : str or Prompt, optional
            What to ask for instead of a description: words, or a prompt of `astrollava.prompts`.
        stream : bool, optional
            Give the text piece by piece, as a `TextStream`.
        **options
            Reading: ``hdu``, ``cutout``, ``bands``, ``max_pixels`` (see `astrollava.images.read`).
            Rendering: ``interval``, ``stretch``, ``combine`` (see `astrollava.images.render`).
            Sampling: ``temperature``, ``top_k``, ``top_p``, ``min_p``, ``repeat_penalty``,
            ``seed``, ``max_tokens`` (see `astrollava.engine.Sampling`); greedy by default.

        Returns
        -------
        Description or TextStream of Description

        Raises
        ------
        ImageError
            If the source cannot be read as an image, or not rendered as asked.
        GenerationError
            If image and prompt do not fit the context.
        InvalidRequest
            If an option is unknown or out of range.
        """
        asked = prompts.DESCRIBE if prompt is None else prompt
        if not isinstance(asked, Prompt):
            asked = prompts.custom(asked)
        making, sampling = self._session.options(options, named=("prompt", "stream"))
        seen = self._session.look(source, making)

        def finish(text: str, flags: tuple[Flag, ...], provenance: Provenance) -> Description:
            return Description(
                provenance=provenance, thumbnail=seen.thumbnail(), text=text, flags=flags
            )

        turn = user_turn(asked.text, image=True)
        spoken = self._session.speak(seen, [turn], asked, sampling, finish)
        return spoken if stream else spoken.result

    @overload
    def ask(
        self, source: Any, question: str, *, stream: Literal[False] = ..., **options: Any
    ) -> Answer: ...
    @overload
    def ask(
        self, source: Any, question: str, *, stream: Literal[True], **options: Any
    ) -> TextStream[Answer]: ...
    def ask(
        self, source: Any, question: str, *, stream: bool = False, **options: Any
    ) -> Answer | TextStream[Answer]:
        """Answer one question about an image.

        Parameters
        ----------
        source
            As for `describe`.
        question : str
            The question, in words.
        stream : bool, optional
            Give the text piece by piece.
        **options
            As for `describe`.

        Returns
        -------
        Answer or TextStream of Answer
        """
        with self._converse(source, options, named=("question", "stream")) as conversation:
            return conversation.ask(question, stream=True) if stream else conversation.ask(question)

    def chat(self, source: Any, **options: Any) -> Conversation:
        """Start a conversation about an image, which is read, rendered and encoded once.

        Parameters
        ----------
        source, **options
            As for `describe`.

        Returns
        -------
        Conversation
        """
        return self._converse(source, options)

    def _converse(
        self, source: Any, options: Mapping[str, Any], named: Sequence[str] = ()
    ) -> Conversation:
        making, sampling = self._session.options(options, named=named)
        return Conversation(self._session, self._session.look(source, making), sampling)

    def classify(
        self,
        source: Any,
        vocabulary: str | Vocabulary | Sequence[str] = "galaxy10",
        *,
        question: str | None = None,
        threshold: float | None = None,
        **options: Any,
    ) -> Classification:
        """Give probabilities over a set of labels.

        For a label set the model was calibrated for (the embedded model: ``"galaxy10"`` with its
        own question) a label's probability is proportional to
        ``p(answer | image, question) ** (1 / T)`` with the temperature T in the model's file,
        fitted on held-out votes.

        For any other model, labels or question the numbers rank the labels and nothing more
        (``calibrated`` is False): each answer's log-probability has that for a blank picture taken
        off (Zhao et al. 2021, arXiv:2102.09690) and is divided by its number of words. The embedded
        model was taught a few dozen words; labels outside them mean nothing to it.

        A calibrated model is also asked whether there is a galaxy at all; where it sees none, it
        abstains, however sure it is of the label a galaxy would have (``present``).

        Parameters
        ----------
        source
            As for `describe`.
        vocabulary : str, Vocabulary or sequence of str, optional
            Name of a label set of `astrollava.vocabularies`, or labels of your own.
        question : str, optional
            Asked before the labels are scored; the vocabulary's own by default.
        threshold : float, optional
            Abstain where the best label is less probable than this, in [0, 1]; by default the
            model's own, where it was calibrated, and 0 elsewhere.
        **options
            Reading and rendering, as for `describe`.

        Returns
        -------
        Classification
        """
        labels = vocabularies.get(vocabulary)
        if question is not None:
            labels = vocabularies.from_labels(labels.answers, question=question, name=labels.name)
        session = self._session
        calibrated = session.is_calibrated(labels)
        own = (session.facts.label_threshold or 0.0) if calibrated else 0.0
        limit = own if threshold is None else threshold
        if not 0.0 <= limit <= 1.0:
            raise InvalidRequest(f"threshold is {threshold}", expected="a number from 0 to 1")
        making, sampling = session.options(
            options,
            accepted=(*READING, *RENDERING),
            named=("vocabulary", "question", "threshold"),
        )
        seen = session.look(source, making)
        shares = session.label_shares(seen, labels)
        present = session.label_presence(seen, labels)
        asked = prompts.scoring(labels.name, labels.question, labels.answers)
        generation = {"finish_reason": "scored", "labels": len(shares)}
        return Classification(
            provenance=session.provenance(seen, asked, sampling, generation),
            thumbnail=seen.thumbnail(),
            vocabulary=labels.name,
            probabilities=shares,
            abstained=max(shares.values()) < limit,
            threshold=limit,
            calibrated=calibrated,
            present=present,
        )

    def check(self) -> SightReport:
        """Check that the model sees: its answers must change with the image.

        Returns
        -------
        SightReport
            ``passed``, and a line for every comparison made.
        """
        from astrollava.selfcheck import check_sight

        return check_sight(self)

    def close(self) -> None:
        """Free the model; doing it twice is fine, using it afterwards raises `ClosedError`."""
        self._session.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        facts = self._session.facts
        state = " (closed)" if self._session.engine.closed else ""
        return f"<Describer {facts.name} {facts.quantization}{state}>"


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
        return self._seen.thumbnail()

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
        asked = prompts.custom(question)
        messages: list[Mapping[str, Any]] = []
        for turn in self._turns:
            messages += [
                user_turn(turn.question, image=not messages),
                {"role": "assistant", "content": turn.text},
            ]
        messages.append(user_turn(question, image=not messages))

        def finish(text: str, flags: tuple[Flag, ...], provenance: Provenance) -> Answer:
            answer = Answer(
                provenance=provenance,
                thumbnail=self._seen.thumbnail(),
                question=question,
                text=text,
                flags=flags,
            )
            self._turns.append(answer)
            return answer

        spoken = self._session.speak(self._seen, messages, asked, self._sampling, finish)
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
