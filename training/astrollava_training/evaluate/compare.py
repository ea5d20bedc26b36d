"""Two models on the same pictures: every difference paired, with an interval and what it takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava.prompts import DESCRIBE
from astrollava_training.evaluate.label_table import scores_of
from astrollava_training.evaluate.markdown import NAMES, p_value, table
from astrollava_training.evaluate.metrics import mcnemar
from astrollava_training.evaluate.report import PICTURES, REPORT, plain
from astrollava_training.evaluate.resampling import (
    Draws,
    Resampling,
    detectable,
    interval,
    intervals,
    needed,
)
from astrollava_training.evaluate.statement_table import statement_draws, statement_units
from astrollava_training.evaluate.statements import read

__all__ = ["Comparison", "compare", "mcnemar"]


@dataclass(frozen=True)
class Comparison:
    """Two reports on the same pictures.

    Attributes
    ----------
    about : mapping
        The two models, by which ``rules`` they label, the data, ``pictures`` in common and
        ``apart``, those in only one report.
    rows : mapping
        Score -> ``first``, ``second``, ``difference`` (second less first, paired; `Interval`),
        ``needed`` and ``detectable``. Of ``ece``, ``brier``, ``nll`` and ``aurc`` less is better.
    mcnemar : mapping
        ``only_first`` and ``only_second``, pictures that only one of them labels rightly, and ``p``
        of the exact test that the two are equally likely; empty without labels.
    same_label, same_text : float
        Shares of pictures with the same label, and with the same description.
    """

    about: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]
    mcnemar: Mapping[str, float]
    same_label: float
    same_text: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        found: dict[str, Any] = plain(vars(self))
        return found

    def markdown(self) -> str:
        """Return the tables."""
        about = self.about
        parts = [
            f"# {_name(about, 'second')} against {_name(about, 'first')} on {about['data']}",
            f"{about['pictures']} pictures in both reports"
            + (f", {about['apart']} in only one and left out" if about["apart"] else "")
            + ". Every difference is second less first on the same pictures, with the 95 % interval"
            " of the bootstrap (Wilson's or Tango's where no resample differs) ± its standard"
            " error; `needed` is how many pictures show it with a power of 80 % at 5 %,"
            " `detectable` the smallest difference these pictures show. Of ECE, Brier,"
            " NLL and AURC less is better.",
            table({NAMES.get(name, name): row for name, row in self.rows.items()}),
        ]
        if self.mcnemar:
            parts.append(
                f"Labelled rightly by only the first: {self.mcnemar['only_first']:.0f}; by only the"
                f" second: {self.mcnemar['only_second']:.0f}; exact McNemar test"
                f" {p_value(self.mcnemar['p'])}."
            )
        parts.append(f"Same label: {self.same_label:.3f}. Same description: {self.same_text:.3f}.")
        return "\n\n".join(parts) + "\n"

    def write(self, out: Path) -> None:
        """Write ``compare.json`` and ``compare.md`` into a folder, made where missing."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "compare.md").write_text(self.markdown(), encoding="utf-8")
        (out / "compare.json").write_text(
            json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )


