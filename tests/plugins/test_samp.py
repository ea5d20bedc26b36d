"""Results reach a real SAMP hub and the applications at it, or say why they did not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from astropy.table import Table

from astrollava.errors import PluginError
from astrollava.hooks import export
from astrollava.hooks.testing import ExporterSuite, PluginSuite
from astrollava.images import example
from sample_results import answer, classification, description, provenance

pytest.importorskip("pyvo.samp")

from pyvo.samp import SAMPHubServer, SAMPIntegratedClient, conf

from astrollava_plugins import samp
from astrollava_plugins.samp import Samp, astrollava_exporters, send_image, send_table

STALE = "# a comment\nsamp.hub.xmlrpc.url=http\\://127.0.0.1\\:9/\nsamp.secret=1\n"
LOADS = {"table.load.votable": "tables", "image.load.fits": "images"}


@dataclass
class Viewer:
    """An application at the hub: keeps what it was asked to load, and answers."""

    client: SAMPIntegratedClient
    hub: SAMPHubServer
    status: str = "samp.ok"
    silent: bool = False
    tables: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)

    def load(self, key: str, sender: str, msg_id: str, mtype: str, params: Any, extra: Any) -> None:
        getattr(self, LOADS[mtype]).append(dict(params))
        if not self.silent:
            # pyvo's hub loses an answer that comes before it begins to wait for one.
            ends = time.monotonic() + 20
            while msg_id not in self.hub._sync_msg_ids_heap and time.monotonic() < ends:
                time.sleep(0.005)
            error = {"samp.errortxt": "out of colours"} if self.status != "samp.ok" else None
            self.client.ereply(msg_id, self.status, result={}, error=error)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SAMPHubServer]:
    # The tests' own hub, found as any is; nobody is asked whether there is a network.
    lock = tmp_path / "hub.lock"
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{lock.as_uri()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    with conf.set_temp("use_internet", False):
        server = SAMPHubServer(web_profile=False, addr="127.0.0.1", pool_size=1)
        server.start()
        yield server
        if server.is_running:
            server.stop()


@pytest.fixture
def join(hub: SAMPHubServer) -> Iterator[Callable[..., Viewer]]:
    joined: list[SAMPIntegratedClient] = []

    def joining(name: str, *mtypes: str, **options: Any) -> Viewer:
        client = SAMPIntegratedClient(name=name, addr="127.0.0.1")
        client.connect(hub=hub, pool_size=1)
        joined.append(client)
        viewer = Viewer(client, hub, **options)
        for mtype in mtypes:
            client.bind_receive_call(mtype, viewer.load)
        return viewer

    yield joining
    for client in joined:
        if client.is_connected:
            client.disconnect()


class TestExporter(ExporterSuite):
    @pytest.fixture(autouse=True)
    def topcat(self, join: Callable[..., Viewer]) -> Viewer:
        return join("TOPCAT", "table.load.votable")

    def make(self) -> Samp:
        return Samp()


class TestPlugin(PluginSuite):
    plugin: ClassVar[Any] = samp
    entry = "samp"


def local(url: str) -> Path:
    parts = urlsplit(url)
    assert parts.scheme == "file"
    return Path(url2pathname(parts.path))


def test_a_table_of_results_reaches_every_viewer_of_tables(
    tmp_path: Path, join: Callable[..., Viewer]
) -> None:
    """What was said must arrive with where it is in the sky, for TOPCAT and Aladin to match."""
    topcat, aladin = join("TOPCAT", *LOADS), join("Aladin", "table.load.votable")
    results = [description("A spiral — ΔRA < 1 & rising."), answer(), classification()]
    path = tmp_path / "said.vot"
    Samp().write(results, path)
    assert len(topcat.tables) == len(aladin.tables) == 1
    assert local(topcat.tables[0]["url"]) == path
    table = Table.read(path, format="votable")
    assert list(table["text"]) == [str(result) for result in results]
    assert list(table["question"]) == ["", "Is there a bar?", ""]
    assert list(table["label"]) == ["", "", "spiral"]
    assert table["ra"].unit == "deg"
    assert table["ra"][0] == 184.9513
    assert table["dec"][0] == 14.4167
    # The sample's file is not there: nothing is sent that nobody could load.
    assert topcat.images == []


def test_the_file_that_is_announced_is_the_one_that_stays(
    tmp_path: Path, join: Callable[..., Viewer], astrollava_plugins: Callable[..., Any]
) -> None:
    """Written under another name first, as files of exporters are, it would be nowhere."""
    topcat = join("TOPCAT", "table.load.votable")
    astrollava_plugins(samp)
    path = export([description()], tmp_path / "said.vot", "samp")
    assert [local(sent["url"]) for sent in topcat.tables] == [path]


def test_images_go_to_the_viewers_of_images_once_each(
    tmp_path: Path, join: Callable[..., Viewer]
) -> None:
    """DS9 must get the FITS file described; a table viewer must not be sent images."""
    ds9, topcat = join("DS9", *LOADS), join("TOPCAT", "table.load.votable")
    source = {"kind": "fits", "path": str(example())}
    results = [kind(provenance=provenance(source=source)) for kind in (description, answer)]
    Samp().write(results, tmp_path / "two.vot")
    assert [local(sent["url"]) for sent in ds9.images] == [example()]
    assert ds9.images[0]["name"] == example().name
    assert topcat.images == []
    assert send_image(example()) == ("DS9",)


def test_many_results_do_not_flood_a_viewer(tmp_path: Path, join: Callable[..., Viewer]) -> None:
    """A catalogue of thousands would open thousands of windows."""
    ds9 = join("DS9", *LOADS)
    results = []
    for index in range(17):
        copy = tmp_path / f"{index}.fits"
        copy.write_bytes(example().read_bytes())
        source = {"kind": "fits", "path": str(copy)}
        results.append(description(provenance=provenance(source=source)))
    Samp().write(results, tmp_path / "many.vot")
    assert ds9.images == []
    assert len(ds9.tables) == 1


def test_a_viewer_that_fails_is_named_with_its_reason(
    tmp_path: Path, join: Callable[..., Viewer]
) -> None:
    """A silent failure would look like success."""
    join("Aladin", "table.load.votable", status="samp.error")
    with pytest.raises(PluginError, match=r"Aladin could not load .*: out of colours"):
        Samp().write([description()], tmp_path / "said.vot")


def test_a_viewer_that_never_answers_is_not_waited_for_for_ever(
    tmp_path: Path, join: Callable[..., Viewer]
) -> None:
    """A hung application must not hang the user's session."""
    join("Aladin", "table.load.votable", silent=True)
    began = time.monotonic()
    with pytest.raises(PluginError):
        Samp(timeout=1).write([description()], tmp_path / "said.vot")
    assert time.monotonic() - began < 6


