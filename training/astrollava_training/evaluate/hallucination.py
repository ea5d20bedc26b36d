"""Find out whether a model sees what is not there.

Questions about features that are absent, after POPE (Li et al. 2023, arXiv:2305.10355): as many
questions about features that are there, answered "yes", as about features that are not, answered
"no". The absent ones are chosen in three ways, each harder for a model that goes by what galaxies
tend to have, and in a fourth that is not POPE's:

``random``
    Any absent feature.
``popular``
    The absent features that most pictures have.
``adversarial``
    The absent features that most often come together with those the picture has.
``balanced``
    Each feature as often where it is there as where it is not. Among the others most questions
    about a rare feature are about its absence, and who knows what is rare answers them blind.

What is there and what is not is what more than half of the voters say. Free descriptions are read
by `statements`, and claims that no picture can show found by `astrollava.grounding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from astrollava.grounding import find_claims
from astrollava_training.evaluate.baselines import Row, Truths, derangement, drawn
from astrollava_training.evaluate.features import FEATURES, features, yes_or_no
from astrollava_training.evaluate.resampling import Draws, Resampling, intervals, lead, ratio
from astrollava_training.evaluate.statements import CONTRADICTION, read
from astrollava_training.evaluate.truth import agrees

__all__ = [
    "STRATEGIES",
    "Probe",
    "Strategy",
    "blank_table",
    "description_table",
    "probe_tables",
    "probes",
]

Strategy = Literal["random", "popular", "adversarial", "balanced"]

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

#: Questions of each answer about one picture at most, as in POPE.
_MOST = 3


class Probe(NamedTuple):
    """A question about a feature of a picture: its place, the feature, and the true answer."""

    picture: int
    feature: str
    there: bool


def probes(truths: Truths, strategy: Strategy, *, seed: int = 0) -> list[Probe]:
    """Choose questions, half of them about features that are not there.

    Parameters
    ----------
    truths : sequence of mapping
        For each picture topic -> value, as far as it is decided.
    strategy : {"random", "popular", "adversarial", "balanced"}
        Which absent features are asked about.
    seed : int
        Of the random choices.

    Returns
    -------
    list of Probe
        At most three of each answer for a picture, but for ``"balanced"``. Of the answer that there
        are more questions for, some are left out at random until both are as many.
    """
    rng = np.random.default_rng(seed)
    known = [features(truth) for truth in truths]
    if strategy == "balanced":
        every = [Probe(i, name, yes) for i, own in enumerate(known) for name, yes in own.items()]
        return sorted(
            probe
            for name in FEATURES
            for probe in _even([probe for probe in every if probe.feature == name], rng)
        )
    there = np.array([[own.get(name, False) for name in FEATURES] for own in known], int)
    there = there.reshape(len(known), len(FEATURES))
    popular = dict(zip(FEATURES, there.sum(axis=0), strict=True))
    together = dict(zip(FEATURES, there.T @ there, strict=True))
    found: list[Probe] = []
    for picture, own in enumerate(known):
        shuffled = [list(own)[i] for i in rng.permutation(len(own))]
        present = [name for name in shuffled if own[name]]
        absent = [name for name in shuffled if not own[name]]
        if strategy == "popular":
            absent.sort(key=lambda name: -popular[name])
        elif strategy == "adversarial":
            seen = there[picture]
            absent.sort(key=lambda name: -int(together[name] @ seen))
        found += [Probe(picture, name, True) for name in present[:_MOST]]
        found += [Probe(picture, name, False) for name in absent[:_MOST]]
    return sorted(_even(found, rng))


def _even(found: Sequence[Probe], rng: np.random.Generator) -> list[Probe]:
    """Leave out at random until both answers are as many."""
    sides = [[probe for probe in found if probe.there is there] for there in (True, False)]
    count = min(map(len, sides))
    return [side[i] for side in sides for i in np.sort(rng.permutation(len(side))[:count])]


def probe_tables(
    truths: Truths,
    texts: Mapping[str, Sequence[str]],
    blank: Mapping[str, str],
    *,
    groups: Sequence[str] = (),
    names: Sequence[str] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Score the answers to the questions of each strategy.

    Parameters
    ----------
    truths : sequence of mapping
        For each picture topic -> value.
    texts : mapping
        Feature -> the model's answer for each picture.
    blank : mapping
        Feature -> its answer to a blank picture.
    groups : sequence of str, optional
        The object each picture shows.
    names : sequence of str, optional
        What the pictures are called: random answers about them depend on it. Their places by
        default.
    resamples, seed : int
        Of the bootstrap over pictures, and of the choices.

    Returns
    -------
    dict
        Strategy -> ``n`` (questions), ``asked`` (feature -> how often asked where it is not) and
        ``rows``: row name -> ``accuracy``, ``precision``, ``recall``, ``f1`` (of "yes"),
        ``yes`` (share answered so), ``false_yes`` (share of absent features seen) and
        ``unanswered``, each an `Interval`. An answer that is neither yes nor no is wrong. Rows
        beside ``model``: ``always yes``, ``always no``, ``constant`` (for each feature the
        better of yes and no, chosen on these questions), ``shuffled``, ``blank``, ``random``.
        The row ``margin`` is the lead in accuracy over the best of them.
    """
    resampling = Resampling(len(truths), groups=groups, resamples=resamples, seed=seed)
    order = derangement(len(truths), seed)
    tables: dict[str, dict[str, Any]] = {}
    for strategy in STRATEGIES:
        chosen = probes(truths, strategy, seed=seed)
        told: dict[str, list[bool | None]] = {
            "model": [yes_or_no(texts[p.feature][p.picture], p.feature) for p in chosen],
            "always yes": [True] * len(chosen),
            "always no": [False] * len(chosen),
            "constant": _constant(chosen),
            "shuffled": [yes_or_no(texts[p.feature][order[p.picture]], p.feature) for p in chosen],
            "blank": [yes_or_no(blank[p.feature], p.feature) for p in chosen],
            "random": [
                bool(yes)
                for yes in drawn(
                    [(p.feature, names[p.picture] if names else p.picture) for p in chosen],
                    2,
                    of="features",
                    seed=seed,
                )
            ],
        }
        counts = {name: _counts(chosen, said, len(truths)) for name, said in told.items()}
        draws = {name: _scores(resampling, count) for name, count in counts.items()}
        rows: dict[str, Row] = {
            name: dict(intervals(scores, _units(resampling, counts[name])))
            for name, scores in draws.items()
        }
        if chosen:
            rows["margin"] = dict(
                lead(
                    draws,
                    ("accuracy",),
                    count=len(truths),
                    units=resampling.objects(counts["model"][:, 0]),
                )
            )
        asked = dict.fromkeys(FEATURES, 0)
        for probe in chosen:
            asked[probe.feature] += not probe.there
        tables[strategy] = {"n": len(chosen), "asked": asked, "rows": rows}
    return tables


