"""Downloads over a network that cuts, stalls, lies and answers nonsense."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from astrollava._cache import cache_folder
from astrollava.errors import (
    DownloadFailed,
    HashMismatch,
    InvalidRequest,
    ModelNotFound,
    NotEnoughSpace,
)
from astrollava.models import catalog, facts, resolve, store
from astrollava.models.catalog import Entry, RemoteFile
from loopback_hub import COMMIT, Hub, environment, wait_for_partial

NAME = "hf:space/galaxy-GGUF:Q8_0"
TEXT, MMPROJ = "galaxy-Q8_0.gguf", "mmproj-galaxy-F16.gguf"
#: Big enough to be cut in the middle, small enough to be quick.
BIG = os.urandom(3 << 20)


def content(hub: Hub, name: str) -> bytes:
    return hub.repositories["space/galaxy-GGUF"][name]


@pytest.fixture
def big(hub: Hub) -> Hub:
    """The hub with a language model of three megabytes, which is none."""
    hub.repositories["space/galaxy-GGUF"][TEXT] = BIG
    return hub


@pytest.fixture
def entry(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """The pair as an entry of the catalogue, with its hashes."""
    monkeypatch.setattr(catalog, "_added", {})
    files = {
        name: RemoteFile(
            name, len(content(hub, name)), hashlib.sha256(content(hub, name)).hexdigest()
        )
        for name in (TEXT, MMPROJ)
    }
    made = Entry(
        name="galaxy",
        title="A galaxy",
        licence="MIT",
        image_tokens=4,
        render_rule="pad",
        repo="space/galaxy-GGUF",
        text=files[TEXT],
        mmproj=files[MMPROJ],
    )
    catalog.add(made)
    return made


# What should happen --------------------------------------------------------------------------


def test_a_pair_comes_whole_and_stays(hub: Hub, tmp_path: Path) -> None:
    files = resolve(NAME)
    assert files.text.read_bytes() == content(hub, TEXT)
    assert files.mmproj.read_bytes() == content(hub, MMPROJ)
    assert files.licence == "apache-2.0"
    assert files.source == f"hf:space/galaxy-GGUF@{COMMIT}"
    assert facts(files).architecture == "llama"
    asked = len(hub.requests)
    assert resolve(NAME).text == files.text
    assert len(hub.requests) == asked, "what is here asks no network"


def test_other_programs_find_it_and_it_finds_theirs(hub: Hub, tmp_path: Path) -> None:
    """A second copy of four gigabytes, because two programs disagree about a folder."""
    from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache

    files = resolve(NAME)
    assert try_to_load_from_cache("space/galaxy-GGUF", TEXT) == str(files.text)
    before = len(hub.gets())
    assert hf_hub_download("space/galaxy-GGUF", TEXT) == str(files.text)
    assert len(hub.gets()) == before
    repos = scan_cache_dir(tmp_path / "hub").repos
    assert {repo.repo_id for repo in repos} == {"space/galaxy-GGUF"}
    shutil.rmtree(tmp_path / "hub")
    for name in (TEXT, MMPROJ):
        hf_hub_download("space/galaxy-GGUF", name)
    before = len(hub.requests)
    assert resolve(NAME).text.read_bytes() == content(hub, TEXT)
    assert len(hub.requests) == before


def test_a_name_of_the_catalogue(hub: Hub, entry: Entry) -> None:
    files = resolve("Galaxy")
    assert (files.name, files.licence) == ("galaxy", "MIT")
    assert resolve("galaxy") == files
    assert store.cached("galaxy") == files


def test_files_come_from_another_host_which_learns_no_token(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real hub sends files from elsewhere; a token must not go there."""
    hub.elsewhere = hub.url.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub.cuts = [100]
    assert resolve(NAME).text.read_bytes() == content(hub, TEXT)
    asked = [r for r in hub.requests if not r.path.startswith("/cdn")]
    sent = [r for r in hub.requests if r.path.startswith("/cdn")]
    assert {r.authorization for r in asked} == {"Bearer hf_secret"}
    assert {r.authorization for r in sent} == {None}
    assert [r.range for r in sent] == [None, "bytes=100-", None]


