"""The functions of galaxy10_decals.yaml; they need nothing but Python, as lmms-eval loads them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "CLASSES",
    "LETTERS",
    "QUESTION",
    "Doc",
    "Result",
    "galaxy10_accuracy",
    "galaxy10_balanced_accuracy",
    "galaxy10_constant",
    "galaxy10_doc_to_target",
    "galaxy10_doc_to_text",
    "galaxy10_doc_to_visual",
    "galaxy10_macro_f1",
    "galaxy10_process_results",
    "galaxy10_read",
    "galaxy10_unanswered",
]

#: Classes in the order of the data set's labels, 0 to 9.
CLASSES = (
    "Disturbed Galaxies",
    "Merging Galaxies",
    "Round Smooth Galaxies",
    "In-between Round Smooth Galaxies",
    "Cigar Shaped Smooth Galaxies",
    "Barred Spiral Galaxies",
    "Unbarred Tight Spiral Galaxies",
    "Unbarred Loose Spiral Galaxies",
    "Edge-on Galaxies without Bulge",
    "Edge-on Galaxies with Bulge",
)
LETTERS = "ABCDEFGHIJ"
QUESTION = "What type of galaxy is this?"

Doc = Mapping[str, Any]
Result = Mapping[str, int]


def galaxy10_doc_to_visual(doc: Doc) -> list[Any]:
    """Return the picture."""
    return [doc["image"].convert("RGB")]


def galaxy10_doc_to_text(doc: Doc, lmms_eval_specific_kwargs: Doc | None = None) -> str:
    """Return the question with the ten classes as options."""
    around = lmms_eval_specific_kwargs or {}
    options = [f"{letter}. {name}" for letter, name in zip(LETTERS, CLASSES, strict=True)]
    text = "\n".join([QUESTION, *options])
    return f"{around.get('pre_prompt', '')}{text}{around.get('post_prompt', '')}"


def galaxy10_doc_to_target(doc: Doc) -> str:
    """Return the letter of the true class."""
    return LETTERS[doc["label"]]


def galaxy10_read(answer: str) -> int:
    """Return the class that an answer names, -1 where it names none or several.

    A letter counts at the start ("C", "(C)", "C. Round") or after "answer is" or "option"; else the
    only class whose name is in the text.
    """
    text = answer.strip()
    start = re.match(r"\(?([A-J])(?:[).:,]|\s*$)", text)
    said = re.search(r"(?i:\banswer(?: is)?|\boption|\bchoice)\W{0,3}([A-J])\b(?! [a-z])", text)
    if start or said:
        return LETTERS.index((start or said)[1])  # type: ignore[index]
    plain = _plain(text)
    named = [i for i, name in enumerate(CLASSES) if _plain(name) in plain]
    # "In-between Round Smooth" holds "Round Smooth".
    named = [i for i in named if not any(i != j and _within(i, j) for j in named)]
    return named[0] if len(named) == 1 else -1


def _plain(text: str) -> str:
    words = re.sub(r"[^a-z]+", " ", text.lower())
    return re.sub(r"\bgalax(?:y|ies)\b", "galaxy", words)


def _within(i: int, j: int) -> bool:
    return _plain(CLASSES[i]) in _plain(CLASSES[j])


def galaxy10_process_results(doc: Doc, results: Sequence[str]) -> dict[str, Result]:
    """Return the true class and the one named, for every metric."""
    pair = {"label": int(doc["label"]), "named": galaxy10_read(results[0])}
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "constant", "unanswered")
    return {f"galaxy10_{metric}": pair for metric in metrics}


def galaxy10_accuracy(results: Sequence[Result]) -> float:
    """Return the share named rightly; no answer counts as wrong."""
    return sum(pair["label"] == pair["named"] for pair in results) / len(results)


def galaxy10_balanced_accuracy(results: Sequence[Result]) -> float:
    """Return the mean over the true classes of the share named rightly."""
    count = Counter(pair["label"] for pair in results)
    right = Counter(pair["label"] for pair in results if pair["label"] == pair["named"])
    return sum(right[label] / count[label] for label in count) / len(count)


def galaxy10_macro_f1(results: Sequence[Result]) -> float:
    """Return the mean F1 over the classes that are true or named of any picture."""
    count = Counter(pair["label"] for pair in results)
    named = Counter(pair["named"] for pair in results if pair["named"] >= 0)
    right = Counter(pair["label"] for pair in results if pair["label"] == pair["named"])
    classes = count.keys() | named.keys()
    return sum(2 * right[i] / (count[i] + named[i]) for i in classes) / len(classes)


def galaxy10_constant(results: Sequence[Result]) -> float:
    """Return what naming the commonest class of every picture would score."""
    return max(Counter(pair["label"] for pair in results).values()) / len(results)


def galaxy10_unanswered(results: Sequence[Result]) -> float:
    """Return the share of answers that name no class, or several."""
    return sum(pair["named"] < 0 for pair in results) / len(results)
