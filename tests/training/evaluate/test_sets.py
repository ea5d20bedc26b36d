"""Readers of published data: the right picture with the right label, whatever the layout."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from astrollava import images
from astrollava.errors import CorruptImage, InvalidRequest
from astrollava.vocabularies import GALAXY10
from astrollava_training.data import galaxies
from astrollava_training.data.facts import LABELS
from astrollava_training.evaluate import open_data
from astrollava_training.evaluate.items import SPLITS, split_of
from astrollava_training.evaluate.sets import galaxy10, gz_decals
from astrollava_training.evaluate.sets.classes import class_place
from astrollava_training.evaluate.sets.views import outreach, views_of
from astrollava_training.evaluate.statement_table import FEATURES
from astrollava_training.evaluate.statements import read
from astrollava_training.evaluate.truth import agrees, truth_of_label
from galaxy10_files import drawn, png, write_h5, write_parquet


def test_galaxy10_decals_is_read_picture_by_picture(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    held = write_h5(tmp_path / "Galaxy10_DECals.h5", 40)
    data = open_data(tmp_path / "Galaxy10_DECals.h5")
    assert data.vocabulary is GALAXY10
    assert [item.label for item in data.items] == held["ans"].tolist()
    for i in (0, 17, 39):
        assert (data.items[i].load() == held["images"][i]).all()
        assert data.items[i].about["redshift"] == pytest.approx(held["redshift"][i])
    assert len(data.facts["sha256"]) == 64
    shown = images.render(images.read(data.items[5].source), size=(256, 256)).rgb
    assert (shown == held["images"][5]).all(), "a finished picture of the right size is left alone"


def test_the_sdss_file_has_classes_of_its_own(tmp_path: Path) -> None:
    """Its class 5 is an edge-on disk, that of the other file a barred spiral."""
    pytest.importorskip("h5py")
    write_h5(tmp_path / "Galaxy10.h5", 20, side=69, decals=False)
    data = open_data(tmp_path / "Galaxy10.h5")
    assert data.vocabulary is galaxy10.SDSS
    assert data.vocabulary.labels[data.items[5].label or 0] == "Disk, Edge-on, Boxy Bulge"
    assert data.items[5].truth["edge_on"] == "yes"
    assert data.items[7].truth["winding"] == "tight"
    assert not data.vocabulary.descriptions, "no paper published texts for these"


def test_pictures_of_one_galaxy_lie_in_one_split(tmp_path: Path) -> None:
    """Fitted on one picture of a galaxy and scored on another, a model would shine."""
    pytest.importorskip("h5py")
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 30), rng.uniform(-10, 10, 30)
    write_h5(tmp_path / "a.h5", 60, side=32, ra=np.tile(ra, 2), dec=np.tile(dec, 2))
    items = open_data(tmp_path / "a.h5").items
    for first, second in zip(items[:30], items[30:], strict=True):
        assert first.group == second.group
        assert first.split == second.split
    assert len({item.group for item in items}) == 30


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"images": None}, "expected|'images'"),
        ({"ans": np.arange(10, dtype=np.uint8) + 1}, "from 1 to 10"),
        ({"ans": np.zeros(9, np.uint8)}, "10 pictures"),
        ({"images": np.zeros((10, 8, 8, 3), np.float32)}, "float32"),
        ({"images": np.zeros((10, 8, 8), np.uint8)}, "'images'"),
    ],
)
def test_another_layout_is_refused_by_name(
    tmp_path: Path, changed: dict[str, np.ndarray], said: str
) -> None:
    pytest.importorskip("h5py")
    write_h5(tmp_path / "a.h5", 10, side=8, **changed)
    with pytest.raises(InvalidRequest, match=said):
        open_data(tmp_path / "a.h5")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("pyarrow")
    for name in ("a.h5", "a.parquet"):
        (tmp_path / name).write_bytes(b"\x89HDF\r\n" * 50)
        with pytest.raises(InvalidRequest, match="is no"):
            open_data(tmp_path / name)
    with pytest.raises(InvalidRequest, match="no data at"):
        open_data(tmp_path / "none.h5")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InvalidRequest, match="of no kind"):
        open_data(tmp_path / "a.txt")


def test_the_hubs_parquet_test_split(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "test-00000-of-00001-cef82967b9d8e57e.parquet"
    pictures = write_parquet(path, 30)
    data = open_data(path)
    assert data.vocabulary is GALAXY10
    assert {item.split for item in data.items} == {"test"}
    assert [item.label for item in data.items] == [i % 10 for i in range(30)]
    # Out of order, across row groups.
    for i in (29, 0, 13, 6, 7, 28):
        assert data.items[i].load() == pictures[i]
    # No training split: the published counts are the prior.
    assert data.prior().argmax() == GALAXY10.labels.index("Round Smooth Galaxies")


def test_a_folder_of_parquet_has_training_and_validation_apart(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", 200)
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", 200, seed=1)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", 20, seed=2)
    data = open_data(tmp_path)
    counted = Counter(item.split for item in data.items)
    assert counted["test"] == 20
    assert 15 <= counted["val"] <= 70
    assert len({item.id for item in data.items}) == 420
    write_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet", 10, seed=3)
    counted = Counter(item.split for item in open_data(tmp_path).items)
    assert (counted["train"], counted["val"], counted["test"]) == (400, 10, 20)


def test_class_names_in_parquet_are_followed(tmp_path: Path) -> None:
    """A file with its own order of classes would else be read by ours."""
    pytest.importorskip("pyarrow")
    reverse = tuple(reversed(GALAXY10.labels))
    write_parquet(tmp_path / "test.parquet", 10, names=reverse)
    data = open_data(tmp_path / "test.parquet")
    assert data.vocabulary is GALAXY10
    assert [item.label for item in data.items] == list(range(9, -1, -1))
    write_parquet(tmp_path / "numbers.parquet", 10, names=tuple("0123456789"))
    assert open_data(tmp_path / "numbers.parquet").vocabulary is GALAXY10
    own = tuple(f"kind {i}" for i in range(10))
    write_parquet(tmp_path / "own.parquet", 10, names=own)
    data = open_data(tmp_path / "own.parquet")
    assert data.vocabulary.labels == own


def write_folders(root: Path, names: tuple[str, ...], count: int = 6) -> None:
    for number, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for i, rgb in enumerate(drawn(count, 24, number)):
            (root / name / f"{i}.png").write_bytes(png(rgb))


def test_folders_by_class(tmp_path: Path) -> None:
    write_folders(tmp_path / "ours", ("barred_spiral", "Round Smooth Galaxies", "edge-on-bulge"))
    data = open_data(tmp_path / "ours")
    assert data.vocabulary is GALAXY10
    places = {Path(item.id).parts[0]: item.label for item in data.items}
    assert places == {"barred_spiral": 5, "Round Smooth Galaxies": 2, "edge-on-bulge": 9}
    assert {item.truth["bar"] for item in data.items if item.label == 5} == {"yes"}
    write_folders(tmp_path / "own", ("train/cats", "train/dogs", "val/cats", "test/dogs"))
    data = open_data(tmp_path / "own")
    assert data.vocabulary.labels == ("cats", "dogs")
    assert Counter(item.split for item in data.items) == {"train": 12, "val": 6, "test": 6}
    assert not any(item.truth for item in data.items)


def test_folders_without_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no folders with pictures"):
        open_data(tmp_path)
    write_folders(tmp_path, ("only",))
    with pytest.raises(InvalidRequest, match="at least two classes"):
        open_data(tmp_path)


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_fits_with_labels_are_shown_in_several_ways(tmp_path: Path, shared_data: Path) -> None:
    names = ("decals_a.fits", "decals_b.fits", "decals_small.fits")
    rows = [
        {"image": str(shared_data / "fits" / name), "label": label, "split": "test"}
        for name, label in zip(names, ("barred_spiral", "merging", ""), strict=True)
    ]
    data = open_data(write_table(tmp_path / "labels.csv", rows))
    assert [item.label for item in data.items] == [5, 1, None]
    assert {view.name for view in data.views} == {
        "linear",
        "sqrt",
        "log",
        "asinh",
        "minmax",
        "jpeg",
    }
    item = data.items[0]
    seen = {}
    for view in data.views:
        shown = images.render(images.read(view.shown(item)), size=(64, 64), **view.options)
        seen[view.name] = shown.rgb
    for name, rgb in seen.items():
        others = [other for key, other in seen.items() if key != name]
        assert all((rgb != other).any() for other in others), name
    assert seen["jpeg"].std() > 5
    assert not open_data(shared_data / "galaxies" / "votes.csv").views


def test_an_outreach_picture_is_a_brighter_jpeg(shared_data: Path) -> None:
    data = outreach(shared_data / "fits" / "decals_a.fits")
    assert data[:3] == b"\xff\xd8\xff"
    alone = outreach(shared_data / "fits" / "decam_merger_g.fits")
    with Image.open(io.BytesIO(alone)) as picture:
        assert max(picture.size) <= 640
    with Image.open(io.BytesIO(data)) as picture:
        press = np.asarray(picture.convert("HSV"), float)
    own = images.render(images.read(shared_data / "fits" / "decals_a.fits"), size=press.shape[:2])
    plain = np.asarray(Image.fromarray(own.rgb).convert("HSV"), float)
    assert press[..., 1].mean() > plain[..., 1].mean()
    assert views_of()[-1].name == "jpeg"


def test_votes_of_galaxy_zoo_2(shared_data: Path) -> None:
    data = open_data(shared_data / "galaxies" / "votes.csv")
    assert Counter(item.split for item in data.items) == {"train": 696, "val": 100, "test": 204}
    item = next(item for item in data.items if item.label == LABELS.index("barred_spiral"))
    assert item.truth["bar"] == "yes"
    assert item.about["votes"]["bar"]["yes"] > 0.5


def test_classes_of_voted_spirals_are_as_the_documents_say(tmp_path: Path) -> None:
    """How votes become classes was told nowhere."""
    page = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text("utf-8")
    columns = [f"{prefix}{name}" for prefix, names in galaxies._COLUMNS.values() for name in names]
    rows = {
        "unbarred medium spiral": ((0.5, 0.3), "unbarred_tight_spiral"),
        "unbarred spiral": ((0.3, 0.5), "unbarred_loose_spiral"),
        "unbarred loose spiral": ((0.9, 0.1), "unbarred_loose_spiral"),
        "featureless disk": ((0.9, 0.1), None),
        "barred disk": ((0.9, 0.1), None),
    }
    for name, ((tight, loose), label) in rows.items():
        assert f"`{name}`" in page or "loose" in name
        votes = dict.fromkeys(columns, 0.0) | {
            "t10_arms_winding_a28_tight": tight,
            "t10_arms_winding_a29_medium": 1 - tight - loose,
            "t10_arms_winding_a30_loose": loose,
        }
        row = {key: str(value) for key, value in votes.items()}
        assert galaxies.facts_of_votes({**row, "class": name}).label == label
        assert galaxies.facts_of_votes(row).label is None
    close = {**row, "t10_arms_winding_a30_loose": "0.85"}
    assert galaxies.facts_of_votes({**close, "class": "unbarred spiral"}).label is None


def decals_row(**votes: float) -> dict[str, str]:
    row = {
        f"{name}_fraction": ""
        for answers in gz_decals._COLUMNS.values()
        for names in answers.values()
        for name in names
    }
    return row | {f"{name}_fraction": str(share) for name, share in votes.items()}


BARRED = {
    "smooth-or-featured_smooth": 0.1, "smooth-or-featured_featured-or-disk": 0.85,
    "smooth-or-featured_artifact": 0.05, "disk-edge-on_yes": 0.1, "disk-edge-on_no": 0.9,
    "has-spiral-arms_yes": 0.9, "has-spiral-arms_no": 0.1, "bar_strong": 0.5, "bar_weak": 0.3,
    "bar_no": 0.2, "bulge-size_small": 0.7, "bulge-size_moderate": 0.3, "merging_none": 0.9,
    "merging_minor-disturbance": 0.1, "spiral-winding_tight": 0.8, "spiral-winding_loose": 0.2,
    "spiral-arm-count_2": 0.9, "spiral-arm-count_3": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("votes", "label", "truth"),
    [
        (BARRED, "barred_spiral", {"bar": "yes", "spiral": "yes", "bulge": "noticeable"}),
        (
            BARRED | {"bar_strong": 0.1, "bar_weak": 0.1, "bar_no": 0.8},
            "unbarred_tight_spiral",
            {"bar": "no", "winding": "tight", "arms": "2"},
        ),
        (
            BARRED | {"merging_none": 0.1, "merging_minor-disturbance": 0, "merging_merger": 0.9},
            "merging",
            {"merging": "yes"},
        ),
        (
            BARRED | {"merging_none": 0.2, "merging_major-disturbance": 0.8},
            "disturbed",
            {"disturbed": "yes"},
        ),
        (
            {
                "smooth-or-featured_smooth": 0.9, "smooth-or-featured_featured-or-disk": 0.1,
                "how-rounded_cigar-shaped": 0.7, "how-rounded_round": 0.3, "merging_none": 1.0,
            },
            "cigar_smooth",
            {"smooth": "smooth", "rounded": "cigar", "bar": "no"},
        ),
        (
            {
                "smooth-or-featured_featured-or-disk": 1.0, "disk-edge-on_yes": 0.9,
                "disk-edge-on_no": 0.1, "edge-on-bulge_none": 0.8, "edge-on-bulge_rounded": 0.2,
            },
            "edge_on_no_bulge",
            {"edge_on": "yes", "bulge": "none"},
        ),
        ({"smooth-or-featured_artifact": 1.0}, None, {}),
    ],
)  # fmt: skip
def test_votes_of_galaxy_zoo_decals(
    tmp_path: Path, votes: dict[str, float], label: str | None, truth: dict[str, str]
) -> None:
    row = {"image": "a.png", "split": "test", **decals_row(**votes)}
    (item,) = open_data(write_table(tmp_path / "gz.csv", [row])).items
    assert (None if item.label is None else LABELS[item.label]) == label
    assert truth.items() <= item.truth.items()


def test_other_pictures_under_the_same_names_are_other_data(tmp_path: Path) -> None:
    """Else the answers of a run about one set would be taken for those about the other."""
    rows = [{"image": f"{i}.png", "label": "ab"[i]} for i in range(2)]
    table = write_table(tmp_path / "t.csv", rows)
    hashes = set()
    for side in (8, 9):
        for i, rgb in enumerate(drawn(2, side)):
            (tmp_path / f"{i}.png").write_bytes(png(rgb))
        hashes.add(open_data(table).facts["sha256"])
    write_table(table, [{**row, "label": "ba"[i]} for i, row in enumerate(rows)])
    hashes.add(open_data(table).facts["sha256"])
    assert len(hashes) == 3


def test_a_damaged_row_is_an_error_of_that_picture(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    good = png(drawn(1, 16)[0])
    table = pa.table({"image": pa.array([good, None]), "label": pa.array([0, 1])})
    parquet.write_table(table, tmp_path / "test.parquet")
    first, second = open_data(tmp_path / "test.parquet").items
    assert first.load() == good
    with pytest.raises(CorruptImage, match="row 1 has no picture"):
        second.load()


def test_a_table_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    cases = (
        ([{"image": "a.png", "what": "b"}], "has the columns"),
        ([{"picture": "a.png"}], "with a column 'image'"),
        ([{"image": "a.png", **decals_row(bar_no=1), "bar_no_fraction": "many"}], "no sense"),
        ([{"image": "a.png", "smooth-or-featured_smooth_fraction": "1"}], "no column"),
    )
    for rows, said in cases:
        with pytest.raises(InvalidRequest, match=said):
            open_data(write_table(tmp_path / "t.csv", rows))


@given(st.text(max_size=40))
def test_every_name_has_one_split(name: str) -> None:
    assert split_of(name) == split_of(name)
    assert split_of(name) in SPLITS


def test_splits_are_a_tenth_each() -> None:
    counted = Counter(split_of(f"galaxy10-decals/{i:05d}") for i in range(17_736))
    assert counted["test"] == pytest.approx(1774, rel=0.06)
    assert counted["val"] == pytest.approx(1774, rel=0.06)


def test_every_name_of_a_class_is_known() -> None:
    for place, (label, short) in enumerate(zip(GALAXY10.labels, LABELS, strict=True)):
        assert class_place(label) == class_place(short) == class_place(short.upper()) == place
    assert class_place("Barred Spiral") == class_place("barred-spiral galaxy") == 5
    assert class_place("nebula") is None


def test_what_a_class_says_is_what_its_published_text_says() -> None:
    """Truth and text of a class from two sources: where they part, one of them is wrong."""
    for label, short in zip(GALAXY10.labels, LABELS, strict=True):
        known, said = truth_of_label(short), read(f"{label}. {GALAXY10.descriptions[label]}")
        for topic in FEATURES.values():
            if topic in known and topic in said:
                assert agrees(topic, said[topic], known[topic]), (label, topic)
