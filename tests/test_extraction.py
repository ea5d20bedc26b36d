"""Objects out of images: always what the schema says, and never a number that does not add up."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astrollava import Describer
from astrollava.errors import ExtractionFailed, InvalidRequest, InvalidSchema
from astrollava.images import example
from astrollava.prompts import custom
from random_schemas import schemas
from tiny_pair import TinyPair, write_pair

PICTURE = np.random.default_rng(0).integers(0, 255, (28, 28, 3), np.uint8)
OTHER = PICTURE[::-1].copy()


@pytest.fixture(scope="module")
def describer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Describer]:
    """A model that knows nothing: whatever is right about its objects the grammar made so."""
    pair = write_pair(tmp_path_factory.mktemp("pair"), TinyPair(context=8192))
    with Describer(pair[0], mmproj=pair[1], n_ctx=8192, threads=1) as made:
        yield made


@dataclass
class Arm:
    winding: Literal["tight", "loose"]
    length: Annotated[float, {"minimum": 0, "exclusiveMaximum": 2}]


@dataclass
class Galaxy:
    bar: Annotated[bool, "Is there a bar?"]
    kind: Literal["spiral", "elliptical", 3, 31]
    arms: Annotated[list[Arm], {"minItems": 1, "maxItems": 3}]
    count: Annotated[int, {"minimum": 0, "maximum": 20}]
    note: Annotated[str, {"maxLength": 12}] = field(default="")
    ring: Annotated[bool | None, "Is there a ring?"] = None


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=schemas(), seed=st.integers(0, 2**31), warm=st.booleans())
def test_whatever_the_schema_the_object_satisfies_it(
    describer: Describer, schema: dict[str, Any], seed: int, warm: bool
) -> None:
    options = {"temperature": 1.5, "top_k": 0, "top_p": 1.0, "min_p": 0.0} if warm else {}
    made = describer.extract(PICTURE, schema, seed=seed, **options)
    jsonschema.Draft202012Validator(schema).validate(made.value)
    assert json.loads(made.text) == made.value == made.to_dict()["value"]
    for shares in made.probabilities.values():
        assert sum(shares.values()) == pytest.approx(1)
    json.dumps(made.to_dict())


def test_a_dataclass_comes_back_filled_in(describer: Describer) -> None:
    made = describer.extract(PICTURE, Galaxy)
    galaxy = made.value
    assert isinstance(galaxy, Galaxy)
    assert all(isinstance(arm, Arm) and 0 <= arm.length < 2 for arm in galaxy.arms)
    assert {"bar", "kind", "ring"} <= set(made.probabilities)
    assert f"arms[{len(galaxy.arms) - 1}].winding" in made.probabilities
    assert set(made.probabilities["kind"]) == {"spiral", "elliptical", "3", "31"}
    # Asked, so answered; what it may be besides has no words.
    assert set(made.probabilities["ring"]) == {"true", "false"}
    assert made.provenance.prompt["schema"]["type"] == "object"
    assert "- count: an integer from 0 to 20" in made.provenance.prompt["text"]
    assert made == pickle.loads(pickle.dumps(made))
    assert made.thumbnail.startswith(b"\x89PNG")


def test_a_value_is_the_most_probable_one(describer: Describer) -> None:
    """Token by token the model takes the first letter it likes best: another word, perhaps."""
    words = ["alpha", "beta", "gamma", "a", "omega", "zeta"]
    schema = {
        "type": "object",
        "properties": {
            "size": {"type": "number", "minimum": 0, "maximum": 9},
            "list": {
                "type": "array", "minItems": 3, "maxItems": 3,
                "items": {"type": "object", "properties": {"word": {"enum": words}},
                          "required": ["word"]},
            },
            **{f"word {i}": {"enum": words} for i in range(4)},
        },
    }  # fmt: skip
    schema["required"] = list(schema["properties"])  # type: ignore[call-overload]
    made = describer.extract(PICTURE, schema)
    found = {f'["word {i}"]': made.value[f"word {i}"] for i in range(4)}
    found |= {f"list[{i}].word": each["word"] for i, each in enumerate(made.value["list"])}
    assert set(found) == set(made.probabilities)
    assert found == {path: next(iter(shares)) for path, shares in made.probabilities.items()}


def test_choices_alone_need_no_writing(describer: Describer) -> None:
    """All that is left to write is punctuation: it costs nothing."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}, "b": {"enum": ["x", "y"]}},
        "required": ["a", "b"],
    }
    made = describer.extract(PICTURE, schema)
    assert made.provenance.generation == {"finish_reason": "scored", "labels": 2}
    assert made.text == json.dumps(made.value, separators=(",", ":"))


