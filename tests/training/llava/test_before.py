"""What is wrong is found before anything is trained, and what an error advises works."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import tiny_parts  # noqa: E402
import tiny_tokenizers  # noqa: E402
from astrollava.errors import (  # noqa: E402
    InvalidRequest,
    ModelError,
    ModelNotFound,
    TemplateError,
    UnsupportedModel,
)
from astrollava_training.cli import main  # noqa: E402
from astrollava_training.llava.exporting import load  # noqa: E402
from astrollava_training.llava.folder import goes_on  # noqa: E402
from astrollava_training.llava.run import run  # noqa: E402
from astrollava_training.loop.saving import Keeper  # noqa: E402
from astrollava_training.parts import fingerprint  # noqa: E402
from astrollava_training.recipe import LlavaRecipe, Stage  # noqa: E402


def second(recipe: LlavaRecipe, **changes: Any) -> LlavaRecipe:
    assert recipe.stage2 is not None
    return dataclasses.replace(recipe, stage2=dataclasses.replace(recipe.stage2, **changes))


def short(recipe: LlavaRecipe) -> LlavaRecipe:
    """A recipe of one step a stage."""
    stages: dict[str, Stage] = {
        f"stage{number}": dataclasses.replace(stage, epochs=0.1)
        for number, stage in recipe.stages.items()
    }
    return dataclasses.replace(recipe, **stages)  # type: ignore[arg-type]


@pytest.fixture
def rows(data: Path, tmp_path: Path) -> Path:
    """A copy of the data whose every fourth conversation is corrupt."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    path = root / "conversations.json"
    found = json.loads(path.read_text())
    for row in found[::4]:
        row["conversations"][1]["value"] = ""
    path.write_text(json.dumps(found))
    return root


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"template": "chat"}, TemplateError, r"stage 2: the tokenizer has no chat template"),
        # Both answers of a conversation were learnt as one caption.
        (
            {"template": "plain", "data": ("turns.json",)},
            InvalidRequest,
            r"(?s)stage 2: 1 of 1 rows of turns\.json .* turns\.json:1 'q0': 2 turns: template",
        ),
        # Its evaluation, after the last step, had nothing to ask the model with.
        (
            {"template": "plain", "data": ("words.json",)},
            InvalidRequest,
            r"(?s)stage 2: 1 of 1 rows of words\.json .* words\.json:1 'q1': no picture: template",
        ),
        ({"data": ("empty.json",)}, InvalidRequest, r"stage 2: \S+empty\.json: no row is in it"),
        ({"data": ("no.json",)}, InvalidRequest, r"stage 2: no data at 'no\.json'"),
        ({"data": ("conversations.json", "images/0.png")}, InvalidRequest, "stage 2: .* no data"),
    ],
)
def test_a_mistake_in_stage_2_is_found_before_stage_1_is_trained(
    recipe: LlavaRecipe, data: Path, tmp_path: Path, changes: dict[str, Any],
    error: type[Exception], said: str,
) -> None:  # fmt: skip
    """Found when stage 1 is done, it has cost hours of a GPU."""
    out = tmp_path / "run"
    shutil.copytree(data, tmp_path / "data")
    data = tmp_path / "data"
    more, words, *_ = json.loads((data / "conversations.json").read_text())
    more["conversations"] += [{**one, "value": "Yes."} for one in more["conversations"]]
    words["conversations"][0]["value"] = "Which colour has blood?"
    del words["image"]
    for name, rows in {"turns": [more], "words": [words], "empty": []}.items():
        (data / f"{name}.json").write_text(json.dumps(rows))
    with pytest.raises(error, match=said):
        run(second(recipe, **changes), data, out, device="cpu", workers=0)
    assert not (out / "stage1").exists()
    # What is there of stage 1 alone may be trained: the data of stage 2 may be made later.
    run(short(second(recipe, **changes)), data, out, stages=(1,), device="cpu", workers=0)
    assert not (out / "stage2").exists()


