"""Where no connection can be made, a user learns why, and how to do without."""

from __future__ import annotations

import dataclasses

import pytest
from huggingface_hub import constants

from astrollava.errors import DownloadFailed
from astrollava.models import _hub, resolve
from astrollava.models.catalog import RemoteFile
from loopback_hub import Hub

NAME = "hf:space/galaxy-GGUF:Q8_0"
TEXT = "galaxy-Q8_0.gguf"


@pytest.mark.parametrize(
    ("address", "host"),
    [("http://127.0.0.1:9", "127.0.0.1:9"), ("https://hub.invalid", "hub.invalid")],
    ids=["refused", "no such host"],
)
@pytest.mark.parametrize("name", ["smolvlm-256m", NAME])
def test_without_a_network_the_ways_without_are_named(
    name: str, address: str, host: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bare ConnectError tells nobody on a compute node what to do."""
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    with pytest.raises(DownloadFailed, match="there is no network here") as caught:
        resolve(name)
    assert host in caught.value.problem
    for way in ("bundle create", "bundle use", "HF_HUB_OFFLINE=1", "path of its .gguf"):
        assert way in caught.value.hint


def test_a_network_that_goes_away_on_the_way(hub: Hub) -> None:
    """The files answer from a host that nobody is at, after the hub itself did."""
    promise = _hub.ask("space/galaxy-GGUF", RemoteFile(TEXT))
    gone = dataclasses.replace(promise, url="http://127.0.0.1:9/gone")
    with pytest.raises(DownloadFailed, match=r"there is no network here.*What came before is kept"):
        _hub.fetch(gone, lambda step, done, total: None)


def test_a_certificate_that_is_not_trusted_is_no_lack_of_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", hub.url.replace("http:", "https:"))
    with pytest.raises(DownloadFailed, match="not trusted") as caught:
        resolve(NAME)
    assert "no network here" not in caught.value.problem
    assert "SSL_CERT_FILE" in caught.value.hint
