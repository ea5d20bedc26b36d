"""Votes of Galaxy Zoo DECaLS (Walmsley et al. 2022), in the terms of Galaxy Zoo 2."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from astrollava_training.data.facts import TREE, Facts, Fractions, fractions

__all__ = ["facts_of", "knows"]

_FIRST = "smooth-or-featured_smooth_fraction"

# Question of Galaxy Zoo 2 -> its answer -> the answers of Galaxy Zoo DECaLS that mean the same.
_COLUMNS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "smooth": {
        "smooth": ("smooth-or-featured_smooth",),
        "features": ("smooth-or-featured_featured-or-disk",),
        "artifact": ("smooth-or-featured_artifact",),
    },
    "edge_on": {"yes": ("disk-edge-on_yes",), "no": ("disk-edge-on_no",)},
    "bar": {"yes": ("bar_strong", "bar_weak"), "no": ("bar_no",)},
    "spiral": {"yes": ("has-spiral-arms_yes",), "no": ("has-spiral-arms_no",)},
    "bulge": {
        "none": ("bulge-size_none",),
        "noticeable": ("bulge-size_small",),
        "obvious": ("bulge-size_moderate",),
        "dominant": ("bulge-size_large", "bulge-size_dominant"),
    },
    "odd": {
        "yes": ("merging_minor-disturbance", "merging_major-disturbance", "merging_merger"),
        "no": ("merging_none",),
    },
    "rounded": {
        "round": ("how-rounded_round",),
        "in_between": ("how-rounded_in-between",),
        "cigar": ("how-rounded_cigar-shaped",),
    },
    "odd_feature": {
        "disturbed": ("merging_minor-disturbance", "merging_major-disturbance"),
        "merger": ("merging_merger",),
    },
    "edge_bulge": {
        "rounded": ("edge-on-bulge_rounded",),
        "boxy": ("edge-on-bulge_boxy",),
        "none": ("edge-on-bulge_none",),
    },
    "winding": {
        "tight": ("spiral-winding_tight",),
        "medium": ("spiral-winding_medium",),
        "loose": ("spiral-winding_loose",),
    },
    "arms": {
        "1": ("spiral-arm-count_1",),
        "2": ("spiral-arm-count_2",),
        "3": ("spiral-arm-count_3",),
        "4": ("spiral-arm-count_4",),
        "more": ("spiral-arm-count_more-than-4",),
        "cant_tell": ("spiral-arm-count_cant-tell",),
    },
}
_HALF = 0.5


def knows(columns: Collection[str]) -> bool:
    """Whether a table has these votes."""
    return _FIRST in columns


def facts_of(row: Mapping[str, str]) -> Facts:
    """Return the facts of one galaxy; a class is given where more than half decide each step.

    Galaxy Zoo DECaLS asks nothing about rings and dust lanes, and a weak bar counts as a bar.

    Parameters
    ----------
    row : mapping of str to str
        Cells by column name, ``<question>_<answer>_fraction``; an empty cell is no vote.

    Raises
    ------
    ValueError
        A cell is no number, or a column is missing.
    """
    asked: dict[str, Fractions | None] = {}
    for question, answers in _COLUMNS.items():
        votes = dict.fromkeys(TREE[question], 0.0)
        for answer, names in answers.items():
            votes[answer] = sum(_share(row, name) for name in names)
        asked[question] = fractions(question, votes)
    return Facts.of_galaxy(asked, label=_label(Facts.of_galaxy(asked)))


def _share(row: Mapping[str, str], name: str) -> float:
    try:
        cell = row[f"{name}_fraction"].strip()
    except KeyError as error:
        raise ValueError(f"the vote table has no column {error}") from None
    return float(cell) if cell and cell.lower() != "nan" else 0.0


def _label(facts: Facts) -> str | None:
    """Return the Galaxy10 class that more than half of the voters lead to, None for none."""

    def most(question: str) -> str | None:
        given = facts.answers(question)
        best = max(given, key=lambda answer: given[answer]) if given else None
        return best if given and best and given[best] > _HALF else None

    if (feature := most("odd_feature")) and most("odd") == "yes":
        return {"merger": "merging", "disturbed": "disturbed"}.get(feature)
    if most("smooth") == "smooth":
        return {
            "round": "round_smooth",
            "in_between": "in_between_smooth",
            "cigar": "cigar_smooth",
        }.get(most("rounded") or "")
    if most("smooth") != "features":
        return None
    if most("edge_on") == "yes":
        bulge = most("edge_bulge")
        return None if bulge is None else f"edge_on_{'no_' if bulge == 'none' else ''}bulge"
    if most("edge_on") != "no" or most("spiral") != "yes":
        return None
    if most("bar") == "yes":
        return "barred_spiral"
    wound = {"tight": "unbarred_tight_spiral", "loose": "unbarred_loose_spiral"}
    return wound.get(most("winding") or "") if most("bar") == "no" else None
