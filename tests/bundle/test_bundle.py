"""Bundles: what was put in comes out, and nothing else does."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from astrollava._cache import cache_folder
from astrollava.bundle import create, use
from astrollava.errors import (
    InvalidBundle,
    InvalidRequest,
    ModelNotFound,
)
from astrollava.models import resolve, store
from rewritten_bundle import change_manifest, left_behind, rewrite


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