def test_nobody_at_the_hub_is_said(tmp_path: Path, hub: SAMPHubServer) -> None:
    """A hub alone shows nothing: the user must learn that no viewer runs."""
    with pytest.raises(PluginError, match=r"no application at the SAMP hub .* DS9 or TOPCAT"):
        Samp().write([description()], tmp_path / "said.vot")


@pytest.mark.parametrize("lock", [None, "", "nonsense", "samp.hub.xmlrpc.url=http://127.0.0.1:9/"])
def test_no_hub_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: str | None) -> None:
    """No lock file, an empty or garbled one, that of a hub which died: each once, in words."""
    file = tmp_path / "hub.lock"
    if lock is not None:
        file.write_text(lock, encoding="utf-8")
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{file.as_uri()}")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(PluginError, match="no SAMP hub can be reached"):
        send_table(tmp_path / "any.vot")


@pytest.mark.parametrize(
    ("setting", "content", "told"),
    [
        (None, None, r"\.samp cannot be read.*Start Aladin or TOPCAT"),
        (None, "samp.secret=a=b\n", r"\.samp has no samp\.hub\.xmlrpc\.url.*Remove it"),
        (None, STALE, r"\.samp names, at http://127\.0\.0\.1:9/, does not answer.*left the file"),
        ("here", None, r"hub\.lock \(from SAMP_HUB\) cannot be read"),
        ("std-lockurl:http://hub.example/lock", None, "at http://hub.example/lock.*Unset it"),
        ("web-profile", None, r"SAMP_HUB is 'web-profile'.*std-lockurl:.*Unset it"),
        # Neither is an address, or a path, that Python can take apart.
        ("std-lockurl:http://[", None, r"at http://\[.*Unset it"),
        ("std-lockurl:file:///%00", None, r"\(from SAMP_HUB\) cannot be read"),
    ],
)
def test_it_says_where_it_looked_for_a_hub(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str | None,
    content: str | None,
    told: str,
) -> None:
    """Without the file's name nobody finds the one that a hub left behind when it crashed."""
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    if setting == "here":
        setting = f"std-lockurl:{(tmp_path / 'hub.lock').as_uri()}"
    if setting is None:
        monkeypatch.delenv("SAMP_HUB", raising=False)
    else:
        monkeypatch.setenv("SAMP_HUB", setting)
    if content is not None:
        (tmp_path / ".samp").write_text(content)
    with pytest.raises(PluginError, match=f"(?s)no SAMP hub can be reached: .*{told}"):
        send_table(tmp_path / "any.vot")


