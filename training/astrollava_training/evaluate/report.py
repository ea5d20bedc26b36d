"""The result of an evaluation, as JSON for machines and as Markdown for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from astrollava_training.evaluate.metrics import Interval

__all__ = ["Evaluation"]

_BLIND = ("constant", "prior", "shuffled", "blank")


@dataclass(frozen=True)
class Evaluation:
    """Scores of one model on one split, each beside the blind answers.

    Attributes
    ----------
    about : mapping
        Model, files, data, split, numbers of pictures, seed, versions.
    labels : mapping
        Of `baselines.label_table`.
    per_class : mapping
        Class -> ``n`` and ``recall`` of the model.
    questions : mapping
        Of `baselines.question_tables`.
    statements : mapping
        Of `baselines.statement_table`.
    sees : mapping
        Fractions of descriptions and of labels that differ from those of a blank picture.
    similarity : mapping
        The paper's MiniLM cosine, where it was asked for.
    samples : tuple
        Some pictures with what was said and what is true.
    """

    about: Mapping[str, Any]
    labels: Mapping[str, Any]
    per_class: Mapping[str, Any]
    questions: Mapping[str, Any]
    statements: Mapping[str, Any]
    sees: Mapping[str, Any]
    similarity: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[Mapping[str, Any], ...] = ()

    @property
    def beats_blind(self) -> bool:
        """Whether the 95 % interval of the lead over the best blind answer lies above zero."""
        return bool(self.labels["margin"]["accuracy"].low > 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; intervals as ``{"value", "low", "high"}``, no score as None."""
        plain: dict[str, Any] = _plain({**vars(self), "beats_blind": self.beats_blind})
        return plain

    def markdown(self) -> str:
        """Return the tables."""
        about, sees = self.about, self.sees
        parts = [
            f"# {about['model']} on {about['split']}",
            f"{about['pictures']} pictures, {about['labelled']} with a Galaxy10 class.",
            "Every score stands beside answers that need no picture; brackets are 95 % intervals.",
            "## Labels",
            _table(self.labels),
            f"Beats every blind answer in accuracy: {'yes' if self.beats_blind else 'no'}.",
            "`margin` is the lead over the best blind row, paired.",
            _table(self.per_class),
            "## Questions: agreement with the vote majority",
            _table({topic: _question_row(table) for topic, table in self.questions.items()}),
            _ABOUT_QUESTIONS,
            "## Statements in free descriptions",
            _table(self.statements),
            f"Descriptions unlike the blank picture's: {_cell(sees['descriptions'])}.",
            f"Labels unlike the blank picture's: {_cell(sees['labels'])}.",
            f"Different descriptions: {sees['distinct']}.",
        ]
        if self.similarity:
            parts += [
                "## MiniLM cosine to the true class's text",
                "The paper's metric. A constant sentence wins it blind: nothing is chosen by it.",
                _table(self.similarity),
            ]
        samples = (
            f"- `{sample['image']}` ({sample['class'] or 'undecided'}): {sample['description']}"
            for sample in self.samples
        )
        return "\n\n".join([*parts, "## Samples", "\n".join(samples)]) + "\n"

    def write(self, out: Path) -> tuple[Path, Path]:
        """Write ``report.json`` and ``report.md`` into a folder, made where missing."""
        out.mkdir(parents=True, exist_ok=True)
        data, text = out / "report.json", out / "report.md"
        data.write_text(
            json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )
        text.write_text(self.markdown(), encoding="utf-8")
        return data, text


_ABOUT_QUESTIONS = """A constant is right about most pictures where a thing is rare. That there is a
bulge is no answer to how prominent it is. `margin` is the lead over the best blind row, paired."""


def _question_row(table: Mapping[str, Any]) -> dict[str, Any]:
    rows = table["rows"]
    blind = {name: rows[name]["agreement"].value for name in _BLIND}
    own = rows["model"]
    return {
        "n": table["n"],
        "model": own["agreement"],
        **blind,
        "margin": rows.get("margin", {}).get("agreement"),
        "balanced": own.get("balanced"),
        "unanswered": own["unanswered"],
    }


def _table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(_cell(row.get(key)) for key in columns)} |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, Interval):
        return "–" if math.isnan(value.value) else str(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
