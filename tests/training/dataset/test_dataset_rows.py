"""Rows and shards: what is read, what is refused, and that nothing is refused silently."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tokenizers")

import tiny_corpus
from astrollava.errors import InvalidRequest
from astrollava_training.dataset.rows import find_files, read_rows
from astrollava_training.dataset.shards import Member, read_shard, write_shards

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "image", "conversations", "from", "value"]), inner, max_size=5
        )
    ),
    max_leaves=12,
)


def good() -> dict[str, Any]:
    return {
        "id": "a",
        "image": "0.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat?"},
            {"from": "gpt", "value": " A galaxy. "},
        ],
    }


def read(folder: Path, rows: Any) -> Any:
    path = folder / "rows.json"
    path.write_text(json.dumps(rows))
    return read_rows([path], folder)


def test_a_row_keeps_its_words_and_its_picture(tmp_path: Path) -> None:
    """The fork's rows were keyed ``id`` and its loader looked for ``image``: nothing was seen."""
    (tmp_path / "0.png").write_bytes(tiny_corpus.picture(0))
    rows, bad = read(tmp_path, [good()])
    assert not bad
    assert rows[0].turns == (("What?", "A galaxy."),)
    assert rows[0].picture == tmp_path / "0.png"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conversations": None}, "conversations"),
        ({"conversations": good()["conversations"][:1]}, "conversations"),
        ({"conversations": good()["conversations"][::-1]}, "human"),
        ({"image": None}, "markers"),
        ({"image": 3}, "not a path"),
        ({"image": "1.png"}, "no picture"),
        ({"image": "../0.png"}, "leaves the folder"),
        ({"image": "/etc/passwd"}, "leaves the folder"),
        ({"image": "0.png\0"}, "leaves the folder"),
        (
            {"conversations": [{"from": "human", "value": "What?"}, good()["conversations"][1]]},
            "markers",
        ),
        (
            {"conversations": [good()["conversations"][0], {"from": "gpt", "value": " \n"}]},
            "empty",
        ),
        (
            {"conversations": [good()["conversations"][0], {"from": "gpt", "value": "<image>"}]},
            "markers",
        ),
        (
            {"conversations": [good()["conversations"][0], {"from": "gpt", "value": "\ud800"}]},
            "surrogate",
        ),
        ({"conversations": [good()["conversations"][0], {"from": "gpt"}]}, "no text"),
    ],
)
def test_a_bad_row_is_listed_with_its_reason(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """Malformed rows were dropped without a word, and nobody knew how many."""
    (tmp_path / "0.png").write_bytes(tiny_corpus.picture(0))
    rows, bad = read(tmp_path, [good() | change, good()])
    assert len(rows) == 1
    assert bad[0].place == "rows.json:1"
    assert reason in bad[0].reason


@given(st.lists(JSON, max_size=4))
def test_whatever_a_file_holds_each_row_is_kept_or_listed(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    """A value nobody thought of must not end a run of hours, nor vanish."""
    kept, bad = read(tmp_path_factory.mktemp("rows"), rows)
    assert len(kept) + len(bad) == len(rows)


def test_a_broken_line_is_one_bad_row(tmp_path: Path) -> None:
    """A JSON-lines file cut short would take all its good rows with it."""
    path = tmp_path / "rows.jsonl"
    path.write_text('{"conversations": []}\n{"id": "x", "conv\n\n')
    rows, bad = read_rows([path], tmp_path)
    assert (len(rows), len(bad)) == (0, 2)
    assert "no JSON" in bad[1].reason


def test_a_file_that_is_no_list_is_an_error(tmp_path: Path) -> None:
    """It would look like a data set of no rows."""
    for text in ("{}", "[", "nan nan"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InvalidRequest):
            read_rows([tmp_path / "a.json"], tmp_path)


def test_files_are_found_in_one_order_and_a_pattern_without_any_is_an_error(tmp_path: Path) -> None:
    """The order of a folder differs from machine to machine, and with it the training."""
    for name in ("b-1.json", "b-0.json", "a.jsonl"):
        (tmp_path / name).touch()
    found = find_files(("b-*.json", "a.jsonl", "b-0.json"), tmp_path)
    assert [path.name for path in found] == ["b-0.json", "b-1.json", "a.jsonl"]
    with pytest.raises(InvalidRequest, match=r"no data at 'c\*'"):
        find_files(("c*",), tmp_path)
    (tmp_path / "c.txt").touch()
    with pytest.raises(InvalidRequest, match="no data"):
        find_files(("c*",), tmp_path)


def test_shards_give_back_what_was_written(tmp_path: Path) -> None:
    """A picture under another row's offset would be learnt with the wrong words."""
    rows = tiny_corpus.rows(7)
    given_rows = [
        (row, tiny_corpus.picture(n) if "image" in row else None) for n, row in enumerate(rows)
    ]
    paths = write_shards(given_rows, tmp_path / "out", "data", rows_each=3)
    assert [path.name for path in paths] == [f"data-0000{n}.tar" for n in range(3)]
    read_back, bad = read_rows(paths, tmp_path)
    assert not bad
    assert [row.id for row in read_back] == [row["id"] for row in rows]
    for number, row in enumerate(read_back):
        assert (row.picture is None) == ("image" not in rows[number])
        if row.picture is not None:
            assert isinstance(row.picture, Member)
            assert row.picture.read() == tiny_corpus.picture(number)
    again = write_shards(given_rows, tmp_path / "again", "data", rows_each=3)
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths]
    assert not list((tmp_path / "out").glob("*.part"))


def test_a_shard_that_is_none_is_an_error(tmp_path: Path) -> None:
    """A file cut short, packed, or with one name twice would give wrong pictures or none."""
    [whole] = write_shards([(tiny_corpus.rows(1)[0], tiny_corpus.picture(0))], tmp_path, "a")
    short = tmp_path / "short.tar"
    short.write_bytes(whole.read_bytes()[:700])
    packed = tmp_path / "packed.tar"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(whole, "rows.jsonl")
    bare = tmp_path / "bare.tar"
    with tarfile.open(bare, "w") as tar:
        tar.add(whole, "0.png")
    twice = tmp_path / "twice.tar"
    with tarfile.open(twice, "w") as tar:
        for name in ("rows.jsonl", "0.png", "0.png"):
            tar.add(whole, name)
    for path in (short, packed, bare, twice):
        with pytest.raises(InvalidRequest, match=path.name):
            read_shard(path)


def test_a_link_in_a_shard_is_no_picture(tmp_path: Path) -> None:
    """A hostile shard would have other files of the machine read as pictures."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        row = tmp_path / "row"
        row.write_text(json.dumps(good()))
        tar.add(row, "rows.jsonl")
        link = tarfile.TarInfo("0.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    rows, bad = read_rows([path], tmp_path)
    assert not rows
    assert "no picture '0.png'" in bad[0].reason


def test_a_row_and_its_picture_must_fit(tmp_path: Path) -> None:
    """A shard of rows without their pictures would be found out only when it is read."""
    row = tiny_corpus.rows(1)[0]
    for pair in ([(row, None)], [({"id": "x"}, b"1")], [(row, b"1"), (row, b"2")]):
        with pytest.raises(InvalidRequest):
            write_shards(pair, tmp_path, "a")
    assert not list(tmp_path.iterdir())
