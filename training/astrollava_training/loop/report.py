"""``report.html`` of a run: what was trained, how it went, and the proof of what was left alone."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from astrollava_training.loop.lines import read_lines
from astrollava_training.loop.plots import Series, plot, smoothed

__all__ = ["ABOUT", "thumbnails", "write_report"]

ABOUT = "about.json"
"""What `train_stage` writes of a stage before its first step."""

_SAMPLES_SHOWN = 6  # evaluations: the first, the last and some between
_THUMBNAIL = 128  # pixels
_LONGEST = 600  # characters of a question, an answer or what was said


def write_report(run: Path, name: str = "") -> Path:
    """Write the report of a run from what its stages have written down.

    Parameters
    ----------
    run : Path
        Folder of the run, with a folder for each stage.
    name : str
        Of the run; by default that of its folder.

    Returns
    -------
    Path
        ``report.html`` in that folder; a page that loads nothing and runs no script.
    """
    stages = [_stage(folder) for folder in sorted(run.glob("stage*")) if folder.is_dir()]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("astrollava_training.loop", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("report.html.jinja").render(
        name=name or run.resolve().name,
        stages=[stage for stage in stages if stage],
        shown=_shown,
    )
    path = run / "report.html"
    part = path.with_suffix(".part")
    # Texts of data sets and models may hold halves of surrogate pairs, which no file can.
    part.write_text(page, encoding="utf-8", errors="replace")
    part.replace(path)
    return path


def thumbnails(shades: NDArray[np.uint8], numbers: list[int]) -> dict[str, str]:
    """Return small pictures as text that a page can hold, by their numbers."""
    from PIL import Image

    found = {}
    for number in numbers:
        picture = Image.fromarray(np.ascontiguousarray(shades[number]))
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
        out = io.BytesIO()
        picture.save(out, "PNG")
        found[str(number)] = base64.b64encode(out.getvalue()).decode()
    return found


def _stage(folder: Path) -> dict[str, Any] | None:
    steps = read_lines(folder / "steps.jsonl")
    if not steps or not (folder / ABOUT).is_file():
        return None
    about = json.loads((folder / ABOUT).read_text("utf-8"))
    evaluations = read_lines(folder / "evaluations.jsonl")
    proof = folder / "proof.json"
    return {
        "number": folder.name.removeprefix("stage"),
        "about": about,
        "tiles": _tiles(steps, about, evaluations),
        "plots": _plots(steps, evaluations),
        "evaluations": _chosen(evaluations),
        "count": len(evaluations),
        "incidents": read_lines(folder / "incidents.jsonl"),
        "proof": json.loads(proof.read_text("utf-8")) if proof.is_file() else None,
    }


def _tiles(
    steps: list[dict[str, Any]], about: dict[str, Any], evaluations: list[dict[str, Any]]
) -> list[tuple[str, str, str]]:
    """Return the figures at the top: what, how much, and a remark."""
    seconds = sum(step["seconds"] for step in steps)
    tokens = sum(step["tokens"] for step in steps)
    learned = sum(step["learned"] for step in steps)
    # The first steps compile and fill caches.
    warm = steps[len(steps) // 10 :]
    fast = sum(step["tokens"] for step in warm) / sum(step["seconds"] for step in warm)
    busy = sum(step["mfu"] * step["seconds"] for step in warm) / sum(s["seconds"] for s in warm)
    tail = steps[-max(len(steps) // 20, 1) :]
    loss = sum(s["loss"] * s["learned"] for s in tail) / sum(s["learned"] for s in tail)
    over = f"nats a token, over the last {len(tail)} step{'s' * (len(tail) > 1)}"
    joules = _energy(steps)
    done = f"{steps[-1]['step']} of {about['steps']}"
    tiles = [
        ("steps", done, f"{about['batch']} conversations each"),
        ("training loss", f"{loss:.3f}", f"{over}; {steps[0]['loss']:.3f} at first"),
        ("tokens", _large(tokens), f"{learned / tokens:.0%} of them learnt"),
        ("time", _time(seconds), f"{_large(fast)} tokens/s"),
        ("MFU", f"{busy:.1%}", f"of {_large(about['peak'])}FLOP/s, {about['peak_from']}"),
        ("memory", f"{steps[-1]['memory'] / 1e9:.1f} GB", "the most at any time"),
        (
            "energy",
            "not measured" if joules is None else f"{joules / 3.6e6:.3f} kWh",
            "no GPU's driver counts it" if joules is None else "of the GPUs alone",
        ),
    ]  # fmt: skip
    if evaluations:
        first, last = evaluations[0], evaluations[-1]
        remark = f"{first['loss']:.3f} at step {first['step']}"
        tiles.insert(2, ("held-out loss", f"{last['loss']:.3f}", remark))
    return tiles


def _energy(steps: list[dict[str, Any]]) -> float | None:
    """Add the energy of the parts of a run that was interrupted: each counts from its own start."""
    total, last = 0.0, 0.0
    for step in steps:
        if step["joules"] is None:
            return None
        total += step["joules"] - (last if step["joules"] >= last else 0.0)
        last = step["joules"]
    return total


def _plots(
    steps: list[dict[str, Any]], evaluations: list[dict[str, Any]]
) -> list[tuple[str, Markup]]:
    x = [step["step"] for step in steps]

    def values(name: str) -> list[float]:
        return [step[name] for step in steps]

    loss = values("loss")
    lines = [Series("a step", x, loss, "faint"), Series("smoothed", x, smoothed(loss))]
    if evaluations:
        lines.append(
            Series(
                "held out", [one["step"] for one in evaluations],
                [one["loss"] for one in evaluations], "dots",
            )
        )  # fmt: skip

    def both(name: str, unit: str, scale: float = 1.0) -> tuple[list[Series], str]:
        y = [scale * value for value in values(name)]
        return [Series("a step", x, y, "faint"), Series("smoothed", x, smoothed(y))], unit

    drawn: dict[str, tuple[list[Series], str]] = {
        "Learning rate": ([Series("", x, values("rate"))], ""),
        "Throughput": both("tokens_per_s", "tokens/s"),
        "MFU": both("mfu", "%", 100.0),
        "Norm of the gradient, before it is clipped": both("norm", ""),
        "Memory": ([Series("", x, [value / 1e9 for value in values("memory")])], "GB"),
    }
    found = [("Loss", plot("Loss", lines, unit="nats a token"))]
    for title, (series, unit) in drawn.items():
        found.append((title, plot(title, series, unit=unit, zero=True)))
    return found


def _chosen(evaluations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(evaluations) <= _SAMPLES_SHOWN:
        return evaluations
    last = len(evaluations) - 1
    wanted = {round(n * last / (_SAMPLES_SHOWN - 1)) for n in range(_SAMPLES_SHOWN)}
    return [evaluations[n] for n in sorted(wanted)]


def _shown(text: str) -> str:
    """Bound a text: of a long conversation its beginning tells what it is."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rstrip()} …"


def _large(value: float) -> str:
    for unit, size in (("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} "


def _time(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