def compare(first: Path, second: Path, *, resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two reports.

    Parameters
    ----------
    first, second : path
        Folders that `Evaluation.write` wrote.
    resamples, seed : int
        Of the bootstrap.

    Raises
    ------
    InvalidRequest
        One is no report, or they are about other data or have fewer than two pictures in common.
    """
    (about_a, rows_a), (about_b, rows_b) = _read(first), _read(second)
    for key in ("data", "classes"):
        if about_a[key] != about_b[key]:
            raise InvalidRequest(
                f"the reports are about other {key}: {about_a[key]} and {about_b[key]}",
                expected="two reports on the same data",
            )
    hashes = [about["data_facts"].get("sha256") for about in (about_a, about_b)]
    if hashes[0] != hashes[1]:
        raise InvalidRequest(
            f"the data of the reports have other hashes: {hashes[0]} and {hashes[1]}",
            expected="two reports on the same files",
        )
    both = [name for name in rows_a if name in rows_b]
    if len(both) < 2:
        raise InvalidRequest(
            f"the reports have {len(both)} pictures in common", expected="at least two"
        )
    pairs = [(rows_a[name], rows_b[name]) for name in both]
    again = Resampling(
        len(pairs), groups=[a["group"] for a, _ in pairs], resamples=resamples, seed=seed
    )
    rows: dict[str, dict[str, Any]] = {}
    labelled = [(a, b) for a, b in pairs if a["label"] is not None]
    test: dict[str, float] = {}
    if len(labelled) > 1:
        rows, test = _labels(labelled, len(about_a["classes"]), resamples, seed)
    rows |= _cosines(pairs, resamples, seed)
    if any(a["truth"] for a, _ in pairs):
        said = [_statements(side, again) for side in zip(*pairs, strict=True)]
        rows |= _differences([draws for draws, _ in said], len(pairs), [units for _, units in said])
    told = [[row["texts"].get(DESCRIBE.id) for row in pair] for pair in pairs]
    return Comparison(
        about={
            "first": about_a["model"],
            "second": about_b["model"],
            "rules": {"first": about_a.get("rule"), "second": about_b.get("rule")},
            "data": about_a["data"],
            "pictures": len(both),
            "apart": len(rows_a) + len(rows_b) - 2 * len(both),
            "resamples": resamples,
            "seed": seed,
        },
        rows=rows,
        mcnemar=test,
        same_label=float(np.mean([_label(a) == _label(b) for a, b in pairs])),
        same_text=float(np.mean([a == b for a, b in told])),
    )


def _name(about: Mapping[str, Any], side: str) -> str:
    """Return the model's name, and by which rule it labels where that alone tells two apart."""
    rules = about["rules"]
    if about["first"] != about["second"] or rules["first"] == rules["second"]:
        return str(about[side])
    return f"{about[side]} by the rule {rules[side]}"


def _read(folder: Path) -> tuple[Mapping[str, Any], dict[str, Any]]:
    try:
        about = json.loads((folder / REPORT).read_text(encoding="utf-8"))["about"]
        lines = (folder / PICTURES).read_text(encoding="utf-8").splitlines()
        return about, {row["id"]: row for row in map(json.loads, lines)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidRequest(
            f"{folder} holds no report ({why})",
            expected=f"a folder with {REPORT} and {PICTURES}",
            hint="Make one with: astrollava-train evaluate MODEL -o FOLDER",
        ) from None


def _labels(
    pairs: list[Any], classes: int, resamples: int, seed: int
) -> tuple[dict[str, dict[str, Any]], dict[str, float]]:
    labels = np.array([a["label"] for a, _ in pairs], np.intp)
    again = Resampling(
        len(pairs), groups=[a["group"] for a, _ in pairs], resamples=resamples, seed=seed
    )
    sides = []
    right = []
    for side in zip(*pairs, strict=True):
        given = np.array([row["probabilities"] for row in side], np.float64)
        right.append(given.argmax(axis=1) == labels)
        sides.append(scores_of(labels, given.argmax(axis=1), given, classes, again))
    only_first = int((right[0] & ~right[1]).sum())
    only_second = int((right[1] & ~right[0]).sum())
    test = {
        "only_first": only_first,
        "only_second": only_second,
        "p": mcnemar(only_first, only_second),
    }
    return _differences(sides, len(pairs), [again.objects()] * 2), test


def _cosines(pairs: list[Any], resamples: int, seed: int) -> dict[str, dict[str, Any]]:
    told = [(a, b) for a, b in pairs if a["cosine"] is not None and b["cosine"] is not None]
    if len(told) < 2:
        return {}
    again = Resampling(
        len(told), groups=[a["group"] for a, _ in told], resamples=resamples, seed=seed
    )
    sides = [
        {"cosine": again.mean(np.array([row["cosine"] for row in side]))}
        for side in zip(*told, strict=True)
    ]
    return _differences(sides, len(told), [again.objects()] * 2)


def _statements(
    rows: tuple[Any, ...], again: Resampling
) -> tuple[dict[str, Draws], dict[str, int]]:
    """Return the scores, and of how many objects each is made."""
    said = [read(row["texts"][DESCRIBE.id]) for row in rows]
    truths = [row["truth"] for row in rows]
    draws, units = statement_draws(said, truths, again), statement_units(said, truths, again)
    return (
        {f"statements {name}": found for name, found in draws.items()},
        {f"statements {name}": found for name, found in units.items()},
    )


def _differences(
    sides: Sequence[Mapping[str, Draws]], count: int, units: Sequence[int | Mapping[str, int]]
) -> dict[str, dict[str, Any]]:
    first, second = sides
    alone = [intervals(draws, own) for draws, own in zip(sides, units, strict=True)]
    found = {}
    for name in first:
        objects = min(own if isinstance(own, int) else own[name] for own in units)
        gap = interval(name, second[name] - first[name], objects, difference=True)
        found[name] = {
            "first": alone[0][name],
            "second": alone[1][name],
            "difference": gap,
            "needed": needed(gap, count),
            "detectable": detectable(gap),
        }
    return found


def _label(row: Mapping[str, Any]) -> int:
    shares: NDArray[np.float64] = np.array(row["probabilities"])
    return int(shares.argmax())
