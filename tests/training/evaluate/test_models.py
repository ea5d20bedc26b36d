"""Models under evaluation answer as users get it, whichever runtime computes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava.errors import InvalidRequest, ModelError
from astrollava.images import example
from astrollava.vocabularies import GALAXY10, from_labels
from astrollava_training.evaluate import Choice, Model, Query, Rule, open_model

pytest.importorskip("llama_cpp")

ASKED = ("Describe this image.", "Is there a bar?")


@pytest.fixture(scope="module")
def embedded() -> Iterator[Model]:
    with open_model("embedded", threads=1) as model:
        yield model


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    made: list[Any] = [example()]
    for flat in (1.0, 0.3):
        light = 200 * np.exp(-8 * (x**2 + (y / flat) ** 2))[..., None] * (1.0, 0.9, 0.7)
        made.append(np.clip(light + rng.normal(12, 4, light.shape), 0, 255).astype(np.uint8))
    return made


def test_probabilities_are_those_users_get(embedded: Model, pictures: list[Any]) -> None:
    """Scored by another rule, a report would speak of a model nobody uses."""
    from astrollava import Describer

    own = from_labels(["a spiral galaxy", "a smooth galaxy"], question="What is this?")
    with Describer(threads=1) as describer:
        for vocabulary in (GALAXY10, own):
            found = embedded.classify(pictures, vocabulary)
            for row, picture in zip(found, pictures, strict=True):
                users = describer.classify(picture, vocabulary).probabilities
                assert row == pytest.approx([users[label] for label in vocabulary.labels])
        texts = [describer.describe(picture, max_tokens=200).text for picture in pictures]
        answers = [describer.ask(picture, ASKED[1], max_tokens=200).text for picture in pictures]
    assert embedded.describe(pictures) == texts
    assert embedded.ask(pictures, ASKED[1]) == answers


def test_a_foreign_model_has_the_blank_picture_taken_off(tmp_path: Path) -> None:
    """As `Describer.classify` does for models without a temperature."""
    import tiny_pair
    from astrollava import Describer

    text, mmproj = tiny_pair.write_pair(tmp_path)
    picture = np.random.default_rng(0).integers(0, 255, (28, 28, 3)).astype(np.uint8)
    with open_model(f"{text},{mmproj}", threads=1) as model:
        assert model.rule(GALAXY10) == Rule("corrected")
        found = model.classify([picture], GALAXY10)[0]
    with Describer(text, mmproj=mmproj, threads=1) as describer:
        users = describer.classify(picture, GALAXY10).probabilities
    assert found == pytest.approx([users[label] for label in GALAXY10.labels])


def test_torch_and_llama_cpp_say_the_same_of_the_same_pictures(tmp_path: Path) -> None:
    """Two runtimes that part would make two reports of one model."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import llava_checkpoints
    from astrollava.convert import convert

    net = llava_checkpoints.model(tower="siglip")
    folder = llava_checkpoints.save(net, tmp_path / "checkpoint")
    files = convert(folder, tmp_path / "pair", quantize="f32", mmproj_quantize="f32")
    rng = np.random.default_rng(3)
    shapes = ((56, 56, 3), (40, 90, 3), (128, 64, 3))
    shown = [rng.integers(0, 255, shape).astype(np.uint8) for shape in shapes]
    choice = Choice.of(GALAXY10)
    short = Choice("What is it?", ("a", "a spiral", "no"))
    queries = [Query(p, ASKED, (choice, short), 12) for p in shown]
    with open_model(str(folder), device="cpu") as model:
        torch_replies = list(model.answer(queries))
        assert model.facts()["files"]["model.safetensors"]
        assert model.rule(GALAXY10) == Rule("corrected")
        size = model.image_size
    with open_model(f"{files.text},{files.mmproj}", threads=1) as model:
        assert model.image_size == size
        llama_replies = list(model.answer(queries))
    for one, other in zip(torch_replies, llama_replies, strict=True):
        assert one.texts == other.texts
        for mine, theirs in zip(one.scores, other.scores, strict=True):
            assert mine == pytest.approx(theirs, abs=0.05)
    assert len({reply.scores for reply in torch_replies}) == len(shown), "it does not see"


