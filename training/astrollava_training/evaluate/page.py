"""A report as one page: opened from a disk, it fetches nothing and runs nothing."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from astrollava import images
from astrollava.errors import ImageError
from astrollava_training.evaluate import plots
from astrollava_training.evaluate.markdown import (
    NAMES,
    cell,
    feature_rows,
    question_rows,
    shown,
)
from astrollava_training.evaluate.metrics import Interval

if TYPE_CHECKING:
    from astrollava_training.evaluate.report import Evaluation

__all__ = ["page"]

_SIDE = 168  # pixels of a picture on the page
_BARS = ("model", "constant", "prior", "shuffled", "blank", "random")


def page(report: Evaluation) -> str:
    """Return the page as HTML."""
    from astrollava_training.evaluate.report import plain

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_file("report.html"))
    return template.render(
        report=report,
        about=report.about,
        style=Markup(_file("report.css")),  # noqa: S704 - ours
        table=_table,
        cell=cell,
        shown=shown,
        questions=question_rows(report.questions),
        features=feature_rows(report.features),
        plots=_plots(report),
        worst=[_card(report, name) for name in report.worst],
        samples=[_card(report, name) for name in report.samples],
        facts=json.dumps(plain(report.about), indent=1, ensure_ascii=False),
    )


def _file(name: str) -> str:
    return (files("astrollava_training.evaluate") / name).read_text(encoding="utf-8")


def _plots(report: Evaluation) -> dict[str, Markup]:
    if not report.labels:
        return {}
    rows = {name: report.labels[name]["accuracy"] for name in _BARS}
    recall = {name: row["recall"] for name, row in report.per_class.items()}
    found = {
        "accuracy": plots.bars(rows, title="Accuracy beside blind answers", mark="model"),
        "recall": plots.bars(recall, title="Recall of each class"),
        "confusion": plots.confusion(report.confusion, report.about["classes"]),
        "reliability": plots.reliability(report.calibration["reliability"]),
        "risk": plots.lines(
            report.calibration["risk"], "coverage", "risk", title="Risk over coverage"
        ),
    }
    if report.similarity:
        rows = {name: report.similarity[name]["cosine"] for name in (*_BARS, "oracle")}
        found["cosine"] = plots.bars(rows, title="MiniLM cosine beside blind answers", mark="model")
    return found


def _table(rows: Mapping[str, Mapping[str, Any]]) -> Markup:
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    head = Markup("").join(Markup("<th>{}</th>").format(NAMES.get(c, c)) for c in columns)
    lines = []
    for name, row in rows.items():
        cells = Markup("").join(map(_cell, (row.get(column) for column in columns)))
        kind = f"row-{name}" if name in ("model", "margin", "oracle") else "row"
        lines.append(
            Markup('<tr class="{}"><th scope="row">{}</th>{}</tr>').format(kind, name, cells)
        )
    return Markup(
        '<div class="wide"><table><thead><tr><th></th>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(head, Markup("").join(lines))


def _cell(value: Any) -> Markup:
    score, _, rest = cell(value).partition(" ")
    if isinstance(value, Interval) and rest:
        return Markup("<td>{}<br><small>{}</small></td>").format(score, rest)
    return Markup("<td>{}</td>").format(cell(value))


def _card(report: Evaluation, name: str) -> dict[str, Any]:
    """Return what the page shows of a picture."""
    row = next(picture for picture in report.pictures if picture["id"] == name)
    classes, shares = report.about["classes"], row["probabilities"]
    best = max(range(len(shares)), key=lambda i: shares[i])
    return {
        "id": name,
        "picture": _thumbnail(report.sources[name]()),
        "true": None if row["label"] is None else classes[row["label"]],
        "given": classes[best],
        "share": shares[best],
        "own": None if row["label"] is None else shares[row["label"]],
        "right": row["label"] == best,
        "text": row["texts"]["describe"],
    }


def _thumbnail(source: Any) -> str:
    """Return a picture as an address that has it in itself; empty where it cannot be read."""
    from PIL import Image

    try:
        rgb = images.render(images.read(source), size=(_SIDE, _SIDE)).rgb
    except ImageError:
        return ""
    kept = io.BytesIO()
    Image.fromarray(rgb).save(kept, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(kept.getvalue()).decode("ascii")
