"""What raters said: agreement, a mean for each source, and paired differences.

Means and differences are resampled over pictures, which the next sheet would have others of; alpha
over texts. A rating of "can't judge" and one left out are missing, not low.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.csv_files import csv_lines
from astrollava_training.evaluate.metrics import Interval, bootstrap
from astrollava_training.evaluate.people.krippendorff import LEVELS, Level, alpha_interval
from astrollava_training.evaluate.people.sheet import CONTROL, CRITERIA, SCALE

__all__ = ["Ratings", "read_ratings", "score_ratings"]

_MISSING = frozenset({"", "?"})
#: What reading JSON raises: of deep nesting, too.
_BROKEN = (ValueError, RecursionError)
#: Longest cell read: a name; more is no file of the page.
_LONGEST = 1000


@dataclass(frozen=True)
class Ratings:
    """All ratings of one sheet.

    Attributes
    ----------
    raters : tuple of str
        Who rated.
    rows : mapping
        Row of the sheet -> picture, question, sources and text, as in the key.
    values : mapping
        Criterion -> ratings, shape (raters, rows), NaN where missing.
    """

    raters: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Any]]
    values: Mapping[str, NDArray[np.float64]]


def read_ratings(key: Path, tables: Sequence[Path]) -> Ratings:
    """Read the CSV files of the raters, and the key that tells the sources.

    Parameters
    ----------
    key : pathlib.Path
        ``key.json`` of `write_sheets`.
    tables : sequence of pathlib.Path
        One CSV file of each rater, as the page saved it.

    Returns
    -------
    Ratings

    Raises
    ------
    InvalidRequest
        For a file of another sheet, a rater who comes twice, a row that is not on the sheet or
        comes twice, or a value off the scale, with file and line.
    """
    known = _key(key)
    rows: dict[str, Any] = known["rows"]
    names = [criterion.name for criterion in CRITERIA]
    at = {row: i for i, row in enumerate(rows)}
    filled: dict[str, NDArray[np.float64]] = {}
    for table in tables:
        given = np.full((len(names), len(rows)), np.nan)
        rater = ""
        seen: set[str] = set()
        for number, line in _lines(table, ["sheet", "rater", "row", *names]):
            where = f"{table}, line {number}"
            if line["sheet"] != known["sheet"]:
                raise InvalidRequest(
                    f"{where}: the ratings are of sheet {line['sheet']!r}",
                    expected=f"sheet {known['sheet']!r}, which {key} is the key of",
                )
            if rater not in ("", line["rater"]) or not line["rater"].strip():
                raise InvalidRequest(
                    f"{where}: rater {line['rater']!r}", expected="one name a file"
                )
            rater = line["rater"]
            row = line["row"]
            if row not in at or row in seen:
                raise InvalidRequest(
                    f"{where}: row {row!r} {'comes twice' if row in seen else 'is not in the key'}"
                )
            seen.add(row)
            for i, name in enumerate(names):
                given[i, at[row]] = _value(line[name], f"{where}, {name}")
        if rater in filled:
            raise InvalidRequest(
                f"{table}: {rater!r} has rated this sheet in another file",
                hint="Give each rater's last file only, or tell two people of one name apart",
            )
        if rater:
            filled[rater] = given
    if not filled:
        raise InvalidRequest(f"no rating in {len(tables)} files", expected="at least one")
    stacked = np.stack(list(filled.values()))
    return Ratings(tuple(filled), rows, {name: stacked[:, i] for i, name in enumerate(names)})


def score_ratings(ratings: Ratings, *, resamples: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Return agreement, means and paired differences.

    Parameters
    ----------
    ratings : Ratings
        Of `read_ratings`.
    resamples, seed : int
        Of the bootstrap over pictures.

    Returns
    -------
    dict
        Criterion -> ``raters`` (name -> texts rated), ``texts`` and ``pictures`` rated by anybody,
        ``alpha`` (level of measurement -> `Interval`; without rows that only the control says, on
        which agreement is easy) and ``shared``, the texts it is of: rated by two or more,
        ``sources`` (source -> ``mean`` (`Interval`) and ``n``, its rated texts) and ``pairs``
        ("one - other" -> ``difference`` (`Interval`) on pictures and questions where both were
        rated, ``n`` of them, and the shares ``better`` and ``worse``).
    """
    found: dict[str, Any] = {}
    real = np.array([list(row["sources"]) != [CONTROL] for row in ratings.rows.values()])
    for name, values in ratings.values.items():
        levels: dict[Level, Interval] = {
            level: alpha_interval(values[:, real], level, resamples=resamples, seed=seed)
            for level in LEVELS
        }
        means = _row_means(values)
        cells = _cells(ratings.rows, means)
        sources = sorted({s for row in ratings.rows.values() for s in row["sources"]})
        raters = (~np.isnan(values)).sum(axis=0)
        rated = [row["picture"] for row, n in zip(ratings.rows.values(), raters, strict=True) if n]
        found[name] = {
            "raters": {
                rater: int((~np.isnan(own)).sum())
                for rater, own in zip(ratings.raters, values, strict=True)
            },
            "texts": len(rated),
            "pictures": len(set(rated)),
            "shared": int((raters[real] > 1).sum()),
            "alpha": levels,
            "sources": {
                source: {
                    "mean": _clustered(
                        own := _of(cells, source), (SCALE[0], SCALE[-1]), resamples, seed
                    ),
                    "n": sum(map(len, own.values())),
                }
                for source in sources
            },
            "pairs": {
                f"{one} - {other}": _pair(cells, one, other, resamples, seed)
                for one, other in combinations(sources, 2)
            },
        }
    return found


