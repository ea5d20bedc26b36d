"""The front door: an image in, words, answers and labels out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, overload

from astrollava import prompts, vocabularies
from astrollava._cache import cache_folder
from astrollava._many import Many
from astrollava._session import DESCRIBING, READING, RENDERING, SAMPLING, Session
from astrollava._versions import versions
from astrollava.conversation import Conversation
from astrollava.errors import InvalidRequest
from astrollava.prompts import Prompt
from astrollava.results import Answer, Classification, Description, Extraction
from astrollava.streams import TextStream

if TYPE_CHECKING:
    from astrollava.models import ModelFacts
    from astrollava.selfcheck import SightReport
    from astrollava.vocabularies import Vocabulary

__all__ = ["Describer"]


class Describer(Many):
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
    parallel : int, optional
        Texts generated at the same time at most, in [1, 32]; by default what a quarter of the free
        memory holds, at most 16. The memory is taken when there is first more than one.
    exact : bool, optional
        Whether a text must be the same, to the last bit of the numbers behind it, alone and among
        others; True by default. False is faster for weights other than Q8_0: tokens of several
        texts are then evaluated together although that rounds in another way.
    cache : bool or path, optional
        Keep encoded images on disk, in this folder, or for True in the user's cache folder;
        processes may share it.
    cache_bytes : int, optional
        What they may take there, 1 GiB by default; those used longest ago are removed.

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
        parallel: int | None = None,
        exact: bool = True,
        cache: bool | str | PathLike[str] = False,
        cache_bytes: int = 2**30,
    ) -> None:
        _check_arguments(model, exact, cache, cache_bytes)
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
            parallel=parallel,
            exact=exact,
        )
        if cache is not False:
            folder = cache_folder("images") if cache is True else Path(cache)
            engine.keep_images(folder, cache_bytes, made_by=_image_facts(facts))
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
            The image: whatever `astrollava.images.read` takes. With ``fetch`` a position: a
            `~astropy.coordinates.SkyCoord`, a position in words, or a name to be looked up.
        prompt : str or Prompt, optional
            What to ask for instead of a description: words, or a prompt of `astrollava.prompts`.
        stream : bool, optional
            Give the text piece by piece, as a `TextStream`.
        **options
            Reading: ``hdu``, ``cutout``, ``bands``, ``max_pixels`` (see `astrollava.images.read`).
            Fetching: ``fetch``, the service to ask, ``"auto"`` for the best there is; ``size``, the
            side of the square, an angle; ``pixels``, ``bands`` and ``timeout`` (see
            `astrollava.hooks.fetching.fetch`). ``facts``, of `describe` and `describe_many` alone:
            names of the catalogues to ask about the object in the middle, True for all; what they
            say is ``catalogued`` in the result, and the model is not told.
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
        FetchError
            If a service gives no image, or no facts.
        GenerationError
            If image and prompt do not fit the context.
        InvalidRequest
            If an option is unknown or out of range.
        """
        making, sampling = self._session.options(
            options,
            accepted=(*READING, *DESCRIBING, *RENDERING, *SAMPLING),
            named=("prompt", "stream"),
        )
        seen = self._session.look(source, making, told=True)
        spoken = self._session.describe(seen, prompts.chosen(prompt), sampling)
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
        correct_prior: bool | None = None,
        **options: Any,
    ) -> Classification:
        """Give probabilities over a set of labels.

        For a label set the model was calibrated for (the embedded model: ``"galaxy10"`` with its
        own question) a label's probability is proportional to
        ``p(answer | image, question) ** (1 / T)`` with the temperature T in the model's file,
        fitted on held-out votes.

        For any other model, labels or question the numbers rank the labels and nothing more
        (``calibrated`` is False): each answer's log-probability is divided by its number of words,
        after that for a blank picture was taken off (`correct_prior`; Zhao et al. 2021,
        arXiv:2102.09690). The embedded model was taught a few dozen words; labels outside them mean
        nothing to it.

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
        correct_prior : bool, optional
            Whether each answer's log-probability has that for a blank picture taken off, where the
            labels are not calibrated; by default for models that are not ours.
        **options
            Reading and rendering, as for `describe`.

        Returns
        -------
        Classification
        """
        labels = vocabularies.get(vocabulary, question=question)
        making, sampling = self._session.options(
            options,
            accepted=(*READING, *RENDERING),
            named=("vocabulary", "question", "threshold", "correct_prior"),
        )
        seen = self._session.look(source, making)
        return self._session.classify(
            seen, labels, sampling, threshold=threshold, correct_prior=correct_prior
        )

    def extract(
        self,
        source: Any,
        schema: Any,
        *,
        prompt: str | Prompt | None = None,
        **options: Any,
    ) -> Extraction:
        """Get an object of a given form, always: what the model may say is held to its schema.

        A property that is a boolean or one of a few values, and whose description is a question, is
        asked alone, and the most probable answer is taken. Everything else the model writes, held
        to a grammar made of the schema.

        Parameters
        ----------
        source
            As for `describe`.
        schema : type or mapping
            A dataclass, a pydantic model, any type those may have as a field, or a JSON schema: see
            `astrollava.schema.schema_of`.
        prompt : str or Prompt, optional
            What to ask for the properties that are not asked alone, instead of a list of them.
        **options
            As for `describe`. Without ``max_tokens`` all the context is there to write in.

        Returns
        -------
        Extraction
            ``value`` is an instance of the type, or parsed JSON where a schema was given;
            ``probabilities`` has those of each value that is one of a few.

        Raises
        ------
        InvalidSchema
            The schema has what cannot be held to: which keyword or type, and where.
        ExtractionFailed
            There was no room for all of the object, or the type refuses it; ``text`` is what the
            model wrote.
        ImageError, GenerationError, InvalidRequest
            As for `describe`.
        """
        from astrollava.extraction import Form, extract

        form = Form.of(schema, prompt)
        making, sampling = self._session.options(options, named=("schema", "prompt"))
        if options.get("max_tokens") is None:
            sampling = dataclasses.replace(sampling, max_tokens=self._session.engine.n_ctx)
        return extract(self._session, self._session.look(source, making), form, sampling)

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

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Describer cannot be pickled: it holds a model in the memory of its process. Make one"
            " in each process"
        )

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


