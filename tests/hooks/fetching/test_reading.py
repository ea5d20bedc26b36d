"""What a service sent, read: whatever is wrong with it is an error of the service."""

from __future__ import annotations

import io

import numpy as np
import pytest
from astropy.io import fits

from astrollava.errors import CutoutTooLarge, EmptyCutout, ServiceError, UnreadableAnswer
from astrollava.hooks.fetching import http
from sky_service import SkyFetcher, SkyService, fits_bytes

WHOLE = fits_bytes(values=np.ones((3, 8, 8), np.float32))


def answer(body: bytes) -> http.Answer:
    return http.Answer(200, {"content-type": "image/fits"}, body, "https://sky.example/cutout")


def without_an_image() -> bytes:
    buffer = io.BytesIO()
    fits.PrimaryHDU().writeto(buffer)
    return buffer.getvalue()


def test_what_is_whole_is_an_image_with_its_bands() -> None:
    image = SkyFetcher().read(answer(WHOLE), bands=("g", "r", "z"))
    assert image.bands == ("g", "r", "z")
    assert SkyFetcher().read(WHOLE).shape == (8, 8)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UnreadableAnswer),
        (WHOLE[: len(WHOLE) // 2], UnreadableAnswer),
        (b"<html>No such field</html>", ServiceError),
        (without_an_image(), EmptyCutout),
    ],
)
def test_what_is_not_is_told_as_the_services_fault(body: bytes, error: type[Exception]) -> None:
    """A plugin that read by itself let an `ImageError` out, which the suite calls a fault."""
    with pytest.raises(error, match=r"^sky sent ") as caught:
        SkyFetcher().read(answer(body))
    assert type(caught.value) is error
    if isinstance(caught.value, ServiceError):
        assert caught.value.status == 200
        assert caught.value.hint


def test_more_than_was_asked_for_and_other_planes_are_told() -> None:
    with pytest.raises(CutoutTooLarge, match="sky sent more than it was asked for"):
        SkyFetcher().read(answer(WHOLE), max_pixels=10)
    with pytest.raises(ServiceError, match="sky gave an image that is not as asked for"):
        SkyFetcher().read(answer(WHOLE), bands=("u", "v"))


def test_half_a_file_is_asked_for_again(service: SkyService) -> None:
    """A connection cut behind the service leaves half a file, and the next try all of it."""
    import astropy.units as u
    from astropy.coordinates import SkyCoord

    import sky_service as sky
    from astrollava.hooks.fetching import fetch

    class Reading(SkyFetcher):
        def fetch(self, position, size, *, pixels=None, bands=None, timeout=60.0):  # type: ignore[no-untyped-def]
            plan = self.plan(position, size, pixels=pixels, bands=bands)
            asked = {"ra": plan.ra, "dec": plan.dec, "size": plan.degrees, "pixels": plan.pixels}
            asked["bands"] = ",".join(plan.bands)
            return self.read(self.get("cutout", asked, accept=http.FITS, timeout=timeout))

    service.next(sky.truncated())
    place = SkyCoord(10 * u.deg, 10 * u.deg)
    image = fetch(Reading(base_url=service.url), place, 2 * u.arcmin, cache=False)
    assert image.source["tries"] == 2
