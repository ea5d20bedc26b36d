"""The front door on a tiny pair: whatever is handed in, however it is asked, and in any order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, Cutout2D
from astropy.wcs import WCS
from PIL import Image

from astrollava import Describer
from astrollava.engine.vision import Projector
from astrollava.errors import (
    ClosedError,
    ImageNotFound,
    InvalidModelFile,
    InvalidRequest,
    ModelNotFound,
)
from astrollava.images import read
from astrollava.vocabularies import GALAXY10
from engine_state import at_rest
from tiny_pair import TinyPair, byte_token, write_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("pair"), TinyPair(context=2048))


@pytest.fixture
def describer(pair: tuple[Path, Path]) -> Iterator[Describer]:
    with Describer(pair[0], mmproj=pair[1]) as made:
        yield made


def sky(seed: int = 0, side: int = 40) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    noise = np.random.default_rng(seed).normal(0, 1, (side, side))
    return (noise + 50 * np.exp(-np.hypot(x + seed, y / (1 + seed)) / 5)).astype(np.float32)


@pytest.fixture
def header() -> fits.Header:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (150.0, 2.0), (20.5, 20.5), (-1e-4, 1e-4)
    return wcs.to_header()


def test_every_form_of_the_same_pixels_gives_the_same_text(
    describer: Describer, header: fits.Header, tmp_path: Path
) -> None:
    """Guards against a form of input that is flipped, scaled or stretched unlike the others."""
    pixels = sky()
    hdu = fits.PrimaryHDU(pixels, header)
    path = tmp_path / "sky.fits"
    hdu.writeto(path)
    forms = {
        "path": path,
        "string": str(path),
        "bytes": path.read_bytes(),
        "file": path.open("rb"),
        "hdu": hdu,
        "hdulist": fits.HDUList([hdu]),
        "ccddata": CCDData(pixels, unit="adu", wcs=WCS(header)),
        "cutout": Cutout2D(pixels, (19.5, 19.5), 40, wcs=WCS(header)),
        "array": pixels,
        "skyimage": read(path),
    }
    said = {name: describer.describe(form, max_tokens=12) for name, form in forms.items()}
    forms["file"].close()
    texts = {name: result.text for name, result in said.items()}
    assert len(set(texts.values())) == 1, texts
    centred = [name for name, result in said.items() if result.provenance.source.get("centre")]
    assert set(centred) == set(forms) - {"array"}


def test_other_pixels_give_another_text(describer: Describer) -> None:
    """Guards against an image that never reaches the model."""
    assert describer.describe(sky(0)).text != describer.describe(sky(3)).text


def test_a_picture_of_the_right_size_reaches_the_model_untouched(describer: Describer) -> None:
    """Guards against resampling or stretching what is a picture already."""
    side = describer.facts.image_size[0]
    rgb = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    seen = Image.open(__import__("io").BytesIO(describer.describe(rgb, max_tokens=1).thumbnail))
    assert np.array_equal(np.asarray(seen), rgb)


def test_a_stream_says_what_the_whole_text_says(describer: Describer) -> None:
    """Guards against pieces lost, doubled or stripped between stream and result."""
    whole = describer.describe(sky(), max_tokens=20)
    stream = describer.describe(sky(), max_tokens=20, stream=True)
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces).strip() == whole.text == stream.result.text
    assert stream.result.provenance.prompt == whole.provenance.prompt


def test_a_stream_left_early_has_no_result_and_holds_nothing(describer: Describer) -> None:
    """Guards against a forgotten stream that blocks the next question."""
    stream = describer.describe(sky(), max_tokens=200, stream=True)
    next(stream)
    asked = describer.ask(sky(1), "Is there a bar?", max_tokens=5)
    assert asked.text
    assert stream.result.text == describer.describe(sky(), max_tokens=200).text


def test_a_stream_is_closed_by_its_block_and_shows_its_state(describer: Describer) -> None:
    """Guards against a generation that goes on behind a block that was left."""
    with describer.describe(sky(), max_tokens=200, stream=True) as stream:
        assert repr(stream) == "<TextStream open after ''>"
        first = next(stream)
    at_rest(describer._session.engine)
    assert list(stream) == []
    assert repr(stream) == f"<TextStream closed after {first!r}>"
    with pytest.raises(ClosedError, match="before its end"):
        _ = stream.result
    with describer.describe(sky(), max_tokens=200, stream=True) as unread:
        pass
    assert list(unread) == []
    with describer.describe(sky(), max_tokens=200, stream=True) as whole:
        said = "".join(whole)
    assert whole.result.text == said.strip()
    assert repr(whole).startswith("<TextStream finished after ")
    assert len(repr(whole)) < 400


def test_a_chat_encodes_its_image_once_and_prefills_it_once(
    describer: Describer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against paying for the image again with every question."""
    encoded = []
    real = Projector.encode

    def counted(self: Projector, *args: object) -> object:
        encoded.append(1)
        return real(self, *args)

    monkeypatch.setattr(Projector, "encode", counted)
    with describer.chat(sky(5), max_tokens=6) as chat:
        chat.ask("What is this?")
        second = chat.ask("How many arms?")
    assert len(encoded) == 1
    assert second.provenance.generation["reused_tokens"] > describer.facts.image_tokens
    assert [turn.question for turn in chat.turns] == ["What is this?", "How many arms?"]


