"""What changes an answer that should not: the picture's pose and noise, the words, fewer bits."""

from __future__ import annotations

from astrollava_training.evaluate.robustness.agreement import Said, agreement_row, share_row
from astrollava_training.evaluate.robustness.changes import CHANGES, shown

__all__ = ["CHANGES", "Said", "agreement_row", "share_row", "shown"]
