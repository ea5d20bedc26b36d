"""Evaluate a model on pictures of known classes, and go on where an evaluation was stopped."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from astrollava_training.evaluate.about import header, settings
from astrollava_training.evaluate.asking import check_enough
from astrollava_training.evaluate.collect import BLANK, Answers, Asked, ask_all
from astrollava_training.evaluate.earlier import check_earlier
from astrollava_training.evaluate.items import Dataset, Item
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.models import Choice, Model
from astrollava_training.evaluate.notes import why_unfitted
from astrollava_training.evaluate.plan import Plan
from astrollava_training.evaluate.report import Evaluation
from astrollava_training.evaluate.scoring import Heard, rule_of, scored

__all__ = ["JOURNAL", "evaluate"]

JOURNAL = "answers.jsonl"
"""Name of the file, in the folder of a report, that has every answer as soon as it is given."""

#: Pictures of the validation split that a temperature is fitted on at most.
_FIT = 500


def evaluate(
    model: Model, data: Dataset, plan: Plan | None = None, *, out: Path | None = None
) -> Evaluation:
    """Evaluate a model.

    Parameters
    ----------
    model : Model
        Of `astrollava_training.evaluate.open_model`.
    data : Dataset
        Of `astrollava_training.evaluate.open_data`. Its split ``val`` fits a temperature, its split
        ``train`` gives the prior.
    plan : Plan, optional
        What is scored, and how.
    out : pathlib.Path, optional
        Folder for the report. The answers are kept there as they come: the same call goes on from
        them after it was stopped.

    Returns
    -------
    Evaluation
        Not yet written; see `Evaluation.write`.

    Raises
    ------
    InvalidRequest
        The split has fewer than two pictures that can be read, or the folder holds the answers of
        another evaluation, or a report made otherwise.
    """
    plan = (plan or Plan()).settled(data)
    items = data.chosen(plan.split, plan.limit)
    voted = any("votes" in item.about for item in data.items)
    asked = Asked.of(
        Choice.of(data.vocabulary),
        paper=plan.wants_paper(data),
        questions=voted if plan.questions is None else plan.questions,
        max_tokens=plan.max_tokens,
    )
    if out is not None:
        check_earlier(out, settings(model, data, plan, rule_of(model, data, plan)))
    path = None if out is None else out / JOURNAL
    with contextlib.closing(Journal(path, header(model, data, asked))) as journal:
        nothing = Item(BLANK, model.blank, None, "")
        heard = Heard(
            asked,
            ask_all(model, items, asked, journal),
            ask_all(model, [nothing], asked, journal, step=BLANK),
            _held_out(model, data, plan, asked, journal),
            {view.name: ask_all(model, items, asked, journal, view=view) for view in data.views},
        )
    check_enough(len(heard.own.items), heard.own.unread)
    return scored(model, data, plan, heard)


def _held_out(
    model: Model, data: Dataset, plan: Plan, asked: Asked, journal: Journal
) -> Answers | None:
    """Weigh labels on some of the validation split; None where it is too small or scored itself."""
    if why_unfitted(data, plan.split):
        return None
    items = [item for item in data.split("val") if item.label is not None]
    if len(items) > _FIT:
        items = [items[i] for i in np.linspace(0, len(items) - 1, _FIT).round().astype(int)]
    only = Asked({}, asked.choice, plan.max_tokens)
    return ask_all(model, items, only, journal, step="validation")
