"""VOTables of services are read, and open nothing by themselves."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import FetchRefused, ServiceError
from astrollava_plugins._votable import check_votable, is_votable, read_votable
from vo_answers import votable

FIELDS = [("name", "char", "*"), ("z", "double")]

OUTWARD = """<?xml version="1.0" encoding="{encoding}"?>
{doctype}<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>
<FIELD name="a" datatype="unsignedByte"/><DATA><BINARY><STREAM {href}/></BINARY></DATA>
</TABLE></RESOURCE></VOTABLE>"""


def test_a_table_is_read() -> None:
    """The columns are those the service names, whatever their ids."""
    table = read_votable(votable(FIELDS, [("M 51", 0.0015), ("NGC 5195", None)]), "the service")
    assert table.colnames == ["name", "z"]
    assert list(table["name"]) == ["M 51", "NGC 5195"]
    assert table["z"].mask.tolist() == [False, True]


def outward(
    secret: Path, *, encoding: str = "UTF-8", doctype: str = "", plain: bool = True
) -> bytes:
    href = f'href="{secret.as_uri()}"' if plain else ""
    return OUTWARD.format(encoding=encoding, doctype=doctype, href=href).encode(encoding)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"*" * 8)
    return path


def test_astropy_would_open_the_file(secret: Path) -> None:
    """If this fails, astropy has closed the hole, and the guard may go."""
    from astropy.io import votable as library

    table = library.parse_single_table(_as_file(outward(secret)), verify="ignore")
    assert table.array["a"].tolist() == [ord("*")] * 8


def _as_file(body: bytes):  # type: ignore[no-untyped-def]
    import io

    return io.BytesIO(body)


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "ISO-8859-1", "cp500"])
def test_a_stream_elsewhere_is_refused(secret: Path, encoding: str) -> None:
    """A service could read files of this machine, or reach hosts inside its network."""
    if encoding == "cp500":  # the declaration in ASCII, the rest as it says
        head, rest = OUTWARD.format(
            encoding=encoding, doctype="", href=f'href="{secret.as_uri()}"'
        ).split("\n", 1)
        body = head.encode() + rest.encode("cp500")
    else:
        body = outward(secret, encoding=encoding)
    with pytest.raises((FetchRefused, ServiceError)):
        read_votable(body, "the service")


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "UTF-16-LE", "ISO-8859-1"])
@pytest.mark.parametrize("before", ["", "<!-- not a word -->" * 200])
def test_it_is_known_however_it_begins(secret: Path, encoding: str, before: str) -> None:
    """A guard that looks for "<?xml" at the beginning is passed by leaving it out."""
    body = outward(secret).decode().partition("\n")[2]
    assert is_votable((before + body).encode(encoding))
    assert not is_votable(b"SIMPLE  =                    T" + b" " * 2850)
    assert not is_votable(b'{"hips": []}')


def test_a_default_attribute_is_no_way_around(secret: Path) -> None:
    """A document may declare that each of its streams has an address."""
    declared = f'<!DOCTYPE VOTABLE [<!ATTLIST STREAM href CDATA "{secret.as_uri()}">]>\n'
    with pytest.raises(FetchRefused, match="document type"):
        check_votable(outward(secret, doctype=declared, plain=False), "the service")


def test_entities_are_refused() -> None:
    """A few lines of entities unpack to gigabytes, or name a file."""
    body = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'
    with pytest.raises(FetchRefused):
        read_votable(body, "the service")


@pytest.mark.parametrize("body", [b"", b"<html><p>Sorry</html>", b"\x00\xff", votable([], [])[:90]])
def test_what_is_no_votable_is_an_error_of_the_service(body: bytes) -> None:
    """A page or half a table must not surface as one of astropy's own exceptions."""
    with pytest.raises(ServiceError, match="the service sent no VOTable"):
        read_votable(body, "the service")


@given(st.binary(max_size=200), st.integers(0, 600))
def test_no_bytes_raise_anything_else(noise: bytes, at: int) -> None:
    """Damage of any kind: the fetch ends in words."""
    whole = votable(FIELDS, [("M 51", 0.0015)])
    body = whole[:at] + noise + whole[at + len(noise) :]
    with suppress(FetchRefused, ServiceError):
        read_votable(body, "the service")
