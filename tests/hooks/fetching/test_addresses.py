"""Which addresses count as the open Internet."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from astrollava.errors import FetchError, FetchRefused, InvalidRequest
from astrollava.hooks.fetching._addresses import is_public, place_of, resolve
from astrollava_plugins.ned import Ned
from astrollava_plugins.simbad import Simbad
from sky_service import SkyFetcher


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07::1"])
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
        "2002:7f00:1::", "::7f00:1",
    ],
)  # fmt: skip
def test_private(address: str) -> None:
    """Each of these leads into a network that the service itself cannot reach."""
    assert not is_public(address)


@given(st.ip_addresses(v=4))
def test_no_disguise_makes_a_private_address_public(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    for disguise in (f"::ffff:{address}", f"64:ff9b::{number >> 16:x}:{number & 0xFFFF:x}"):
        assert is_public(disguise) == is_public(str(address))


def test_a_name_that_changes_its_mind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server may answer a public address first and a private one when it counts."""
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in ("10.0.0.1", "8.8.8.8", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    place = place_of("http://sky.example/", hosts=("sky.example",))
    assert resolve(place, 1.0) == ["8.8.8.8"]
    del answers[1]
    with pytest.raises(FetchRefused, match="private network"):
        resolve(place, 1.0)


def test_a_host_is_compared_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """'evil-sky.example' and 'sky.example.evil.org' end or begin like the service's own."""
    for url in (
        "https://evil-sky.example/",
        "https://sky.example.evil.org/",
        "https://sky.example@evil.org/",
        "https://evil.org/sky.example",
        "https://evil.org#@sky.example/",
        "https://evil.org\\@sky.example/",
    ):
        with pytest.raises(FetchRefused):
            place_of(url, hosts=("sky.example",))
    for url in ("https://SKY.example/x", "https://sky.example./x", "https://sky.example:443/x"):
        assert place_of(url, hosts=("sky.example",)).origin == "https://sky.example"


def test_a_port_is_asked_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal did not say what its author was to do about it, and nothing could be done."""
    url = "http://sky.example:8080/x"
    with pytest.raises(FetchRefused, match=r"unusual port 8080.*name it: .*'sky.example:8080'"):
        place_of(url, hosts=("sky.example",))
    assert place_of(url, hosts=("Sky.example:8080",)).origin == "http://sky.example:8080"
    for other in ("http://sky.example:8081/", "http://sky.example/"):
        with pytest.raises(FetchRefused, match="must name it: hosts="):
            place_of(other, hosts=("sky.example:8080",))
    # A name with a port opens no private network.
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 8080))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(FetchRefused, match=r"private network.*base_url='http://sky.example:8080'"):
        resolve(place_of(url, hosts=("sky.example:8080",)), 1.0)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    for url in (text, "http://" + text, "http://sky.example/" + text):
        try:
            place = place_of(url, hosts=("sky.example",))
        except FetchError:
            continue
        assert place.host == "sky.example"
        assert not set(place.target) & set(" \r\n\t#")


@pytest.mark.parametrize("address", ["http://[", "http://a:b/", "ftp://a.org", "nowhere", ""])
def test_a_service_at_what_is_no_address_is_refused_when_it_is_named(address: str) -> None:
    """Some said "Invalid IPv6 URL" in Python's words, others nothing until they were used."""

    for kind in (SkyFetcher, Simbad, Ned):
        if address or kind is SkyFetcher:
            with pytest.raises(InvalidRequest, match="base_url is"):
                kind(base_url=address)
