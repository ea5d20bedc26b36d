"""What was fetched once is there again to the last bit, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS, Sip
from hypothesis import given
from hypothesis import strategies as st

import sky_service as sky
from astrollava.hooks import SkyImage
from astrollava.hooks.fetching import fetch
from astrollava.hooks.fetching._stored import decode, encode
from astrollava.hooks.fetching.cache import CutoutCache, cutout_key
from sky_service import SkyFetcher, SkyService, celestial

SIZE = 3 * u.arcmin


def same(one: SkyImage, other: SkyImage) -> bool:
    wcs = one.wcs is None and other.wcs is None
    if one.wcs is not None and other.wcs is not None:
        corners = [[0, 0], [7, 3], [100, -20]]
        wcs = bool(
            np.array_equal(one.wcs.all_pix2world(corners, 0), other.wcs.all_pix2world(corners, 0))
        )
    return (
        wcs
        and np.array_equal(one.pixels, other.pixels, equal_nan=True)
        and (one.mask is None) == (other.mask is None)
        and (one.mask is None or np.array_equal(one.mask, other.mask))
        and one.describe_source() == other.describe_source()
        and (one.bands, one.unit, one.origin, one.display, one.red_last, dict(one.meta))
        == (other.bands, other.unit, other.origin, other.display, other.red_last, dict(other.meta))
    )


def test_the_second_time_nobody_is_asked(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord
) -> None:
    first = fetch(fetcher, m51, SIZE)
    assert same(fetch(fetcher, m51, SIZE), first)
    assert same(fetch(fetcher, m51.galactic, 180 * u.arcsec), first)
    assert len(service.asked) == 1


def test_all_that_makes_an_image_another_is_part_of_its_key(m51: SkyCoord) -> None:
    """An entry under too short a key gives one user another user's image."""
    plain = SkyFetcher()

    class Newer(SkyFetcher):
        version = "2"

    class Other(SkyFetcher):
        name = "other"

    away = SkyCoord(m51.ra + 0.001 * u.arcsec, m51.dec)
    keys = [
        cutout_key(plain, plain.plan(m51, SIZE)),
        cutout_key(Newer(), plain.plan(m51, SIZE)),
        cutout_key(Other(), plain.plan(m51, SIZE)),
        cutout_key(SkyFetcher(base_url="https://mirror.example"), plain.plan(m51, SIZE)),
        cutout_key(plain, plain.plan(away, SIZE)),
        cutout_key(plain, plain.plan(m51, 3.001 * u.arcmin)),
        cutout_key(plain, plain.plan(m51, SIZE, pixels=89)),
        cutout_key(plain, plain.plan(m51, SIZE, bands="gr")),
        cutout_key(plain, plain.plan(m51, SIZE, bands="rg")),
    ]
    assert len(set(keys)) == len(keys)
    assert cutout_key(plain, plain.plan(m51, SIZE)) == keys[0]


