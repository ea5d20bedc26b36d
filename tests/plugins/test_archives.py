"""Archives from outside: a bomb must stay small, a name must never become a path."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cutout_answers as answers
from astrollava.errors import CutoutTooLarge, FetchError, ServiceError

pytest.importorskip("astroquery", reason="the extra `fetch` is not installed")

from astrollava_plugins import _archives

FILES = {"a/b.fits": b"one", "../../etc/passwd": b"two", "/abs.fits": b"three"}
PACKERS = [(answers.packed, _archives.unzip), (answers.tarred, _archives.untar)]


@pytest.mark.parametrize(("pack", "unpack"), PACKERS, ids=["zip", "tar"])
def test_all_files_come_out_under_their_names(pack, unpack) -> None:
    """A name is a label: what looks like a path is not followed, and no file is lost."""
    assert unpack(pack(FILES), max_bytes=100, what="it") == FILES


@pytest.mark.parametrize(("pack", "unpack"), PACKERS, ids=["zip", "tar"])
def test_a_bomb_stays_small(pack, unpack) -> None:
    """A few kilobytes that unpack to 200 MB must not take 200 MB."""
    bomb = pack({"zeros.fits": bytes(200_000_000)})
    assert len(bomb) < 1_000_000
    tracemalloc.start()
    try:
        with pytest.raises(CutoutTooLarge, match="bytes at most"):
            unpack(bomb, max_bytes=1_000_000, what="it")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_directory_that_lies_about_sizes_gains_nothing() -> None:
    """The sum of sizes is what the archive says; reading must not believe the data instead."""
    honest = io.BytesIO()
    with zipfile.ZipFile(honest, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.fits", bytes(50_000_000))
    data = bytearray(honest.getvalue())
    size = (50_000_000).to_bytes(4, "little")
    lie = (1000).to_bytes(4, "little")
    assert data.count(size) == 2
    with pytest.raises(ServiceError):
        _archives.unzip(bytes(data).replace(size, lie), max_bytes=1_000_000, what="it")


def test_links_and_devices_are_left_out() -> None:
    """A link to /etc/passwd is not an image."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("link.fits")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        pipe = tarfile.TarInfo("pipe.fits")
        pipe.type = tarfile.FIFOTYPE
        archive.addfile(pipe)
    assert _archives.untar(file.getvalue(), max_bytes=100, what="it") == {}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_a_service_error(data: st.DataObject) -> None:
    """Whatever an archive is damaged to, the uniform errors come out and nothing else."""
    pack, unpack = data.draw(st.sampled_from(PACKERS))
    whole = bytearray(pack({"a.fits": bytes(range(256)) * 8, "b.fits": b"x" * 300}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    try:
        found = unpack(bytes(whole[:cut]), max_bytes=10_000, what="it")
    except FetchError:
        return
    assert sum(map(len, found.values())) <= 10_000


def test_contents_are_told_by_how_they_begin() -> None:
    """Names and headers of answers are the service's word; only FITS is taken of an archive."""
    fits = answers.fits_bytes(answers.grid(pixels=(8, 8)))
    files = {"maps/hspirepsw.fits.gz": fits, "README.txt": b"x", "x.FTZ": fits}
    wanted = {name: data for name, data in files.items() if name != "README.txt"}
    for archive in (answers.packed(files), answers.tarred(files)):
        assert _archives.contents(archive, max_bytes=1 << 20, what="it") == wanted
    for plain in (fits, answers.gzipped(fits), b"", b"\x1f\x8b\x08"):
        assert _archives.contents(plain, max_bytes=1 << 20, what="it") == {"": plain}
