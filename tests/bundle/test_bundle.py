"""Bundles: what was put in comes out, and nothing else does."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from astrollava import bundle
from astrollava._cache import cache_folder
from astrollava.bundle import create, use
from astrollava.errors import (
    AstrollavaError,
    HashMismatch,
    InvalidBundle,
    InvalidRequest,
    ModelNotFound,
    NotEnoughSpace,
)
from astrollava.models import resolve, store
from tiny_pair import write_pair

Manifest = dict[str, Any]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "galaxy"
    write_pair(folder)
    return folder


@pytest.fixture
def made(pair: Path, tmp_path: Path) -> Path:
    """A bundle of the model ``galaxy`` with two cutouts."""
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save(images / name)
    create(tmp_path / "galaxy.zip", pair, cutouts=[images], settings={"n_ctx": 256, "seed": 3})
    return tmp_path / "galaxy.zip"


def rewrite(
    path: Path,
    change: Callable[[dict[str, bytes], Manifest], None],
    *,
    write: Callable[[zipfile.ZipFile, dict[str, bytes]], None] | None = None,
) -> None:
    """Take a bundle apart, change it, and put it together again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["bundle.json"])
    change(members, manifest)
    if "bundle.json" in members:
        members["bundle.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        if write is not None:
            write(archive, members)
            return
        for name, content in members.items():
            archive.writestr(name, content)


def left_behind(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


# What should happen --------------------------------------------------------------------------


def test_what_was_put_in_comes_out(made: Path, pair: Path) -> None:
    unpacked = use(made)
    assert unpacked.model.text.read_bytes() == resolve(pair).text.read_bytes()
    assert unpacked.model.mmproj.read_bytes() == resolve(pair).mmproj.read_bytes()
    assert [path.name for path in unpacked.cutouts] == ["a.png", "b.png"]
    assert unpacked.settings == {"n_ctx": 256, "seed": 3}
    assert unpacked.options == {"seed": 3}
    assert unpacked.model.source == "bundle"


def test_the_model_works_by_its_name_without_a_network(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    unpacked = use(made)
    assert resolve("Galaxy") == unpacked.model
    assert [found.by for found in store.verify(resolve("galaxy"))] == ["bundle", "bundle"]
    with unpacked.describer(threads=1) as describer:
        text = describer.describe(unpacked.cutouts[0], max_tokens=4, **unpacked.options).text
    assert isinstance(text, str)
    copy = (
        cache_folder("repaired") / f"mmproj-{store.sha256(unpacked.model.mmproj)[:32]}-twin-1.gguf"
    )
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.touch()
    store.remove("galaxy")
    assert not copy.exists()
    with pytest.raises(ModelNotFound):
        resolve("galaxy")


def test_the_same_content_makes_the_same_bundle(made: Path, pair: Path, tmp_path: Path) -> None:
    """A digest that changes from one making to the next cannot be compared."""
    again = tmp_path / "again.zip"
    digest = create(again, pair, cutouts=[tmp_path / "images"], settings={"n_ctx": 256, "seed": 3})
    assert again.read_bytes() == made.read_bytes()
    assert use(again, digest=digest.upper()).digest == digest


def test_another_bundle_of_that_name_does_not_take_its_place(
    made: Path, pair: Path, tmp_path: Path
) -> None:
    """Who calls a model by its name must go on getting the one he unpacked."""
    first = use(made)
    digest = create(tmp_path / "newer.zip", pair)
    with pytest.raises(InvalidRequest, match="another bundle") as refused:
        use(tmp_path / "newer.zip")
    for said in (digest, first.digest, "models remove galaxy", "-o DIR"):
        assert said in str(refused.value)
    assert resolve("galaxy") == first.model
    assert len(left_behind(first.folder)) == 5
    store.remove("galaxy")
    assert not first.folder.exists()
    assert use(tmp_path / "newer.zip").digest == digest


def test_what_the_user_put_beside_a_bundle_stays(made: Path, pair: Path, tmp_path: Path) -> None:
    """Results written into the folder of a bundle were deleted with it."""
    create(tmp_path / "newer.zip", pair)
    for folder in (tmp_path / "out", None):
        unpacked = use(made, folder)
        own = [unpacked.folder / "thesis.tex", unpacked.folder / "cutouts" / "a.csv"]
        for path in own:
            path.write_text("mine")
        with pytest.raises(InvalidRequest, match="another bundle"):
            use(tmp_path / "newer.zip", folder)
        before = {path: path.stat().st_mtime_ns for path in left_behind(unpacked.folder)}
        assert use(made, folder) == unpacked
        assert {path: path.stat().st_mtime_ns for path in before} == before
        unpacked.cutouts[0].write_bytes(b"drawn on")
        with pytest.raises(InvalidRequest, match=r"a\.png is missing or was changed"):
            use(made, folder)
    store.remove("galaxy")
    assert set(left_behind(unpacked.folder)) == {*own, unpacked.cutouts[0]}
    with pytest.raises(InvalidRequest, match="holds other things"):
        use(made)
    assert set(left_behind(unpacked.folder)) == {*own, unpacked.cutouts[0]}


def test_a_folder_with_some_bundle_json_is_not_taken_for_a_bundle(
    made: Path, tmp_path: Path
) -> None:
    """A project of JavaScript may well have a bundle.json, and a thesis beside it."""
    for number, text in enumerate(("", "{}", '{"astrollava_bundle": 1}', "no json")):
        folder = tmp_path / f"thesis-{number}"
        folder.mkdir()
        (folder / "bundle.json").write_text(text)
        (folder / "thesis.tex").write_text("years")
        with pytest.raises(InvalidRequest, match="holds other things"):
            use(made, folder)
        assert (folder / "thesis.tex").read_text() == "years"
        assert (folder / "bundle.json").read_text() == text


def test_a_removed_bundle_takes_nothing_through_links(made: Path, tmp_path: Path) -> None:
    """Cutouts moved elsewhere, with a link in their place, are not the bundle's any more."""
    unpacked = use(made)
    (unpacked.folder / "cutouts").rename(tmp_path / "moved")
    (unpacked.folder / "cutouts").symlink_to(tmp_path / "moved")
    store.remove("galaxy")
    assert len(left_behind(tmp_path / "moved")) == 2


def test_an_empty_folder_or_a_link_to_one_is_taken(made: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "scratch")
    assert use(made, tmp_path / "link").model.text.is_file()
    assert (tmp_path / "link").is_symlink()


def test_a_file_is_not_overwritten(made: Path, pair: Path, tmp_path: Path) -> None:
    """`bundle create thesis.zip` replaced the thesis."""
    thesis = tmp_path / "thesis.zip"
    with zipfile.ZipFile(thesis, "w") as archive:
        archive.writestr("thesis.tex", "years")
    old = thesis.read_bytes()
    for overwrite in (False, True):
        with pytest.raises(InvalidRequest):
            create(thesis, pair, overwrite=overwrite)
        assert thesis.read_bytes() == old
    old = made.read_bytes()
    with pytest.raises(InvalidRequest, match="there already"):
        create(made, pair)
    assert made.read_bytes() == old
    digest = create(made, pair, overwrite=True)
    assert use(made).digest == digest


HOSTILE = [
    "hf:ggml-org/gemma-3-4b-it-GGUF:Q4_K_M", "HF:a/b", "hf:a", "../up", "a/b", "a\\b", ".", "..",
    "~root", "a b", "a;reboot", "$(id)", "a`id`", "a\nNext: evil", "a\n", "\x1b[2J", "-o", "", "é",
    "x" * 65, " a", "a|b", "a&b", "a*", "'a'",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_more_than_a_name_is_refused(
    made: Path, pair: Path, tmp_path: Path, name: str, own_cache: Path
) -> None:
    """A model called hf:... would be loaded in the place of the hub's, one with ; by a shell."""
    with pytest.raises(InvalidRequest, match="cannot be called"):
        create(tmp_path / "new.zip", pair, name=name)
    rewrite(made, change_manifest("model.name", name))
    with pytest.raises(InvalidBundle, match="calls its model"):
        use(made)
    assert left_behind(own_cache) == []


def test_a_folder_of_any_name_makes_a_bundle(pair: Path, tmp_path: Path) -> None:
    """Who gives no name must not be told that it is a wrong one."""
    shutil.copytree(pair, tmp_path / "my models (new)")
    create(tmp_path / "b.zip", tmp_path / "my models (new)")
    assert use(tmp_path / "b.zip").model.name == "my-models-new"


def test_only_images_are_packed(pair: Path, tmp_path: Path) -> None:
    """A folder of cutouts holds notes and keys, too, which are nobody else's business."""
    folder = tmp_path / "night"
    (folder / "raw").mkdir(parents=True)
    for name in ("a.FITS", "b.fits.gz", "c.jpeg", "d.fits.fz", "notes.txt", "e.tar.gz", "id_rsa"):
        (folder / name).write_bytes(b"x")
    (folder / "near.png").symlink_to("c.jpeg")
    said: list[str] = []
    create(tmp_path / "b.zip", pair, cutouts=[folder], left_out=said.append)
    names = {path.name for path in use(tmp_path / "b.zip").cutouts}
    assert names == {"a.FITS", "b.fits.gz", "c.jpeg", "d.fits.fz", "near.png"}
    assert "e.tar.gz, id_rsa, notes.txt" in said[0]
    assert "raw" in said[1]
    (folder / "raw").rmdir()
    with pytest.warns(UserWarning, match=r"notes\.txt"):
        create(tmp_path / "c.zip", pair, cutouts=[folder])
    with pytest.raises(InvalidRequest, match="no image by its ending"):
        create(tmp_path / "d.zip", pair, cutouts=[folder / "notes.txt"])
    (tmp_path / "secret.png").write_bytes(b"key")
    (folder / "far.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(InvalidRequest, match="leads out of its folder"):
        create(tmp_path / "d.zip", pair, cutouts=[folder])


def test_the_embedded_model_keeps_its_own_name(tmp_path: Path) -> None:
    """`embedded` is what the other installation has; the bundle's may be another version."""
    create(tmp_path / "b.zip")
    assert use(tmp_path / "b.zip").model.name == "astrollava-embedded-v0"


def test_cutouts_of_one_name_stay_two(pair: Path, tmp_path: Path) -> None:
    for folder, content in (("a", b"one"), ("b", b"two"), ("c", b"three")):
        (tmp_path / folder).mkdir()
        name = "M51.fits.gz" if folder != "c" else "m51.FITS.gz"
        (tmp_path / folder / name).write_bytes(content)
    folders = [tmp_path / folder for folder in "abc"]
    create(tmp_path / "b.zip", pair, cutouts=folders)
    cutouts = use(tmp_path / "b.zip").cutouts
    assert {path.read_bytes() for path in cutouts} == {b"one", b"two", b"three"}
    assert {path.name for path in cutouts} == {"M51.fits.gz", "M51-2.fits.gz", "m51-3.FITS.gz"}


def test_a_folder_of_ones_own(made: Path, tmp_path: Path) -> None:
    unpacked = use(made, tmp_path / "node")
    assert resolve(unpacked.folder / "model").text == unpacked.model.text
    assert resolve(str(unpacked.folder)) == unpacked.model, "what -o was given is the model's path"
    hidden = unpacked.model.mmproj.rename(tmp_path / "hidden")
    with pytest.raises(ModelNotFound, match="lacks its model"):
        resolve(unpacked.folder)
    hidden.rename(unpacked.model.mmproj)
    assert use(made, tmp_path / "node").folder == tmp_path / "node"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("do not delete me")
    with pytest.raises(InvalidRequest, match="holds other things"):
        use(made, tmp_path / "full")
    assert (tmp_path / "full" / "thesis.tex").exists()


def test_progress_is_told(made: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    use(made, progress=lambda *step: seen.append(step))
    assert seen[-1][1] == seen[-1][2]
    assert {step for step, _, _ in seen} == {"unpack"}


# What must not -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["model/", "cutouts/"])
def test_a_changed_byte_is_found(made: Path, what: str, own_cache: Path) -> None:
    def change(members: dict[str, bytes], manifest: Manifest) -> None:
        name = next(name for name in members if name.startswith(what))
        content = bytearray(members[name])
        content[len(content) // 2] ^= 1
        members[name] = bytes(content)

    rewrite(made, change)
    with pytest.raises(InvalidBundle, match="altered or damaged"):
        use(made)
    assert left_behind(own_cache / "bundles") == []


def test_a_bit_that_rots_is_found(made: Path, own_cache: Path) -> None:
    """The archive's own checksum finds what nobody did on purpose."""
    raw = bytearray(made.read_bytes())
    raw[5000] ^= 4
    made.write_bytes(raw)
    with pytest.raises(InvalidBundle):
        use(made)
    assert left_behind(own_cache / "bundles") == []


def test_another_bundle_in_its_place_is_found(made: Path, tmp_path: Path, pair: Path) -> None:
    """Whoever changes a file can write its hash into the manifest, too: the digest is for that."""
    digest = create(tmp_path / "sent.zip", pair, settings={"n_ctx": 256})
    assert use(tmp_path / "sent.zip", digest=digest).digest == digest
    with pytest.raises(InvalidBundle, match="another bundle than the one that was sent"):
        use(made, digest=digest)


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "cutouts/../../escaped",
        "/tmp/escaped",
        "cutouts//escaped",
        "cutouts/sub/escaped",
        "cutouts\\..\\escaped",
        "C:escaped",
        "cutouts/..",
        "cutouts/.",
        "cutouts/.hidden",
        "model/",
        "elsewhere/escaped",
        "cutouts/a.png.",
        "cutouts/a\x00b",
    ],
)
def test_no_path_leaves_the_folder(made: Path, name: str, tmp_path: Path) -> None:
    def change(members: dict[str, bytes], manifest: Manifest) -> None:
        members[name] = b"evil"
        digest = hashlib.sha256(b"evil").hexdigest()
        manifest["files"][name] = {"bytes": 4, "sha256": digest}

    rewrite(made, change)
    with pytest.raises(InvalidBundle):
        use(made)
    assert not list(tmp_path.rglob("*escaped*"))


def test_a_link_is_written_as_a_file(made: Path, tmp_path: Path) -> None:
    """A zip entry may say it is a link to /etc; what is written through it would go there."""
    target = tmp_path / "outside"

    def change(members: dict[str, bytes], manifest: Manifest) -> None:
        members["cutouts/link"] = str(target).encode()
        digest = hashlib.sha256(members["cutouts/link"]).hexdigest()
        manifest["files"]["cutouts/link"] = {"bytes": len(str(target)), "sha256": digest}

    def write(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if name == "cutouts/link" else 0o644) << 16
            archive.writestr(info, content)

    rewrite(made, change, write=write)
    unpacked = use(made)
    link = unpacked.folder / "cutouts" / "link"
    assert not link.is_symlink()
    assert link.read_bytes() == str(target).encode()


def test_what_is_compressed_is_refused(made: Path, own_cache: Path) -> None:
    """A bomb: ten kilobytes that unpack to ten gigabytes."""

    def change(members: dict[str, bytes], manifest: Manifest) -> None:
        members["cutouts/bomb"] = bytes(10 << 20)
        digest = hashlib.sha256(members["cutouts/bomb"]).hexdigest()
        manifest["files"]["cutouts/bomb"] = {"bytes": 10 << 20, "sha256": digest}

    def write(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
        for name, content in members.items():
            kind = zipfile.ZIP_DEFLATED if name == "cutouts/bomb" else zipfile.ZIP_STORED
            archive.writestr(name, content, compress_type=kind)

    rewrite(made, change, write=write)
    with pytest.raises(InvalidBundle, match="compressed"):
        use(made)
    assert left_behind(own_cache / "bundles") == []


@pytest.mark.parametrize("trouble", ["added", "missing", "twice", "shorter", "no manifest"])
def test_it_holds_what_it_lists(made: Path, trouble: str) -> None:
    def change(members: dict[str, bytes], manifest: Manifest) -> None:
        if trouble == "added":
            members["cutouts/stowaway.png"] = b"x"
        elif trouble == "missing":
            del members["cutouts/a.png"]
        elif trouble == "shorter":
            members["cutouts/a.png"] = b"x"
        elif trouble == "no manifest":
            del members["bundle.json"]

    def twice(archive: zipfile.ZipFile, members: dict[str, bytes]) -> None:
        for name, content in members.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("cutouts/a.png", members["cutouts/a.png"])

    rewrite(made, change, write=twice if trouble == "twice" else None)
    with pytest.raises(InvalidBundle):
        use(made)


def change_manifest(path: str, value: Any) -> Callable[[dict[str, bytes], Manifest], None]:
    def change(members: dict[str, bytes], manifest: Manifest) -> None:
        *above, last = path.split(".")
        inner = manifest
        for part in above:
            inner = inner[part]
        inner[last] = value

    return change


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("astrollava_bundle", 2),
        ("astrollava_bundle", None),
        ("model", None),
        ("model.name", ""),
        ("model.name", "x" * 500),
        ("model.text", "../../etc/passwd"),
        ("model.mmproj", "model/nothing.gguf"),
        ("settings", {"trust_remote_code": True}),
        ("settings", {"n_ctx": "many"}),
        ("settings", {"threads": True}),
        ("settings", 5),
        ("files", []),
        ("files", {"model/x": {}}),
        ("files", {"model/x": {"bytes": -1, "sha256": "0" * 64}}),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(made: Path, path: str, value: Any) -> None:
    rewrite(made, change_manifest(path, value))
    with pytest.raises(InvalidBundle):
        use(made)


def test_no_bundle_takes_the_name_of_another_model(made: Path) -> None:
    """`Describer("llava-1.5-7b")` must not load what somebody else put there."""
    for name in ("llava-1.5-7b", "Gemma-3-4B", "embedded", "astrollava-7b"):
        rewrite(made, change_manifest("model.name", name))
        with pytest.raises(InvalidBundle, match="holds another"):
            use(made)


def test_what_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    (tmp_path / "b.zip").write_bytes(b"GGUF" * 100)
    (tmp_path / "c.zip").write_bytes(b"")
    for name in "abc":
        with pytest.raises(InvalidBundle):
            use(tmp_path / f"{name}.zip")
    with pytest.raises(InvalidRequest, match="no bundle"):
        use(tmp_path / "d.zip")


def test_cut_short(made: Path, own_cache: Path) -> None:
    made.write_bytes(made.read_bytes()[:-1000])
    with pytest.raises(InvalidBundle, match="no whole bundle"):
        use(made)
    assert left_behind(own_cache / "bundles") == []


def test_a_full_disk(
    made: Path, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(NotEnoughSpace):
        use(made)
    with pytest.raises(NotEnoughSpace):
        create(tmp_path / "new.zip", pair)
    assert not (tmp_path / "new.zip").exists()


def test_a_damaged_model_is_not_passed_on(tmp_path: Path, pair: Path) -> None:
    """A bundle of damaged files would have hashes that fit them."""
    folder = tmp_path / "galaxy"
    shutil.copytree(pair, folder)
    files = resolve(folder)
    lines = [f"{store.sha256(path)}  {path.name}" for path in (files.text, files.mmproj)]
    (folder / "SHA256SUMS").write_text("\n".join(lines))
    with files.text.open("r+b") as file:
        file.seek(-5, 2)
        file.write(b"!")
    with pytest.raises(HashMismatch, match="changed since"):
        create(tmp_path / "b.zip", folder)
    assert not (tmp_path / "b.zip").exists()


def test_names_that_mean_something_else_are_not_given(pair: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="another name"):
        create(tmp_path / "b.zip", pair, name="gemma-3-4b")
    create(tmp_path / "b.zip", pair, name="My-Galaxy_Model.1")
    assert use(tmp_path / "b.zip").model.name == "My-Galaxy_Model.1"
    assert resolve("my-galaxy_model.1").source == "bundle"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"settings": {"colour": 3}}, "no setting 'colour'"),
        ({"settings": {"seed": "x"}}, "seed is 'x'"),
        ({"cutouts": ["nowhere.fits"]}, "no file or folder nowhere.fits"),
    ],
)
def test_wrong_arguments_are_named(
    pair: Path, tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequest, match=said):
        create(tmp_path / "b.zip", pair, **arguments)
    assert not list(tmp_path.glob("*.zip"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_escapes(made: Path, own_cache: Path, data: st.DataObject) -> None:
    """Any change of the file is either harmless or an error of ours; never another exception."""
    raw = bytearray(made.read_bytes())
    # The directory at the end is what an attacker would change.
    at = data.draw(st.integers(len(raw) - 1500, len(raw) - 1))
    raw[at] = data.draw(st.integers(0, 255))
    broken = made.with_name("broken.zip")
    broken.write_bytes(raw)
    out = own_cache.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    try:
        unpacked = bundle.use(broken, out)
    except AstrollavaError:
        return
    assert all(found.sound for found in store.verify(unpacked.model))
