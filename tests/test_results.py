"""Results: frozen, plain, the same after a journey, and JSON that holds to its schema."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import enum
import json
import pickle
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sample_results
from astrollava.errors import InvalidRequest
from astrollava.grounding import KINDS
from astrollava.results import Answer, Classification, Description, Extraction, Flag, Provenance

RESULTS = [
    sample_results.description(),
    sample_results.answer(),
    sample_results.classification(),
    sample_results.extraction(),
]


@pytest.fixture(scope="module")
def validator(repository: Path) -> jsonschema.Draft202012Validator:
    schema = json.loads((repository / "docs" / "schema" / "result.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(schema, format_checker=checker)


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)
def test_the_json_of_every_result_holds_to_the_schema(
    result: Any, validator: jsonschema.Draft202012Validator
) -> None:
    validator.validate(json.loads(result.to_json()))
    # `astrollava describe --json` adds the source as the user wrote it.
    validator.validate({"source": "a.fits", **result.to_dict()})


def test_the_schema_refuses_what_is_not_a_result(
    validator: jsonschema.Draft202012Validator,
) -> None:
    record = sample_results.description().to_dict()
    assert validator.is_valid(record)
    assert not validator.is_valid({**record, "type": "Answer"})
    assert not validator.is_valid({**record, "thumbnail": "x"})
    for name in ("text", "flags", "provenance"):
        assert not validator.is_valid({k: v for k, v in record.items() if k != name})
    for name in record["provenance"]:
        shorter = {k: v for k, v in record["provenance"].items() if k != name}
        assert not validator.is_valid({**record, "provenance": shorter}), name
    spoilt = copy.deepcopy(record)
    spoilt["provenance"]["model"]["files"]["text"]["sha256"] = "not a hash"
    assert not validator.is_valid(spoilt)


def test_the_schema_knows_every_kind_and_every_field(
    validator: jsonschema.Draft202012Validator,
) -> None:
    definitions = validator.schema["$defs"]
    assert definitions["flag"]["properties"]["kind"]["enum"] == [
        *KINDS,
        "repetition",
        "untaught",
    ]
    assert list(definitions["flag"]["properties"]) == [f.name for f in dataclasses.fields(Flag)]
    fields = [f.name for f in dataclasses.fields(Provenance)]
    assert definitions["provenance"]["required"] == fields
    for kind in (Description, Answer, Classification, Extraction):
        names = {f.name for f in dataclasses.fields(kind)} - {"thumbnail"}
        assert set(definitions[kind.__name__.lower()]["required"]) == names | {"type"}


@pytest.mark.parametrize("result", RESULTS, ids=lambda r: type(r).__name__)
def test_results_travel_between_processes_unchanged(result: Any) -> None:
    for journey in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result), copy.copy(result)):
        assert journey == result
        assert hash(journey) == hash(result)
        assert journey.thumbnail == result.thumbnail
        assert journey.to_json() == result.to_json()
        assert repr(journey) == repr(result)


def test_nothing_in_a_result_can_be_changed() -> None:
    given = {"temperature": 0.0, "nested": {"deep": [1, 2]}}
    record = sample_results.provenance(sampling=given)
    given["temperature"] = 1.0
    given["nested"]["deep"].append(3)  # type: ignore[index]
    assert record.sampling == {"temperature": 0.0, "nested": {"deep": (1, 2)}}
    sampling: Any = record.sampling
    for change in (
        lambda: sampling.__setitem__("temperature", 1.0),
        lambda: sampling.__delitem__("temperature"),
        lambda: sampling["nested"].update(deep=3),
        lambda: sampling.pop("temperature"),
        lambda: sampling.clear(),
        lambda: sampling.setdefault("x", 1),
        lambda: sampling.popitem(),
        lambda: sampling.__ior__({"x": 1}),
    ):
        with pytest.raises(TypeError, match="to_dict"):
            change()
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.created = "now"  # type: ignore[misc]


def test_a_dict_of_a_result_is_a_copy_that_may_be_changed() -> None:
    result = sample_results.description()
    record = result.to_dict()
    record["provenance"]["model"]["name"] = "other"
    record["provenance"]["rendering"]["limits"][0].append(1)
    record["flags"].clear()
    assert result.provenance.model["name"] == "astrollava-embedded-v0"
    assert result.to_dict()["provenance"]["rendering"]["limits"][0] == [-0.02, 1.8]
    assert len(result.flags) == 2
    assert type(record["provenance"]["model"]) is dict


class _Colour(enum.Enum):
    RED = "red"


class _Rule(enum.StrEnum):
    PAD = "pad"


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int16(-3), -3),
        (np.bool_(True), True),
        (np.str_("asinh"), "asinh"),
        (np.float32("nan"), None),
        (float("nan"), None),
        (float("inf"), None),
        (-np.inf, None),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.array(7), 7),
        (np.ma.array([1, 2], mask=[False, True]), [1, None]),
        (np.datetime64("2026-11-23T01:02:03"), "2026-11-23T01:02:03"),
        ((1, (2, [3])), [1, [2, [3]]]),
        (Path("a") / "b.fits", str(Path("a") / "b.fits")),
        (dt.datetime(2026, 11, 23, 1, 2, 3, tzinfo=dt.UTC), "2026-11-23T01:02:03+00:00"),
        (dt.date(2026, 11, 23), "2026-11-23"),
        ({3: np.int64(4)}, {"3": 4}),
        ({"b", "a"}, ["a", "b"]),
        (_Rule.PAD, "pad"),
        (_Colour.RED, "_Colour.RED"),
        (1 + 2j, "(1+2j)"),
        (b"\xff", "b'\\xff'"),
        (None, None),
        (True, True),
    ],
    ids=repr,
)
def test_whatever_a_record_is_given_becomes_plain(given: Any, plain: Any) -> None:
    record = sample_results.provenance(source={"kind": "array", "x": given})
    for made in (record, pickle.loads(pickle.dumps(record))):
        assert made.to_dict()["source"]["x"] == plain
        assert type(made.to_dict()["source"]["x"]) is type(plain)
    json.dumps(record.to_dict(), allow_nan=False)


def test_an_astropy_quantity_keeps_its_unit_as_words() -> None:
    from astropy import units as u

    record = sample_results.provenance(source={"kind": "array", "x": 0.262 * u.arcsec})
    assert record.source["x"] == "0.262 arcsec"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(_JSON, st.text(st.characters()))
def test_any_record_and_text_become_json_that_a_stream_can_write(value: Any, text: str) -> None:
    record = sample_results.provenance(source={"kind": "array", "path": text, "x": value})
    result = Description(provenance=record, text=text)
    written = result.to_json().encode("utf-8")
    assert json.loads(written) == result.to_dict()
    assert pickle.loads(pickle.dumps(result)) == result


def test_a_file_name_that_is_no_utf8_still_becomes_json() -> None:
    name = b"cutout-\xe9.fits".decode("utf-8", "surrogateescape")
    written = sample_results.description(name).to_json()
    assert json.loads(written.encode("utf-8"))["text"] == name


def test_flags_are_of_the_text_and_in_its_order() -> None:
    text = "NGC 1300 at 19 Mpc"
    late = Flag("distance", 12, 18, "19 Mpc", "why")
    early = Flag("identity", 0, 8, "NGC 1300", "why")
    result = Description(provenance=sample_results.provenance(), text=text, flags=(late, early))
    assert result.flags == (early, late)
    with pytest.raises(InvalidRequest, match="not of the text"):
        Description(provenance=sample_results.provenance(), text="other words", flags=(early,))
    with pytest.raises(InvalidRequest, match="not of the text"):
        Answer(provenance=sample_results.provenance(), text="", flags=(early,))


def test_labels_are_ranked_whatever_order_they_came_in() -> None:
    result = sample_results.classification(
        probabilities={"a": np.float32(0.25), "b": 0.5, "c": 0.25}, abstained=np.bool_(False)
    )
    assert list(result.probabilities) == ["b", "a", "c"]
    assert (result.label, result.probability) == ("b", 0.5)
    assert str(result) == "b (50%, not calibrated)"
    assert str(dataclasses.replace(result, abstained=True)) == "b (50%, unsure, not calibrated)"
    assert result.abstained is False


@pytest.mark.parametrize("wrong", [{}, {"a": float("nan")}, {"a": 1.5}, {"a": 0.5, "b": -0.1}])
def test_probabilities_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidRequest, match="from 0 to 1"):
        sample_results.classification(probabilities=wrong)


def test_results_print_as_their_words_and_hide_the_picture() -> None:
    result = sample_results.description("A spiral.")
    assert str(result) == "A spiral."
    assert "thumbnail" not in repr(result)
    assert "thumbnail" not in result.to_dict()
    assert next(iter(result.to_dict())) == "type"
