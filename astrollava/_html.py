"""Results as HTML: a card for notebooks and a page of cards.

Whatever comes from a model, a file or a user is escaped; there is no script. Cards draw in shades
of the colour they inherit and so fit light and dark themes.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple

from astrollava.results import Answer, Classification, Description, Extraction, Flag, Provenance

if TYPE_CHECKING:
    from jinja2 import Environment

    from astrollava.results import _Result as Result

__all__ = ["page", "result_card"]

# What HTML cannot hold or would hide: control characters and halves of surrogate pairs.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
#: Values of one field of an object that are shown with their probabilities.
_SHOWN_SHARES = 6
_HASH = re.compile(r"(?:sha256-)?[0-9a-f]{12,}")


class _Piece(NamedTuple):
    """Words of a text, with the flag on them and its number in the list, if any."""

    text: str
    flag: Flag | None = None
    number: int = 0


class _Bar(NamedTuple):
    """A label and its probability, drawn ``width`` per cent wide."""

    label: str
    percent: str
    width: str


def result_card(result: Result) -> str:
    """Draw a result as a card.

    Parameters
    ----------
    result : Description, Answer, Classification or Extraction
        What to draw.

    Returns
    -------
    str
        An HTML fragment with its own style and no script.
    """
    return f"<style>\n{_css()}</style>\n{_card(result)}"


def page(results: Iterable[Result]) -> str:
    """Draw results as a document of its own.

    Parameters
    ----------
    results : iterable of Description, Answer, Classification or Extraction
        One card each, in this order.

    Returns
    -------
    str
        An HTML document that needs nothing else, to be written as UTF-8. It forbids browsers to
        run scripts and to load anything.
    """
    from markupsafe import Markup

    from astrollava import __version__

    shown = list(results)
    count = "1 result" if len(shown) == 1 else f"{len(shown)} results"
    first = _name(shown[0].provenance.source) if len(shown) == 1 else count
    # The cards were escaped when they were drawn, and the style is ours.
    cards = [Markup(_card(result)) for result in shown]  # noqa: S704
    css = Markup(_css())  # noqa: S704
    template = _environment().get_template("page.html")
    return template.render(
        title=f"{first} · astrollava", count=count, cards=cards, css=css, version=__version__
    )


@cache
def _environment() -> Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("astrollava", "_templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: _fit(value) if isinstance(value, str) else value,
    )


@cache
def _css() -> str:
    css = (resources.files("astrollava") / "_templates" / "card.css").read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/\n?", "", css, flags=re.DOTALL)


def _cautions(result: Classification) -> Iterator[str]:
    if result.empty:
        yield "The model sees nothing to label: the numbers would hold if there were something."
    elif result.abstained:
        limit = f"{result.threshold:.0%}"
        yield f"The model is not sure: {result.label} is under the threshold of {limit}."
    if not result.calibrated:
        yield "Not calibrated: the numbers rank the labels and mean no more."


def _card(result: Result) -> str:
    record = result.provenance
    words: dict[str, Any] = {"question": "", "pieces": [], "flags": (), "bars": [], "cautions": ()}
    words |= {"lines": [], "chances": [], "catalogued": None}
    if isinstance(result, Classification):
        words["bars"] = _bars(result.probabilities)
        words["unsure"] = result.abstained or not result.calibrated
        words["cautions"] = tuple(_cautions(result))
    elif isinstance(result, Extraction):
        words["lines"] = list(_lines(result.text))
        words["chances"] = list(_chances(result.probabilities))
        words["flags"] = result.flags
    elif isinstance(result, Description | Answer):
        words["pieces"] = list(_pieces(result.text, result.flags))
        words["flags"] = result.flags
        words["question"] = result.question if isinstance(result, Answer) else ""
        if isinstance(result, Description) and result.catalogued is not None:
            words["catalogued"] = [str(fact) for fact in result.catalogued]
    return (
        _environment()
        .get_template("card.html")
        .render(
            picture=base64.b64encode(result.thumbnail).decode("ascii"),
            name=_name(record.source),
            facts=_facts(record.source),
            made=_made(record),
            record=_record(record),
            **words,
        )
    )


def _fit(text: str) -> str:
    """Replace what HTML cannot hold. Markup, being ours, has none of it and stays markup."""
    return _UNFIT.sub("\ufffd", text) if _UNFIT.search(text) else text


def _pieces(text: str, flags: Sequence[Flag]) -> Iterator[_Piece]:
    at = 0
    for number, flag in enumerate(flags, start=1):
        if flag.start < at:
            # Of flags that overlap the first is marked; all are listed.
            continue
        if flag.start > at:
            yield _Piece(text[at : flag.start])
        yield _Piece(flag.text, flag, number)
        at = flag.end
    if at < len(text):
        yield _Piece(text[at:])


def _bars(probabilities: Mapping[str, float]) -> list[_Bar]:
    return [
        _Bar(label, _percent(share), f"{100 * share:.2f}") for label, share in probabilities.items()
    ]


def _lines(text: str) -> Iterator[str]:
    """Write an object so that it can be read: a property a line."""
    yield from json.dumps(json.loads(text), indent=2, ensure_ascii=False).split("\n")


def _chances(probabilities: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, str]]:
    for path, shares in probabilities.items():
        some = list(shares.items())[:_SHOWN_SHARES]
        yield path, ", ".join(f"{label} {_percent(share)}" for label, share in some)


def _percent(share: float) -> str:
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _name(source: Mapping[str, Any]) -> str:
    path = source.get("path")
    named = re.split(r"[/\\]", path)[-1] if isinstance(path, str) else ""
    if source.get("kind") == "fetched":
        named = " in ".join(str(source[key]) for key in ("target", "survey") if source.get(key))
    return named or str(source.get("kind", "image"))


def _facts(source: Mapping[str, Any]) -> str:
    """Say what the image was, in a few numbers."""
    said = []
    shape, centre, scale = (source.get(key) for key in ("shape", "centre", "pixel_scale"))
    if isinstance(shape, tuple) and len(shape) >= 2:
        said.append(f"{shape[-1]} × {shape[-2]} px")
    if isinstance(centre, tuple) and len(centre) == 2 and None not in centre:
        said.append(f"{centre[0]:.4f}° {centre[1]:+.4f}°")
    if isinstance(scale, int | float):
        said.append(f"{scale:.3g}″/px")
    return " · ".join(said)


def _made(record: Provenance) -> str:
    said = [str(record.model.get("name", "")), str(record.model.get("quantization") or "")]
    if isinstance(seconds := record.generation.get("seconds"), int | float):
        said.append(f"{seconds:.1f} s")
    return " · ".join(each for each in said if each)


def _record(record: Provenance) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    files = record.model.get("files")
    model = {key: value for key, value in record.model.items() if key != "files"}
    parts = {
        "Model": {**model, **(files if isinstance(files, Mapping) else {})},
        "Prompt": _prompt(record.prompt),
        "Image": record.source,
        "Rendering": record.rendering,
        "Sampling": record.sampling,
        "Generation": {**record.generation, "created": record.created},
        "Versions": record.versions,
    }
    return [(part, list(_rows(values))) for part, values in parts.items()]


def _prompt(prompt: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put a schema into one row: it may have thousands."""
    if "schema" not in prompt:
        return prompt
    return {**prompt, "schema": json.dumps(prompt["schema"], ensure_ascii=False)}


def _rows(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str, bool]]:
    for key, value in values.items():
        name = f"{above}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _rows(value, above=f"{name} · ")
        else:
            said = _said(value)
            yield name, said, _HASH.fullmatch(said) is not None


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, tuple):
        return ", ".join(f"({_said(v)})" if isinstance(v, tuple) else _said(v) for v in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(item)}" for key, item in value.items())
    return str(value)
