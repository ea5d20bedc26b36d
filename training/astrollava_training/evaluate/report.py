"""The result of an evaluation: JSON for machines, Markdown for papers, a page for people."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from astrollava_training.evaluate.markdown import markdown

__all__ = ["PICTURES", "REPORT", "Evaluation", "plain"]

REPORT, PICTURES = "report.json", "pictures.jsonl"

#: Chance of a lead by luck below which it is taken for one.
_SURE = 0.05

#: What is no table of the report: too long, or not plain.
_APART = ("pictures", "sources")


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one split, each beside the blind answers.

    Tables map row names to scores, `Interval` wherever one can be told. What could not be scored is
    empty.

    Attributes
    ----------
    about : mapping
        Model, files, data, split, numbers of pictures, prompts, seed, versions.
    sees : mapping
        Fractions of descriptions and of labels that differ from those of a blank picture.
    labels : mapping
        Of `label_table`.
    per_class : mapping
        Class -> ``n``, ``recall`` and ``precision`` of the model.
    confusion : sequence of sequence of int
        Rows are true classes, columns labels given.
    rules : mapping
        How good the labels are by each `Rule`.
    calibration : mapping
        ``rows`` of scores before and after a temperature, ``fitted_on`` so many pictures of the
        validation split, or ``unfitted``: why on none; ``reliability`` and ``risk`` by row.
    questions : mapping
        Of `question_tables`.
    statements, features : mapping
        Of `statement_table` and `feature_tables`.
    similarity : mapping
        Of `similarity_table`: the paper's MiniLM cosine.
    views : mapping
        Of `view_table`.
    worst, samples : tuple of str
        Ids of the surest mistakes, and of pictures spread over the split.
    pictures : tuple of mapping
        What was said about each picture, and what is known of it.
    sources : mapping
        Id -> what fetches the picture.
    """

    about: Mapping[str, Any]
    sees: Mapping[str, Any]
    labels: Mapping[str, Any] = field(default_factory=dict)
    per_class: Mapping[str, Any] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    rules: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    questions: Mapping[str, Any] = field(default_factory=dict)
    statements: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    similarity: Mapping[str, Any] = field(default_factory=dict)
    views: Mapping[str, Any] = field(default_factory=dict)
    worst: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    pictures: tuple[Mapping[str, Any], ...] = ()
    sources: Mapping[str, Callable[[], Any]] = field(default_factory=dict)

    @property
    def beats_blind(self) -> bool:
        """Whether the lead in accuracy over the best blind answer is sure.

        Its 95 % interval must lie above zero, and the exact McNemar test reach 5 %: three pictures
        labelled rightly have an interval above zero, too.
        """
        if not self.labels:
            return False
        margin = self.labels["margin"]
        return bool(margin["accuracy"].low > 0.0 and margin["p"] < _SURE)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; intervals as mappings, what is not known as None."""
        found = {name: value for name, value in vars(self).items() if name not in _APART}
        ready: dict[str, Any] = plain({**found, "beats_blind": self.beats_blind})
        return ready

    def markdown(self) -> str:
        """Return the tables."""
        return markdown(self)

    def write(self, out: Path) -> tuple[Path, Path, Path]:
        """Write the report into a folder, made where missing.

        Returns
        -------
        json, markdown, html : pathlib.Path
            ``report.json``, ``report.md`` and ``report.html``; beside them ``pictures.jsonl`` has
            what was said about each picture, for `compare`.
        """
        from astrollava_training.evaluate.page import page

        out.mkdir(parents=True, exist_ok=True)
        data, text, html = out / REPORT, out / "report.md", out / "report.html"
        (out / PICTURES).write_text(
            "".join(json.dumps(plain(p), ensure_ascii=False) + "\n" for p in self.pictures),
            encoding="utf-8",
        )
        text.write_text(self.markdown(), encoding="utf-8")
        html.write_text(page(self), encoding="utf-8")
        # The last: whoever finds it finds the others whole.
        data.write_text(
            json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )
        return data, text, html


def plain(value: Any) -> Any:
    """Return values that JSON knows; None for what is no number."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, Path):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