def _constant(chosen: Sequence[Probe]) -> list[bool | None]:
    balance = dict.fromkeys(FEATURES, 0)
    for probe in chosen:
        balance[probe.feature] += 1 if probe.there else -1
    return [balance[probe.feature] > 0 for probe in chosen]


def _counts(
    chosen: Sequence[Probe], said: Sequence[bool | None], pictures: int
) -> NDArray[np.float64]:
    """Count for each picture: asked, right, said yes, yes and there, there, unanswered."""
    counts = np.zeros((pictures, 6))
    for probe, yes in zip(chosen, said, strict=True):
        counts[probe.picture] += (
            1, yes == probe.there, yes is True, yes is True and probe.there, probe.there,
            yes is None,
        )  # fmt: skip
    return counts


def _scores(resampling: Resampling, counts: NDArray[np.float64]) -> dict[str, Draws]:
    asked, right, yes, hits, there, silent = resampling.sums(counts).T
    return {
        "accuracy": ratio(right, asked),
        "precision": ratio(hits, yes),
        "recall": ratio(hits, there),
        "f1": ratio(2 * hits, yes + there),
        "yes": ratio(yes, asked),
        "false_yes": ratio(yes - hits, asked - there),
        "unanswered": ratio(silent, asked),
    }


def _units(resampling: Resampling, counts: NDArray[np.float64]) -> dict[str, int]:
    """Count the objects that each of `_scores` is made of."""
    asked, _, yes, _, there, _ = counts.T
    every = resampling.objects(asked)
    return {
        "accuracy": every,
        "precision": resampling.objects(yes),
        "recall": resampling.objects(there),
        "f1": resampling.objects(yes + there),
        "yes": every,
        "false_yes": resampling.objects(asked - there),
        "unanswered": every,
    }


