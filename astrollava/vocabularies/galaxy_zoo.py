"""The decision tree of Galaxy Zoo 2, as data, and the way votes take through it.

Tasks, answers and transitions are those of Table 2 of Willett et al. 2013 (MNRAS 435, 2835);
vote columns are named as in the published tables, ``t01_smooth_or_features_a01_smooth``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["GALAXY_ZOO2", "DecisionTree", "Step", "TreeAnswer", "TreeTask"]

# A task line is "id name = question", an answer line "column ending > words > next task".
# There is no a35, as published.
_TASKS = """
t01 smooth_or_features = Is the galaxy simply smooth and rounded, with no sign of a disk?
  a01_smooth > smooth > t07
  a02_features_or_disk > features or disk > t02
  a03_star_or_artifact > star or artifact > end
t02 edgeon = Could this be a disk viewed edge-on?
  a04_yes > yes > t09
  a05_no > no > t03
t03 bar = Is there a sign of a bar feature through the centre of the galaxy?
  a06_bar > bar > t04
  a07_no_bar > no bar > t04
t04 spiral = Is there any sign of a spiral arm pattern?
  a08_spiral > spiral > t10
  a09_no_spiral > no spiral > t05
t05 bulge_prominence = How prominent is the central bulge, compared with the rest of the galaxy?
  a10_no_bulge > no bulge > t06
  a11_just_noticeable > just noticeable > t06
  a12_obvious > obvious > t06
  a13_dominant > dominant > t06
t06 odd = Is there anything odd?
  a14_yes > yes > t08
  a15_no > no > end
t07 rounded = How rounded is it?
  a16_completely_round > completely round > t06
  a17_in_between > in between > t06
  a18_cigar_shaped > cigar-shaped > t06
t08 odd_feature = Is the odd feature a ring, or is the galaxy disturbed or irregular?
  a19_ring > ring > end
  a20_lens_or_arc > lens or arc > end
  a21_disturbed > disturbed > end
  a22_irregular > irregular > end
  a23_other > other > end
  a24_merger > merger > end
  a38_dust_lane > dust lane > end
t09 bulge_shape = Does the galaxy have a bulge at its centre? If so, what shape?
  a25_rounded > rounded > t06
  a26_boxy > boxy > t06
  a27_no_bulge > no bulge > t06
t10 arms_winding = How tightly wound do the spiral arms appear?
  a28_tight > tight > t11
  a29_medium > medium > t11
  a30_loose > loose > t11
t11 arms_number = How many spiral arms are there?
  a31_1 > 1 > t05
  a32_2 > 2 > t05
  a33_3 > 3 > t05
  a34_4 > 4 > t05
  a36_more_than_4 > more than 4 > t05
  a37_cant_tell > can't tell > t05
"""


class TreeAnswer(NamedTuple):
    """An answer of the decision tree: its id, words, vote column and the task it leads to."""

    id: str
    text: str
    column: str
    next: str | None


class TreeTask(NamedTuple):
    """A question of the decision tree and its answers."""

    id: str
    question: str
    answers: tuple[TreeAnswer, ...]


class Step(NamedTuple):
    """One step of `DecisionTree.path`: the task, the winning answer and its vote fraction."""

    task: TreeTask
    answer: TreeAnswer
    fraction: float


@dataclass(frozen=True)
class DecisionTree:
    """The questions of a citizen-science project, as a tree.

    Attributes
    ----------
    name : str
        Name of the tree.
    first : str
        Id of the task asked first.
    tasks : mapping
        Task id -> task.
    citation : str
        Where the tree was published.
    """

    name: str
    first: str
    tasks: Mapping[str, TreeTask] = field(hash=False)
    citation: str

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_tree, (self.name, self.first, dict(self.tasks), self.citation))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all vote columns, in order of tasks and answers."""
        return tuple(answer.column for task in self.tasks.values() for answer in task.answers)

    def path(self, votes: Mapping[str, float]) -> tuple[Step, ...]:
        """Follow the answers most voters gave, from the first task to the end.

        Parameters
        ----------
        votes : mapping
            Column name -> vote fraction in [0, 1]. Missing columns and NaN count as no votes.

        Returns
        -------
        tuple of Step
            Ends where the tree does, or before a task nobody answered. Of two answers with the
            same fraction the first in the tree's order wins.

        Examples
        --------
        >>> from astrollava.vocabularies import GALAXY_ZOO2
        >>> votes = {"t01_smooth_or_features_a01_smooth": 0.9, "t07_rounded_a18_cigar_shaped": 0.8}
        >>> [step.answer.text for step in GALAXY_ZOO2.path(votes)]
        ['smooth', 'cigar-shaped']
        """
        steps: list[Step] = []
        task_id: str | None = self.first
        while task_id is not None:
            task = self.tasks[task_id]
            fractions = [float(votes.get(answer.column, 0.0)) for answer in task.answers]
            fractions = [0.0 if math.isnan(fraction) else fraction for fraction in fractions]
            best = max(range(len(fractions)), key=fractions.__getitem__)
            if fractions[best] <= 0:
                break
            steps.append(Step(task, task.answers[best], fractions[best]))
            task_id = task.answers[best].next
        return tuple(steps)


def _rebuild_tree(name: str, first: str, tasks: dict[str, TreeTask], citation: str) -> DecisionTree:
    return DecisionTree(name, first, MappingProxyType(tasks), citation)


def _parse(table: str) -> Mapping[str, TreeTask]:
    tasks: dict[str, TreeTask] = {}
    stem = ""
    for line in table.strip().splitlines():
        if line.startswith("t"):
            stem, question = line.split(" = ")
            task_id = stem.split()[0]
            tasks[task_id] = TreeTask(task_id, question, ())
        else:
            tail, text, following = line.strip().split(" > ")
            column = f"{stem.replace(' ', '_')}_{tail}"
            target = None if following == "end" else following
            answer = TreeAnswer(tail.split("_")[0], text, column, target)
            task = tasks[task_id]
            tasks[task_id] = task._replace(answers=(*task.answers, answer))
    return MappingProxyType(tasks)


#: The decision tree of Galaxy Zoo 2.
GALAXY_ZOO2 = DecisionTree(
    "galaxy-zoo-2",
    "t01",
    _parse(_TASKS),
    "Willett et al. 2013, MNRAS 435, 2835 (doi:10.1093/mnras/stt1458), Table 2",
)