def test_the_object_depends_on_the_picture_and_repeats_itself(describer: Describer) -> None:
    first, again = describer.extract(PICTURE, Galaxy), describer.extract(PICTURE, Galaxy)
    assert first.text == again.text
    assert first.probabilities == again.probabilities
    other = describer.extract(OTHER, Galaxy)
    assert other.probabilities["bar"] != first.probabilities["bar"]
    drawn = {describer.extract(PICTURE, Galaxy, temperature=2.0, seed=s).text for s in range(3)}
    assert len(drawn) == 3


@pytest.mark.parametrize(("most", "ends"), [(1, 1), (7, 7), (30, 30)])
def test_an_object_that_was_cut_off_is_an_error_with_its_text(
    describer: Describer, most: int, ends: int
) -> None:
    """Half an object must not pass for one, nor be lost: it shows what took so long."""
    with pytest.raises(ExtractionFailed, match="max_tokens was reached") as caught:
        describer.extract(PICTURE, {"type": "string", "minLength": 200}, max_tokens=most)
    assert caught.value.text.startswith('"')
    assert 1 <= len(caught.value.text) <= 2 * ends
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (copied.text, str(copied)) == (caught.value.text, str(caught.value))


def test_a_full_context_is_an_error_with_the_text(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, TinyPair(context=128))
    schema = {"type": "string", "minLength": 200}
    asked = custom("Say something.")
    with (
        Describer(pair[0], mmproj=pair[1], n_ctx=100, threads=1) as describer,
        pytest.raises(ExtractionFailed, match="context is full") as caught,
    ):
        describer.extract(PICTURE, schema, prompt=asked)
    assert len(caught.value.text) > 10


def test_what_cannot_be_extracted_is_told_before_the_image_is_read(describer: Describer) -> None:
    for wrong in ({"type": "string", "format": "uri"}, complex, 3, {}, "galaxy"):
        with pytest.raises(InvalidSchema):
            describer.extract("no such file.fits", wrong)
    with pytest.raises(InvalidRequest, match="blank"):
        describer.extract("no such file.fits", Galaxy, prompt=" ")
    with pytest.raises(InvalidRequest, match="temprature"):
        describer.extract(PICTURE, Galaxy, temprature=1)


@dataclass
class Never:
    value: bool

    def __post_init__(self) -> None:
        raise ValueError("never")


def test_an_object_its_type_refuses_is_an_error_with_its_text(describer: Describer) -> None:
    with pytest.raises(ExtractionFailed, match=r"Never refuses .*never") as caught:
        describer.extract(PICTURE, Never)
    assert json.loads(caught.value.text)["value"] in (True, False)


def test_objects_made_at_the_same_time_are_those_made_alone(describer: Describer) -> None:
    pictures = [np.roll(PICTURE, i, axis=0) for i in range(6)]
    alone = [describer.extract(each, Galaxy).text for each in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda each: describer.extract(each, Galaxy).text, pictures))
    assert together == alone
    assert threading.active_count() < 40


@dataclass
class Seen:
    edge_on: Annotated[bool, "Is it edge-on?"]
    spiral: Annotated[bool, "Does it have spiral arms?"]


def test_the_embedded_model_answers_the_questions_it_was_taught() -> None:
    """Asked to fill in a form it says true to everything; asked one by one it looks."""
    with Describer(threads=1) as describer:
        made = describer.extract(example(), Seen)
    assert made.value == Seen(edge_on=False, spiral=True)
    assert made.probabilities["spiral"]["true"] > 0.8


def test_answers_may_have_words_of_their_own(describer: Describer) -> None:
    """Else null, which has no words, could never be the answer to a question."""
    schema = {
        "type": "object",
        "properties": {
            "bar": {
                "enum": [True, False, None],
                "description": "Is there a bar?",
                "x-answers": ["Certainly.", "Not at all.", "Nobody can tell."],
            }
        },
    }
    made = describer.extract(PICTURE, schema)
    assert set(made.probabilities["bar"]) == {"true", "false", "null"}
    plain = json.loads(json.dumps(schema))
    del plain["properties"]["bar"]["x-answers"]
    assert set(describer.extract(PICTURE, plain).probabilities["bar"]) == {"true", "false"}


@pytest.mark.parametrize(
    ("properties", "kinds"),
    [
        ({"redshift": {"type": "number", "minimum": 0.01, "maximum": 0.5}}, {"redshift"}),
        ({"name": {"type": "string", "pattern": "^NGC [1-9]{4}$"}}, {"identity"}),
        # A name that was given is no invention.
        ({"name": {"enum": ["NGC 1300", "NGC 1365"]}}, set()),
        ({"bar": {"type": "boolean"}, "arms": {"type": "integer"}}, set()),
    ],
)
def test_what_a_picture_cannot_show_is_flagged_in_an_object(
    describer: Describer, properties: dict[str, Any], kinds: set[str]
) -> None:
    """A number in a table looks measured: that this one is made up must be said."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    made = describer.extract(PICTURE, schema)
    assert {flag.kind for flag in made.flags} == kinds
    assert all(made.text[flag.start : flag.end] == flag.text for flag in made.flags)