def test_the_advice_about_data_works(
    recipe: LlavaRecipe, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same folder was refused then: "begun by another recipe"."""
    out, made = tmp_path / "run", short(recipe)

    def tried(**changes: Any) -> None:
        wanted = dataclasses.replace(made, data=dataclasses.replace(made.data, **changes))
        run(wanted, rows, out, device="cpu", workers=0)

    with pytest.raises(InvalidRequest, match="stage 2: 48 of 48 rows") as caught:
        tried(length=30, held_out=40)
    assert "Mend the data. 36 of them are too long for data.length = 30: 59" in str(caught.value)
    with pytest.raises(InvalidRequest, match=r"With data\.corrupt = 0\.250 they are left out"):
        tried(held_out=40)
    with pytest.raises(InvalidRequest, match=r"stage 2: 36 .* Lower data\.held_out"):
        tried(held_out=40, corrupt=0.25)
    tried(held_out=2, corrupt=0.25)
    told = capsys.readouterr().err
    assert (
        "stage 2: 34 conversations to learn from, 2 held out, 12 left out, 0 shortened; 1 step"
        in told
    )
    assert f"listed in {out / 'cache'}" in told
    # A finished stage does not depend on how much might have been left out.
    tried(held_out=2, corrupt=0.5)
    (out / "stage2" / "proof.json").unlink()
    with pytest.raises(InvalidRequest, match=r"stage1 was trained .* data\.held_out.* --stage 2"):
        tried(held_out=3, corrupt=0.25)


def test_rows_that_are_too_long_name_the_length_that_holds_them(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    """Raising ``data.corrupt``, which the error advised, would have thrown the data away."""
    made = short(recipe)
    with pytest.raises(InvalidRequest, match="holds all") as caught:
        run(dataclasses.replace(made, data=dataclasses.replace(made.data, length=20)), data,
            tmp_path / "run", device="cpu", workers=0)  # fmt: skip
    said = str(caught.value)
    assert "They are too long for data.length = 20: 21 holds all" in said
    assert "corrupt" not in said
    tall = dataclasses.replace(made, stage2=None, data=dataclasses.replace(made.data, length=21))
    run(tall, data, tmp_path / "run", device="cpu", workers=0)


def test_what_the_language_model_cannot_read_is_not_trained_on(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    """Positions beyond its context are none it knows, and llama.cpp would cut them off."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    path = root / "conversations.json"
    found = json.loads(path.read_text())
    found[5]["conversations"][1]["value"] = "A red disk. " * 200
    path.write_text(json.dumps(found))
    long = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, length=2048))
    with pytest.raises(InvalidRequest, match=r"stage 2: .* tokens.* 512.* Set data\.length to 512"):
        run(long, root, tmp_path / "run", device="cpu", workers=0)