def test_an_application_that_does_not_answer_is_named(
    tmp_path: Path, join: Callable[..., Viewer]
) -> None:
    """That of several which hangs is to be looked at, and may have loaded it."""
    join("Aladin", "table.load.votable", silent=True)
    with pytest.raises(PluginError, match="Aladin did not say within 1 s"):
        send_table(tmp_path / "any.vot", timeout=1)


def test_a_hub_that_ends_meanwhile_is_said(hub: SAMPHubServer, tmp_path: Path) -> None:
    """Aladin may be closed while its hub is in use."""
    stopper = SAMPIntegratedClient(name="stopper", addr="127.0.0.1")
    stopper.connect(hub=hub, pool_size=1)
    stopping = threading.Thread(target=hub.stop, daemon=True)
    stopper.bind_receive_call("table.load.votable", lambda *_: stopping.start())
    with pytest.raises(PluginError):
        send_table(tmp_path / "any.vot", timeout=2)
    # A hub stopped twice at once trips over its own threads.
    stopping.join(60)
    assert not hub.is_running


def test_text_that_xml_cannot_hold_still_makes_a_table(
    tmp_path: Path, join: Callable[..., Viewer]
) -> None:
    """A control character of a model, or a file name that is no UTF-8, would spoil the table."""
    topcat = join("TOPCAT", "table.load.votable")
    source = {"kind": "array", "path": "a\udcff.fits"}
    result = description("a\x00b\x0bc ]]> <TD>", provenance=provenance(source=source), flags=())
    Samp().write([result], tmp_path / "odd.vot")
    table = Table.read(tmp_path / "odd.vot", format="votable")
    assert table["text"][0] == "a\ufffdb\ufffdc ]]> <TD>"
    assert table["image"][0] == "a\ufffd.fits"
    assert table["ra"].mask[0]
    assert len(topcat.tables) == 1


def test_no_site_is_asked_whether_there_is_a_network(
    tmp_path: Path, join: Callable[..., Viewer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyvo asks google.com for every client it makes; a user offline by choice must not."""
    join("TOPCAT", "table.load.votable")
    conf.use_internet = True
    asked = []
    monkeypatch.setattr("pyvo.samp.utils.urlopen", lambda *a, **k: asked.append(a))
    Samp().write([description()], tmp_path / "said.vot")
    assert asked == []


def test_the_hook_gives_the_exporter() -> None:
    """Without it, `--export samp:said.vot` would not be known."""
    (exporter,) = astrollava_exporters()
    assert (exporter.name, exporter.suffix) == ("samp", ".vot")
