"""llama.cpp in this process: RGB arrays and strings in, text and log-probabilities out.

Importing this package imports neither llama-cpp-python nor Jinja2; loading a model does.
"""

from __future__ import annotations

from astrollava.engine.class_token import ClassTokenOrder, class_token_order
from astrollava.engine.completion import Completion
from astrollava.engine.model import Engine
from astrollava.engine.sampling import Sampling
from astrollava.engine.scoring import ContinuationScore
from astrollava.engine.vision import ImageEmbedding

__all__ = [
    "ClassTokenOrder",
    "Completion",
    "ContinuationScore",
    "Engine",
    "ImageEmbedding",
    "Sampling",
    "class_token_order",
]