_Cells = Mapping[tuple[str, str], Mapping[str, float]]


def _row_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    there = ~np.isnan(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _cells(rows: Mapping[str, Mapping[str, Any]], means: NDArray[np.float64]) -> _Cells:
    """Return (picture, question) -> source -> mean over the raters, where anybody rated it."""
    cells: dict[tuple[str, str], dict[str, float]] = {}
    for row, mean in zip(rows.values(), means, strict=True):
        if not np.isnan(mean):
            for source in row["sources"]:
                cells.setdefault((row["picture"], row["question"]), {})[source] = float(mean)
    return cells


def _of(cells: _Cells, source: str, other: str | None = None) -> dict[str, list[float]]:
    """Return picture -> ratings of a source, or its lead over another where both have one."""
    found: dict[str, list[float]] = {}
    for (picture, _), said in cells.items():
        if source in said and (other is None or other in said):
            lead = said[source] - (0.0 if other is None else said[other])
            found.setdefault(picture, []).append(lead)
    return found


def _clustered(
    groups: Mapping[str, Sequence[float]], ends: tuple[float, float], resamples: int, seed: int
) -> Interval:
    totals = np.array([[sum(own), len(own)] for own in groups.values()]).reshape(-1, 2)

    if len(totals) == 1:
        # A single picture drawn again and again would look like certainty.
        return Interval(float(totals[0, 0] / totals[0, 1]), math.nan, math.nan, math.nan)

    def mean(at: NDArray[np.intp]) -> float:
        total, count = totals[at].sum(axis=0)
        return float(total / count)

    return bootstrap(mean, len(totals), ends=ends, resamples=resamples, seed=seed)


def _pair(cells: _Cells, one: str, other: str, resamples: int, seed: int) -> dict[str, Any]:
    leads = _of(cells, one, other)
    widest = SCALE[-1] - SCALE[0]
    every = np.array([lead for own in leads.values() for lead in own])
    return {
        "difference": _clustered(leads, (-widest, widest), resamples, seed),
        "n": len(every),
        "better": float(np.mean(every > 0)) if len(every) else float("nan"),
        "worse": float(np.mean(every < 0)) if len(every) else float("nan"),
    }


def _key(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        assert isinstance(known["sheet"], str)
        for row in known["rows"].values():
            assert isinstance(row["picture"], str)
            assert isinstance(row["question"], str)
            assert all(isinstance(source, str) for source in row["sources"])
    except OSError as error:
        raise InvalidRequest(
            f"{path} cannot be read as a key: {error.strerror or error}",
            expected="key.json as it was written beside the sheets",
        ) from error
    except (LookupError, TypeError, AttributeError, AssertionError, *_BROKEN) as error:
        raise InvalidRequest(
            f"{path} cannot be read as a key ({type(error).__name__}: {error})",
            expected="key.json as it was written beside the sheets",
        ) from error
    return dict(known)


def _lines(table: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    lines = []
    with csv_lines(table) as reader:
        there = next(reader, [])
        if [name.strip() for name in there] != list(columns):
            raise InvalidRequest(
                f"{table} has the columns {', '.join(there)[:_LONGEST] or 'of an empty file'}",
                expected=", ".join(columns) + ", as the sheet saves them",
            )
        for cells in reader:
            if len(cells) != len(columns) or any(len(cell) > _LONGEST for cell in cells):
                raise InvalidRequest(
                    f"{table}, line {reader.line_num}: {len(cells)} cells",
                    expected=f"{len(columns)} short ones",
                )
            lines.append((reader.line_num, dict(zip(columns, cells, strict=True))))
    return lines


def _value(cell: str, where: str) -> float:
    if cell in _MISSING:
        return float("nan")
    if cell not in map(str, SCALE):
        raise InvalidRequest(
            f"{where}: {cell!r}", expected=f"{', '.join(map(str, SCALE))}, ? or nothing"
        )
    return float(cell)
