"""What is evaluated: anything that answers about pictures and says how probable answers are.

Two ways lead to the same answers: llama.cpp on a GGUF pair (`LlamaModel`) and transformers on a
checkpoint (`TorchModel`). Both read pictures rendered by the same code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest, ModelError
from astrollava.prompts import DESCRIBE
from astrollava.vocabularies import Vocabulary
from astrollava_training.evaluate.calibrate import softmax

__all__ = ["Choice", "Model", "Query", "Reply", "Rule", "open_model"]

#: Tokens a description or an answer may have where nothing else is said: as in the released
#: evaluation of AstroLLaVA.
MAX_TOKENS = 200


@dataclass(frozen=True)
class Choice:
    """A question and the answers whose probabilities are wanted.

    Attributes
    ----------
    question : str
        The user's turn.
    answers : tuple of str
        The exact answers.
    """

    question: str
    answers: tuple[str, ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> Choice:
        """Return the question and the answers of a vocabulary, in the order of its labels."""
        answers = tuple(vocabulary.answers[label] for label in vocabulary.labels)
        return cls(vocabulary.question, answers)


@dataclass(frozen=True, eq=False)
class Query:
    """All that is asked about one picture, which is read, rendered and encoded once.

    Attributes
    ----------
    source : object
        What `astrollava.images.read` takes, or a function that returns it when it is due.
    say : tuple of str
        User's turns, each answered by itself, greedily.
    score : tuple of Choice
        Questions whose answers are weighed.
    max_tokens : int
        Length of an answer at most.
    options : mapping
        Of reading and rendering, such as ``stretch``.
    """

    source: Any
    say: tuple[str, ...] = ()
    score: tuple[Choice, ...] = ()
    max_tokens: int = MAX_TOKENS
    options: Mapping[str, Any] = field(default_factory=dict)

    def picture(self) -> Any:
        """Return what `astrollava.images.read` takes."""
        return self.source() if callable(self.source) else self.source


@dataclass(frozen=True)
class Reply:
    """What a model says to a `Query`.

    Attributes
    ----------
    texts : tuple of str
        One for each of ``say``, without blanks around it.
    scores : tuple of tuple of float
        For each of ``score`` the log-probability (nats, at most 0) of exactly each answer's tokens.
    error : str
        Why there is neither: the picture cannot be read. Empty otherwise.
    """

    texts: tuple[str, ...] = ()
    scores: tuple[tuple[float, ...], ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Rule:
    """How log-probabilities of answers become probabilities of labels.

    Attributes
    ----------
    kind : {"sum", "word", "corrected"}
        Take them as they are; divide each by its answer's number of words; or take off, before
        that, what a blank picture scores (Zhao et al. 2021, arXiv:2102.09690).
    temperature : float
        By which they are divided, above zero.
    """

    kind: Literal["sum", "word", "corrected"] = "sum"
    temperature: float = 1.0

    def energies(
        self,
        scores: NDArray[np.floating],
        answers: Sequence[str],
        nothing: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """Return what the softmax at this temperature is taken of.

        Parameters
        ----------
        scores : ndarray, shape (n, answers)
            Of `Reply`.
        answers : sequence of str
            The answers' texts.
        nothing : ndarray, shape (answers,)
            The scores of a blank picture.
        """
        found = np.asarray(scores, np.float64)
        if self.kind == "sum":
            return found
        if self.kind == "corrected":
            found = found - nothing
        words = np.array([max(len(answer.split()), 1) for answer in answers], np.float64)
        return np.asarray(found / words)

    def probabilities(
        self,
        scores: NDArray[np.floating],
        answers: Sequence[str],
        nothing: NDArray[np.floating],
    ) -> NDArray[np.float64]:
        """Return probabilities, shape (n, answers); the parameters are those of `energies`."""
        energies = self.energies(scores, answers, nothing)
        found: NDArray[np.float64] = softmax(energies, self.temperature).astype(np.float64)
        return found


class Model(ABC):
    """A vision-language model under evaluation.

    A subclass gives `name`, `image_size`, `facts`, `rule`, `answer` and `close`; all else follows.
    """

    #: What reports call it.
    name: str
    #: Height and width in pixels of what it sees.
    image_size: tuple[int, int]

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return what identifies it: files with hashes, how pictures are rendered, versions."""

    @abstractmethod
    def rule(self, vocabulary: Vocabulary) -> Rule:
        """Return how its scores of a vocabulary become probabilities."""

    @abstractmethod
    def answer(self, queries: Iterable[Query]) -> Iterator[Reply]:
        """Answer queries in their order, some in flight at a time; texts are greedy.

        Queries are taken as replies are, never more than some dozens ahead.
        """

    @abstractmethod
    def close(self) -> None:
        """Free what it holds."""

    def say(
        self, pairs: Iterable[tuple[Any, str]], *, max_tokens: int = MAX_TOKENS, **options: Any
    ) -> list[str]:
        """Answer a question about each picture.

        Parameters
        ----------
        pairs : iterable of (source, question)
        max_tokens, **options
            As for `Query`.
        """
        queries = (Query(s, (q,), max_tokens=max_tokens, options=options) for s, q in pairs)
        return [_sound(reply).texts[0] for reply in self.answer(queries)]

    def describe(
        self,
        sources: Iterable[Any],
        *,
        prompt: str = DESCRIBE.text,
        max_tokens: int = MAX_TOKENS,
        **options: Any,
    ) -> list[str]:
        """Describe pictures."""
        pairs = ((source, prompt) for source in sources)
        return self.say(pairs, max_tokens=max_tokens, **options)

    def ask(self, sources: Iterable[Any], question: str, **options: Any) -> list[str]:
        """Ask the same question about each picture."""
        return self.say(((source, question) for source in sources), **options)

    def weigh(
        self, pairs: Iterable[tuple[Any, Choice]], **options: Any
    ) -> list[NDArray[np.float64]]:
        """Return, for each picture and its question, the log-probability of every answer."""
        queries = (Query(source, score=(choice,), options=options) for source, choice in pairs)
        return [np.array(_sound(reply).scores[0]) for reply in self.answer(queries)]

    def label_scores(
        self, sources: Iterable[Any], vocabulary: Vocabulary, **options: Any
    ) -> NDArray[np.float64]:
        """Return the log-probability of each label's answer, shape (pictures, labels)."""
        choice = Choice.of(vocabulary)
        found = self.weigh(((source, choice) for source in sources), **options)
        return np.array(found).reshape(-1, len(vocabulary))

    def classify(
        self, sources: Iterable[Any], vocabulary: Vocabulary, **options: Any
    ) -> NDArray[np.float64]:
        """Return probabilities, shape (pictures, labels), by the model's own `rule`."""
        rule = self.rule(vocabulary)
        answers = Choice.of(vocabulary).answers
        nothing = self.label_scores([self.blank()], vocabulary)[0]
        return rule.probabilities(
            self.label_scores(sources, vocabulary, **options), answers, nothing
        )

    def blank(self) -> NDArray[np.uint8]:
        """Return a black picture of the size it sees, shape (height, width, 3)."""
        return np.zeros((*self.image_size, 3), np.uint8)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _sound(reply: Reply) -> Reply:
    if reply.error:
        raise InvalidRequest(f"a picture cannot be shown to the model: {reply.error}")
    return reply


