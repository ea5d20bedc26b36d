"""Downloads over loopback: whole and of the right hash, or nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava.errors import DownloadFailed, HashMismatch
from astrollava_training.evaluate import open_data
from astrollava_training.evaluate.sets import download
from astrollava_training.evaluate.sets.download import PUBLISHED, Published, fetch
from galaxy10_files import write_parquet

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@dataclass
class Service:
    """What is served, and what goes wrong."""

    files: dict[str, bytes] = field(default_factory=dict)
    #: Bytes after which each of the next answers ends.
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    url: str = ""


def answer(service: Service, handler: BaseHTTPRequestHandler, method: str) -> None:
    asked = handler.headers.get("Range")
    service.asked.append((method, handler.path, asked))
    if service.statuses:
        handler.send_response(service.statuses.pop(0))
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    content = service.files.get(handler.path)
    if content is None:
        handler.send_error(404)
        return
    start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and service.ranges else 0
    handler.send_response(206 if start else 200)
    handler.send_header("Content-Length", str(len(content) - start))
    handler.end_headers()
    if method == "GET":
        cut = service.cuts.pop(0) if service.cuts else None
        handler.wfile.write(content[start:][:cut])


@pytest.fixture
def service() -> Iterator[Service]:
    held = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(held, self, "GET")

        def do_HEAD(self) -> None:
            answer(held, self, "HEAD")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield held
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def published(service: Service, monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.setattr(download, "_WAITS", (0.01, 0.01))
    service.files["/files/data.h5"] = CONTENT
    return Published(
        "https://example.invalid/files/data.h5",
        "data.h5",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def test_a_file_comes_whole_and_once(
    service: Service, published: Published, tmp_path: Path
) -> None:
    for _ in range(2):
        assert fetch(published, mirror=service.url, folder=tmp_path).read_bytes() == CONTENT
    assert [method for method, _, _ in service.asked] == ["HEAD", "GET"]
    assert [path.name for path in tmp_path.iterdir()] == ["data.h5"]


def test_a_broken_connection_is_continued(
    service: Service, published: Published, tmp_path: Path
) -> None:
    service.cuts += [1_000_000, 1_500_000]
    assert fetch(published, mirror=service.url, folder=tmp_path).read_bytes() == CONTENT
    ranges = [asked for method, _, asked in service.asked if method == "GET"]
    assert ranges == [None, "bytes=1000000-", "bytes=2500000-"]


def test_a_server_without_ranges_begins_again(
    service: Service, published: Published, tmp_path: Path
) -> None:
    """Its answer from the start, put behind what is there, would be another file."""
    service.ranges = False
    service.cuts.append(1_000_000)
    assert fetch(published, mirror=service.url, folder=tmp_path).read_bytes() == CONTENT


def test_another_file_is_not_kept(service: Service, published: Published, tmp_path: Path) -> None:
    service.files["/files/data.h5"] = CONTENT[::-1]
    with pytest.raises(HashMismatch, match="another hash"):
        fetch(published, mirror=service.url, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_more_than_announced_is_not_written(
    service: Service, published: Published, tmp_path: Path
) -> None:
    with pytest.raises(DownloadFailed, match="more than the 100 bytes"):
        fetch(dataclasses.replace(published, size=100), mirror=service.url, folder=tmp_path)
    assert not (tmp_path / "data.h5").exists()


def test_a_service_that_stays_down_is_told_and_what_came_is_kept(
    service: Service, published: Published, tmp_path: Path
) -> None:
    sized = dataclasses.replace(published, size=len(CONTENT))
    service.cuts.append(1_000_000)
    service.cuts += [0, 0, 0]
    with pytest.raises(DownloadFailed, match="cannot be downloaded"):
        fetch(sized, mirror=service.url, folder=tmp_path)
    assert (tmp_path / "data.h5.part").stat().st_size == 1_000_000
    assert fetch(sized, mirror=service.url, folder=tmp_path).read_bytes() == CONTENT


def test_a_missing_file_is_not_asked_for_again(
    service: Service, published: Published, tmp_path: Path
) -> None:
    service.files.clear()
    sized = dataclasses.replace(published, size=len(CONTENT))
    with pytest.raises(DownloadFailed, match="404"):
        fetch(sized, mirror=service.url, folder=tmp_path)
    assert len(service.asked) == 1
    service.files["/files/data.h5"] = CONTENT
    service.statuses += [503, 429]
    assert fetch(sized, mirror=service.url, folder=tmp_path).is_file()


def test_no_network_names_the_remedy(published: Published, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match="name the path of a copy"):
        fetch(published, mirror="http://127.0.0.1:9", folder=tmp_path)
    with pytest.raises(DownloadFailed, match="no address on the web"):
        fetch(published, mirror="file:///etc", folder=tmp_path)
    with pytest.raises(DownloadFailed, match="cannot be downloaded"):
        fetch(published, mirror="http://[", folder=tmp_path)


def test_the_hubs_test_split_is_downloaded_by_the_hash_it_announces(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path))
    known = PUBLISHED["galaxy10-decals-test"]
    write_parquet(tmp_path / "t.parquet", 12)
    content = (tmp_path / "t.parquet").read_bytes()
    file = known.url.partition("/resolve/main/")[2]
    entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    listing = {"siblings": [{"rfilename": "README.md"}, {"rfilename": file, "lfs": entry}]}
    path = "/datasets/matthieulel/galaxy10_decals/resolve/main/" + file
    service.files[path] = content
    service.files["/api/datasets/matthieulel/galaxy10_decals?blobs=true"] = json.dumps(
        listing
    ).encode()
    data = open_data("galaxy10-decals-test", mirror=service.url)
    assert len(data.items) == 12
    assert {item.split for item in data.items} == {"test"}
    (tmp_path / "data" / known.name).unlink()
    entry["sha256"] = "0" * 64
    service.files["/api/datasets/matthieulel/galaxy10_decals?blobs=true"] = json.dumps(
        listing
    ).encode()
    with pytest.raises(HashMismatch):
        open_data("galaxy10-decals-test", mirror=service.url)
    service.files["/api/datasets/matthieulel/galaxy10_decals?blobs=true"] = b'{"siblings": []}'
    with pytest.raises(DownloadFailed, match="neither size nor hash"):
        open_data("galaxy10-decals-test", mirror=service.url)


@pytest.mark.parametrize(
    "listing",
    [
        b"[]",
        b'{"siblings": 3}',
        b'{"siblings": [3]}',
        b'{"siblings": [{"rfilename": "FILE", "lfs": "x"}]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_listing_of_another_shape_is_no_crash(service: Service, listing: bytes) -> None:
    """What the hub, or a mirror, answers is not ours to trust: it ended in an AttributeError."""
    file = PUBLISHED["galaxy10-decals-test"].url.partition("/resolve/main/")[2]
    said = listing.replace(b"FILE", file.encode())
    service.files["/api/datasets/matthieulel/galaxy10_decals?blobs=true"] = said
    with pytest.raises(DownloadFailed):
        open_data("galaxy10-decals-test", mirror=service.url)


def test_every_published_file_has_a_hash_or_a_listing_that_tells_it() -> None:
    for one in PUBLISHED.values():
        assert one.url.startswith("https://")
        assert len(one.sha256) == 64 or one.listing.startswith("https://")