def test_a_batch_larger_than_the_data_is_said(
    recipe: LlavaRecipe, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage of one step, where hundreds were meant, looked like any other."""
    made = dataclasses.replace(second(recipe, batch=47, epochs=1.0), stage1=None)
    run(made, data, tmp_path / "run", device="cpu", workers=0)
    told = capsys.readouterr().err
    assert "1 step of 47" in told
    assert "its batch is larger than its data" in told
    assert "Lower stage2.batch" in told


def test_conversations_about_pictures_held_out_are_counted(
    recipe: LlavaRecipe, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 12 rows about two pictures 6 were learnt from, one was held out, and 5 were nowhere."""
    root = tmp_path / "data"
    shutil.copytree(data, root)
    path = root / "conversations.json"
    found = json.loads(path.read_text())[:12]
    path.write_text(json.dumps([{**row, "image": found[n % 2]["image"]}
                                for n, row in enumerate(found)]))  # fmt: skip
    made = dataclasses.replace(
        second(recipe, batch=6, epochs=1.0),
        stage1=None,
        data=dataclasses.replace(recipe.data, held_out=1),
    )
    run(made, root, tmp_path / "run", device="cpu", workers=0)
    counts = "1 held out and 5 set aside about the same pictures"
    assert f"6 conversations to learn from, {counts}, 0 left out" in capsys.readouterr().err
    assert f" {counts}.</p>" in (tmp_path / "run" / "report.html").read_text("utf-8")


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_what_is_stopped_says_how_it_goes_on(
    written: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, kind: signal.Signals,
) -> None:  # fmt: skip
    """Ctrl-C did not name ``--resume``, and SIGTERM, by which batch systems stop, said nothing."""
    out = tmp_path / "run"
    given = ["run", str(written), "--data", str(data), "-o", str(out), "--device", "cpu"]
    given += ["--workers", "0", "--set", "train.epochs=1", "--set", "train.save_every=3"]
    whole, left = Keeper.settle, [0]

    def settle(self: Keeper, *, wait: bool = False) -> None:
        whole(self, wait=True)
        left[0] -= 1
        if left[0] == 0:
            assert signal.getsignal(kind) is not signal.SIG_DFL, "it would end the tests, too"
            os.kill(os.getpid(), kind)

    def stopped(steps: int, *more: str) -> str:
        left[0] = steps
        assert main([*given, *more]) == 128 + kind
        told = capsys.readouterr().err
        assert "Traceback" not in told
        return told.splitlines()[-1]

    monkeypatch.setattr(Keeper, "settle", settle)
    begins = "astrollava-train: stopped. With --resume the same command goes on with stage 1, from "
    assert stopped(2) == f"{begins}its first step: no checkpoint was kept yet (train.save_every)"
    # The checkpoint of step 3 is settled at step 4, which is the fourth of this process.
    assert stopped(4, "--resume") == f"{begins}step 3"
    left[0] = 0
    assert main([*given, "--resume", "--stage", "1"]) == 0
    assert goes_on(out, (1, 2)) == (
        "Stage 1 is finished and kept. The same command goes on with stage 2, which was not begun"
    )
    assert goes_on(out, (1,)) == "Stage 1 is finished and kept."
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_before_its_first_checkpoint_a_stage_may_be_begun_by_another_recipe(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    """A first step that ran out of memory, and ``train.rows`` lowered as everybody would."""
    out, first = tmp_path / "run", dataclasses.replace(short(recipe), stage2=None)
    run(first, data, out, device="cpu", workers=0)
    for name in ("proof.json", "weights.safetensors"):
        (out / "stage1" / name).unlink()
    fewer = dataclasses.replace(first, train=dataclasses.replace(first.train, rows=2))
    with pytest.raises(InvalidRequest, match=r"begun .* did not end.*--resume"):
        run(fewer, data, out, device="cpu", workers=0)
    (out / "stage1" / "checkpoints" / "step-0000001").mkdir(parents=True)
    with pytest.raises(InvalidRequest, match=r"was begun by another recipe.*train\.rows"):
        run(fewer, data, out, resume=True, device="cpu", workers=0)
    shutil.rmtree(out / "stage1" / "checkpoints")
    run(fewer, data, out, resume=True, device="cpu", workers=0)
    assert json.loads((out / "stage1" / "recipe.json").read_text())["train"]["rows"] == 2


def test_half_a_run_is_exported_only_on_purpose(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pair of stage 1 alone passed for the model, and answered captions to every question."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    (out / "stage2" / "proof.json").unlink()
    assert main(["export", str(out), "-o", str(tmp_path / "pair")]) == 2
    told = capsys.readouterr().err
    assert f"stage 2 of 'tiny' is not finished in {out}: stage 1 is" in told
    assert f"astrollava-train run RECIPE -o {out} --resume" in told
    assert "--stage 1" in told
    assert not (tmp_path / "pair").exists()
    with pytest.raises(ModelNotFound, match="stage 2 of 'tiny' is not finished"):
        load(out, 2)
    # The same of a run that is finished, and what stage 1 left is what stage 2 began with.
    begun = json.loads((trained / "stage2" / "proof.json").read_text())["trained"]["projector"][0]
    for folder in (out, trained):
        assert fingerprint(load(folder, 1)[1].model, "projector") == begun
    (out / "stage1" / "proof.json").unlink()
    with pytest.raises(ModelError, match=r"holds no finished stage.*--resume"):
        load(out)


def test_a_tokenizer_that_cannot_be_exported_is_refused_before_stage_1(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    """Only `export` found it, after both stages had been trained."""
    folder = tiny_parts.language_model(
        tmp_path / "llama", words=lambda f: tiny_tokenizers.llama(f, "normalizer").get_vocab_size()
    )
    path = folder / "tokenizer.json"
    told = json.loads(path.read_text())
    told["model"]["merges"].pop()
    path.write_text(json.dumps(told))
    made = dataclasses.replace(
        recipe, model=dataclasses.replace(recipe.model, language=str(folder))
    )
    out = tmp_path / "run"
    with pytest.raises(UnsupportedModel, match=r"llama could not be exported: .* has no merge of"):
        run(made, data, out, device="cpu", workers=0)
    assert not out.exists()
