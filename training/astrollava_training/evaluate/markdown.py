"""Tables of a report as Markdown, for papers and model cards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from astrollava_training.evaluate.baselines import BLIND
from astrollava_training.evaluate.metrics import Interval

if TYPE_CHECKING:
    from astrollava_training.evaluate.report import Evaluation

__all__ = [
    "NAMES",
    "about_calibration",
    "cell",
    "feature_rows",
    "few_of_class",
    "markdown",
    "p_value",
    "question_rows",
    "quoted",
    "sentence",
    "shown",
    "table",
]

#: Pictures of a class below which its recall is told to say little.
_FEW = 10

#: What is told as less, or more, than this.
_LEAST_P, _MOST_NEEDED = 0.001, 1_000_000

NAMES: Mapping[str, str] = {
    "top_2": "top-2",
    "ece": "ECE",
    "brier": "Brier",
    "nll": "NLL",
    "aurc": "AURC",
    "macro_f1": "macro-F1",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
    "nearest_class": "nearest class",
    "same_label": "same label",
    "same_text": "same text",
}
"""How scores are written in tables."""

_ABOUT_ROWS = """Every score stands beside answers that need no picture; brackets are 95 % intervals
of the bootstrap over {what} (Wilson's where no resample differs), ± standard errors. `constant` is
the best single answer, chosen on these very pictures; `prior` the commonest by {prior};
`shuffled` the model's answers to other pictures; `blank` its answer to a black picture; `random` a
random one; `oracle` the truth itself.
`margin` is the model's lead over the best blind row (`over`), on the same resamples; `needed` is
how many pictures show a lead of that size with a power of 80 % at 5 %, `detectable` the smallest
lead that these pictures show; `p`, of labels, is that of the exact McNemar test."""

_ABOUT_QUESTIONS = """A constant is right about most pictures where a thing is rare. That there is a
bulge is no answer to how prominent it is."""

_ABOUT_COSINE = """The paper's metric (arXiv:2504.08583), as released: MiniLM cosine of the
description to the text of the true class. A constant sentence wins it blind: nothing is chosen by
it."""


def markdown(report: Evaluation) -> str:
    """Return the whole report."""
    about, sees = report.about, report.sees
    what = "objects" if about["labelled"] else "pictures"
    parts = [
        f"# {about['model']} on {about['split']} of {about['data']}",
        f"{about['pictures']} pictures, {about['labelled']} with a class"
        + (f"; {len(about['unread'])} could not be read" if about["unread"] else "")
        + f". Seed {about['seed']}, {about['resamples']} resamples.",
        *quoted(about["notes"]),
        _ABOUT_ROWS.format(what=what, prior=about["prior"]),
    ]
    if report.labels:
        parts += [
            "## Labels",
            table(shown(report.labels)),
            _verdict(report),
            table(report.per_class),
            *([few] if (few := few_of_class(report.per_class)) else ()),
            "## Calibration",
            about_calibration(report.calibration),
            table(report.calibration["rows"]),
            "### The same scores by other rules",
            _about_rules(about["rule"]),
            table(report.rules),
        ]
    if report.similarity:
        constant = report.similarity["constant"]["text"]
        parts += [
            "## MiniLM cosine to the true class's text",
            _ABOUT_COSINE,
            table(shown(report.similarity)),
            f"The constant: “{constant}”",
        ]
    if report.questions:
        parts += [
            "## Questions: agreement with what is decided",
            table(question_rows(report.questions)),
            _ABOUT_QUESTIONS,
        ]
    if report.statements:
        parts += ["## Statements in free descriptions", table(shown(report.statements))]
    if report.features:
        parts += [
            "## Features named in free descriptions",
            *(
                f"**{name}**: there in {found['there']} of {found['n']}.\n\n"
                + table(shown(found["rows"]))
                for name, found in report.features.items()
            ),
        ]
    if report.views:
        parts += ["## The same objects shown otherwise", table(report.views)]
    parts += [
        "## Does it see?",
        f"Descriptions unlike the blank picture's: {cell(sees['descriptions'])}.",
        f"Labels unlike the blank picture's: {cell(sees['labels'])}.",
        f"Different descriptions: {sees['distinct']}.",
        "## Samples",
        "\n".join(_samples(report)),
    ]
    return "\n\n".join(parts) + "\n"


def about_calibration(calibration: Mapping[str, Any]) -> str:
    """Return on what a temperature was fitted, or why on nothing."""
    on = calibration["fitted_on"]
    if not on:
        return f"No temperature was fitted: {calibration['unfitted']}."
    return f"The temperature was fitted on {on} pictures of the validation split, none scored here."


def _about_rules(rule: str) -> str:
    """Return what the table of all rules shows, and which the report goes by."""
    return (
        "Log-probabilities as they are (`sum`), by word (`word`), and by word after a blank"
        f" picture's were taken off (`corrected`). This report goes by `{rule}`."
    )


def _verdict(report: Evaluation) -> str:
    beats, count = "yes" if report.beats_blind else "no", report.about["labelled"]
    p = p_value(report.labels["margin"]["p"])
    return f"Beats every blind answer in accuracy: {beats} (n = {count}; exact McNemar test {p})."


def quoted(notes: Iterable[str]) -> list[str]:
    """Return each note as a paragraph that stands out."""
    return [f"> {sentence(note)}" for note in notes]


def sentence(note: str) -> str:
    """Return a note with a capital and a full stop."""
    return f"{note[0].upper()}{note[1:]}."


def few_of_class(per_class: Mapping[str, Mapping[str, Any]]) -> str:
    """Return which classes have too few pictures to say much, nothing where none has."""
    few = [f"{name} ({row['n']})" for name, row in per_class.items() if row["n"] < _FEW]
    if not few:
        return ""
    return f"Fewer than {_FEW} pictures, which say little about a class: {', '.join(few)}."


def _samples(report: Evaluation) -> Iterable[str]:
    classes = report.about["classes"]
    by_id = {picture["id"]: picture for picture in report.pictures}
    for name in report.samples:
        picture = by_id[name]
        known = "undecided" if picture["label"] is None else classes[picture["label"]]
        yield f"- `{name}` ({known}): {picture['texts']['describe']}"


def question_rows(questions: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return one row for each question: agreement of the model and of every blind answer."""
    found = {}
    for topic, entry in questions.items():
        rows = entry["rows"]
        margin = rows["margin"]
        found[topic] = {
            "n": entry["n"],
            "model": rows["model"]["agreement"],
            **{name: rows[name]["agreement"].value for name in BLIND},
            "oracle": rows["oracle"]["agreement"].value,
            "margin": margin.get("agreement"),
            "needed": margin.get("needed"),
            "balanced": rows["model"].get("balanced"),
            "unanswered": rows["model"]["unanswered"],
        }
    return found


def feature_rows(features: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return one row for each feature: the model's scores and the best blind F1."""
    found = {}
    for name, entry in features.items():
        rows, margin = entry["rows"], entry["rows"]["margin"]
        over = margin.get("over")
        found[name] = {
            "n": entry["n"],
            "there": entry["there"],
            **rows["model"],
            "best blind": over,
            "its F1": rows[over]["f1"] if over else None,
            "margin": margin.get("f1"),
        }
    return found


def shown(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the rows of a table without words that are told elsewhere."""
    return {n: {k: v for k, v in row.items() if k != "text"} for n, row in rows.items()}


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    names = [NAMES.get(column, column) for column in columns]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(cell(row.get(key), key) for key in columns)} |")
    return "\n".join(lines)


def p_value(p: float) -> str:
    """Return a p in words: no chance is none."""
    return "p < 0.001" if p < _LEAST_P else f"p = {p:.3f}"


def cell(value: Any, column: str = "") -> str:
    """Return a value as a table has it, in the column; a dash for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if column == "p":
        return p_value(value).removeprefix("p ").removeprefix("= ")
    if column == "needed" and value > _MOST_NEEDED:
        # No more digits than the difference itself has.
        return f"> {_MOST_NEEDED:,}"
    if isinstance(value, Interval):
        if math.isnan(value.value):
            return "–"
        if math.isnan(value.low):
            return f"{value.value:.3f}"
        return f"{value} ± {value.error:.3f}" if value.error > 0 else str(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