def description_table(
    truths: Truths,
    descriptions: Sequence[str],
    blank: str,
    *,
    groups: Sequence[str] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Row]:
    """Count what free descriptions claim without ground.

    Returns
    -------
    dict
        Row name -> `Interval` of ``stated`` (statements a description), ``unsupported`` (share of
        them, where the votes decide, that the votes deny; a text that contradicts itself
        included), ``undecided`` (share on which the votes decide nothing), ``claims``
        (claims a description that no picture can show) and ``claiming`` (share of descriptions
        with any). Rows: ``model``, ``shuffled``, ``blank``, and ``constant``: the one of the
        model's own descriptions with the smallest share unsupported, of those that state as much
        as the model does on average.
    """
    count = len(truths)
    resampling = Resampling(count, groups=groups, resamples=resamples, seed=seed)
    order = derangement(count, seed)
    rows = {
        "model": list(descriptions),
        "constant": [_best(truths, descriptions)] * count,
        "shuffled": [descriptions[i] for i in order],
        "blank": [blank] * count,
    }
    table: dict[str, Row] = {}
    for name, texts in rows.items():
        cells = np.array([_claims(text, truth) for text, truth in zip(texts, truths, strict=True)])
        stated, decided, wrong, claims, any_claim, one = resampling.sums(cells).T
        every = resampling.objects()
        table[name] = dict(
            intervals(
                {
                    "stated": ratio(stated, one),
                    "unsupported": ratio(wrong, decided),
                    "undecided": ratio(stated - decided, stated),
                    "claims": ratio(claims, one),
                    "claiming": ratio(any_claim, one),
                },
                {
                    "stated": every,
                    "unsupported": resampling.objects(cells[:, 1]),
                    "undecided": resampling.objects(cells[:, 0]),
                    "claims": every,
                    "claiming": every,
                },
            )
        )
    return table


def _claims(text: str, truth: Mapping[str, str]) -> tuple[float, ...]:
    """Count statements, those on decided topics, of these the wrong ones, claims, any, texts."""
    said = read(text)
    decided = said.keys() & truth.keys()
    wrong = sum(not agrees(topic, said[topic], truth[topic]) for topic in decided)
    claims = len(find_claims(text))
    return len(said), len(decided), wrong, claims, claims > 0, 1


def _best(truths: Truths, descriptions: Sequence[str]) -> str:
    least = float(np.mean([len(read(text)) for text in descriptions]))
    candidates = [text for text in dict.fromkeys(descriptions) if len(read(text)) >= least]

    def unsupported(text: str) -> float:
        cells = np.array([_claims(text, truth) for truth in truths])
        decided, wrong = cells[:, 1].sum(), cells[:, 2].sum()
        return float(wrong / decided) if decided else 1.0

    return min(candidates, key=unsupported)


def blank_table(
    descriptions: Mapping[str, str], answers: Mapping[str, Mapping[str, str]]
) -> dict[str, Row]:
    """Count what is claimed about pictures that show nothing.

    Parameters
    ----------
    descriptions : mapping
        Kind of blank picture -> the description.
    answers : mapping
        Kind -> feature -> the answer.

    Returns
    -------
    dict
        Kind -> ``text``, ``features`` (statements that something is there), ``claims`` (that no
        picture can show) and ``yes`` (features of `FEATURES` affirmed when asked for).
    """
    table: dict[str, Row] = {}
    for kind, text in descriptions.items():
        said = read(text)
        table[kind] = {
            "text": text,
            "features": sum(v not in ("no", "none", CONTRADICTION) for v in said.values()),
            "claims": len(find_claims(text)),
            "yes": sum(yes_or_no(t, name) is True for name, t in answers[kind].items()),
        }
    return table
