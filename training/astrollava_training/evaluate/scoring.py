"""From answers to tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.prompts import DESCRIBE
from astrollava_training.evaluate import metrics
from astrollava_training.evaluate.about import about
from astrollava_training.evaluate.calibrate import fit_temperature
from astrollava_training.evaluate.collect import PAPER, QUESTIONS, Answers, Asked
from astrollava_training.evaluate.items import Dataset, Item
from astrollava_training.evaluate.label_table import calibration_table, label_table, scores_of
from astrollava_training.evaluate.models import Model, Rule
from astrollava_training.evaluate.notes import why_unfitted
from astrollava_training.evaluate.plan import Plan
from astrollava_training.evaluate.question_table import question_tables
from astrollava_training.evaluate.report import Evaluation
from astrollava_training.evaluate.resampling import Resampling, intervals
from astrollava_training.evaluate.similarity import similarity_table
from astrollava_training.evaluate.statement_table import feature_tables, statement_table
from astrollava_training.evaluate.view_table import view_table

__all__ = ["Heard", "rule_of", "scored"]

_SAMPLES = 12


@dataclass(frozen=True)
class Heard:
    """All that a model said.

    Attributes
    ----------
    asked : Asked
        What was asked.
    own : Answers
        About the pictures scored.
    nothing : Answers
        About a blank picture.
    held_out : Answers or None
        About pictures of the validation split, without texts.
    views : mapping
        Name of a view -> answers about the same pictures shown that way.
    """

    asked: Asked
    own: Answers
    nothing: Answers
    held_out: Answers | None
    views: Mapping[str, Answers]


def rule_of(model: Model, data: Dataset, plan: Plan) -> Rule:
    """Return how scores become probabilities: as planned, else the model's own way."""
    own = model.rule(data.vocabulary)
    return own if plan.rule in (None, own.kind) else Rule(plan.rule)


def scored(model: Model, data: Dataset, plan: Plan, heard: Heard) -> Evaluation:
    """Make an evaluation of what was heard."""
    rule = rule_of(model, data, plan)
    own, nothing, asked = heard.own, heard.nothing, heard.asked
    again = _again(own.items, plan)
    truths, names = [item.truth for item in own.items], [item.id for item in own.items]
    training = data.prior_truths(plan.split)
    texts, blank = own.texts[DESCRIBE.id], nothing.texts[DESCRIBE.id][0]
    labels = _Labels(data, plan, rule, heard)
    tables: dict[str, Any] = labels.tables()
    if any(truths):
        tables["statements"] = statement_table(
            truths, texts, blank, training, again, seed=plan.seed, names=names
        )
        tables["features"] = feature_tables(
            truths, texts, blank, training, again, seed=plan.seed, names=names
        )
        if set(QUESTIONS) <= set(asked.words):
            tables["questions"] = question_tables(
                truths,
                {topic: own.texts[topic] for topic in QUESTIONS},
                {topic: nothing.texts[topic][0] for topic in QUESTIONS},
                training,
                again,
                seed=plan.seed,
                names=names,
            )
    cosines: Mapping[str, float] = {}
    if PAPER in asked.words and len(labels.at) > 1:
        tables["similarity"], cosines = labels.similarity()
    if heard.views:
        tables["views"] = view_table(own, heard.views, labels.probabilities, plan)
    pictures = tuple(
        {
            "id": item.id,
            "group": item.group or item.id,
            "label": item.label,
            "truth": dict(item.truth),
            "probabilities": [float(share) for share in shares],
            "texts": {name: said[i] for name, said in own.texts.items()},
            "cosine": cosines.get(item.id),
        }
        for i, (item, shares) in enumerate(
            zip(own.items, labels.probabilities(own.scores), strict=True)
        )
    )
    return Evaluation(
        about=about(model, data, plan, asked, rule, own),
        sees={
            "descriptions": float(np.mean([text != blank for text in texts])),
            "labels": float(np.mean(own.scores.argmax(axis=1) != nothing.scores[0].argmax())),
            "distinct": len(set(texts)),
        },
        pictures=pictures,
        samples=tuple(p["id"] for p in _spread(pictures, _SAMPLES)),
        sources={item.id: item.load for item in own.items},
        **tables,
    )


def _again(items: Sequence[Item], plan: Plan) -> Resampling:
    groups = [item.group or item.id for item in items]
    return Resampling(len(items), groups=groups, resamples=plan.resamples, seed=plan.seed)


def _spread(rows: Sequence[Any], count: int) -> list[Any]:
    if len(rows) <= count:
        return list(rows)
    return [rows[i] for i in np.linspace(0, len(rows) - 1, count).round().astype(int)]


