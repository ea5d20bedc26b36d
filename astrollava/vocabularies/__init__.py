"""Label sets: Galaxy10 DECaLS, a set of one's own, and the Galaxy Zoo 2 decision tree."""

from __future__ import annotations

from astrollava.vocabularies.galaxy_zoo import (
    GALAXY_ZOO2,
    DecisionTree,
    Step,
    TreeAnswer,
    TreeTask,
)
from astrollava.vocabularies.labels import (
    GALAXY10,
    GALAXY_PRESENCE,
    VOCABULARIES,
    Presence,
    Vocabulary,
    from_labels,
    get,
)

__all__ = [
    "GALAXY10",
    "GALAXY_PRESENCE",
    "GALAXY_ZOO2",
    "VOCABULARIES",
    "DecisionTree",
    "Presence",
    "Step",
    "TreeAnswer",
    "TreeTask",
    "Vocabulary",
    "from_labels",
    "get",
]
