"""What free descriptions say, against what is decided: all topics together, and each feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava_training.evaluate.baselines import Row, Truths, commonest, derangement, drawn
from astrollava_training.evaluate.resampling import Draws, Resampling, intervals, lead, ratio
from astrollava_training.evaluate.statements import CONTRADICTION, TOPICS, read
from astrollava_training.evaluate.truth import agrees

__all__ = [
    "FEATURES",
    "feature_tables",
    "has_feature",
    "statement_draws",
    "statement_table",
    "statement_units",
]

FEATURES: Mapping[str, str] = {
    "bar": "bar",
    "arms": "spiral",
    "edge-on": "edge_on",
    "bulge": "bulge",
    "merger": "merging",
    "ring": "ring",
}
"""Features whose precision and recall are told, and the topic of `statements` each is read from."""


def has_feature(value: str | None) -> bool:
    """Whether a value of a topic says that the feature is there."""
    return value not in (None, "no", "none", CONTRADICTION)


def _said(
    texts: Sequence[str],
    nothing: str,
    truths: Truths,
    training: Truths,
    seed: int,
    names: Sequence[str],
) -> dict[str, list[Mapping[str, str]]]:
    """Return the statements of each row but ``constant``, which depends on the score."""
    own: list[Mapping[str, str]] = [read(text) for text in texts]
    known = training or truths
    # Not of the pictures themselves, where no others are known: what they have in common is no
    # guess that could be made without them.
    usual = {
        topic: value
        for topic in TOPICS
        if (value := commonest(k[topic] for k in training if topic in k)) is not None
    }
    return {
        "model": own,
        "prior": [usual] * len(own),
        "shuffled": [own[i] for i in derangement(len(own), seed)],
        "blank": [read(nothing)] * len(own),
        "random": [
            known[i]
            for i in drawn(names or range(len(own)), len(known), of="descriptions", seed=seed)
        ],
        "oracle": list(truths),
    }


def statement_table(
    truths: Truths,
    texts: Sequence[str],
    blank: str,
    training: Truths,
    again: Resampling,
    *,
    seed: int,
    names: Sequence[str] = (),
) -> dict[str, Row]:
    """Score what free descriptions say on topics that are decided.

    Parameters
    ----------
    truths, training : sequence of mapping
        What is decided about each picture, and about each of the training split.
    texts : sequence of str
        Descriptions.
    blank : str
        The description of a blank picture.
    again : Resampling
        Of the pictures.
    seed : int
        Of the shuffling and of the random answers.
    names : sequence of str, optional
        What the pictures are called: their random answers depend on it. Their places by default.

    Returns
    -------
    dict
        Row name -> ``precision`` (stated and true of all stated), ``recall`` (of all decided
        topics), ``f1`` (all `Interval`), ``stated`` (statements per description, decided or not)
        and ``contradictions``. The constant is the one of the model's own descriptions, or the
        prior, that scores the best F1 when given to every picture; the random row states what is
        true of some picture. ``margin`` is the model's `lead`.
    """
    said = _said(texts, blank, truths, training, seed, names)
    candidates = {tuple(sorted(s.items())): s for s in (*said["model"], *said["prior"][:1])}
    best = max(candidates.values(), key=lambda s: _f1_of_one(s, truths))
    rows = {"model": said.pop("model"), "constant": [best] * len(truths), **said}
    draws: dict[str, dict[str, Draws]] = {}
    table: dict[str, Row] = {}
    for name, statements in rows.items():
        draws[name] = statement_draws(statements, truths, again)
        table[name] = dict(intervals(draws[name], statement_units(statements, truths, again)))
        table[name]["stated"] = sum(map(len, statements)) / max(len(statements), 1)
        table[name]["contradictions"] = sum(CONTRADICTION in s.values() for s in statements)
    return table | {"margin": lead(draws, ("f1",), count=len(truths), units=again.objects())}


def feature_tables(
    truths: Truths,
    texts: Sequence[str],
    blank: str,
    training: Truths,
    again: Resampling,
    *,
    seed: int,
    names: Sequence[str] = (),
) -> dict[str, dict[str, Any]]:
    """Score each feature by itself: whether a text names it where it is, and only there.

    The parameters are those of `statement_table`.

    Returns
    -------
    dict
        Feature of `FEATURES` -> ``n`` (pictures of which it is decided), ``there`` (of those that
        have it) and ``rows``: row name -> ``precision`` (named and there, of all named), ``recall``
        (of all there) and ``f1``. A text that is silent about a feature does not name it. The
        constant always names it. A feature nobody has, or everybody, is left out.
    """
    said = _said(texts, blank, truths, training, seed, names)
    tables: dict[str, dict[str, Any]] = {}
    for feature, topic in FEATURES.items():
        decided = np.array([topic in known for known in truths])
        there = np.array([has_feature(known.get(topic)) for known in truths])
        if not 0 < there.sum() < decided.sum():
            continue
        named = {
            name: np.array([has_feature(s.get(topic)) for s in statements])
            for name, statements in said.items()
        }
        rows = {"model": named.pop("model"), "constant": np.ones(len(truths), bool), **named}
        draws, units = {}, {}
        for name, given in rows.items():
            parts = np.stack([given & there, given & decided, there], axis=1)
            sums = again.sums(parts)
            units[name] = _units(parts, again)
            draws[name] = _scores(sums[:, 0], sums[:, 1], sums[:, 2])
        tables[feature] = {
            "n": int(decided.sum()),
            "there": int(there.sum()),
            "rows": {name: dict(intervals(scores, units[name])) for name, scores in draws.items()}
            | {
                "margin": lead(
                    draws, ("f1",), count=int(decided.sum()), units=again.objects(decided)
                )
            },
        }
    return tables


def statement_draws(
    said: Sequence[Mapping[str, str]], truths: Truths, again: Resampling
) -> dict[str, Draws]:
    """Return precision, recall and F1 of statements, on all pictures and on each resample."""
    sums = again.sums(_counts(said, truths))
    return _scores(sums[:, 0], sums[:, 1], sums[:, 2])


def statement_units(
    said: Sequence[Mapping[str, str]], truths: Truths, again: Resampling
) -> dict[str, int]:
    """Return of how many objects each score of `statement_draws` is made."""
    return _units(_counts(said, truths), again)


def _units(counts: NDArray[np.generic], again: Resampling) -> dict[str, int]:
    """Count objects with anything named, with anything there, and with either."""
    named, there = counts[:, 1].astype(bool), counts[:, 2].astype(bool)
    return {
        "precision": again.objects(named),
        "recall": again.objects(there),
        "f1": again.objects(named | there),
    }


def _scores(
    hit: NDArray[np.float64], named: NDArray[np.float64], there: NDArray[np.float64]
) -> dict[str, Draws]:
    return {
        "precision": ratio(hit, named),
        "recall": ratio(hit, there),
        "f1": ratio(2 * hit, named + there),
    }


def _counts(said: Sequence[Mapping[str, str]], truths: Truths) -> NDArray[np.float64]:
    """Count per picture: statements that are true, statements on decided topics, decided topics."""
    rows = []
    for statements, known in zip(said, truths, strict=True):
        both = statements.keys() & known.keys()
        right = sum(agrees(topic, statements[topic], known[topic]) for topic in both)
        rows.append((right, len(both), len(known)))
    return np.array(rows, np.float64).reshape(-1, 3)


def _f1_of_one(statements: Mapping[str, str], truths: Truths) -> float:
    hit, named, there = _counts([statements] * len(truths), truths).sum(axis=0)
    return float(2 * hit / (named + there)) if named + there else 0.0