class _Labels:
    """The tables about classes, of the pictures that have one."""

    def __init__(self, data: Dataset, plan: Plan, rule: Rule, heard: Heard) -> None:
        own = heard.own
        assert heard.asked.choice is not None
        self._answers = heard.asked.choice.answers
        self._data, self._plan, self._rule, self._heard = data, plan, rule, heard
        self._nothing = heard.nothing.scores[0]
        self.at = [i for i, item in enumerate(own.items) if item.label is not None]
        self._labels = _labels_of([own.items[i] for i in self.at])
        self._scores = own.scores[self.at]
        self._again = _again([own.items[i] for i in self.at], plan)

    def probabilities(
        self, scores: NDArray[np.float64], rule: Rule | None = None
    ) -> NDArray[np.float64]:
        """Return probabilities by a rule, the evaluation's own by default."""
        return (rule or self._rule).probabilities(scores, self._answers, self._nothing)

    def tables(self) -> dict[str, Any]:
        """Return the tables; none where fewer than two pictures have a class."""
        if len(self.at) < 2:
            return {}
        labels, names = self._labels, self._data.vocabulary.labels
        own = self.probabilities(self._scores)
        predicted = own.argmax(axis=1)
        counts = metrics.confusion(labels, predicted, len(names))[:, :-1]
        per_class = {}
        for i, name in enumerate(names):
            there, said = int(counts[i].sum()), int(counts[:, i].sum())
            if there:
                per_class[name] = {
                    "n": there,
                    "recall": metrics.share(int(counts[i, i]), there),
                    "precision": metrics.share(int(counts[i, i]), said),
                }
        wrong = [i for i in np.argsort(-own.max(axis=1)) if predicted[i] != labels[i]]
        worst = [self._heard.own.items[self.at[i]].id for i in wrong[:_SAMPLES]]
        return {
            "labels": label_table(
                labels,
                own,
                self.probabilities(self._nothing[None])[0],
                self._data.prior(self._plan.split),
                self._again,
                seed=self._plan.seed,
                names=[self._heard.own.items[i].id for i in self.at],
            ),
            "per_class": per_class,
            "confusion": counts.tolist(),
            "rules": self._rules(),
            "calibration": self._calibration(own),
            "worst": tuple(worst),
        }

    def _rules(self) -> dict[str, Any]:
        """Return how good the same scores are by each rule."""
        found = {}
        for kind in ("sum", "word", "corrected"):
            given = self.probabilities(self._scores, Rule(kind))
            scores = scores_of(
                self._labels, given.argmax(axis=1), None, given.shape[1], self._again
            )
            found[kind] = dict(intervals(scores, self._again.objects()))
        return found

    def _calibration(self, own: NDArray[np.float64]) -> dict[str, Any]:
        """Compare probabilities before and after a temperature fitted on validation only."""
        energies = self._rule.energies(self._scores, self._answers, self._nothing)
        rows = {"before": _softmax(energies, 1.0)}
        temperatures: dict[str, float] = {"before": 1.0}
        if self._rule.temperature != 1.0:
            rows["the file's"], temperatures["the file's"] = own, self._rule.temperature
        held = self._heard.held_out
        if held is not None:
            fitted = fit_temperature(
                self._rule.energies(held.scores, self._answers, self._nothing),
                _labels_of(held.items),
            )
            rows["fitted"], temperatures["fitted"] = _softmax(energies, fitted), fitted
        table = calibration_table(self._labels, rows, self._again)
        return {
            "rows": {name: {"temperature": temperatures[name], **table[name]} for name in rows},
            "fitted_on": 0 if held is None else len(held.items),
            "unfitted": why_unfitted(self._data, self._plan.split),
            "reliability": {n: metrics.reliability(self._labels, r) for n, r in rows.items()},
            "risk": {n: metrics.risk_coverage(self._labels, r) for n, r in rows.items()},
        }

    def similarity(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Return the table of the paper's cosine, and the cosine of each picture."""
        said = self._heard.own.texts[PAPER]
        table, cosines = similarity_table(
            [said[i] for i in self.at],
            self._heard.nothing.texts[PAPER][0],
            self._labels,
            self._data.prior(self._plan.split),
            self._again,
            vocabulary=self._data.vocabulary,
            seed=self._plan.seed,
        )
        names = [self._heard.own.items[i].id for i in self.at]
        return table, dict(zip(names, map(float, cosines), strict=True))


def _labels_of(items: Sequence[Item]) -> NDArray[np.intp]:
    return np.array([item.label for item in items], np.intp)


def _softmax(energies: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    return Rule("sum", temperature).probabilities(energies, (), energies[:1])
