"""What `trust` finds, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from astrollava_training.evaluate.markdown import cell, quoted, table

__all__ = ["bits_markdown", "questions_markdown", "ratings_markdown", "trust_markdown"]

_PROBES = """Half of the questions are about features that are there, half about features that are
not. `false_yes` is the share of absent features that are seen all the same, `unanswered` that of
answers that are neither yes nor no, which are wrong. `constant` is the better of yes and no for
each feature, chosen on these very questions; `margin` the lead in accuracy over the best blind
row."""

_DESCRIPTIONS = """`stated` counts statements a description; `unsupported` is the share of them that
the votes deny, of those that the votes decide; `claims` counts what no picture can show. `constant`
is the model's own description that is denied least of those that state as much as it does on
average."""

_AGREEMENT = """Share of answers that stay the same. `by chance` is how often they are the same for
two different pictures, `kappa` what lies between: 0 for an answer that ignores the picture, 1 for
one that nothing changes."""

_OPTIONS = """`any order` is right in all orders of the options; `letter` always takes the letter
that is right most often, `longest` the longest option."""

_BRACKETS = """. Brackets are 95 % intervals of the bootstrap over pictures (Wilson's where
no resample differs), ± standard errors;
{resamples} resamples, seed {seed}."""


#: Pictures below which the bootstrap is told to be too sure of itself.
_FEW_RATED = 10


def trust_markdown(found: Mapping[str, Any]) -> str:
    """Return all tables of `trust.trust`."""
    about = found["about"]
    parts = [
        f"# What {about['model']} invents, and what sways it",
        _pictures(about) + _BRACKETS.format(**about),
        *quoted(about["notes"]),
        "## Features that are not there",
        _PROBES,
    ]
    for strategy, entry in found["probes"].items():
        asked = ", ".join(f"{name} {count}" for name, count in entry["asked"].items() if count)
        parts += [
            f"### {strategy}: {entry['n']} questions",
            table(entry["rows"]),
            f"Absent features asked about: {asked or 'none'}.",
        ]
    parts += [
        "## What descriptions claim",
        _DESCRIPTIONS,
        table(found["descriptions"]),
        "## Pictures that show nothing",
        (
            "`features` counts statements that something is there, `yes` the features affirmed when"
            " asked for."
        ),
        table(
            {kind: {**row, "text": _one_cell(row["text"])} for kind, row in found["blank"].items()}
        ),
        "## The picture changed",
        _AGREEMENT,
        *_split(found["changes"]),
        "## Other words",
        *_split(found["wording"]),
    ]
    if found["options"]:
        parts += ["## The order of options", questions_markdown(found["options"])]
    return "\n\n".join(parts) + "\n"


def bits_markdown(found: Mapping[str, Any]) -> str:
    """Return the table of `trust.fewer_bits`."""
    about = found["about"]
    return (
        "\n\n".join(
            [
                f"# {about['model']} in fewer bits",
                f"{_pictures(about)}; compared with f16" + _BRACKETS.format(**about),
                *quoted(about["notes"]),
                _AGREEMENT,
                *_split(found["rows"]),
            ]
        )
        + "\n"
    )


def questions_markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of `benchmarks.question_report`."""
    parts = [
        (
            f"{found['n']} questions. The same option is chosen in all orders of"
            f" {found['consistency']} of them. Letters chosen:"
            f" {', '.join(f'{letter} {count}' for letter, count in found['letters'].items())}."
        ),
        table(found["rows"]),
        _OPTIONS,
    ]
    if found["categories"]:
        parts.append(table(found["categories"]))
    return "\n\n".join(parts)


def ratings_markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of `people.score_ratings`."""
    parts = ["# Ratings"]
    for criterion, entry in found.items():
        raters = ", ".join(f"{rater} {count}" for rater, count in entry["raters"].items())
        parts += [
            f"## {criterion}",
            f"{entry['texts']} texts on {entry['pictures']} pictures, by rater: {raters}."
            + _few_rated(entry["pictures"]),
            _agreement(entry),
            table(entry["sources"]),
            table(entry["pairs"]),
        ]
    return "\n\n".join(parts) + "\n"


def _few_rated(pictures: int) -> str:
    if pictures >= _FEW_RATED:
        return ""
    return " Resampled from so few pictures, intervals are narrower than they should be."


def _agreement(entry: Mapping[str, Any]) -> str:
    """Return alpha at each level, or why there is none."""
    if len(entry["raters"]) < 2:
        return "Agreement is not told: it takes two raters."
    if not entry["shared"]:
        return "Agreement is not told: no text but those of the control was rated by two or more."
    if all(math.isnan(value.value) for value in entry["alpha"].values()):
        return "Agreement is not told: all ratings are the same."
    alphas = ", ".join(f"{level} {cell(value)}" for level, value in entry["alpha"].items())
    texts = "text" if entry["shared"] == 1 else "texts"
    return (
        f"Krippendorff's alpha of the {entry['shared']} {texts} rated by two or more (the control"
        f" left out): {alphas}."
    )


def _one_cell(text: str) -> str:
    """Return words that stay in their cell of a table, whatever a model says."""
    return " ".join(text.replace("|", "/").split())


def _pictures(about: Mapping[str, Any]) -> str:
    """Return what was asked about."""
    labelled = f"{about['labelled']} with a class"
    return f"{about['pictures']} pictures, {labelled}, of {about['split']} of {about['data']}"


def _split(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a table for each thing that agrees: all in one would be too wide to read."""
    parts = []
    for heading, begins in _SPLIT.items():
        own = {
            row: {key: value for key, value in cells.items() if key.startswith(begins)}
            for row, cells in rows.items()
        }
        if own := {row: cells for row, cells in own.items() if cells}:
            parts += [f"**{heading}**", table(own)]
    return parts


#: What a table is about -> how the names of its columns begin.
_SPLIT: Mapping[str, tuple[str, ...]] = {
    "The same label": ("labels",),
    "The same answers to questions about features": ("answers",),
    "The same statements in descriptions": ("statements",),
    "How far probabilities of labels moved (half the sum of the differences), and what accuracy"
    " that costs": ("moved", "accuracy"),
}