def test_progress_reaches_the_end_of_each_file(hub: Hub) -> None:
    seen: dict[str, list[int]] = {}
    totals: dict[str, int] = {}

    def progress(step: str, done: int, total: int) -> None:
        seen.setdefault(step, []).append(done)
        totals[step] = total

    resolve(NAME, progress=progress)
    assert totals == {name: len(content(hub, name)) for name in (TEXT, MMPROJ)}
    for step, done in seen.items():
        assert done == sorted(done)
        assert done[-1] == totals[step]


def test_without_a_network(
    hub: Hub, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a compute node what was pulled must be found, and what was not must be said at once."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("galaxy", NAME, "hf:space/galaxy-GGUF"):
        with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE") as caught:
            resolve(name)
        assert "astrollava models pull" in str(caught.value)
    assert hub.requests == []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    files = resolve(NAME)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in (NAME, "hf:space/galaxy-GGUF", "galaxy"):
        assert resolve(name).text == files.text


def test_nothing_is_downloaded_if_not_allowed(hub: Hub, entry: Entry) -> None:
    with pytest.raises(ModelNotFound, match="not on this machine"):
        resolve("galaxy", download=False)
    assert hub.requests == []


# What goes wrong -----------------------------------------------------------------------------


def test_a_cut_connection_is_continued_at_once(big: Hub) -> None:
    big.cuts = [1 << 20, 1 << 19]
    assert resolve(NAME).text.read_bytes() == BIG
    ranges = [request.range for request in big.gets(TEXT)]
    assert ranges == [None, f"bytes={1 << 20}-", f"bytes={(1 << 20) + (1 << 19)}-"]


def test_a_download_given_up_is_continued_by_the_next_command(big: Hub, tmp_path: Path) -> None:
    """Ctrl-C at 3.9 of 4 GB must not cost 4 GB."""

    class Stopped(BaseException):
        pass

    def stop(step: str, done: int, total: int) -> None:
        if step == TEXT and done > 1 << 20:
            raise Stopped

    big.pause = 0.001
    with pytest.raises(Stopped):
        resolve(NAME, progress=stop)
    partial = next((tmp_path / "hub").rglob("*.incomplete"))
    there = partial.stat().st_size
    assert there > 1 << 20
    assert resolve(NAME).text.read_bytes() == BIG
    assert big.gets(TEXT)[-1].range == f"bytes={there}-"
    assert not partial.exists()


def test_a_server_without_ranges_begins_again(big: Hub) -> None:
    big.cuts = [1 << 20]
    big.ranges = False
    assert resolve(NAME).text.read_bytes() == BIG


def test_a_stalled_connection_is_given_up_and_continued(
    big: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1.0)
    big.stalls = [1 << 20]
    began = time.monotonic()
    assert resolve(NAME).text.read_bytes() == BIG
    # The hub holds on for two minutes.
    assert time.monotonic() - began < 60


def test_wrong_bytes_never_get_the_name(big: Hub, tmp_path: Path) -> None:
    """A proxy's error page, or a changed byte, loaded as a model."""
    wrong = bytearray(BIG)
    wrong[12345] ^= 1
    big.instead[TEXT] = bytes(wrong)
    with pytest.raises(HashMismatch, match="another hash"):
        resolve(NAME)
    assert not list((tmp_path / "hub").rglob("snapshots/*/" + TEXT))
    assert not list((tmp_path / "hub").rglob("*.incomplete"))
    del big.instead[TEXT]
    assert resolve(NAME).text.read_bytes() == BIG


def test_a_spoiled_beginning_is_downloaded_again(big: Hub, tmp_path: Path) -> None:
    """A beginning that was damaged on the disk would spoil every later attempt."""
    digest = hashlib.sha256(BIG).hexdigest()
    blobs = tmp_path / "hub" / "models--space--galaxy-GGUF" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{digest}.incomplete").write_bytes(bytes(1 << 20))
    assert resolve(NAME).text.read_bytes() == BIG
    assert [request.range for request in big.gets(TEXT)] == [f"bytes={1 << 20}-", None]


@pytest.mark.parametrize("more", [1, 1 << 20])
def test_more_bytes_than_promised_are_not_kept(big: Hub, more: int, tmp_path: Path) -> None:
    """A server that never stops sending would fill the disk."""
    big.instead[TEXT] = BIG + bytes(more)
    with pytest.raises((DownloadFailed, HashMismatch)):
        resolve(NAME)
    kept = [path.stat().st_size for path in (tmp_path / "hub").rglob("*.incomplete")]
    assert all(size <= len(BIG) for size in kept)


def test_fewer_bytes_than_promised_are_no_file(big: Hub) -> None:
    big.instead[TEXT] = BIG[:-1]
    with pytest.raises((DownloadFailed, HashMismatch)):
        resolve(NAME)
    del big.instead[TEXT]
    assert resolve(NAME).text.read_bytes() == BIG


def test_another_file_than_the_catalogue_knows_is_not_downloaded(hub: Hub, entry: Entry) -> None:
    hub.repositories["space/galaxy-GGUF"][TEXT] += b"and a trojan"
    with pytest.raises(HashMismatch, match="another"):
        resolve("galaxy")
    assert hub.gets() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Repo-Commit": None},
        {"X-Repo-Commit": "../../../.."},
        {"X-Linked-Etag": '"../../../../evil"'},
        {"X-Linked-Etag": None, "ETag": None},
        {"X-Linked-Size": None, "Content-Length": "0"},
        {"X-Linked-Size": "-5"},
    ],
)
def test_what_is_no_hub_is_not_believed(
    hub: Hub, headers: dict[str, str | None], tmp_path: Path
) -> None:
    """The portal of a hotel answers everything with 200; a hostile mirror names paths."""
    hub.headers = headers
    with pytest.raises((DownloadFailed, HashMismatch)):
        resolve(NAME)
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_in_trouble_is_named(hub: Hub, status: int) -> None:
    hub.statuses = [status] * 20
    with pytest.raises(DownloadFailed, match=str(status)):
        resolve(NAME)


