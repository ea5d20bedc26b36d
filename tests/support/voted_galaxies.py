"""Galaxies with votes that need no data: random facts, and simulated pictures with a table."""

from __future__ import annotations

import csv
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image

from astrollava_training.data.facts import KINDS, LABELS, TREE, Facts, fractions
from astrollava_training.data.galaxies import _COLUMNS, CLASSES
from astrollava_training.data.simulate import simulate

__all__ = ["any_facts", "write_table"]

VOTERS = 40


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Facts as wild as votes can be: any fractions, any label, questions left out."""
    near = draw(st.none() | st.integers(0, 30))
    kind = draw(st.sampled_from(["galaxy"] * 8 + list(KINDS)))
    if kind != "galaxy":
        return Facts(kind=kind, neighbours=near)
    asked = {}
    for question, answers in TREE.items():
        votes = st.lists(st.integers(0, VOTERS), min_size=len(answers), max_size=len(answers))
        # Everyone is asked the first question of the tree.
        given = draw(votes.filter(any) if question == "smooth" else st.none() | votes)
        asked[question] = (
            None if given is None else fractions(question, dict(zip(answers, given, strict=True)))
        )
    label = draw(st.none() | st.sampled_from(LABELS))
    return Facts.of_galaxy(asked, label=label, neighbours=near)


def write_table(folder: Path, splits: dict[str, int], *, size: int = 40, seed: int = 0) -> Path:
    """Write simulated galaxies and a ``votes.csv`` as `read_votes` reads it.

    Parameters
    ----------
    folder : pathlib.Path
        Where the pictures go, and the table beside them.
    splits : dict
        Name of a split -> number of its pictures, all of them with a class.
    size, seed : int
        Side of the pictures in pixels, and which ones are drawn.
    """
    wanted = [split for split, count in splits.items() for _ in range(count)]
    rows: list[dict[str, str]] = []
    start = 0
    while len(rows) < len(wanted):
        ((rgb,), (facts,)) = simulate(1, size, seed=seed, start=start)
        start += 1
        if facts.label is None:
            continue
        row = {"image": f"{start}.png", "split": wanted[len(rows)], "class": ""}
        row["class"] = next(n for n, label in CLASSES.items() if label == facts.label)
        for question, (prefix, columns) in _COLUMNS.items():
            answered = facts.answers(question) or dict.fromkeys(TREE[question], 0.0)
            for answer, column in zip(TREE[question], columns, strict=True):
                row[prefix + column] = repr(float(answered[answer]))
        Image.fromarray(rgb).save(folder / row["image"])
        rows.append(row)
    table = folder / "votes.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table
