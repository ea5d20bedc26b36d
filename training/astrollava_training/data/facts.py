"""What is known about one picture: the answers of the Galaxy Zoo 2 tree as fractions of voters.

The words the model learns, and the targets of its supervised warm-up, are both made from `Facts`,
whether they come from volunteers' votes or from the truth of a simulation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GROUPS",
    "KINDS",
    "LABELS",
    "TARGETS",
    "TREE",
    "Facts",
    "Fractions",
    "Kind",
    "fractions",
]

Kind = Literal["galaxy", "star_field", "cluster", "star", "empty"]
Fractions = Mapping[str, float]

KINDS: tuple[str, ...] = get_args(Kind)

LABELS: tuple[str, ...] = (
    "disturbed",
    "merging",
    "round_smooth",
    "in_between_smooth",
    "cigar_smooth",
    "barred_spiral",
    "unbarred_tight_spiral",
    "unbarred_loose_spiral",
    "edge_on_no_bulge",
    "edge_on_bulge",
)

TREE: Mapping[str, tuple[str, ...]] = {
    "smooth": ("smooth", "features", "artifact"),
    "edge_on": ("yes", "no"),
    "bar": ("yes", "no"),
    "spiral": ("yes", "no"),
    "bulge": ("none", "noticeable", "obvious", "dominant"),
    "odd": ("yes", "no"),
    "rounded": ("round", "in_between", "cigar"),
    "odd_feature": ("ring", "lens", "disturbed", "irregular", "other", "merger", "dust_lane"),
    "edge_bulge": ("rounded", "boxy", "none"),
    "winding": ("tight", "medium", "loose"),
    "arms": ("1", "2", "3", "4", "more", "cant_tell"),
}
"""Questions of the Galaxy Zoo 2 tree and their answers, in the order of the target vector."""

GROUPS: tuple[tuple[str, slice], ...]
TARGETS: tuple[str, ...]


def _layout() -> tuple[tuple[tuple[str, slice], ...], tuple[str, ...]]:
    groups: list[tuple[str, slice]] = []
    names: list[str] = []
    for question, answers in (("kind", KINDS), *TREE.items(), ("label", LABELS)):
        groups.append((question, slice(len(names), len(names) + len(answers))))
        names.extend(f"{question}.{answer}" for answer in answers)
    return tuple(groups), tuple(names)


GROUPS, TARGETS = _layout()


def fractions(question: str, votes: Mapping[str, float]) -> Fractions | None:
    """Normalise the answers to one question.

    Parameters
    ----------
    question : str
        A question of `TREE`.
    votes : mapping of str to float
        Non-negative weight of each answer; an answer left out counts zero.

    Returns
    -------
    mapping of str to float or None
        Fractions in [0, 1] that add up to one, in the tree's order, or None where nobody answered.

    Raises
    ------
    KeyError
        For a question or an answer that is not in the tree.
    """
    answers = TREE[question]
    if unknown := set(votes) - set(answers):
        raise KeyError(f"{question!r} has no answer {sorted(unknown)}; its answers are {answers}")
    given = {answer: max(float(votes.get(answer, 0.0)), 0.0) for answer in answers}
    total = sum(given.values())
    return {answer: value / total for answer, value in given.items()} if total > 0 else None


@dataclass(frozen=True)
class Facts:
    """What is known about one picture.

    Every question is a mapping from answer to fraction of voters (of a simulation: how many would
    see it), adding up to one, or None where it was not asked or has no answer.

    Attributes
    ----------
    kind : {"galaxy", "star_field", "cluster", "star", "empty"}
        What the picture shows; ``empty`` is a blank picture or noise only.
    smooth, edge_on, bar, spiral, bulge, odd, rounded, odd_feature, edge_bulge, winding, arms
        The Galaxy Zoo 2 questions, with the answers of `TREE`.
    neighbours : int or None
        Clear companions and foreground stars in view; known for simulations only.
    label : str or None
        Galaxy10 class, a member of `LABELS`; None where undecided.
    """

    kind: Kind = "galaxy"
    smooth: Fractions | None = None
    edge_on: Fractions | None = None
    bar: Fractions | None = None
    spiral: Fractions | None = None
    bulge: Fractions | None = None
    odd: Fractions | None = None
    rounded: Fractions | None = None
    odd_feature: Fractions | None = None
    edge_bulge: Fractions | None = None
    winding: Fractions | None = None
    arms: Fractions | None = None
    neighbours: int | None = None
    label: str | None = None

    @classmethod
    def of_galaxy(
        cls,
        asked: Mapping[str, Fractions | None],
        *,
        label: str | None = None,
        neighbours: int | None = None,
    ) -> Facts:
        """Facts of a galaxy from the fractions of every question that was ``asked``."""
        if unknown := set(asked) - set(TREE):
            raise KeyError(f"{sorted(unknown)} are not questions; the questions are {tuple(TREE)}")
        facts = cls(kind="galaxy", label=label, neighbours=neighbours)
        for question, found in asked.items():
            # The object is frozen for its users; here it is still being made.
            object.__setattr__(facts, question, found)
        return facts

    def answers(self, question: str) -> Fractions | None:
        """Fractions of one question of `TREE`, or None where it was not asked."""
        if question not in TREE:
            raise KeyError(f"{question!r} is not a question; the questions are {tuple(TREE)}")
        found: Fractions | None = getattr(self, question)
        return found

    def reach(self, question: str) -> float:
        """Fraction of voters who come as far as a question, in [0, 1].

        Galaxy Zoo 2 asks for a bar only those who saw a disk that is not edge-on, for the winding
        only those of them who saw arms, and so on: an answer counts as much as it was reached.
        """
        if self.kind != "galaxy" or self.smooth is None:
            return 0.0
        if question == "smooth":
            return 1.0

        def share(parent: Fractions | None, answer: str) -> float:
            return parent[answer] if parent is not None else 0.0

        features = self.smooth["features"]
        face_on = features * share(self.edge_on, "no")
        return {
            "edge_on": features,
            "rounded": self.smooth["smooth"],
            "odd": 1.0 - self.smooth["artifact"],
            "odd_feature": share(self.odd, "yes"),
            "edge_bulge": features * share(self.edge_on, "yes"),
            "bar": face_on,
            "spiral": face_on,
            "bulge": face_on,
            "winding": face_on * share(self.spiral, "yes"),
            "arms": face_on * share(self.spiral, "yes"),
        }[question]

    def vector(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Targets and weights of the supervised warm-up, in the order of `TARGETS`.

        Returns
        -------
        targets : ndarray of float32, shape (len(TARGETS),)
            Fractions; each group of `GROUPS` adds up to one, or is all zero where unknown.
        weights : ndarray of float32, shape (len(TARGETS),)
            The same within a group, in [0, 1]: how far voters come to the question, zero where
            unknown.
        """
        targets = np.zeros(len(TARGETS), np.float32)
        weights = np.zeros(len(TARGETS), np.float32)
        for question, where in GROUPS:
            if question == "kind":
                targets[where.start + KINDS.index(self.kind)] = 1.0
                weights[where] = 1.0
            elif question == "label":
                if self.label is not None:
                    targets[where.start + LABELS.index(self.label)] = 1.0
                    weights[where] = 1.0
            elif (answered := self.answers(question)) is not None:
                targets[where] = [answered[answer] for answer in TREE[question]]
                weights[where] = self.reach(question)
        return targets, weights
