"""The real sky: off unless pytest is run with --remote-data."""

from __future__ import annotations

import astropy.units as u
import pytest
from astropy.coordinates import SkyCoord

from astrollava.hooks.fetching import fetch, locate

pytestmark = pytest.mark.remote_data


def test_a_name_is_where_it_is() -> None:
    assert locate("M51").position.separation(SkyCoord(202.4696, 47.1953, unit="deg")) < 5 * u.arcsec


def test_the_best_survey_gives_an_image() -> None:
    image = fetch("auto", SkyCoord(202.4696, 47.1953, unit="deg"), 6 * u.arcmin, pixels=256)
    assert image.shape == (256, 256)
    assert image.source["chosen"]
