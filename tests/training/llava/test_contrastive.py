"""A tower learns from captions, and becomes a tower a recipe can name."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import AutoModel  # noqa: E402

import tiny_parts  # noqa: E402
from astrollava.errors import (  # noqa: E402
    EngineUnavailable,
    InvalidCheckpoint,
    InvalidRequest,
    ModelError,
    UnsupportedModel,
)
from astrollava_training.cli import main  # noqa: E402
from astrollava_training.contrastive import run as training  # noqa: E402
from astrollava_training.contrastive.encoders import load_encoders  # noqa: E402
from astrollava_training.contrastive.recipe import Contrast, Pairs, TowerRecipe  # noqa: E402
from astrollava_training.dataset.shards import write_shards  # noqa: E402
from astrollava_training.llava import openclip  # noqa: E402
from astrollava_training.llava.towers import load_tower  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_parts.write_data(tmp_path_factory.mktemp("pairs") / "data", 60)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``clip`` and ``siglip`` with text encoders and tokenizers."""
    folder = tmp_path_factory.mktemp("encoders")
    for kind in ("clip", "siglip"):
        tiny_parts.both_encoders(folder / kind, kind)
    return folder


def recipe(start: str | Path, *, files: tuple[str, ...] = ("captions.json",), **how: Any) -> Any:
    return TowerRecipe(
        "tower",
        str(start),
        Pairs(files, held_out=12),
        train=Contrast(**{"lr": 1e-3, "batch": 16, "epochs": 12.0, "warmup": 0.1, **how}),
    )


def result(out: Path) -> Any:
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize("kind", ["clip", "siglip", "open_clip"])
def test_captions_are_told_apart_better_than_before(
    open_clip: Any, tiny_open_clip: str, pairs: Path, data: Path, tmp_path: Path, kind: str
) -> None:
    """Either loss, either library; the tower that is written is the one that learned."""
    start = f"open_clip:{tiny_open_clip}" if kind == "open_clip" else pairs / kind
    out = tmp_path / "run"
    # By pairs of yes and no a few batches teach less than by a choice among all.
    how = {"lr": 1e-3, "epochs": 40.0} if kind == "siglip" else {}
    training.run(recipe(start, **how), data, out, device="cpu", workers=0)
    found = result(out)
    assert found["recall_after"] > max(found["recall_before"], 0.8)
    ended = load_tower(str(out / "tower"), torch.float32)
    again = f"{start}:{out / 'model.pt'}" if kind == "open_clip" else str(out / "model")
    encoders = load_encoders(again, 0)
    assert (ended.mean, ended.std) == (encoders.mean, encoders.std)
    pixels = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    same = load_tower(again, torch.float32).model
    with torch.no_grad():
        torch.testing.assert_close(
            ended.model(pixel_values=pixels).last_hidden_state,
            same(pixel_values=pixels).last_hidden_state,
        )
    if kind != "open_clip":
        begun = load_tower(str(pairs / kind), torch.float32).model.state_dict()
        moved = ended.model.state_dict()
        assert not any(
            torch.equal(moved[name], value) for name, value in begun.items() if ".mlp." in name
        )


