"""How good a model is, beside every answer that needs no picture.

A score alone says little: each stands in a table with what a constant answer, the class
frequencies, the answers to other pictures, the answer to a blank picture and random answers score,
and with what the truth itself would, with bootstrap intervals.
"""

from __future__ import annotations

from astrollava_training.evaluate.calibrate import fit_temperature, fit_threshold
from astrollava_training.evaluate.calibration import Calibration, calibrate
from astrollava_training.evaluate.items import Dataset, Item, View
from astrollava_training.evaluate.models import Choice, Model, Query, Reply, Rule, open_model
from astrollava_training.evaluate.plan import Plan
from astrollava_training.evaluate.report import Evaluation
from astrollava_training.evaluate.run import evaluate
from astrollava_training.evaluate.sets import open_data

__all__ = [
    "Calibration",
    "Choice",
    "Dataset",
    "Evaluation",
    "Item",
    "Model",
    "Plan",
    "Query",
    "Reply",
    "Rule",
    "View",
    "calibrate",
    "evaluate",
    "fit_temperature",
    "fit_threshold",
    "open_data",
    "open_model",
]