def open_model(
    name: str, *, device: str | None = None, dtype: str = "float32", threads: int | None = None
) -> Model:
    """Open the model meant.

    Parameters
    ----------
    name : str
        ``"embedded"``, a name of the catalogue, ``"hf:owner/repository:Q4_K_M"``, the path of a
        GGUF language model or ``"text.gguf,mmproj.gguf"``: run by llama.cpp. Or the folder of a
        checkpoint with a ``config.json``: run by transformers.
    device, dtype : str, optional
        Of torch, for a checkpoint; a GPU where there is one, and the numbers it computes in.
    threads : int, optional
        CPU threads of llama.cpp; those the process may use by default.

    Raises
    ------
    ModelError
        It cannot be opened.
    InvalidRequest
        There is no such device or kind of number.
    """
    if (Path(name) / "config.json").is_file():
        try:
            from astrollava_training.evaluate.torch_model import TorchModel
        except ImportError as error:
            raise ModelError(
                f"the checkpoint {name} needs torch and transformers ({error})",
                hint='Install them with: pip install "astrollava[training]"',
            ) from error
        return TorchModel(name, device=device, dtype=dtype)
    from astrollava import Describer
    from astrollava_training.evaluate.llama_model import LlamaModel

    text, _, mmproj = name.partition(",")
    return LlamaModel(Describer(text, mmproj=mmproj or None, threads=threads))
