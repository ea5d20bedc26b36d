"""Benchmarks of others: their multiple-choice questions here, and our Galaxy10 task there."""

from __future__ import annotations

from astrollava_training.evaluate.benchmarks.choices import Question, read_questions
from astrollava_training.evaluate.benchmarks.scoring import (
    Chosen,
    ask_questions,
    question_report,
    retention,
)

__all__ = [
    "Chosen",
    "Question",
    "ask_questions",
    "question_report",
    "read_questions",
    "retention",
]
