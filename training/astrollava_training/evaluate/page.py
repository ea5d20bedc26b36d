"""A report as one page: opened from a disk, it fetches nothing and runs nothing."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from astrollava import images
from astrollava.errors import ImageError
from astrollava_training.evaluate import plots
from astrollava_training.evaluate.markdown import (
    NAMES,
    about_calibration,
    cell,
    feature_rows,
    few_of_class,
    p_value,
    question_rows,
    sentence,
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
        p_value=p_value,
        shown=shown,
        labels=_columns(report.labels, lambda column: column not in _OF_PROBABILITIES),
        probabilities=_columns(report.labels, _OF_PROBABILITIES.__contains__),
        questions=question_rows(report.questions),
        features=feature_rows(report.features),
        notes=[sentence(note) for note in report.about["notes"]],
        calibration=about_calibration(report.calibration) if report.calibration else "",
        few=few_of_class(report.per_class),
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
        "reliability": plots.reliability(_reliability(report)),
        "risk": plots.risk(_risk(report)),
    }
    if report.similarity:
        rows = {name: report.similarity[name]["cosine"] for name in (*_BARS, "oracle")}
        found["cosine"] = plots.bars(rows, title="MiniLM cosine beside blind answers", mark="model")
    return found


def _reliability(report: Evaluation) -> Mapping[str, Any]:
    """Return a curve for each temperature; two names of one temperature share theirs."""
    names: dict[float, list[str]] = {}
    for name, row in report.calibration["rows"].items():
        names.setdefault(round(row["temperature"], 3), []).append(name)
    curves = report.calibration["reliability"]
    return {", ".join(alike): curves[alike[-1]] for alike in names.values()}


def _risk(report: Evaluation) -> Mapping[str, Any]:
    """Return one curve, unless those of other temperatures are other curves to the eye."""
    curves = report.calibration["risk"]
    areas = {round(row["aurc"].value, 2) for row in report.calibration["rows"].values()}
    if len(areas) > 1:
        return dict(curves)
    return {"model" if len(curves) == 1 else "model, at every temperature": [*curves.values()][-1]}


#: Told in a sentence, of the one row that has them: as columns they would push scores out of view.
_OF_MARGIN = ("over", "needed", "detectable", "p")


#: Scores that go with calibration: one table of all is wider than many a window.
_OF_PROBABILITIES = ("ece", "brier", "nll", "aurc")


def _columns(
    rows: Mapping[str, Mapping[str, Any]], wanted: Callable[[str], bool]
) -> dict[str, dict[str, Any]]:
    """Return the columns wanted, of the rows that have any."""
    found = {n: {k: v for k, v in row.items() if wanted(k)} for n, row in rows.items()}
    return {name: row for name, row in found.items() if row}


def _told_of_margin(rows: Mapping[str, Mapping[str, Any]]) -> str:
    margin = rows.get("margin", {})
    if not margin.get("over"):
        return ""
    needed, detectable = margin.get("needed"), margin.get("detectable")
    return (
        f"The best blind row is {margin['over']}. To see a difference of that size takes"
        f" {cell(needed, 'needed')} pictures; these show one of {cell(detectable)}."
        + (f" Exact McNemar test: {p_value(margin['p'])}." if "p" in margin else "")
    )


def _table(rows: Mapping[str, Mapping[str, Any]]) -> Markup:
    told = _told_of_margin(rows)
    if told:
        rows = _columns(rows, lambda column: column not in _OF_MARGIN)
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    head = Markup("").join(Markup("<th>{}</th>").format(NAMES.get(c, c)) for c in columns)
    lines = []
    for name, row in rows.items():
        cells = Markup("").join(_cell(row.get(c), c) for c in columns)
        kind = f"row-{name}" if name in ("model", "margin", "oracle") else "row"
        lines.append(
            Markup('<tr class="{}"><th scope="row">{}</th>{}</tr>').format(kind, name, cells)
        )
    return Markup(
        '<div class="wide"><table><thead><tr><th></th>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>{}"
    ).format(head, Markup("").join(lines), told and Markup("<p>{}</p>").format(told))


def _cell(value: Any, column: str) -> Markup:
    score, _, rest = cell(value).partition(" ")
    if isinstance(value, Interval) and rest:
        brackets, sign, error = rest.partition(" ± ")
        below = Markup("{}<br>{}").format(brackets, f"± {error}") if sign else brackets
        return Markup("<td>{}<br><small>{}</small></td>").format(score, below)
    return Markup("<td>{}</td>").format(cell(value, column))


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
