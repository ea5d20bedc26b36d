"""Does llama.cpp say what the original model says? Measured on a checkpoint and a pair.

Needs torch and transformers (``pip install "astrollava[parity]"``), which nothing else here does.
"""

from __future__ import annotations

from astrollava.parity.compare import compare, default_pictures, parity
from astrollava.parity.report import Limits, ParityReport

__all__ = ["Limits", "ParityReport", "compare", "default_pictures", "parity"]
