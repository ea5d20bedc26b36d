"""Bundles that were tampered with, cut short or made to do harm."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from astrollava import bundle
from astrollava.bundle import create, use
from astrollava.errors import (
    AstrollavaError,
    HashMismatch,
    InvalidBundle,
    InvalidRequest,
    NotEnoughSpace,
)
from astrollava.models import resolve, store
from rewritten_bundle import Manifest, change_manifest, left_behind, rewrite


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
        ({"cutouts": ["M51"]}, "astrollava fetch"),
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