def test_an_answer_depends_on_the_turns_before_it(describer: Describer) -> None:
    """Guards against a chat that forgets."""
    with describer.chat(sky(), max_tokens=24) as chat:
        chat.ask("What is this?")
        later = chat.ask("And that?").text
    assert later != describer.ask(sky(), "And that?", max_tokens=24).text


def test_an_unfinished_answer_is_forgotten(describer: Describer) -> None:
    """Guards against half an answer in the history."""
    with describer.chat(sky(), max_tokens=24) as chat:
        stream = chat.ask("What is this?", stream=True)
        next(stream)
        assert chat.turns == ()


def test_sixteen_threads_get_their_own_answers(describer: Describer) -> None:
    """Guards against answers mixed up between threads that share one describer."""
    pictures = [sky(seed) for seed in range(4)]
    alone = [describer.describe(picture, max_tokens=10).text for picture in pictures]
    assert len(set(alone)) == 4
    start = threading.Barrier(16)

    def ask(worker: int) -> list[tuple[int, str]]:
        start.wait(timeout=30)
        order = [(worker + step) % 4 for step in range(6)]
        return [(i, describer.describe(pictures[i], max_tokens=10).text) for i in order]

    with ThreadPoolExecutor(16) as pool:
        for answers in pool.map(ask, range(16)):
            for i, text in answers:
                assert text == alone[i]


def test_probabilities_are_a_distribution_in_order(describer: Describer) -> None:
    """Guards against scores that do not sum to one, or a label that is not the best."""
    found = describer.classify(sky())
    assert set(found.probabilities) == set(GALAXY10.labels)
    assert sum(found.probabilities.values()) == pytest.approx(1.0, abs=1e-9)
    shares = list(found.probabilities.values())
    assert shares == sorted(shares, reverse=True)
    assert found.label == next(iter(found.probabilities))


def test_the_threshold_decides_whether_the_model_abstains(describer: Describer) -> None:
    """Guards against an abstention that means something else than it says."""
    labels = ["spiral", "elliptical", "star"]
    sure = describer.classify(sky(), labels, question="What is it?", threshold=0.0)
    unsure = describer.classify(sky(), labels, question="What is it?", threshold=1.0)
    assert (sure.abstained, unsure.abstained) == (False, sure.probability < 1.0)
    assert unsure.provenance.prompt["text"] == "What is it?"
    with pytest.raises(InvalidRequest, match="from 0 to 1"):
        describer.classify(sky(), labels, threshold=2.0)


def test_labels_nobody_calibrated_say_so_and_do_not_drown_the_picture(
    describer: Describer,
) -> None:
    """Guards against wordy habits passing for sight, and a threshold fitted to other labels."""
    found = describer.classify(np.zeros((40, 40, 3), np.uint8), ["a spiral", "an elliptical"])
    assert not found.calibrated
    assert "not calibrated" in str(found)
    assert found.threshold == 0.0
    # On the blank picture itself nothing speaks for either label.
    assert found.probability == pytest.approx(0.5, abs=1e-6)


def test_what_was_asked_of_labels_can_be_told_from_the_record(describer: Describer) -> None:
    """Guards against two different questions with the same id and version."""
    asked = [
        describer.classify(sky(), ["spiral", "smooth"]),
        describer.classify(sky(), ["spiral", "round"]),
        describer.classify(sky(), ["spiral", "smooth"], question="Which?"),
    ]
    versions = {(r.provenance.prompt["id"], r.provenance.prompt["version"]) for r in asked}
    assert len(versions) == 3


