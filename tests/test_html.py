"""Cards and pages: nothing a model, file or user says becomes markup, in a parser or a browser."""

from __future__ import annotations

import base64
import html.parser
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample_results
from astrollava._html import page, result_card
from astrollava.results import Classification, Description, Extraction, Flag
from chromium import find_browser

_VOID = {"meta", "img"}

# Each tries to leave its place: text, attribute with either quote, comment, style, entity.
ATTACKS = [
    "<script>document.title='owned'</script>",
    "\"><script>document.title='owned'</script>",
    "'><img src=x onerror=\"document.title='owned'\">",
    '" onmouseover="document.title=\'owned\'" x="',
    "' autofocus onfocus='document.title=1' tabindex='1",
    "</div></details></style><script>document.title='owned'</script><style>",
    "<!--", "-->", "]]>", "&lt;script&gt;", "&#60;script&#62;", "{{ 7 * 7 }}", "{% raw %}",
    "javascript:alert(1)", "</title><script>document.title='owned'</script>", "$\\href{x}{y}$",
]  # fmt: skip


class _Reader(html.parser.HTMLParser):
    """Collects tags, attributes and the text shown; fails on tags that do not close."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.comments = 0
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in _VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.comments += 1

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.text += data

    def close(self) -> None:
        super().close()
        assert self._open == []


def _read(markup: str) -> _Reader:
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    return reader


def _results(said: str) -> list[Any]:
    """Results that carry the words wherever a result can carry words."""
    flag = Flag("identity", 0, len(said), said, said)
    record = sample_results.provenance(
        model={
            "name": said,
            "files": {said: {"name": said, "sha256": said, "bytes": 1}},
            "quantization": said,
            "licence": said,
        },
        prompt={"id": said, "version": said, "text": said},
        source={"kind": said, "path": said, said: said, "meta": {"object": [said, {said: said}]}},
        rendering={said: said},
        created=said,
    )
    description = Description(provenance=record, text=said, flags=(flag,) if said else ())
    return [
        description,
        sample_results.answer(said, provenance=record, question=said, flags=()),
        Classification(
            provenance=record,
            vocabulary=said,
            probabilities={said: 0.5, "other": 0.5},
            abstained=True,
            threshold=0.6,
        ),
        Extraction(
            provenance=sample_results.provenance(
                prompt={"id": said, "version": said, "text": said, "schema": {said: [said]}}
            ),
            text=json.dumps({"name": said, "x": [said]}),
            probabilities={said: {said: 0.5, "other": 0.5}},
            flags=(),
        ),
    ]


HARMLESS = {kind: _read(result_card(r)) for kind, r in enumerate(_results("galaxy"))}


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_words_become_markup_anywhere(attack: str) -> None:
    for kind, result in enumerate(_results(attack)):
        reader = _read(result_card(result))
        assert reader.tags == HARMLESS[kind].tags
        assert reader.comments == 0
        assert [a[:2] for a in reader.attributes] == [a[:2] for a in HARMLESS[kind].attributes]
        assert attack in reader.text
    document = _read(page(_results(attack)))
    assert "script" not in document.tags
    assert document.tags.count("title") == 1


@given(st.text(st.characters()))
def test_any_words_at_all_keep_the_structure_of_the_card(said: str) -> None:
    for kind, result in enumerate(_results(said or "x")):
        markup = result_card(result)
        markup.encode("utf-8")
        assert _read(markup).tags == HARMLESS[kind].tags


def test_there_is_no_way_for_a_script_or_a_request() -> None:
    reader = _read(page([*_results("galaxy"), sample_results.description()]))
    assert not {"script", "iframe", "object", "embed", "link", "form", "a"} & set(reader.tags)
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    sources = [value for _, name, value in reader.attributes if name in ("src", "href")]
    assert sources
    assert all((value or "").startswith("data:image/png;base64,") for value in sources)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert ("meta", "content", policy) in reader.attributes


def test_the_card_shows_the_picture_the_words_and_the_record() -> None:
    result = sample_results.description()
    reader = _read(result_card(result))
    (src,) = [value for tag, name, value in reader.attributes if (tag, name) == ("img", "src")]
    assert src is not None
    assert base64.b64decode(src.partition(",")[2]) == result.thumbnail
    assert result.text in reader.text
    assert "details" in reader.tags
    for shown in ("decals_a.fits", "424 × 424 px", "+14.4167°", "0.262″/px", sample_results.HASH):
        assert shown in reader.text
    for shown in ("asinh", "Q8_0", "Describe this image.", "2026-11-23T01:02:03+00:00", "MIT"):
        assert shown in reader.text


def test_flags_are_marked_in_place_with_their_reason_and_listed() -> None:
    result = sample_results.description()
    markup = result_card(result)
    titles = [v for tag, name, v in _read(markup).attributes if (tag, name) == ("mark", "title")]
    assert titles == [f"{flag.kind}: {flag.reason}" for flag in result.flags]
    assert re.findall(r"<mark[^>]*>([^<]*)</mark>", markup) == [f.text for f in result.flags]
    assert _read(markup).tags.count("li") == len(result.flags) == 2


def test_overlapping_flags_do_not_repeat_words() -> None:
    text = "NGC 1300 A"
    flags = (Flag("identity", 0, 8, "NGC 1300", "one"), Flag("identity", 4, 10, "1300 A", "two"))
    markup = result_card(sample_results.description(text, flags=flags))
    words = markup.partition('<div class="al-text" dir="auto">')[2].partition("</div>")[0]
    assert re.sub("<[^>]*>", "", words) == text
    assert _read(markup).tags.count("li") == 2


def test_a_classification_has_a_bar_for_each_label() -> None:
    markup = result_card(
        sample_results.classification(probabilities={"a": 0.996, "b": 0.0039, "c": 0.0001})
    )
    assert re.findall(r'style="width: ([\d.]+)%', markup) == ["99.60", "0.39", "0.01"]
    assert re.findall(r'al-percent">([^<]*)<', markup) == ["100%", "&lt;1%", "&lt;1%"]
    assert "not sure" not in markup
    unsure = sample_results.classification(abstained=True, threshold=0.8)
    assert "spiral is under the threshold of 80%" in result_card(unsure)


def test_an_object_is_shown_a_property_a_line_with_what_else_it_may_be() -> None:
    markup = result_card(sample_results.extraction())
    lines = re.findall(r"<div>([^<]*)</div>", markup)
    assert lines[0] == "{"
    assert lines[1] == "  &#34;bar&#34;: true,"
    assert re.findall(r"<dd dir=\"auto\">([^<]*)</dd>", markup) == [
        "true 75%, false 25%", "two 90%, one 10%",
    ]  # fmt: skip


def test_bare_results_still_have_a_card() -> None:
    bare = sample_results.provenance(
        model={}, prompt={}, sampling={}, rendering={}, source={}, generation={}, versions={}
    )
    reader = _read(result_card(Description(provenance=bare)))
    assert "img" not in reader.tags
    assert "The model said nothing." in reader.text
    odd = {"shape": [3], "centre": [None, None], "pixel_scale": "wide", "path": "/"}
    _read(result_card(Description(provenance=sample_results.provenance(source=odd))))


def test_line_breaks_stay_and_nothing_is_added_to_the_words() -> None:
    markup = result_card(sample_results.description("One.\n\nTwo  three."))
    assert '<div class="al-text" dir="auto">One.\n\nTwo  three.</div>' in markup


def test_notebooks_find_the_card_and_math_is_left_alone() -> None:
    # MathJax would typeset $...$ in a model's text, and its \href makes links.
    result = sample_results.description()
    assert result._repr_html_() == result_card(result)
    assert "tex2jax_ignore mathjax_ignore" in result_card(result)


def test_the_style_reaches_nothing_outside_the_card() -> None:
    css = result_card(sample_results.description()).partition("<style>")[2].partition("</style>")[0]
    selectors = [s.strip() for rule in re.findall(r"([^{}]+)\{", css) for s in rule.split(",")]
    assert len(selectors) > 20
    assert [s for s in selectors if not s.startswith(".astrollava-card")] == []


def test_a_page_names_itself_and_counts_its_results() -> None:
    one, many = page([sample_results.description()]), page(_results("galaxy"))
    assert one.startswith("<!DOCTYPE html>")
    assert '<meta charset="utf-8">' in one
    assert "<title>decals_a.fits · astrollava</title>" in one
    assert "<title>4 results · astrollava</title>" in many
    assert many.count("<style>") == 1
    assert "0 results" in page([])


def test_drawing_is_not_paid_for_at_import() -> None:
    code = "import sys, astrollava.results, astrollava._html; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def _dom(document: Path, tmp_path: Path) -> str:
    """The document as a real browser has it after its scripts, if any, have run."""
    browser = find_browser()
    flags = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000", "--dump-dom"),
    ]
    done = subprocess.run(
        [browser, *flags, document.as_uri()], capture_output=True, check=True, timeout=120
    )
    return done.stdout.decode("utf-8")


@pytest.mark.browser
def test_a_browser_runs_nothing_that_was_said(tmp_path: Path) -> None:
    cards = [result_card(result) for attack in ATTACKS for result in _results(attack)]
    # Without the policy of `page`, as in a notebook: only the escaping stands in the way.
    control = "<script>document.body.dataset.scripts = 'run'</script>"
    document = tmp_path / "cards.html"
    head = "<!DOCTYPE html><html><head><meta charset='utf-8'><title>safe</title></head><body>"
    document.write_text(f"{head}{''.join(cards)}{control}</body></html>", encoding="utf-8")
    dom = _dom(document, tmp_path)
    assert 'data-scripts="run"' in dom, "the browser ran no script at all: the test shows nothing"
    assert "<title>safe</title>" in dom
    assert dom.count('class="astrollava-card') == len(cards)


@pytest.mark.browser
def test_the_policy_of_a_page_stops_even_a_script_that_got_in(tmp_path: Path) -> None:
    script = "<script>document.title = 'owned'</script>"
    document = tmp_path / "page.html"
    whole = page([sample_results.description()])
    document.write_text(whole.replace("</body>", f"{script}</body>"), encoding="utf-8")
    assert "<title>decals_a.fits · astrollava</title>" in _dom(document, tmp_path)