def test_a_batch_of_answers_scores_as_each_alone(tmp_path: Path) -> None:
    """Padding, or a cache shared between answers, would leak from one into another."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import llava_checkpoints

    folder = llava_checkpoints.save(llava_checkpoints.model(), tmp_path / "checkpoint")
    picture = np.random.default_rng(5).integers(0, 255, (56, 56, 3)).astype(np.uint8)
    answers = ("Yes.", "It has two loosely wound arms and a small bulge.", "no")
    with open_model(str(folder), device="cpu") as model:
        (together,) = model.weigh([(picture, Choice("What?", answers))])
        alone = [model.weigh([(picture, Choice("What?", (a,)))])[0][0] for a in answers]
        (text,) = model.describe([picture], max_tokens=8)
    assert together == pytest.approx(alone, abs=1e-4)
    assert together[1] < together[2] < 0
    assert text
    with open_model(str(folder), device="cpu", dtype="bfloat16") as model:
        (halved,) = model.weigh([(picture, Choice("What?", answers))])
    assert list(halved) != list(together)
    assert halved == pytest.approx(together, rel=0.1)


def test_a_picture_that_cannot_be_read_is_an_error_of_its_own(
    embedded: Model, pictures: list[Any], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    sources = [pictures[0], broken, lambda: pictures[1]]
    replies = list(embedded.answer(Query(s, ("Is it edge-on?",)) for s in sources))
    assert [bool(reply.error) for reply in replies] == [False, True, False]
    assert replies[2].texts == tuple(embedded.ask([pictures[1]], "Is it edge-on?"))
    with pytest.raises(InvalidRequest, match="broken"):
        embedded.describe([broken])


def test_queries_are_taken_as_they_are_needed(embedded: Model, pictures: list[Any]) -> None:
    """17,736 pictures must not be in memory at once."""
    taken = 0

    def endless() -> Iterator[Query]:
        nonlocal taken
        while True:
            taken += 1
            yield Query(pictures[1], score=(Choice("Is it?", ("Yes.", "No.")),))

    replies = embedded.answer(endless())
    for _ in range(3):
        next(replies)
    replies.close()  # type: ignore[attr-defined]
    assert taken < 100


def test_rendering_options_reach_the_picture(embedded: Model) -> None:
    choice = Choice.of(GALAXY10)
    default, linear = embedded.answer(
        [
            Query(example(), score=(choice,)),
            Query(example(), score=(choice,), options={"stretch": "linear", "interval": "minmax"}),
        ]
    )
    assert default.scores != linear.scores


def test_the_rules_by_hand() -> None:
    scores = np.array([[-2.0, -4.0]])
    answers, nothing = ("Yes.", "No it is"), np.array([-1.0, -1.0])
    assert Rule("sum").energies(scores, answers, nothing).tolist() == [[-2.0, -4.0]]
    assert Rule("word").energies(scores, answers, nothing) == pytest.approx(
        np.array([[-2.0, -4 / 3]])
    )
    assert Rule("corrected").energies(scores, answers, nothing) == pytest.approx(
        np.array([[-1.0, -1.0]])
    )
    equal = Rule("corrected").probabilities(scores, answers, nothing)
    assert equal == pytest.approx(np.array([[0.5, 0.5]]))
    assert Rule("sum", 2.0).probabilities(scores, answers, nothing)[0, 0] == pytest.approx(
        1 / (1 + np.exp(-1.0))
    )


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.gguf"):
        open_model(str(tmp_path / "nothing.gguf"))
    pytest.importorskip("torch")
    import llava_checkpoints

    folder = llava_checkpoints.save(llava_checkpoints.model(), tmp_path / "checkpoint")
    with pytest.raises(InvalidRequest, match="'moon'"):
        open_model(str(folder), device="moon")
    with pytest.raises(InvalidRequest, match="'float3'"):
        open_model(str(folder), dtype="float3")