def test_the_embedded_model_is_calibrated_for_its_own_labels_only() -> None:
    """Guards against fitted constants lent to labels they were never fitted to."""
    with Describer() as describer:
        assert describer.classify(sky()).calibrated
        assert describer.classify(sky()).threshold > 0
        assert not describer.classify(sky(), question="What do you see?").calibrated
        assert describer.check().passed


def test_claims_no_picture_supports_are_flagged(tmp_path: Path) -> None:
    """Guards against the flags being lost between grounding and the result."""
    says = tuple(byte_token(byte) for byte in b"5 kpc")
    with Describer(*_as_call(write_pair(tmp_path, TinyPair(says=says)))) as describer:
        result = describer.describe(sky())
    assert result.text == "5 kpc"
    (flag,) = result.flags
    assert result.text[flag.start : flag.end] == flag.text
    assert flag.text == "5 kpc"


def _as_call(pair: tuple[Path, Path]) -> tuple[Path]:
    """The mmproj is found beside the text file when it is not named."""
    return (pair[0],)


def test_an_option_nobody_knows_is_refused_with_the_nearest(describer: Describer) -> None:
    """Guards against a misspelt option that silently does nothing."""
    with pytest.raises(InvalidRequest, match="'stretch'"):
        describer.describe(sky(), strech="log")
    with pytest.raises(InvalidRequest, match="max_tokens"):
        describer.classify(sky(), max_tokens=5)


def test_a_parameter_by_another_name_is_led_to_the_right_one(describer: Describer) -> None:
    """Guards against a list of options that leaves out the very one that was meant."""
    for call, given, meant in (
        (describer.classify, "labels", "vocabulary"),
        (describer.classify, "vocabluary", "vocabulary"),
        (describer.classify, "Treshold", "threshold"),
        (describer.describe, "promt", "prompt"),
        (describer.describe, "max_token", "max_tokens"),
        (describer.describe, "ext", "hdu"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            call(sky(), **{given: ["spiral"]})
        assert caught.value.hint == f"Did you mean {meant!r}?"
        assert meant in caught.value.expected
    with pytest.raises(InvalidRequest, match="Did you mean 'stream'"):
        describer.ask(sky(), "Is there a bar?", streem=True)
    for call in (describer.describe, describer.chat):
        with pytest.raises(InvalidRequest) as caught:
            call(sky(), labels=["spiral"])
        assert "Did you mean" not in str(caught.value)


def test_a_closed_describer_says_so(pair: tuple[Path, Path]) -> None:
    """Guards against a crash of the interpreter on freed memory."""
    describer = Describer(pair[0], mmproj=pair[1])
    with describer.chat(sky()) as chat:
        describer.close()
        describer.close()
        with pytest.raises(ClosedError):
            chat.ask("Still there?")
    with pytest.raises(ClosedError):
        describer.describe(sky())
    with pytest.raises(ClosedError):
        describer.classify(sky())
    assert "closed" in repr(describer)


def test_bad_input_leaves_the_describer_usable(describer: Describer) -> None:
    """Guards against an error that breaks what comes after it."""
    with pytest.raises(ImageNotFound):
        describer.describe("no-such.fits")
    assert describer.describe(sky(), max_tokens=4).text


def test_a_file_llama_cpp_would_die_of_never_reaches_it(pair: tuple[Path, Path]) -> None:
    """Guards against a header check that exists but is not asked: zero heads abort llama.cpp."""
    for broken, role in ((pair[0], "text"), (pair[1], "mmproj")):
        data = bytearray(broken.read_bytes())
        at = data.index(b"attention.head_count") + len(b"attention.head_count") + 4
        data[at : at + 4] = bytes(4)
        other = broken.parent / f"broken-{role}.gguf"
        other.write_bytes(data)
        files = (other, pair[1]) if role == "text" else (pair[0], other)
        with pytest.raises(InvalidModelFile, match="head_count"):
            Describer(files[0], mmproj=files[1])


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no-such"):
        Describer(tmp_path / "no-such.gguf")


def test_a_name_the_header_or_the_question_gives_is_not_an_invention(
    tmp_path: Path, header: fits.Header
) -> None:
    """Guards against flagging an identity that the user, not the model, brought in."""
    pair = write_pair(tmp_path, TinyPair(says=tuple(byte_token(byte) for byte in b"NGC 1305")))
    named = fits.PrimaryHDU(sky(), header)
    named.header["OBJECT"] = "NGC 1305"
    with Describer(pair[0]) as describer:
        assert [flag.text for flag in describer.describe(sky()).flags] == ["NGC 1305"]
        assert describer.describe(named).flags == ()
        assert describer.ask(sky(), "Is NGC 1305 barred?").flags == ()
