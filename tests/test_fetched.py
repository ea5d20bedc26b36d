"""Positions at the front door: fetched, described, ahead of the model, facts kept apart."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import astropy.units as u
import jsonschema
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.coordinates.name_resolve import sesame_url
from astropy.table import QTable, Table
from astropy.utils.masked import Masked

import sky_service as sky
from astrollava import Describer
from astrollava.errors import (
    FetchTimeout,
    InvalidRequest,
    ServiceError,
    UnknownFetcher,
)
from astrollava.hooks import Fact, FactProvider, hookimpl
from astrollava.hooks.manager import Plugins
from astrollava.images import example
from astrollava.results import Description
from engine_state import at_rest
from sky_service import SkyFetcher, SkyService, serving

M51 = SkyCoord(202.469575, 47.195258, unit="deg")
SIZE = 3 * u.arcmin


@pytest.fixture(scope="module")
def describer() -> Iterator[Describer]:
    with Describer(threads=1, parallel=4) as describer:
        yield describer


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SkyService]:
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))
    with serving() as service:
        yield service


@pytest.fixture
def fetcher(service: SkyService) -> SkyFetcher:
    return SkyFetcher(base_url=service.url)


class Catalogue(FactProvider):
    """Knows one galaxy, and what its service is asked."""

    name = "catalogue"
    credit = "This research has made use of the Catalogue"
    url = "https://catalogue.example/"

    def __init__(self) -> None:
        self.asked: list[tuple[float, float, float]] = []
        self.failing: list[Exception] = []

    def facts(
        self, position: SkyCoord, radius: u.Quantity, *, timeout: float = 60.0
    ) -> tuple[Fact, ...]:
        self.asked.append((position.ra.deg, position.dec.deg, radius.to_value("arcsec")))
        if self.failing:
            raise self.failing.pop(0)
        apart = position.separation(M51)
        if apart > radius:
            return ()
        return (
            Fact("name", "M  51", "", "Catalogue: M 51", "", apart),
            Fact("redshift", 0.001544, "", "Catalogue: M 51", "2006AJ....131.1163S", apart),
        )


@pytest.fixture
def catalogue(service: SkyService, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """A catalogue, and the fetcher "sky", from a plugin that is loaded as an installed one is."""
    import sys
    import types
    from importlib.metadata import EntryPoint

    from astrollava.hooks import manager

    catalogue = Catalogue()
    module = types.ModuleType("a_catalogue")
    module.astrollava_contract = 1  # type: ignore[attr-defined]

    @hookimpl
    def astrollava_fact_providers() -> list[FactProvider]:
        return [catalogue]

    @hookimpl
    def astrollava_fetchers() -> list[SkyFetcher]:
        return [SkyFetcher(base_url=service.url)]

    module.astrollava_fact_providers = astrollava_fact_providers  # type: ignore[attr-defined]
    module.astrollava_fetchers = astrollava_fetchers  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_catalogue", module)
    entry = EntryPoint("catalogue", "a_catalogue", "astrollava")
    monkeypatch.setitem(manager._state, "plugins", Plugins([entry]))
    return catalogue


def words(result: Any) -> str:
    assert isinstance(result, Description)
    return result.text


def test_a_position_is_one_line(describer: Describer, catalogue: Catalogue) -> None:
    result = describer.describe(M51, fetch="sky", size=SIZE)
    source = result.provenance.source
    assert (source["kind"], source["fetcher"], source["credit"]) == (
        "fetched",
        "sky",
        "Simulated Sky",
    )
    assert source["centre"] == pytest.approx((202.469575, 47.195258), abs=1e-6)
    assert result.catalogued is None
    assert str(result) == result.text
    assert "Simulated Sky" in result._repr_html_()


def test_everything_that_takes_an_image_takes_a_position(
    describer: Describer, fetcher: SkyFetcher, service: SkyService
) -> None:
    options: dict[str, Any] = {"fetch": fetcher, "size": SIZE}
    said = describer.describe(M51, **options)
    assert describer.describe("202.469575 47.195258", **options).text == said.text
    assert "".join(describer.describe(M51, stream=True, **options)).strip() == said.text
    assert describer.ask(M51, "Is there a bar?", **options).text
    with describer.chat(M51, **options) as chat:
        assert chat.ask("Is there a bar?").text
    labelled = describer.classify(M51, **options)
    assert labelled.provenance.source["fetcher"] == "sky"
    assert describer.extract(M51, {"type": "boolean", "description": "Is it round?"}, **options)
    assert len(describer.ask_all(M51, ["Is there a bar?"], **options)) == 1
    (many,) = describer.classify_many([M51], progress=False, **options)
    assert many.probabilities == labelled.probabilities  # type: ignore[union-attr]
    assert len(service.asked) == 1


def test_a_name_is_a_source(describer: Describer, fetcher: SkyFetcher, service: SkyService) -> None:
    """The name that was given is none that the model invented."""
    service.route("/sesame/", lambda asked: sky.Reply(b"%J 202.4696 +47.1953 = ...", "text/plain"))
    with sesame_url.set([service.url + "/sesame/"]):
        result = describer.describe("M51", fetch=fetcher, size=SIZE)
    source = result.provenance.source
    assert (source["target"], source["position"]) == ("M51", (202.4696, 47.1953))
    assert "M51 in Simulated Sky" in result._repr_html_()


def test_bands_and_pixels_are_asked_of_the_service(
    describer: Describer, fetcher: SkyFetcher, service: SkyService
) -> None:
    describer.describe(M51, fetch=fetcher, size=SIZE, bands="gz", pixels=50, stretch="log")
    assert (service.asked[0].query["bands"], service.asked[0].query["pixels"]) == ("g,z", "50")


@pytest.mark.parametrize(
    ("source", "options", "error", "say"),
    [
        (M51, {}, InvalidRequest, "a position without fetch"),
        (M51, {"size": SIZE}, InvalidRequest, "a position without fetch"),
        ("a.fits", {"size": SIZE}, InvalidRequest, "size without fetch"),
        ("a.fits", {"timeout": 3}, InvalidRequest, "timeout without fetch"),
        (M51, {"fetch": "sky"}, InvalidRequest, "fetch without a size"),
        (M51, {"fetch": "skye", "size": SIZE}, UnknownFetcher, "Did you mean sky"),
        (M51, {"fetch": "sky", "size": SIZE, "hdu": 1}, InvalidRequest, "hdu"),
        (M51, {"fetch": "sky", "sise": SIZE}, InvalidRequest, "Did you mean 'size'"),
        (M51, {"fetch": "sky", "size": SIZE, "facts": "catalog"}, UnknownFetcher, "catalogue"),
        (example(), {"bands": "grz", "facts": ()}, InvalidRequest, "no catalogue"),
        (np.eye(30), {"facts": "catalogue"}, InvalidRequest, "no position"),
    ],
)
@pytest.mark.usefixtures("catalogue")
def test_what_is_missing_is_named(
    describer: Describer, source: Any, options: Any, error: type[Exception], say: str
) -> None:
    with pytest.raises(error, match=say):
        describer.describe(source, **options)


def test_many_are_fetched_ahead_and_stay_in_order(
    describer: Describer, fetcher: SkyFetcher, service: SkyService
) -> None:
    service.latency = 0.02
    table = Table({"ra": np.linspace(5, 300, 14), "dec": np.linspace(-60, 60, 14)})
    many = list(describer.describe_many(table, fetch=fetcher, size=SIZE, progress=False))
    assert [result.provenance.source["position"][0] for result in many] == pytest.approx(  # type: ignore[union-attr]
        table["ra"], abs=1e-6
    )
    assert service.busiest > 2
    alone = [
        describer.describe(f"{ra:.8f} {dec:.8f}", fetch=fetcher, size=SIZE)
        for ra, dec in table.iterrows()
    ]
    assert [words(one) for one in many] == [words(one) for one in alone]
    assert at_rest(describer._session.engine)


def test_errors_take_the_place_of_their_image(
    describer: Describer, fetcher: SkyFetcher, service: SkyService
) -> None:
    def answer(asked: sky.Asked) -> sky.Reply:
        number = round(asked.number("ra"))
        if number == 2:
            return sky.Reply(b"nothing there", "text/plain", 404)
        return sky.cutout(asked)

    service.route("/cutout", answer)
    sources = [SkyCoord(n, 10, unit="deg") for n in range(1, 5)] + ["91 91"]
    options: dict[str, Any] = {"fetch": fetcher, "size": SIZE, "progress": False}
    given = list(describer.describe_many(sources, on_error="return", **options))
    assert [type(each) for each in given] == [
        Description, ServiceError, Description, Description, InvalidRequest,
    ]  # fmt: skip
    assert given[1].first_line == "nothing there"  # type: ignore[union-attr]
    with pytest.raises(ServiceError):
        list(describer.describe_many(sources, **options))
    assert at_rest(describer._session.engine)


@pytest.mark.parametrize("table_of", [Table, QTable])
def test_a_bad_row_is_a_matter_of_its_own(
    describer: Describer, fetcher: SkyFetcher, service: SkyService, table_of: type[Table]
) -> None:
    """What a mask hides must not be fetched, and one typing error must not end a survey."""
    ra = np.ma.array([10.0, 20.0, 30.0, 40.0, 50.0], mask=[0, 1, 0, 0, 0])
    dec = np.ma.array([1.0, 2.0, 95.0, np.nan, 5.0])
    table = table_of({"ra": ra, "dec": dec}, units={"ra": u.deg, "dec": u.deg})
    options: dict[str, Any] = {"fetch": fetcher, "size": SIZE, "progress": False}
    given = list(describer.describe_many(table, on_error="return", **options))
    assert [type(each) for each in given] == [
        Description, InvalidRequest, InvalidRequest, InvalidRequest, Description,
    ]  # fmt: skip
    assert "row 1 of the table has no position: it is masked" in str(given[1])
    assert "row 2" in str(given[2])
    assert sorted(round(asked.number("ra")) for asked in service.asked) == [10, 50]
    with pytest.raises(InvalidRequest, match="row 1"):
        list(describer.describe_many(table, **options))
    assert at_rest(describer._session.engine)


def test_a_masked_position_is_none(describer: Describer, fetcher: SkyFetcher) -> None:
    degrees = Masked([10.0, 20.0] * u.deg, mask=[False, True])
    options: dict[str, Any] = {"fetch": fetcher, "size": SIZE, "progress": False}
    where = SkyCoord(degrees, degrees)
    given = list(describer.describe_many(where, on_error="return", **options))
    assert [type(each) for each in given] == [Description, InvalidRequest]


def test_a_single_row_is_no_table(describer: Describer, fetcher: SkyFetcher) -> None:
    table = Table({"ra": [10.0], "dec": [5.0]})
    with pytest.raises(InvalidRequest, match="single row"):
        list(describer.describe_many(table[0], fetch=fetcher, size=SIZE, progress=False))


def test_a_slow_one_holds_up_no_other(
    describer: Describer, fetcher: SkyFetcher, service: SkyService
) -> None:
    """With the fetching in the threads that encode, two slow cutouts would stop the model."""
    held = threading.Event()

    def answer(asked: sky.Asked) -> sky.Reply:
        if asked.number("ra") < 3.5:
            held.wait(300)
        return sky.cutout(asked)

    service.route("/cutout", answer)
    positions = [SkyCoord(n, 10, unit="deg") for n in range(1, 9)]
    options: dict[str, Any] = {"fetch": fetcher, "size": SIZE, "timeout": 300}
    flight = describer.describe_many(positions, progress=False, **options)
    results: list[Any] = []
    reader = threading.Thread(target=lambda: results.extend(flight))
    reader.start()
    end = time.monotonic() + 60
    while len(service.asked) < 8 and time.monotonic() < end:
        time.sleep(0.01)
    asked = len(service.asked)
    held.set()
    reader.join(120)
    # The three that hang came first; all the others were fetched behind them.
    assert asked == 8
    assert [round(each.provenance.source["position"][0]) for each in results] == list(range(1, 9))


def test_leaving_early_waits_for_no_service(
    describer: Describer, fetcher: SkyFetcher, service: SkyService
) -> None:
    """A Ctrl-C in a notebook must not hang for a minute on a service that hangs."""

    def answer(asked: sky.Asked) -> sky.Reply:
        if asked.number("ra") > 1.5:
            service.released.wait(120)
        return sky.cutout(asked)

    service.route("/cutout", answer)
    positions = [SkyCoord(n, 9, unit="deg") for n in range(1, 20)]
    options: dict[str, Any] = {"fetch": fetcher, "size": SIZE}
    flight = describer.describe_many(positions, progress=False, **options)
    next(flight)
    began = time.monotonic()
    flight.close()
    # The service would hang for a minute more.
    assert time.monotonic() - began < 30
    service.released.set()
    assert at_rest(describer._session.engine)
    assert describer.describe(positions[0], **options).text


def test_timeouts_reach_the_service(
    describer: Describer, fetcher: SkyFetcher, service: SkyService
) -> None:
    service.always(sky.hang())
    with pytest.raises(FetchTimeout):
        describer.describe(M51, fetch=fetcher, size=SIZE, timeout=0.3)


def test_facts_are_kept_apart_from_what_was_seen(
    describer: Describer, catalogue: Catalogue, repository: Path
) -> None:
    plain = describer.describe(M51, fetch="sky", size=SIZE)
    result = describer.describe(M51, fetch="sky", size=SIZE, facts="catalogue")
    # The model is not told: it says what it would say.
    assert result.text == plain.text
    assert result.catalogued is not None
    assert [(fact.kind, fact.value) for fact in result.catalogued] == [
        ("name", "M  51"),
        ("redshift", 0.001544),
    ]
    assert str(result).splitlines() == [
        f"visible: {plain.text}",
        "catalogued: name M  51 (Catalogue: M 51, 0.0 arcsec away)",
        "catalogued: redshift 0.001544 (Catalogue: M 51, 0.0 arcsec away, 2006AJ....131.1163S)",
    ]
    card = result._repr_html_()
    assert card.index("visible:") < card.index("catalogued:") < card.index("2006AJ....131.1163S")
    record = json.loads(result.to_json())
    assert record["catalogued"][1]["value"] == 0.001544
    assert record["provenance"]["source"]["facts"][0]["credit"] == catalogue.credit
    schema = json.loads((repository / "docs" / "schema" / "result.json").read_text("utf-8"))
    jsonschema.validate(record, schema)
    jsonschema.validate(json.loads(plain.to_json()), schema)
    # A tenth of the side of three arcminutes.
    assert catalogue.asked == [(pytest.approx(202.469575), pytest.approx(47.195258), 18.0)]


def test_nothing_catalogued_is_said(describer: Describer, catalogue: Catalogue) -> None:
    result = describer.describe(SkyCoord(10, 10, unit="deg"), fetch="sky", size=SIZE, facts=True)
    assert result.catalogued == ()
    assert str(result).endswith("\ncatalogued: nothing")
    assert "nothing" in result._repr_html_()


def test_facts_of_a_file_with_coordinates(describer: Describer, catalogue: Catalogue) -> None:
    assert describer.describe(example(), facts=["catalogue"]).catalogued == ()
    assert len(catalogue.asked) == 1


def test_facts_fail_as_images_do(describer: Describer, catalogue: Catalogue) -> None:
    """'Nothing known' and 'could not ask' are two answers."""
    catalogue.failing = [ServiceError("busy", status=503)]
    assert describer.describe(M51, fetch="sky", size=SIZE, facts="catalogue").catalogued
    catalogue.failing = [KeyError("main_id")]
    found = list(
        describer.describe_many(
            [M51, M51], fetch="sky", size=SIZE, facts="catalogue", on_error="return", progress=False
        )
    )
    assert sorted(type(each).__name__ for each in found) == ["Description", "PluginError"]


def test_facts_belong_to_descriptions(describer: Describer, catalogue: Catalogue) -> None:
    with pytest.raises(InvalidRequest, match="no option 'facts'"):
        describer.classify(M51, fetch="sky", size=SIZE, facts="catalogue")
