"""How far a model can be trusted: what it invents, and what sways it.

One run asks each picture once plainly, then changed in pose, light and noise, in other words, with
the options in other orders, and, on request, of the model in fewer bits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava._versions import versions
from astrollava.errors import InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.evaluate import hallucination
from astrollava_training.evaluate.asking import Change, ask, ask_readable
from astrollava_training.evaluate.baselines import Row
from astrollava_training.evaluate.benchmarks import ask_questions, question_report
from astrollava_training.evaluate.features import FEATURES
from astrollava_training.evaluate.items import Dataset, Item
from astrollava_training.evaluate.journal import Journal
from astrollava_training.evaluate.models import Choice, Model, Reply
from astrollava_training.evaluate.notes import notes_of
from astrollava_training.evaluate.resampling import Resampling
from astrollava_training.evaluate.robustness import CHANGES, Said, agreement_row, shown, wording
from astrollava_training.evaluate.robustness.fewer_bits import KINDS, stored_as, whole

__all__ = ["Sample", "as_seen", "fewer_bits", "header", "trust"]


@dataclass(frozen=True)
class Sample:
    """Which pictures are asked about, and how the answers are resampled.

    Attributes
    ----------
    data : Dataset
        With the vocabulary of Galaxy10.
    split : str
        Which of its splits.
    limit : int, optional
        Pictures at most, of each class its share.
    resamples, seed : int
        Of the bootstrap, and of all random choices.
    """

    data: Dataset
    split: str = "val"
    limit: int | None = None
    resamples: int = 1000
    seed: int = 0

    def items(self) -> tuple[Item, ...]:
        """Return the pictures.

        Raises
        ------
        InvalidRequest
            They are labelled by another vocabulary.
        """
        if self.data.vocabulary.labels != GALAXY10.labels:
            raise InvalidRequest(
                f"{self.data.name} is labelled by {self.data.vocabulary.name!r}",
                expected=f"the classes of {GALAXY10.name!r}",
                hint=f"--vocabulary {GALAXY10.name} leaves pictures of other names without a class",
            )
        return self.data.chosen(self.split, self.limit)

    def resampling(self, items: Sequence[Item]) -> Resampling:
        """Return how the pictures are resampled, all of one object together."""
        groups = [item.group or item.id for item in items]
        return Resampling(len(items), groups=groups, resamples=self.resamples, seed=self.seed)

    def about(self, model: str, items: Sequence[Item], unread: Mapping[str, str]) -> dict[str, Any]:
        """Return what the figures depend on: the pictures that could be read, and which not."""
        return {
            "model": model,
            "data": self.data.name,
            "split": self.split,
            "pictures": len(items),
            "labelled": sum(item.label is not None for item in items),
            "unread": dict(unread),
            "notes": list(notes_of(self.data, self.split, items, unread)),
            "resamples": self.resamples,
            "seed": self.seed,
        }


def header(model: Model, sample: Sample) -> dict[str, Any]:
    """Return what the answers depend on; those to anything else are of no use."""
    return {
        "model": model.facts(),
        "data": {"name": sample.data.name, "sha256": sample.data.facts.get("sha256")},
        # Which pictures stand in for others, and in what order options come.
        "drawn": [sample.split, sample.limit, sample.seed],
        "asked": [*_PLAIN, *wording.DESCRIPTIONS, *wording.REWORDED.values()],
        "labels": [asdict(choice) for choice in wording.label_choices()],
        "changes": list(CHANGES),
        "versions": versions(),
    }


def trust(model: Model, sample: Sample, journal: Journal) -> dict[str, Any]:
    """Ask everything, and score it.

    Parameters
    ----------
    model : Model
    sample : Sample
    journal : Journal
        Keeps the answers: a run that was ended goes on from there.

    Returns
    -------
    dict
        ``about``; ``probes`` (see `hallucination.probe_tables`), ``descriptions`` (see
        `hallucination.description_table`), ``blank`` (see `hallucination.blank_table`); ``changes``
        (change -> see `agreement_row`), ``wording`` (see `wording`) and ``options`` (see
        `benchmarks.question_report`).
    """
    see = as_seen(model)
    nothing = _nothing(model)
    rest = ask(model, nothing, journal, "nothing", say=_PLAIN, score=_LABELS)
    heard = ask_readable(model, sample.items(), journal, "plain", say=_PLAIN, score=_LABELS)
    # Every table is about the same pictures: what cannot be read plainly is asked nothing else.
    items = heard.items
    resampling = sample.resampling(items)
    truths = [item.truth for item in items]
    labels = np.array([-1 if item.label is None else item.label for item in items])
    plain = _said(model, heard.replies, rest[0])
    common: dict[str, Any] = {
        "groups": [item.group or item.id for item in items],
        "resamples": sample.resamples,
        "seed": sample.seed,
    }
    changes = {}
    for name, change in CHANGES.items():
        replies = ask(
            model, items, journal, name, say=_PLAIN, score=_LABELS, change=_chain(see, change)
        )
        said = _said(model, replies, rest[0])
        changes[name] = agreement_row(plain, said, labels, resampling, seed=sample.seed)
    return {
        "about": sample.about(model.name, items, heard.unread),
        "probes": hallucination.probe_tables(
            truths,
            {f: [texts[i] for texts in plain.answers] for i, f in enumerate(FEATURES)},
            dict(zip(FEATURES, rest[0].texts[1:], strict=True)),
            names=[item.id for item in items],
            **common,
        ),
        "descriptions": hallucination.description_table(
            truths, plain.descriptions, rest[0].texts[0], **common
        ),
        "blank": hallucination.blank_table(
            {item.id: reply.texts[0] for item, reply in zip(nothing, rest, strict=True)},
            {
                item.id: dict(zip(FEATURES, reply.texts[1:], strict=True))
                for item, reply in zip(nothing, rest, strict=True)
            },
        ),
        "changes": changes,
        "wording": _wording(model, items, journal, plain, labels, rest[0], resampling, sample.seed),
        "options": _options(model, items, journal, sample),
    }


_PLAIN: tuple[str, ...] = (wording.DESCRIPTIONS[0], *FEATURES.values())
_LABELS: tuple[Choice, ...] = (Choice.of(GALAXY10),)


def _said(model: Model, replies: Sequence[Reply], blank: Reply, score: int = 0) -> Said:
    rule = model.rule(GALAXY10)
    answers = Choice.of(GALAXY10).answers
    scores = np.array([reply.scores[score] for reply in replies])
    return Said(
        rule.probabilities(scores, answers, np.array(blank.scores[score])),
        tuple(reply.texts[1:] for reply in replies),
        tuple(reply.texts[0] for reply in replies),
    )


def as_seen(model: Model) -> Change:
    """Return what draws a source as a model sees it, so that changes are made of that."""
    facts = model.facts()
    rule, background = facts.get("render_rule"), facts.get("render_background")
    return partial(
        shown, size=model.image_size, rule=rule or "pad", background=background or (0, 0, 0)
    )


def _chain(first: Change, then: Change) -> Change:
    return partial(_both, first, then)


def _both(first: Change, then: Change, source: Any) -> Any:
    return then(first(source))


def _nothing(model: Model) -> list[Item]:
    """Return pictures that show nothing, the black one first."""
    size = (*model.image_size, 3)
    noise = np.random.default_rng(0).normal(40, 12, size)
    pictures: Mapping[str, NDArray[np.uint8]] = {
        "black": np.zeros(size, np.uint8),
        "grey": np.full(size, 127, np.uint8),
        "white": np.full(size, 255, np.uint8),
        "noise": np.clip(np.rint(noise), 0, 255).astype(np.uint8),
    }
    return [Item(name, partial(_itself, rgb), None, "test") for name, rgb in pictures.items()]


def _itself(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture


def _wording(
    model: Model,
    items: Sequence[Item],
    journal: Journal,
    plain: Said,
    labels: NDArray[np.integer],
    blank: Reply,
    resampling: Resampling,
    seed: int,
) -> dict[str, Row]:
    say = (*wording.DESCRIPTIONS[1:], *wording.REWORDED.values())
    choices = wording.label_choices()[1:]
    (nothing,) = ask(model, _nothing(model)[:1], journal, "reworded", score=choices)
    replies = ask(model, items, journal, "reworded", say=say, score=choices)
    found: dict[str, Row] = {}
    many = len(wording.DESCRIPTIONS) - 1
    for i, prompt in enumerate(wording.DESCRIPTIONS[1:]):
        texts = [reply.texts[i] for reply in replies]
        found[prompt] = wording.statements_row(plain.descriptions, texts, resampling, seed=seed)
    answers = [reply.texts[many:] for reply in replies]
    found["questions about features"] = wording.answers_row(
        plain.answers, answers, resampling, seed=seed
    )
    for i, choice in enumerate(choices):
        scores = np.array([reply.scores[i] for reply in replies])
        # Another question is no calibrated one: the rule is that of labels as they come.
        rule = model.rule(GALAXY10)
        again = rule.probabilities(scores, choice.answers, np.array(nothing.scores[i]))
        other = Said(again, plain.answers, plain.descriptions)
        row = agreement_row(plain, other, labels, resampling, seed=seed)
        found[choice.question] = {
            key: value
            for key, value in row.items()
            if not key.startswith(("answers", "statements", "moved"))
        }
    return found


def _options(
    model: Model, items: Sequence[Item], journal: Journal, sample: Sample
) -> dict[str, Any]:
    by_id = {item.id: item for item in items}
    questions = wording.letters(items, seed=sample.seed)
    if not questions:
        return {}
    pictures = {question.id: by_id[question.id].load for question in questions}
    chosen = ask_questions(model, questions, journal, pictures=pictures)
    return question_report(questions, chosen, resamples=sample.resamples, seed=sample.seed)


def fewer_bits(
    name: str,
    sample: Sample,
    open_journal: Callable[[str, Model], Journal],
    *,
    kinds: Sequence[str] = KINDS,
    threads: int | None = None,
) -> dict[str, Any]:
    """Compare a GGUF pair in f16 with the same in fewer bits.

    Parameters
    ----------
    name : str
        What `open_model` takes; not a checkpoint.
    sample : Sample
    open_journal : callable
        Gives the journal for the answers of a storage type, from its name and its model.
    kinds : sequence of str
        Storage types of the language model.
    threads : int, optional
        CPU threads.

    Returns
    -------
    dict
        ``about`` and ``rows``: storage type -> see `agreement_row`, with f16 compared with itself
        first.
    """
    items = sample.items()
    unread: Mapping[str, str] = {}
    said: dict[str, Said] = {}
    with tempfile.TemporaryDirectory() as folder:
        f16 = whole(name, Path(folder))
        for kind in ("f16", *kinds):
            with (
                stored_as(kind, f16, threads=threads) as model,
                closing(open_journal(kind, model)) as journal,
            ):
                blank = ask(model, _nothing(model)[:1], journal, "nothing", score=_LABELS)
                if not said:
                    # What cannot be read now is asked of no kind: all are of the same pictures.
                    heard = ask_readable(model, items, journal, "plain", say=_PLAIN, score=_LABELS)
                    items, unread = heard.items, heard.unread
                replies = ask(model, items, journal, "plain", say=_PLAIN, score=_LABELS)
                said[kind] = _said(model, replies, blank[0])
    labels = np.array([-1 if item.label is None else item.label for item in items])
    resampling = sample.resampling(items)
    rows = {
        kind: agreement_row(said["f16"], own, labels, resampling, seed=sample.seed)
        for kind, own in said.items()
    }
    return {"about": sample.about(name, items, unread), "rows": rows}
