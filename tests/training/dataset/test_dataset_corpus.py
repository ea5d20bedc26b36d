"""The corpus on disk, its pictures, and how a step is filled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("transformers")

import tiny_corpus
from astrollava.errors import InvalidRequest, NotEnoughSpace
from astrollava.images import read, render
from astrollava_training.dataset.batches import IGNORED, ahead, padded, row
from astrollava_training.dataset.packing import Schedule, pack, pad
from astrollava_training.dataset.pictures import PictureCache, RenderRule
from astrollava_training.dataset.shards import write_shards


def test_pictures_are_what_a_describer_would_show(tmp_path: Path) -> None:
    """A model trained on other pixels than it is asked with sees worse, and nobody knows why."""
    made = tiny_corpus.corpus(tmp_path, 6)
    for number, one in enumerate(made.rows):
        if made.pictures[number] >= 0:
            assert isinstance(one.picture, Path)
            wanted = render(read(one.picture), size=(56, 56), background=(122, 116, 104)).rgb
            assert (made.shades[made.pictures[number]] == wanted).all()


def test_shards_and_files_make_the_same_corpus(tmp_path: Path) -> None:
    """Two readers of one format drift apart."""
    made = tiny_corpus.corpus(tmp_path / "a", 6)
    rows = [
        (one, tiny_corpus.picture(n) if "image" in one else None)
        for n, one in enumerate(tiny_corpus.rows(6))
    ]
    write_shards(rows, tmp_path / "b" / "data", "s", rows_each=4)
    sharded = tiny_corpus.corpus(tmp_path / "b", 6, files=("s-*.tar",))
    assert (made.ids == sharded.ids).all()
    assert (made.shades == sharded.shades).all()


def test_processes_decode_what_one_does(tmp_path: Path) -> None:
    """Pieces of the file written by several processes could overlap."""
    paths = []
    for number in range(37):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(tiny_corpus.picture(number, side=8))
    rule = RenderRule(16)
    one = PictureCache.open(paths, rule, tmp_path / "one", workers=0)
    two = PictureCache.open(paths, rule, tmp_path / "two", workers=2)
    assert (one.shades == two.shades).all()


def test_what_is_cached_is_not_made_again_and_what_changed_is(tmp_path: Path) -> None:
    """A stale cache trains on pictures that are no longer there."""
    path = tmp_path / "0.png"
    path.write_bytes(tiny_corpus.picture(0))
    cache, rule = tmp_path / "cache", RenderRule(16)
    first = PictureCache.open([path], rule, cache, workers=0)
    [kept] = cache.glob("*.u8")
    stamp = kept.stat().st_mtime_ns
    PictureCache.open([path], rule, cache, workers=0)
    assert kept.stat().st_mtime_ns == stamp
    path.write_bytes(tiny_corpus.picture(1, side=50))
    second = PictureCache.open([path], rule, cache, workers=0)
    assert not (first.shades == second.shades).all()
    other = PictureCache.open([path], RenderRule(16, "stretch"), cache, workers=0)
    assert not (other.shades == second.shades).all()


def test_a_cache_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    """Killed while decoding, a run would go on with black pictures."""
    path = tmp_path / "0.png"
    path.write_bytes(tiny_corpus.picture(0))
    cache = tmp_path / "cache"
    whole = np.array(PictureCache.open([path], RenderRule(16), cache, workers=0).shades)
    [index], [shades] = cache.glob("*.json"), cache.glob("*.u8")
    index.unlink()
    shades.write_bytes(bytes(16 * 16 * 3))
    assert (PictureCache.open([path], RenderRule(16), cache, workers=0).shades == whole).all()


def test_a_disk_too_small_is_told_before_anything_is_decoded(tmp_path: Path) -> None:
    """Ten gigabytes of pictures fill a disk an hour later."""
    path = tmp_path / "0.png"
    path.write_bytes(tiny_corpus.picture(0))
    with pytest.raises(NotEnoughSpace, match="has room for"):
        PictureCache.open([path] * 1000, RenderRule(2_000_000), tmp_path / "cache", workers=0)


def test_corrupt_pictures_and_rows_are_listed_and_bounded(tmp_path: Path) -> None:
    """Silently, a model was once trained on whatever happened to be readable."""
    folder = tiny_corpus.write(tmp_path / "data", 10)
    (folder / "0.png").write_bytes(tiny_corpus.picture(0)[:300])
    (folder / "1.png").write_bytes(b"no picture")
    rows = json.loads((folder / "rows.json").read_text())
    rows[2]["conversations"][1]["value"] = "</s>"
    rows[3] = {"id": "row-3"}
    (folder / "other.json").write_text(json.dumps(rows))

    def make(corrupt: float) -> Any:
        return tiny_corpus.corpus(tmp_path, 0, files=("other.json",), corrupt=corrupt)

    with pytest.raises(InvalidRequest, match="4 of 10 rows") as caught:
        make(0.3)
    assert "other.json:4 'row-3'" in str(caught.value)
    made = make(0.4)
    assert [one.id for one in made.rows] == [f"row-{n}" for n in range(4, 10)]
    assert {one.id for one in made.bad} == {f"row-{n}" for n in range(4)}
    [listed] = (tmp_path / "cache").glob("left-out-*.json")
    record = json.loads(listed.read_text())["left out"]
    assert {one["id"] for one in record} == {f"row-{n}" for n in range(4)}
    # Each conversation still has its own picture.
    wanted = render(
        read(folder / "5.png"), size=(56, 56), background=(122, 116, 104)
    ).rgb  # fmt: skip
    assert (made.shades[made.pictures[1]] == wanted).all()


def test_a_tokenized_corpus_is_found_again_and_another_template_is_another(tmp_path: Path) -> None:
    """Tokens of stage 1 used in stage 2 would train it on captions without questions."""
    first = tiny_corpus.corpus(tmp_path, 1)
    [path] = (tmp_path / "cache").glob("tokens-*.npz")
    stamp = path.stat().st_mtime_ns
    again = tiny_corpus.corpus(tmp_path, 1)
    assert path.stat().st_mtime_ns == stamp
    assert again.identity == first.identity
    plain = tiny_corpus.corpus(tmp_path, 1, template="plain")
    assert plain.identity != first.identity
    assert len(plain.ids) < len(first.ids)


def test_files_without_a_row_are_an_error_that_names_them(tmp_path: Path) -> None:
    """``[]`` ended in a ZeroDivisionError."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "none.json").write_text("[]")
    (tmp_path / "data" / "none.jsonl").write_text("\n")
    for files in (("none.json",), ("none.json", "none.jsonl")):
        with pytest.raises(InvalidRequest, match=r"none\.json.*: no row is in (it|them)\."):
            tiny_corpus.corpus(tmp_path, 0, files=files)


