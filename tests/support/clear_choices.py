"""Questions at which a model of random weights never hesitates between two tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from astrollava.engine import Engine
from astrollava.parity.reference import TorchReference

QUESTIONS = (
    "Is there a bar?", "What is this?", "Describe the galaxy.", "How many arms?", "Is it round?",
    "Is it seen edge-on?", "Is there a ring?", "Is it merging?", "What do you see?", "Which class?",
)  # fmt: skip


def clear_question(
    engine: Engine,
    reference: TorchReference,
    pictures: Sequence[np.ndarray],
    *,
    max_tokens: int,
    margin: float,
) -> str:
    """Find a question whose answers torch gives with every token ahead by `margin` nats.

    Where two tokens are as good as equal, rounding decides, and differs from one processor to the
    next: only elsewhere must the texts be the same.
    """
    for question in QUESTIONS:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        prompt = engine.format([{"role": "user", "content": content}])
        before, _, after = prompt.partition(engine.image_marker)
        answers = [reference.answer(rgb, before, after, max_tokens) for rgb in pictures]
        if min(min(answer.gaps) for answer in answers) >= margin:
            return question
    raise AssertionError(f"of {len(QUESTIONS)} questions none is answered without a near tie")