def test_it_can_be_left_out_or_put_elsewhere(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord, tmp_path: Path, own_cache: Path
) -> None:
    for _ in range(2):
        fetch(fetcher, m51, SIZE, cache=False)
    assert len(service.asked) == 2
    assert not own_cache.exists()
    for _ in range(2):
        fetch(fetcher, m51, SIZE, cache=tmp_path / "mine")
    assert len(service.asked) == 3
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_a_damaged_file_is_fetched_again(
    service: SkyService, fetcher: SkyFetcher, m51: SkyCoord, own_cache: Path
) -> None:
    first = fetch(fetcher, m51, SIZE)
    (entry,) = own_cache.rglob("*.cutout")
    whole = entry.read_bytes()
    for damage in (whole[:-1], whole[: len(whole) // 2], b"", whole[:100] + b"X" + whole[101:]):
        entry.write_bytes(damage)
        assert np.array_equal(fetch(fetcher, m51, SIZE).pixels, first.pixels)
    assert len(service.asked) == 5


def test_a_cache_that_cannot_be_written_costs_no_image(
    fetcher: SkyFetcher, m51: SkyCoord, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    fetch(fetcher, m51, SIZE, cache=tmp_path / "file")
    assert "no longer kept on disk" in caplog.text


def test_it_stays_within_its_limit(tmp_path: Path) -> None:
    kept = CutoutCache(tmp_path, 1 << 20)
    for number in range(40):
        pixels = np.full((1, 100, 100), number, np.float32)
        kept.put(f"{number:064x}", SkyImage(pixels, ("g",)))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1 << 20
    assert kept.get(f"{39:064x}") is not None
    assert kept.get(f"{0:064x}") is None


WORKER = """
import sys
import astropy.units as u
from astropy.coordinates import SkyCoord
from sky_service import SkyFetcher
from astrollava.hooks.fetching import fetch
fetcher = SkyFetcher(base_url=sys.argv[1])
for number in range(12):
    image = fetch(fetcher, SkyCoord(number, number, unit="deg"), 2 * u.arcmin)
    assert image.source["position"] == [number, number]
    assert image.shape == (60, 60)
"""


def test_processes_share_it(service: SkyService, own_cache: Path) -> None:
    """Two that write the same entry must not leave a third with half of it."""
    support = str(Path(sky.__file__).parent)
    import os

    env = {**os.environ, "PYTHONPATH": support, "ASTROLLAVA_CACHE": str(own_cache)}
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, service.url], env=env) for _ in range(3)
    ]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    entries = list(own_cache.rglob("*.cutout"))
    assert len(entries) == 12
    assert all(decode(entry.read_bytes()) is not None for entry in entries)
    assert not list(own_cache.rglob("*.part"))


finite = st.floats(-1e3, 1e3, allow_nan=False)


@given(
    st.floats(0, 359.99), st.floats(-89, 89), st.floats(1e-6, 1.0),
    st.sampled_from(["TAN", "SIN", "ZEA", "CAR"]), st.sampled_from(["ICRS", "FK5", "FK4"]),
    st.floats(-180, 180), st.booleans(),
)  # fmt: skip
def test_a_wcs_comes_back_to_the_last_bit(
    ra: float, dec: float, size: float, projection: str, frame: str, turn: float, as_cd: bool
) -> None:
    """A source position would shift between the first time and the next."""
    wcs = celestial(ra, dec, size, 64)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.radesys = frame
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = np.array([[cosine, -sine], [sine, cosine]])
    if as_cd:
        step = size / 64
        wcs.wcs.cd = matrix * [[-step], [step]]
    else:
        wcs.wcs.pc = matrix
    if frame != "ICRS":
        wcs.wcs.equinox = 2000.0 if frame == "FK5" else 1950.0
    image = SkyImage(np.arange(64, dtype=np.float32).reshape(1, 8, 8), ("g",), wcs=wcs)
    parts = encode(image)
    assert parts is not None
    back = decode(b"".join(parts))
    assert back is not None
    assert same(image, back)


def test_distortions_come_back_too() -> None:
    wcs = celestial(10, 20, 0.1, 64)
    wcs.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[0, 2] = 1e-5, -2e-5
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    image = SkyImage(np.arange(64, dtype=np.float32).reshape(1, 8, 8), ("g",), wcs=wcs)
    back = decode(b"".join(encode(image) or ()))
    assert back is not None
    assert same(image, back)


def test_what_wcslib_rewrites_comes_back_too() -> None:
    """It turns TPV into something that its own numbers no longer tell."""
    tpv = WCS(naxis=2)
    tpv.wcs.ctype = ["RA---TPV", "DEC--TPV"]
    tpv.wcs.crval, tpv.wcs.crpix, tpv.wcs.cdelt = [10, 20], [5, 5], [-1e-4, 1e-4]
    tpv.wcs.set_pv([(1, 1, 1.0), (2, 1, 1.0), (1, 4, 1e-3)])
    image = SkyImage(np.arange(64, dtype=np.float32).reshape(1, 8, 8), ("g",), wcs=tpv)
    back = decode(b"".join(encode(image) or ()))
    assert back is not None
    corners = [[0, 0], [7, 7], [3, 5]]
    assert np.allclose(back.wcs.all_pix2world(corners, 0), tpv.all_pix2world(corners, 0), 0, 1e-9)


