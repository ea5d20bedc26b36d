"""What the model says to conversations that it is not trained on, and its loss on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astrollava_training.dataset.batches import IGNORED, row
from astrollava_training.dataset.corpus import Corpus
from astrollava_training.dataset.templates import LINE_END
from astrollava_training.loop.forward import Learner

__all__ = ["SAID", "evaluate", "spoken"]

SAID = 48
"""Tokens of a sample."""


def evaluate(
    learner: Learner,
    corpus: Corpus,
    held: NDArray[np.int64],
    tokenizer: Any,
    image: int,
    *,
    plain: bool = False,
) -> tuple[float, list[dict[str, Any]]]:
    """Take the loss on conversations, and let the model answer their first questions.

    Parameters
    ----------
    learner : Learner
        Left in evaluation mode.
    corpus : Corpus
    held : ndarray of int64
        Numbers of the conversations.
    tokenizer : transformers tokenizer
    image : int
        The token of the picture.
    plain : bool
        Whether the stage's template is ``plain``: it asks nothing, whatever the row says, and its
        answers end with the line.

    Returns
    -------
    loss, samples
        Nats a token; for each conversation its id, the question that was asked, its answer and
        what was said, greedily.
    """
    device = next(learner.model.parameters()).device
    learner.model.eval()
    total, learned = 0.0, 0
    samples: list[dict[str, Any]] = []
    with torch.no_grad():
        for number in held.tolist():
            batch = row(corpus, [number], image)
            learned += int((batch.targets != IGNORED).sum())
            total += float(learner(batch.to(device)))
            begin, end = corpus.bounds[number], corpus.bounds[number + 1]
            asked = int(np.argmax(corpus.learned[begin:end]))
            question = row(corpus, [number], image).first(asked)
            said = learner(question.to(device), say=SAID).tolist()
            turn = corpus.rows[number].turns[0]
            samples.append({
                "id": corpus.rows[number].id,
                "picture": int(corpus.pictures[number]),
                "question": "" if plain else turn[0],
                "answer": turn[1],
                "said": spoken(said, tokenizer, LINE_END if plain else ""),
            })  # fmt: skip
    # FSDP2 keeps what its outermost module has gathered for a backward pass that does not come.
    reshard: Any = getattr(learner, "reshard", None)
    if reshard is not None:
        reshard()
    return total / max(learned, 1), samples


def spoken(said: Sequence[int], tokenizer: Any, ends: str = "") -> str:
    """Return what was said up to its end.

    Parameters
    ----------
    said : sequence of int
        Tokens, to the end of what was asked for: what follows the end means nothing.
    tokenizer : transformers tokenizer
        Its end token always ends a text.
    ends : str
        A text that does, too: the end of the line under the template ``plain``.
    """
    stops = [n for n, token in enumerate(said) if token == tokenizer.eos_token_id]
    text = str(tokenizer.decode(said[: stops[0]] if stops else said, skip_special_tokens=True))
    return (text.partition(ends)[0] if ends else text).strip()
