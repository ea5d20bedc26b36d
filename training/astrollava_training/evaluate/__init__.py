"""How good a model is, beside every answer that needs no picture.

A score alone says little: each stands in a table with what a constant answer, the class
frequencies, the answers to other pictures and the answer to a blank picture score, with bootstrap
intervals.
"""

from __future__ import annotations

from astrollava_training.evaluate.calibrate import fit_temperature, fit_threshold
from astrollava_training.evaluate.report import Evaluation
from astrollava_training.evaluate.run import Calibration, calibrate, embedded

__all__ = [
    "Calibration",
    "Evaluation",
    "calibrate",
    "embedded",
    "fit_temperature",
    "fit_threshold",
]