def test_a_wcs_of_tables_is_not_kept() -> None:
    """It would come back without them, and a little elsewhere."""
    from astropy.wcs import DistortionLookupTable

    wcs = celestial(10, 20, 0.1, 64)
    wcs.cpdis1 = DistortionLookupTable(np.ones((2, 2), np.float32), (0, 0), (0, 0), (1, 1))
    assert encode(SkyImage(np.ones((1, 2, 2)), ("g",), wcs=wcs)) is None


def kept(side: int = 500) -> bytes:
    pixels = np.random.default_rng(5).normal(size=(3, side, side)).astype(np.float32)
    return b"".join(encode(SkyImage(pixels, ("g", "r", "z"))) or ())


WHOLE = kept()


@given(st.integers(0, 8 * len(WHOLE) - 1))
def test_no_bit_changes_unseen(bit: int) -> None:
    """What a disk forgets after years is a bit here and there."""
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(damaged)) is None


@given(st.data(), st.sampled_from([512, 4096]))
def test_no_sector_is_lost_or_moved_unseen(data: st.DataObject, size: int) -> None:
    """After a power failure a file has its length, and sectors that were never written."""
    sectors = st.integers(0, len(WHOLE) // size - 1)
    one, other = data.draw(sectors) * size, data.draw(sectors) * size
    lost, moved, another = bytearray(WHOLE), bytearray(WHOLE), bytearray(WHOLE)
    lost[one : one + size] = bytes(size)
    assert decode(bytes(lost)) is None
    another[one : one + size] = np.random.default_rng(one).bytes(size)
    assert decode(bytes(another)) is None
    if one != other:
        moved[one : one + size] = WHOLE[other : other + size]
        assert decode(bytes(moved)) is None
        moved[other : other + size] = WHOLE[one : one + size]
        assert decode(bytes(moved)) is None


@pytest.mark.parametrize("left", [0, 10, 24, 1000, len(WHOLE) // 2, len(WHOLE) - 4, len(WHOLE) - 1])
def test_a_file_cut_short_is_none(left: int) -> None:
    """A full disk, or a copy that was interrupted."""
    assert decode(WHOLE[:left]) is None
    assert decode(WHOLE[:left] + bytes(len(WHOLE) - left)) is None
    assert decode(WHOLE + b"\0") is None
    assert decode(WHOLE[:20] + bytes(4)) is None


def test_what_is_found_cannot_be_written_to() -> None:
    """The pixels are the bytes that were read: whoever changed them would change the image."""
    pixels = np.ones((1, 4, 4), np.float32)
    pixels[0, 1, 2] = np.nan
    image = decode(b"".join(encode(SkyImage(pixels, ("g",))) or ()))
    assert image is not None
    assert image.mask is not None
    for array in (image.pixels, image.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(ValueError, match="WRITEABLE"):
        image.pixels.flags.writeable = True


@given(st.binary(max_size=200))
def test_any_bytes_are_an_image_or_none(data: bytes) -> None:
    assert decode(data) is None


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_pixels_and_masks_come_back(ny: int, nx: int, bands: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.normal(size=(bands, ny, nx)).astype(np.float32)
    pixels[random.random(pixels.shape) < 0.2] = np.nan
    image = SkyImage(
        pixels,
        tuple(f"b{n}" for n in range(bands)),
        unit="Jy / beam",
        mask=random.random((ny, nx)) < 0.3,
        meta={"object": "Ünïcode"},
        origin="upper",
        display=True,
        source={"kind": "fetched", "nested": {"a": [1, 2.5]}},
        red_last=True,
    )
    back = decode(b"".join(encode(image) or ()))
    assert back is not None
    assert same(image, back)