def test_a_run_that_was_killed_ends_with_the_same_weights(
    open_clip: Any, pairs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(pairs / "clip", epochs=2.0, save_every=2)
    training.run(made, data, tmp_path / "whole", device="cpu", workers=0)
    real, calls = training.schedule, []

    def dies(step: int, steps: int, warmup: float) -> float:
        calls.append(step)
        if step == 5:
            raise KeyboardInterrupt
        return real(step, steps, warmup)

    monkeypatch.setattr(training, "schedule", dies)
    with pytest.raises(KeyboardInterrupt):
        training.run(made, data, tmp_path / "cut", device="cpu", workers=0)
    monkeypatch.setattr(training, "schedule", real)
    with pytest.raises(InvalidRequest, match="--resume"):
        training.run(made, data, tmp_path / "cut", device="cpu", workers=0)
    other = dataclasses.replace(made, seed=1)
    with pytest.raises(InvalidRequest, match="seed"):
        training.run(other, data, tmp_path / "cut", resume=True, device="cpu", workers=0)
    training.run(made, data, tmp_path / "cut", resume=True, device="cpu", workers=0)
    ours, theirs = (
        AutoModel.from_pretrained(tmp_path / name / "model").state_dict()
        for name in ("cut", "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_the_shards_of_the_data_do_as_well(
    open_clip: Any, pairs: Path, data: Path, tmp_path: Path
) -> None:
    rows = json.loads((data / "captions.json").read_text())
    shards = tmp_path / "shards"
    write_shards(((row, (data / row["image"]).read_bytes()) for row in rows), shards, "captions")
    made = recipe(pairs / "clip", files=("*.tar",), epochs=1.0)
    training.run(made, shards, tmp_path / "run", device="cpu", workers=0)
    whole = recipe(pairs / "clip", epochs=1.0)
    training.run(whole, data, tmp_path / "json", device="cpu", workers=0)
    assert result(tmp_path / "run")["recall_after"] == result(tmp_path / "json")["recall_after"]


def test_corrupt_pictures_are_bounded(
    open_clip: Any, pairs: Path, data: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "data"
    shutil.copytree(data, broken)
    for number in range(4):
        (broken / "images" / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(InvalidRequest, match="4 of 60 rows"):
        training.run(recipe(pairs / "clip"), broken, tmp_path / "run", device="cpu", workers=0)


def test_numbers_that_are_not_finite_end_the_run(
    open_clip: Any, pairs: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"Lower train\.lr"):
        training.run(
            recipe(pairs / "clip", lr=1e30, warmup=0.0), data, tmp_path, device="cpu", workers=0
        )


def test_a_tower_without_a_text_encoder_is_refused(parts: Path) -> None:
    with pytest.raises(UnsupportedModel, match="with its text encoder"):
        load_encoders(str(parts / "clip"), 0)


def test_the_command_trains_and_says_where(
    open_clip: Any, pairs: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tower.toml"
    path.write_text(
        f'kind = "tower"\nname = "t"\nstart = "{pairs / "clip"}"\n'
        '[data]\nfiles = ["captions.json"]\nheld_out = 12\n[train]\nbatch = 16\n'
    )
    given = ["--data", str(data), "-o", str(tmp_path / "run"), "--set", "train.epochs=1.0"]
    assert main(["tower", str(path), *given, "--device", "cpu", "--workers", "0"]) == 0
    assert f"{tmp_path / 'run'}: finished" in capsys.readouterr().out
    assert main(["tower", str(path), *given[:-1], "train.epochs=2.0", "--device", "cpu"]) == 2
    assert "another recipe" in capsys.readouterr().err


def test_without_open_clip_nothing_is_begun(
    pairs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures were decoded and captions compared before its losses were found missing."""
    out = tmp_path / "run"
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "open_clip", None)
        with pytest.raises(EngineUnavailable, match=r"needs open_clip: .*astrollava\[towers\]"):
            training.run(recipe(pairs / "clip"), data, out, device="cpu", workers=0)
    assert not out.exists()


def test_that_open_clip_is_missing_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error "needs open_clip: open_clip cannot be used: ... open_clip" named it thrice."""
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(EngineUnavailable) as told:
        openclip.require("the training of a tower")
    assert told.value.problem == "the training of a tower needs open_clip: it is not installed"
    with pytest.raises(EngineUnavailable) as plain:
        openclip.create("open_clip:ViT-B-32", untrained=True)
    assert plain.value.problem == "open_clip is not installed"


def test_what_ended_before_its_first_checkpoint_may_be_begun_again(
    open_clip: Any, pairs: Path, data: Path, tmp_path: Path
) -> None:
    """The empty folder of its checkpoints was taken for a run that could go on."""
    out = tmp_path / "run"
    with pytest.raises(ModelError):
        training.run(
            recipe(pairs / "clip", lr=1e30, warmup=0.0), data, out, device="cpu", workers=0
        )
    training.run(recipe(pairs / "clip", epochs=1.0), data, out, device="cpu", workers=0)
    assert result(out)["held_out"] == 12


def test_more_held_out_than_there_is_says_what_fits(
    open_clip: Any, pairs: Path, data: Path, tmp_path: Path
) -> None:
    """It said "60 pictures, of which 256 are held out", when all had been decoded."""
    made = dataclasses.replace(recipe(pairs / "clip"), data=Pairs(("captions.json",)))
    with pytest.raises(InvalidRequest, match=r"there are 60 .*held_out = 256.*258 at least") as got:
        training.run(made, data, tmp_path / "run", device="cpu", workers=0)
    assert "--set data.held_out=6" in str(got.value)
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_that_cannot_fill_captions_is_refused_with_the_remedy(
    pairs: Path, tmp_path: Path
) -> None:
    """transformers said so in its own words, when all pictures had been decoded."""
    folder = tmp_path / "clip"
    shutil.copytree(pairs / "clip", folder)
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text())
    del said["pad_token"]
    path.write_text(json.dumps(said))
    with pytest.raises(InvalidCheckpoint, match='Add "pad_token": "</s>" there'):
        load_encoders(str(folder), 0)
