"""The rating sheet: blind, whole, harmless, and what the browser saves is what was chosen."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.people import (
    CONTROL,
    CRITERIA,
    Text,
    read_ratings,
    score_ratings,
    write_sheets,
)
from chromium import Browser

ATTACK = (
    "</blockquote><script>document.title='owned'</script><img src=x onerror=alert(1)>\x00\ud800"
)


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (16, 16, 3), np.uint8) for _ in range(count)]


def texts(count: int = 4) -> list[Text]:
    return [
        Text(f"galaxy-{i}", image, source, f"Text {i} in the manner of {style}.")
        for i, image in enumerate(pictures(count))
        for source, style in (("model-one", "x"), ("model-two", "y"))
    ]


def test_a_page_tells_neither_source_nor_order(tmp_path: Path) -> None:
    """A rater who can tell the model rates the model."""
    pages, key = write_sheets(texts(8), tmp_path, pages=3)
    known = json.loads(key.read_text(encoding="utf-8"))
    orders = []
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert "model-one" not in html
        assert "galaxy-" not in html
        assert CONTROL not in html
        orders.append(re.findall(r'data-row="(r\d+)"', html))
        assert sorted(orders[-1]) == sorted(known["rows"])
    assert len({tuple(order) for order in orders}) == 3
    # Neither the row numbers nor the places within a picture follow the source.
    sources = [known["rows"][row]["sources"][0] for row in sorted(known["rows"])]
    assert sources != sorted(sources)
    firsts = {known["rows"][row]["sources"][0] for order in orders for row in order[::3]}
    assert firsts == {"model-one", "model-two", CONTROL}


def test_a_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    (page,), _ = write_sheets(texts(), tmp_path)
    html = page.read_text(encoding="utf-8")
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    assert "://" not in html
    assert "default-src 'none'" in html


def test_files_a_browser_reads_are_shown_as_they_are_and_others_drawn(
    tmp_path: Path, shared_data: Path
) -> None:
    jpeg = next((shared_data / "galaxies" / "images").glob("*.jpg"))
    fits = shared_data / "fits" / "decals_small.fits"
    said = [Text("a", jpeg, "m", "One."), Text("b", fits, "m", "Two.")]
    (page,), _ = write_sheets(said, tmp_path)
    shown = dict(re.findall(r"data:(image/\w+);base64,([\w+/=]+)", page.read_text("utf-8")))
    assert base64.b64decode(shown["image/jpeg"]) == jpeg.read_bytes()
    with Image.open(io.BytesIO(base64.b64decode(shown["image/png"]))) as drawn:
        assert drawn.size == (448, 448)
        assert np.asarray(drawn).std() > 5


def test_the_control_tells_of_another_picture(tmp_path: Path) -> None:
    _, key = write_sheets(texts(5), tmp_path)
    rows = json.loads(key.read_text(encoding="utf-8"))["rows"].values()
    said = {row["picture"]: row["text"] for row in rows if row["sources"] == ["model-one"]}
    moved = {row["picture"]: row["text"] for row in rows if row["sources"] == [CONTROL]}
    assert moved.keys() == said.keys()
    assert sorted(moved.values()) == sorted(said.values())
    assert all(moved[picture] != said[picture] for picture in said)


def test_what_two_sources_say_alike_is_rated_once(tmp_path: Path) -> None:
    image = pictures(1)[0]
    said = [Text("a", image, "one", "Same."), Text("a", image, "two", "Same.")]
    _, key = write_sheets(said, tmp_path, control=False)
    (row,) = json.loads(key.read_text(encoding="utf-8"))["rows"].values()
    assert row["sources"] == ["one", "two"]


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    """Ratings that were sent out could not be scored any more."""
    _, key = write_sheets(texts(), tmp_path)
    before = key.read_bytes()
    with pytest.raises(InvalidRequest, match="key of sheets written before"):
        write_sheets(texts(5), tmp_path)
    assert key.read_bytes() == before


def test_pages_keep_their_answers_apart(tmp_path: Path) -> None:
    """A second rater at the same browser saw what the first had said."""
    pages, _ = write_sheets(texts(), tmp_path, pages=2)
    names = [re.findall(r'data-page="(\d+)"', page.read_text(encoding="utf-8")) for page in pages]
    assert names == [["1"], ["2"]]
    assert "document.body.dataset.page" in pages[0].read_text(encoding="utf-8")


def test_what_cannot_be_rated_is_refused(tmp_path: Path) -> None:
    image = pictures(1)[0]
    for said in (
        [],
        [Text("a", image, "one", "A."), Text("a", image, "one", "B.")],
        [Text("a", image, CONTROL, "A.")],
    ):
        with pytest.raises(InvalidRequest):
            write_sheets(said, tmp_path)


def rate(browser: Browser, choose: dict[str, str]) -> None:
    """Click an answer for every row and criterion, as a person would."""
    for name, value in choose.items():
        browser.run(f'document.querySelector(\'input[name="{name}"][value="{value}"]\').click()')


def saved(browser: Browser, folder: Path, rater: str) -> Path:
    before = set(folder.glob("*.csv"))
    browser.run(f"document.getElementById('rater').value = {json.dumps(rater)}")
    browser.run("document.getElementById('save').click()")
    deadline = time.monotonic() + 30
    while not (new := set(folder.glob("*.csv")) - before):
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.05)
    return new.pop()


@pytest.mark.browser
def test_a_rater_in_a_real_browser(tmp_path: Path) -> None:
    """From the page through clicks and the saved file to the scores."""
    said = texts(3)
    (first, second), key = write_sheets(said, tmp_path, pages=2)
    rows: dict[str, Any] = json.loads(key.read_text(encoding="utf-8"))["rows"]
    good = {"model-one": "5", "model-two": "3", CONTROL: "1"}
    answers = {
        f"{row}-{criterion.name}": good[about["sources"][0]]
        for row, about in rows.items()
        for criterion in CRITERIA
    }
    names = ['Ada "A", née B', "=cmd|x"]
    with Browser(tmp_path) as browser:
        browser.open(first)
        done = "document.getElementById('done').textContent"
        assert browser.run(done) == "0 of 9 texts rated"
        browser.run("document.getElementById('save').click()")
        assert browser.run(done) == "Enter your name or initials first."
        rate(browser, answers)
        assert browser.run(done) == "9 of 9 texts rated"
        # Closed and opened again: an hour of rating must not be lost.
        browser.open(second)
        browser.open(first)
        assert browser.run(done) == "9 of 9 texts rated"
        tables = [saved(browser, tmp_path / "downloads", names[0])]
        browser.open(second)
        browser.run("localStorage.clear()")
        browser.open(second)
        assert browser.run(done) == "0 of 9 texts rated"
        rate(browser, answers | {next(iter(answers)): "?"})
        tables.append(saved(browser, tmp_path / "downloads", names[1]))
    ratings = read_ratings(key, tables)
    assert ratings.raters == tuple(names)
    scores = score_ratings(ratings, resamples=50)
    assert scores["accuracy"]["sources"]["model-one"]["mean"].value == 5.0
    assert scores["fitness"]["pairs"]["model-one - model-two"]["difference"].value == 2.0
    assert scores["completeness"]["alpha"]["ordinal"].value == pytest.approx(1.0)
    missing = np.isnan(ratings.values["accuracy"]).sum()
    assert missing == 1


@pytest.mark.browser
def test_no_words_of_a_model_run_in_the_browser(tmp_path: Path) -> None:
    image = pictures(1)[0]
    said = [Text("a", image, "m", ATTACK, ATTACK), Text("b", image, "m", "b", "'\"<i>")]
    (page,), _ = write_sheets(said, tmp_path, title=f"T{ATTACK}")
    with Browser(tmp_path) as browser:
        browser.open(page)
        assert browser.run("document.title").startswith("T</blockquote><script>")
        assert browser.run("document.querySelectorAll('script').length") == 1
        assert browser.run("document.querySelectorAll('article i, article img').length") == 0
        assert browser.run("document.querySelector('blockquote') !== null")
        # The page's own script did run: the test shows something.
        assert browser.run("document.getElementById('done').textContent") != ""
        # And the policy stops what would get in all the same.
        browser.run(
            "document.body.append(Object.assign(document.createElement('script'),"
            " {textContent: \"document.title = 'owned'\"}))"
        )
        assert browser.run("document.title") != "owned"