@given(
    lengths=st.lists(st.integers(1, 100), min_size=1, max_size=80),
    multiple=st.integers(1, 5),
    capacity=st.integers(100, 400),
)
def test_packing_loses_nothing_overfills_nothing_and_shares_evenly(
    lengths: list[int], multiple: int, capacity: int
) -> None:
    """A conversation lost, or a sequence longer than the memory was planned for."""
    sizes = np.array(lengths)
    parts = pack(sizes, capacity, multiple)
    assert sorted(n for part in parts for n in part) == list(range(len(sizes)))
    assert len(parts) % multiple == 0
    loads = [int(sizes[part].sum()) for part in parts]
    assert max(loads) <= capacity
    # Graham's bound: the fullest is at most one conversation above the emptiest.
    assert max(loads) - min(loads) <= max(lengths)


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 4))
def test_without_packing_each_is_there_once(count: int, rows: int, multiple: int) -> None:
    groups = pad(np.ones(count, np.int64), rows, multiple)
    assert [n for group in groups for n in group] == list(range(count))
    assert len(groups) % multiple == 0


@given(
    count=st.integers(1, 50),
    batch=st.integers(1, 60),
    epochs=st.floats(0.1, 3.2),
    seed=st.integers(0, 5),
)
def test_each_epoch_shows_each_conversation_once(
    count: int, batch: int, epochs: float, seed: int
) -> None:
    """An order that repeats some and leaves out others, or depends on what was asked before."""
    plan = Schedule(count, batch, epochs, seed)
    steps = [plan.at(step) for step in range(plan.steps)]
    seen = np.concatenate(steps)
    assert len(seen) == plan.total
    for epoch in range(plan.total // count):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert all(len(step) == batch for step in steps[:-1])
    assert (plan.at(plan.steps - 1) == steps[-1]).all()


@pytest.mark.parametrize("make", [row, padded])
def test_a_batch_is_its_conversations(tmp_path: Path, make: Any) -> None:
    """A target across the border of two conversations teaches one to begin the other."""
    corpus = tiny_corpus.corpus(tmp_path, 7)
    chosen = [6, 0, 4, 2]
    image = tiny_corpus.PICTURES.token
    batch = make(corpus, chosen, image, multiple=64)
    assert batch.tokens == corpus.lengths[chosen].sum()
    ids, targets = batch.ids.view(-1), batch.targets.view(-1)
    begins = [a for a in batch.bounds[:-1] if batch.positions.view(-1)[a] == 0]
    assert begins == list(batch.bounds[:-1])
    found = iter(batch.bounds)
    for conversation in chosen:
        begin, end = corpus.bounds[conversation], corpus.bounds[conversation + 1]
        here = next(a for a in found if int(ids[a]) == corpus.ids[begin])
        said = corpus.ids[begin:end]
        for place in range(end - begin - 1):
            wanted = said[place + 1] if corpus.learned[begin + place + 1] else IGNORED
            assert int(targets[here + place]) == wanted
        assert int(targets[here + end - begin - 1]) == IGNORED
        assert batch.positions.view(-1)[here : here + end - begin].tolist() == list(
            range(end - begin)
        )
    seen = corpus.pictures[chosen]
    assert (batch.shades.numpy() == corpus.shades[seen[seen >= 0]]).all()
    assert len(batch.features) == 16 * len(batch.shades)


def test_a_batch_of_nothing_is_one_token_without_a_target(tmp_path: Path) -> None:
    """A process without work must still take part in what the others add up."""
    batch = row(tiny_corpus.corpus(tmp_path, 2), [], tiny_corpus.PICTURES.token)
    assert batch.ids.shape == (1, 1)
    assert (batch.targets == IGNORED).all()
    assert batch.bounds == (0, 1)
    assert batch.shades.shape == (0, 56, 56, 3)


def test_work_is_done_ahead_in_order_and_its_errors_are_raised() -> None:
    """An error in the thread that would only end it leaves the training waiting for ever."""
    assert list(ahead([lambda n=n: n for n in range(5)])) == list(range(5))

    def fail() -> int:
        raise RuntimeError("torn")

    results = ahead([lambda: 1, fail, lambda: 3])
    assert next(results) == 1
    with pytest.raises(RuntimeError, match="torn"):
        next(results)
