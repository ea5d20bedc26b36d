"""A trained LLaVA, written as the pair of GGUF files that `astrollava.Describer` opens.

The text file holds the language model, its tokenizer and chat template; the mmproj file the vision
tower and the projector. Both carry what astrollava needs beyond llama.cpp: how a picture is
rendered and how label probabilities are calibrated. The same weights give the same bytes.
"""

from __future__ import annotations

from astrollava_training.export.about import About
from astrollava_training.export.pair import export
from astrollava_training.export.storage import QUANTIZATIONS
from astrollava_training.export.template import render_chat

__all__ = ["QUANTIZATIONS", "About", "export", "render_chat"]
