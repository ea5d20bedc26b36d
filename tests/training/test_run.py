"""A whole run, small: a frozen part that moves, or a resumed run that differs, spoils the model."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tiny_recipe import TINY, write_recipe
from voted_galaxies import write_table

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from astrollava.errors import InvalidRequest, ModelError, ModelNotFound  # noqa: E402
from astrollava_training import seeing, speaking  # noqa: E402
from astrollava_training.checkpoints import Checkpoints  # noqa: E402
from astrollava_training.cli import main  # noqa: E402
from astrollava_training.config import Export, Stage  # noqa: E402
from astrollava_training.model import build  # noqa: E402
from astrollava_training.parts import PARTS, fingerprint  # noqa: E402
from astrollava_training.run import MOVES, load, run  # noqa: E402

# From Python 3.12 on a fork beside threads warns; the workers here use no thread of the parent.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

STAGES = ("tower", "words", "align", "instruct")


@pytest.fixture
def copied(tiny_run: tuple[Path, Any, Any], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run[0], tmp_path / "run"))


def weights(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / f"{stage}.pt", weights_only=True)
    return found


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(one) for one in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_every_parameter_belongs_to_one_part(tiny_run: tuple[Path, Any, Any]) -> None:
    """One in none would be watched by nobody."""
    for name in tiny_run[1].state_dict():
        assert [part for part in PARTS if name.startswith(PARTS[part])] != [], name
        assert sum(name.startswith(PARTS[part]) for part in PARTS) == 1, name


def test_each_stage_moves_its_parts_and_leaves_the_others_bit_for_bit(
    tiny_run: tuple[Path, Any, Any],
) -> None:
    """Compared value by value, not by the fingerprints the run itself trusts."""
    folder, model, tokenizer = tiny_run
    before = build(TINY, tokenizer).state_dict()
    for stage in STAGES:
        after = weights(folder, stage)
        changed = {name for name in after if not torch.equal(before[name], after[name])}
        for part, prefixes in PARTS.items():
            names = {name for name in after if name.startswith(prefixes)}
            # LLaVA reads the tower before its last norm, which therefore learns nothing.
            idle = {name for name in names if ".post_layernorm." in name}
            assert changed & names == (names - idle if part in MOVES[stage] else set()), stage
        before = after
    assert same(before, model.state_dict())


def test_the_log_tells_what_was_proven(tiny_run: tuple[Path, Any, Any]) -> None:
    proven = {one["stage"]: one["frozen"] for one in lines(tiny_run[0]) if "frozen" in one}
    assert proven == {
        "tower": "language projector unchanged by hash",
        "words": "projector tower unchanged by hash",
        "align": "language tower unchanged by hash",
        "instruct": "tower unchanged by hash",
    }
    assert any("val_label_accuracy" in one for one in lines(tiny_run[0]))


def test_a_fingerprint_sees_one_weight_and_the_head(tiny_run: tuple[Path, Any, Any]) -> None:
    _, model, tokenizer = tiny_run
    other = build(TINY, tokenizer)
    other.load_state_dict(model.state_dict())
    before = {part: fingerprint(other, part) for part in PARTS}
    with torch.no_grad():
        other.lm_head.weight[5, 7] += 1e-6
    after = {part: fingerprint(other, part) for part in PARTS}
    assert {part for part in PARTS if before[part] != after[part]} == {"language"}


def test_two_runs_are_equal_whatever_the_workers(
    tiny_run: tuple[Path, Any, Any], tiny_votes: Path, tmp_path: Path
) -> None:
    folder, model, _ = tiny_run
    again, _ = run(TINY, tiny_votes, tmp_path / "again", workers=0)
    assert same(again.state_dict(), model.state_dict())
    tokenizers = [(f / "tokenizer.json").read_bytes() for f in (folder, tmp_path / "again")]
    assert tokenizers[0] == tokenizers[1]


def test_a_resumed_run_skips_what_is_done_and_ends_the_same(
    tiny_run: tuple[Path, Any, Any], tiny_votes: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("align", "instruct"):
        (copied / f"{stage}.pt").unlink()
    for done in ("tower", "encode"):
        monkeypatch.delattr(seeing, done)  # would be an error if it ran
    (copied / "align.pt.part").write_bytes(b"cut off while writing")
    old = len(lines(copied))
    model, _ = run(TINY, tiny_votes, copied)
    assert same(model.state_dict(), tiny_run[1].state_dict())
    assert {one["stage"] for one in lines(copied)[old:]} == {"align", "instruct"}


def test_a_finished_run_loads_without_training(
    tiny_run: tuple[Path, Any, Any], copied: Path
) -> None:
    # With another export: the same weights may be written in several ways.
    changed = dataclasses.replace(TINY, export=Export(quantize="f16"))
    model, tokenizer = load(changed, copied)
    assert same(model.state_dict(), tiny_run[1].state_dict())
    assert tokenizer.to_str() == tiny_run[2].to_str()
    (copied / "instruct.pt").unlink()
    with pytest.raises(ModelNotFound, match="no finished run"):
        load(TINY, copied)
    with pytest.raises(ModelNotFound, match="no finished run"):
        load(TINY, copied / "nowhere")


def test_the_facts_kept_are_those_encoded(tiny_run: tuple[Path, Any, Any], tmp_path: Path) -> None:
    """A fraction that loses a digit on its way through a file makes a resumed run another one."""
    kept = Checkpoints(tiny_run[0]).encoded(lambda: pytest.fail("encoded again"))
    made = seeing.Encoded(kept.features, kept.facts)
    again = Checkpoints(tmp_path).encoded(lambda: made)
    assert again.facts == kept.facts
    assert len(again.facts) == TINY.encoded.count
    assert again.features.shape == (TINY.encoded.count, TINY.image_tokens, 32)


@pytest.mark.parametrize("part", ["tower", "language"])
def test_a_stage_that_moves_a_frozen_part_is_refused(
    part: str, tiny_votes: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stage in ("align", "instruct"):
        (copied / f"{stage}.pt").unlink()
    right = speaking.align

    def wrong(model: Any, *arguments: Any) -> None:
        right(model, *arguments)
        name = next(n for n, _ in model.named_parameters() if n.startswith(PARTS[part]))
        with torch.no_grad():
            model.get_parameter(name).view(-1)[0] += 1e-7

    monkeypatch.setattr(speaking, "align", wrong)
    with pytest.raises(ModelError, match=f"stage align moved .*'{part}'"):
        run(TINY, tiny_votes, copied)
    assert not (copied / "align.pt").exists()


def test_a_stage_that_trains_nothing_is_refused(
    tiny_votes: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "instruct.pt").unlink()
    monkeypatch.setattr(speaking, "instruct", lambda *_: None)
    with pytest.raises(ModelError, match=r"stage instruct moved \[\]"):
        run(TINY, tiny_votes, copied)
    assert not (copied / "instruct.pt").exists()


def test_a_folder_of_another_run_is_refused(tiny_votes: Path, copied: Path, tmp_path: Path) -> None:
    """Its stages would pass for those of this recipe."""
    other = dataclasses.replace(TINY, seed=4, words=Stage(64, 8))
    with pytest.raises(InvalidRequest, match="differs in seed, words"):
        run(other, tiny_votes, copied)
    with pytest.raises(InvalidRequest, match="differs in seed"):
        load(dataclasses.replace(TINY, seed=4), copied)
    fewer = write_table(tmp_path, {"train": 4, "val": 2, "test": 2})
    with pytest.raises(InvalidRequest, match="differs in votes"):
        run(TINY, fewer, copied)
    (copied / "run.json").unlink()
    with pytest.raises(InvalidRequest, match=r"align\.pt but no run\.json"):
        run(TINY, tiny_votes, copied)


def test_a_table_without_training_or_validation_stops_before_the_tower(tmp_path: Path) -> None:
    """The validation split is needed first when the tower has been trained, an hour later."""
    table = write_table(tmp_path, {"train": 2, "test": 2})
    with pytest.raises(InvalidRequest, match=r"2 pictures in its split 'train' and 0 with a class"):
        run(TINY, table, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_line_goes_on_where_a_run_stands(
    tiny_votes: Path, copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "tiny.toml")
    data = ["--data", str(tiny_votes)]
    assert main(["run", str(recipe), "-o", str(copied), "--device", "cpu", *data]) == 0
    assert "finished" in capsys.readouterr().out
    assert main(["run", str(recipe), "--data", str(tmp_path / "none.csv")]) == 2
    assert "none.csv is no file. Expected a table of votes" in capsys.readouterr().err
    recipe.write_text(recipe.read_text("utf-8").replace("seed", "sead"), encoding="utf-8")
    assert main(["run", str(recipe), *data]) == 2
    assert "unknown key 'sead'" in capsys.readouterr().err