def test_a_full_disk_is_noticed_before(
    hub: Hub, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(NotEnoughSpace, match="HF_HOME"):
        resolve("galaxy")
    assert hub.gets() == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:space/nothing:Q8_0", "no repository"),
        (NAME + "@v9", "no such revision"),
        ("hf:space/galaxy-GGUF:Q2_K", "it has Q8_0"),
        ("hf:space", "owner/repository"),
        ("hf:../..:Q8_0", "no model on the hub"),
    ],
)
def test_what_is_not_there_is_named(hub: Hub, name: str, said: str) -> None:
    with pytest.raises((ModelNotFound, InvalidRequest), match=said):
        resolve(name)
    assert hub.gets() == []


def test_a_revision_by_its_commit(hub: Hub) -> None:
    files = resolve(f"{NAME}@{COMMIT}")
    asked = len(hub.requests)
    assert resolve(f"{NAME}@{COMMIT}") == resolve(f"{NAME}@{COMMIT}")
    assert files.text.is_file()
    assert len(hub.requests) == asked


# Two at once, and killed ---------------------------------------------------------------------


def _pull(environ: dict[str, str], results: multiprocessing.Queue[str]) -> None:
    os.environ.update(environ)
    from astrollava.models import resolve as find

    results.put(hashlib.sha256(find(NAME).text.read_bytes()).hexdigest())


def test_two_processes_at_once_download_once(big: Hub, tmp_path: Path) -> None:
    """A job array starts a hundred pulls in the same second."""
    big.pause = 0.005
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    environ = environment(big, tmp_path / "hub")
    started = [context.Process(target=_pull, args=(environ, results)) for _ in range(3)]
    for process in started:
        process.start()
    found = {results.get(timeout=300) for _ in started}
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    assert found == {hashlib.sha256(BIG).hexdigest()}
    assert len(big.gets(TEXT)) == 1