def _image_facts(facts: ModelFacts) -> dict[str, str]:
    """Return what an encoded image depends on, besides its pixels and llama.cpp."""
    return {
        "projector": str(facts.files["mmproj"]["sha256"]),
        "rule": f"{facts.render_rule} {facts.render_background}",
        **versions(),
    }


def _check_arguments(model: object, exact: object, cache: object, cache_bytes: object) -> None:
    """Refuse, by the names the caller knows, what would fail later under others."""
    if not isinstance(model, (str, PathLike)):
        raise InvalidRequest(
            f"model is {model!r}", expected="a name, a path or hf:owner/repository:QUANTIZATION"
        )
    if not isinstance(exact, bool):
        raise InvalidRequest(f"exact is {exact!r}", expected="True or False")
    if not isinstance(cache, (bool, str, PathLike)):
        raise InvalidRequest(f"cache is {cache!r}", expected="True, False or a folder")
    if isinstance(cache_bytes, bool) or not isinstance(cache_bytes, int) or cache_bytes < 1:
        raise InvalidRequest(f"cache_bytes is {cache_bytes!r}", expected="a number of 1 or more")
    if not isinstance(cache, bool):
        folder = Path(cache)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError("no permission to write")
        except OSError as error:
            raise InvalidRequest(
                f"cache={str(folder)!r} cannot be a folder for encoded images"
                f" ({error.strerror or error})",
                expected="a folder that can be written",
            ) from None
