"""People judge: a blind rating sheet, and what the ratings say."""

from __future__ import annotations

from astrollava_training.evaluate.people.krippendorff import LEVELS, alpha, alpha_interval
from astrollava_training.evaluate.people.scores import Ratings, read_ratings, score_ratings
from astrollava_training.evaluate.people.sheet import CONTROL, CRITERIA, Text, write_sheets

__all__ = [
    "CONTROL",
    "CRITERIA",
    "LEVELS",
    "Ratings",
    "Text",
    "alpha",
    "alpha_interval",
    "read_ratings",
    "score_ratings",
    "write_sheets",
]
