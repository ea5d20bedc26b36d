"""Real galaxies with the debiased votes of Galaxy Zoo 2 (Willett et al. 2013; Hart et al. 2016)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from .facts import TREE, Facts, Fractions, fractions

__all__ = ["CLASSES", "facts_of_votes", "read_votes"]

_COLUMNS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "smooth": (
        "t01_smooth_or_features_",
        ("a01_smooth", "a02_features_or_disk", "a03_star_or_artifact"),
    ),
    "edge_on": ("t02_edgeon_", ("a04_yes", "a05_no")),
    "bar": ("t03_bar_", ("a06_bar", "a07_no_bar")),
    "spiral": ("t04_spiral_", ("a08_spiral", "a09_no_spiral")),
    "bulge": (
        "t05_bulge_prominence_",
        ("a10_no_bulge", "a11_just_noticeable", "a12_obvious", "a13_dominant"),
    ),
    "odd": ("t06_odd_", ("a14_yes", "a15_no")),
    "rounded": ("t07_rounded_", ("a16_completely_round", "a17_in_between", "a18_cigar_shaped")),
    "odd_feature": (
        "t08_odd_feature_",
        (
            "a19_ring",
            "a20_lens_or_arc",
            "a21_disturbed",
            "a22_irregular",
            "a23_other",
            "a24_merger",
            "a38_dust_lane",
        ),
    ),
    "edge_bulge": ("t09_bulge_shape_", ("a25_rounded", "a26_boxy", "a27_no_bulge")),
    "winding": ("t10_arms_winding_", ("a28_tight", "a29_medium", "a30_loose")),
    "arms": (
        "t11_arms_number_",
        ("a31_1", "a32_2", "a33_3", "a34_4", "a36_more_than_4", "a37_cant_tell"),
    ),
}

CLASSES: Mapping[str, str | None] = {
    "disturbed": "disturbed",
    "merging": "merging",
    "round smooth": "round_smooth",
    "in-between smooth": "in_between_smooth",
    "cigar-shaped smooth": "cigar_smooth",
    "barred spiral": "barred_spiral",
    "unbarred tight spiral": "unbarred_tight_spiral",
    "unbarred loose spiral": "unbarred_loose_spiral",
    "edge-on without bulge": "edge_on_no_bulge",
    "edge-on with bulge": "edge_on_bulge",
    # Galaxy10 knows tight and loose only: which of them the voters lean to decides, see `_winding`.
    "unbarred medium spiral": None,
    "unbarred spiral": None,
    "featureless disk": None,
    "barred disk": None,
    "": None,
}
"""Class names of the table and the Galaxy10 class each stands for, None where there is none."""

_WINDING_MARGIN = 0.1  # of all voters on winding: below it, tight or loose is a coin toss


def _winding(winding: Fractions | None) -> str | None:
    if winding is None or abs(winding["tight"] - winding["loose"]) < _WINDING_MARGIN:
        return None
    return (
        "unbarred_tight_spiral" if winding["tight"] > winding["loose"] else "unbarred_loose_spiral"
    )


def facts_of_votes(row: Mapping[str, str]) -> Facts:
    """Facts of one row of the vote table.

    Parameters
    ----------
    row : mapping of str to str
        Cells by column name: ``class`` and every ``tNN_question_aNN_answer`` of Galaxy Zoo 2.

    Returns
    -------
    Facts
        Votes normalised to fractions; the neighbours are unknown.

    Raises
    ------
    ValueError
        For a missing column, a cell that is not a number, or a class that is not in `CLASSES`.
    """
    asked: dict[str, Fractions | None] = {}
    for question, (prefix, columns) in _COLUMNS.items():
        try:
            votes = {
                a: float(row[prefix + c]) for a, c in zip(TREE[question], columns, strict=True)
            }
        except KeyError as error:
            raise ValueError(f"the vote table has no column {error}") from error
        asked[question] = fractions(question, votes)
    name = row.get("class", "")
    if name not in CLASSES:
        raise ValueError(f"unknown class {name!r}; known are {', '.join(filter(None, CLASSES))}")
    label = CLASSES[name]
    if name in ("unbarred medium spiral", "unbarred spiral"):
        label = _winding(asked["winding"])
    return Facts.of_galaxy(asked, label=label)


def read_votes(
    table: str | PathLike[str], *, split: str | None = None
) -> list[tuple[Path, str, Facts]]:
    """Read a table of voted galaxies.

    Parameters
    ----------
    table : path
        A CSV file with columns ``image`` (relative to the table's folder), ``split``, ``class``
        and the votes.
    split : str, optional
        Keep only the rows of this split, e.g. ``"train"``.

    Returns
    -------
    list of (path, split, Facts)
        In the order of the table. The pictures themselves are not opened.

    Raises
    ------
    FileNotFoundError
        Where the table is missing.
    ValueError
        For a row that cannot be read, naming its line.
    """
    path = Path(table)
    found: list[tuple[Path, str, Facts]] = []
    # Excel writes the mark of UTF-8 at the start.
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        try:
            found.extend(
                (path.parent / row["image"], row["split"], facts_of_votes(row))
                for row in reader
                if split is None or row["split"] == split
            )
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{path} is no table in CSV and UTF-8: {error}") from error
        except KeyError as error:
            raise ValueError(f"{path} has no column {error}") from error
        except (TypeError, ValueError) as error:  # None, where a line is too short
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from error
    return found