def test_a_killed_process_holds_nobody_up(big: Hub, tmp_path: Path) -> None:
    """The scheduler ends a job by SIGKILL: no lock may stay, and what came is used."""
    big.stalls = [1 << 20]
    code = f"from astrollava.models import resolve; resolve({NAME!r})"
    environ = {**os.environ, **environment(big, tmp_path / "hub")}
    with subprocess.Popen([sys.executable, "-c", code], env=environ) as process:
        wait_for_partial(tmp_path / "hub", 1 << 19)
        process.send_signal(signal.SIGKILL)
    assert resolve(NAME).text.read_bytes() == BIG
    assert (big.gets(TEXT)[-1].range or "").startswith("bytes=")


# Verify, remove, hashes ----------------------------------------------------------------------


def test_a_changed_file_is_found(hub: Hub, entry: Entry) -> None:
    files = resolve("galaxy")
    assert [(v.sound, v.by) for v in store.verify(files)] == [(True, "catalogue")] * 2
    stolen = resolve(NAME)
    assert [(v.sound, v.by) for v in store.verify(stolen)] == [(True, "hub")] * 2
    path = files.mmproj.resolve()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(1000)
        file.write(b"!")
    assert [v.sound for v in store.verify(files)] == [True, False]


def test_the_embedded_model_has_its_hashes() -> None:
    assert [(v.sound, v.by) for v in store.verify(resolve())] == [(True, "SHA256SUMS")] * 2


def test_files_nobody_knows_are_said_to_be_unknown(hub: Hub, tmp_path: Path) -> None:
    found = list(store.verify(resolve(tmp_path / "pair")))
    assert [(v.sound, v.by, v.expected) for v in found] == [(True, "nothing", None)] * 2


def test_remove_frees_what_nothing_else_uses(hub: Hub, entry: Entry, tmp_path: Path) -> None:
    hub.repositories["space/galaxy-GGUF"]["galaxy-Q4_K_M.gguf"] = b"GGUF another"
    resolve("hf:space/galaxy-GGUF:Q4_K_M")
    files = resolve("galaxy")
    freed = store.remove("galaxy")
    assert freed == len(content(hub, TEXT)) + len(content(hub, MMPROJ))
    assert not files.text.exists()
    assert store.cached("galaxy") is None
    assert list((tmp_path / "hub").rglob("galaxy-Q4_K_M.gguf"))
    with pytest.raises(ModelNotFound, match="not on this machine"):
        store.remove("galaxy")
    with pytest.raises(InvalidRequest, match="comes with"):
        store.remove("embedded")
    with pytest.raises(ModelNotFound, match="Did you mean galaxy"):
        store.remove("galxy")


def test_remove_takes_the_copies_of_its_projector(hub: Hub, entry: Entry) -> None:
    """A repaired copy and a twin of each, 0.6 GB apiece, stayed for good."""
    files = resolve("galaxy")
    copies = cache_folder("repaired")
    copies.mkdir(parents=True)
    digest = store.sha256(files.mmproj)[:32]
    for name in (f"mmproj-{digest}-last-1", f"mmproj-{digest}-twin-1", f"mmproj-{'0' * 32}-last-1"):
        (copies / f"{name}.gguf").write_bytes(b"GGUF")
    freed = store.remove("galaxy")
    assert freed == len(content(hub, TEXT)) + len(content(hub, MMPROJ)) + 8
    assert [path.name for path in copies.iterdir()] == [f"mmproj-{'0' * 32}-last-1.gguf"]


def test_remove_takes_what_came_by_half(big: Hub, entry: Entry, tmp_path: Path) -> None:
    digest = entry.files["text"].sha256
    blobs = tmp_path / "hub" / "models--space--galaxy-GGUF" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{digest}.incomplete").write_bytes(b"GGUF")
    store.remove("galaxy")
    assert not (tmp_path / "hub" / "models--space--galaxy-GGUF").exists()
