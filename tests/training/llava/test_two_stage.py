"""A tiny LLaVA through the whole recipe: stages, LoRA, other towers, the ablation, the export."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")
pytest.importorskip("llama_cpp")

from safetensors.torch import load_file, save_file  # noqa: E402

import tiny_parts  # noqa: E402
from astrollava import Describer, images  # noqa: E402
from astrollava.errors import InvalidRequest, ModelError  # noqa: E402
from astrollava.models.checkpoint import open_checkpoint  # noqa: E402
from astrollava.parity.loading import load_model  # noqa: E402
from astrollava_training.cli import main  # noqa: E402
from astrollava_training.llava.exporting import export, load, save  # noqa: E402
from astrollava_training.llava.run import run  # noqa: E402
from astrollava_training.llava.stages import prove  # noqa: E402
from astrollava_training.loop.lines import read_lines  # noqa: E402
from astrollava_training.parts import part_of  # noqa: E402
from astrollava_training.recipe import LlavaRecipe, Lora, Model  # noqa: E402

QUESTION = "What is this?"


def weights(out: Path, stage: int) -> dict[str, Any]:
    return dict(load_file(out / f"stage{stage}" / "weights.safetensors"))


def proof(out: Path, stage: int) -> Any:
    return json.loads((out / f"stage{stage}" / "proof.json").read_text())


def said_by_torch(checkpoint: Path, ready: Any, picture: Path) -> str:
    """The greedy answer, from pixels and text to tokens and back by torch's side alone."""
    seen, tokenizer = ready.pictures, ready.tokenizer
    model = load_model(open_checkpoint(checkpoint))
    rgb = images.render(
        images.read(picture), size=(seen.size, seen.size), rule=seen.rule,
        background=seen.background,
    ).rgb  # fmt: skip
    mean, std = (torch.tensor(v)[:, None, None] for v in (seen.mean, seen.std))
    pixels = (torch.from_numpy(rgb.copy()).permute(2, 0, 1).float() / 255 - mean) / std
    content: Any = f"<image>\n{QUESTION}"
    if "part['type']" in tokenizer.chat_template:
        content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    before, after = (tokenizer.encode(t, add_special_tokens=False) for t in text.split("<image>"))
    start = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    ids = [*([tokenizer.bos_token_id] if start else []), *before, *seen.ids, *after]
    with torch.inference_mode():
        out = model.generate(
            input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)),
            pixel_values=pixels[None], do_sample=False, max_new_tokens=24,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    return str(tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True)).strip()


def assert_says_the_same(out: Path, data: Path, folder: Path, *, learned: bool = True) -> None:
    """Export a run, and ask the pair through the front door what torch is asked."""
    _, ready = load(out)
    files, report = export(out, folder / "pair", quantize="f16", keep=folder / "checkpoint")
    assert report.is_same
    assert files.licence == "MIT"
    assert {"parity.json", "parity.txt"} <= {path.name for path in (folder / "pair").iterdir()}
    with Describer(folder / "pair") as describer:
        for number in (3, 4, 5):
            picture = data / "images" / f"{number}.png"
            told = describer.ask(picture, QUESTION, max_tokens=24).text
            assert told == said_by_torch(folder / "checkpoint", ready, picture)
            if learned:
                assert told == tiny_parts.SAYINGS[number % 3][1]


def test_each_stage_moves_its_part_and_proves_it(
    trained: Path, recipe: LlavaRecipe, parts: Path
) -> None:
    """Compared value by value, not by the fingerprints the run itself trusts."""
    from astrollava_training.llava.assemble import assemble

    first, second = weights(trained, 1), weights(trained, 2)
    assert {part_of(name) for name in first} == {"projector"}
    assert {part_of(name) for name in second} == {"projector", "language"}
    begun = assemble(recipe).model.state_dict()
    for name, value in first.items():
        assert not torch.equal(value, begun[name]), name
    for name, value in second.items():
        assert not torch.equal(value, begun[name]), name
    _, ready = load(trained)
    ended = ready.model.state_dict()
    for name, value in begun.items():
        if part_of(name) == "tower":
            assert torch.equal(ended[name], value), name
    assert proof(trained, 1)["frozen"].keys() == {"tower", "language"}
    assert proof(trained, 2)["frozen"].keys() == {"tower"}
    assert proof(trained, 2)["frozen"]["tower"] == proof(trained, 1)["frozen"]["tower"]
    page = (trained / "report.html").read_text("utf-8")
    assert all(sha in page for sha in proof(trained, 2)["frozen"].values())
    # What stage 1 ended with is what stage 2 began with.
    assert proof(trained, 1)["trained"]["projector"][1] == proof(trained, 2)["trained"][
        "projector"
    ][0]  # fmt: skip


def test_the_pair_says_through_describer_what_torch_says(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    """And it has learnt the colours: the picture did reach the model in training."""
    assert_says_the_same(trained, data, tmp_path)


def test_the_guide_s_script_runs_as_a_script(written: Path, data: Path, tmp_path: Path) -> None:
    """Saved as it stood, it ended in BrokenProcessPool: its processes began to train, too."""
    guide = (Path(__file__).parents[3] / "docs" / "training.md").read_text("utf-8")
    [code] = re.findall(r"^```python\n(.*?)^```", guide, flags=re.M | re.S)
    for theirs, ours in {
        '"astrollava-small"': repr(str(written)),
        'Path("data")': f"Path({str(data)!r})",
        'quantize="q4_k_m"': 'quantize="q8_0"',
    }.items():
        assert theirs in code
        code = code.replace(theirs, ours)
    (tmp_path / "mine.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "verdict" in done.stdout


def test_fewer_bits_are_expected_to_differ(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sound model ended in "not the same", without a word of what that is held against."""
    told = {}
    for kind in ("f16", "q4_0"):
        out = tmp_path / kind
        assert main(["export", str(trained), "-o", str(out), "--quantize", kind]) == 0
        told[kind] = (capsys.readouterr().out, (out / "parity.txt").read_text("utf-8"))
    assert all("verdict" in text and "limits" not in text for text in told["f16"])
    for text in told["q4_0"]:
        assert "not the same" in text
        assert "limits of this verdict are those of 16 bits" in text


def test_stage_by_stage_is_the_same_as_both(
    trained: Path, written: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        "run", str(written), "--data", str(data), "-o", str(tmp_path / "run"), "--device", "cpu",
        "--workers", "0",
    ]  # fmt: skip
    assert main([*given, "--stage", "2"]) == 2
    assert "stage 1 of 'tiny' is not finished" in capsys.readouterr().err
    assert main([*given, "--stage", "1"]) == 0
    assert not (tmp_path / "run" / "stage2").exists()
    assert main([*given, "--stage", "2"]) == 0
    for stage in (1, 2):
        ours, theirs = weights(tmp_path / "run", stage), weights(trained, stage)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        assert ours.keys() == theirs.keys()


def test_a_finished_run_is_not_run_again_and_another_recipe_is_refused(
    trained: Path, recipe: LlavaRecipe, data: Path
) -> None:
    """The second would export weights that the recipe beside them did not make."""
    before = (trained / "stage2" / "weights.safetensors").stat().st_mtime_ns
    run(recipe, data, trained, device="cpu", workers=0)
    assert (trained / "stage2" / "weights.safetensors").stat().st_mtime_ns == before
    assert recipe.stage2 is not None
    other = dataclasses.replace(recipe, stage2=dataclasses.replace(recipe.stage2, lr=1e-3))
    with pytest.raises(InvalidRequest, match=r"stage2.*differs in stage2\.lr"):
        run(other, data, trained, device="cpu", workers=0)
    often = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, save_every=7))
    run(often, data, trained, device="cpu", workers=0)
    with pytest.raises(InvalidRequest, match=r"stage 2.*one the recipe has: \[1\]"):
        run(dataclasses.replace(recipe, stage2=None), data, trained, stages=(2,))


def test_what_was_begun_goes_on_only_when_asked(
    recipe: LlavaRecipe, data: Path, trained: Path, tmp_path: Path
) -> None:
    """Begun again by mistake, a run would lose days; gone on with by mistake, mix two."""
    out = tmp_path / "run"
    first = dataclasses.replace(recipe, stage2=None)
    (out / "stage1").mkdir(parents=True)
    kept = json.loads((trained / "stage1" / "recipe.json").read_text())
    (out / "stage1" / "recipe.json").write_text(json.dumps(kept))
    with pytest.raises(InvalidRequest, match=r"begun .* did not end.*--resume"):
        run(first, data, out, device="cpu", workers=0)
    run(first, data, out, resume=True, device="cpu", workers=0)
    ours, theirs = weights(out, 1), weights(trained, 1)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [[], ["stage2.lora.rank=4", "stage2.lora.dropout=0"]])
def test_two_processes_train_what_one_does(
    written: Path, data: Path, tmp_path: Path, lora: list[str]
) -> None:
    """Split over processes: the hashes are of whole tensors, and stage 2 begins with stage 1's."""
    out = tmp_path / "run"
    # Few steps: rounding grows from step to step until two runs are two models.
    few = ["stage1.epochs=0.5", "stage2.epochs=0.5", *lora]
    given = [
        "--data", str(data), "--device", "cpu", "--workers", "0",
        *(word for change in few for word in ("--set", change)),
    ]  # fmt: skip
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
        "--master-port", "0", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
        "-m", "astrollava_training", "run", str(written), "-o", str(out), *given,
    ]  # fmt: skip
    done = subprocess.run(
        torchrun, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert main(["run", str(written), "-o", str(tmp_path / "one"), *given]) == 0
    for stage in (1, 2):
        ours, theirs = weights(out, stage), weights(tmp_path / "one", stage)
        assert ours.keys() == theirs.keys()
        for name in theirs:
            torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)
        assert proof(out, stage)["frozen"] == proof(tmp_path / "one", stage)["frozen"]
        assert (
            proof(out, stage)["trained"].keys() == proof(tmp_path / "one", stage)["trained"].keys()
        )
    assert any("lora_A" in name for name in ours) == bool(lora)
    if not lora:
        load(out)
        return
    # Merged, split and whole must give one model, which torch and llama.cpp agree upon.
    split, whole = tmp_path / "split", tmp_path / "whole"
    seen = [data / "images" / "3.png"]
    assert export(out, tmp_path / "pair", quantize="f16", keep=split, pictures=seen)[1].is_same
    save(load(tmp_path / "one")[1], whole)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (split, whole))
    assert ours.keys() == theirs.keys()
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-3, atol=1e-4)


def test_adapters_train_beside_a_frozen_model_and_are_merged(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    # Beside weights at random, adapters learn what is said, but hardly of which picture: of colours
    # met alike often, rounding chooses one, and another in torch than in llama.cpp.
    mostly = tmp_path / "data"
    shutil.copytree(data, mostly)
    rows = json.loads((data / "conversations.json").read_text())
    few = [row for number, row in enumerate(rows) if number % 3 == 0 or number < 12]
    (mostly / "conversations.json").write_text(json.dumps(few))
    assert recipe.stage2 is not None
    lora = Lora(rank=8, alpha=16.0, dropout=0.1)
    stage = dataclasses.replace(recipe.stage2, lora=lora, lr=2e-2, epochs=24.0)
    out = tmp_path / "run"
    run(dataclasses.replace(recipe, stage2=stage), mostly, out, device="cpu", workers=0)
    assert {part_of(name) for name in weights(out, 2)} == {"projector", "adapter"}
    assert proof(out, 2)["frozen"].keys() == {"tower", "language"}
    assert_says_the_same(out, mostly, tmp_path, learned=False)


def test_the_ablation_begins_with_stage_2(recipe: LlavaRecipe, data: Path, tmp_path: Path) -> None:
    run(dataclasses.replace(recipe, stage1=None), data, tmp_path / "run", device="cpu", workers=0)
    assert not (tmp_path / "run" / "stage1").exists()
    assert proof(tmp_path / "run", 2)["trained"].keys() == {"projector", "language"}
    assert_says_the_same(tmp_path / "run", data, tmp_path)


@pytest.mark.parametrize("tower", ["siglip", "open_clip"])
def test_another_tower_takes_the_place_of_a_checkpoint_s_own(
    trained: Path, recipe: LlavaRecipe, data: Path, parts: Path, tmp_path: Path,
    tower: str, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    """From a LLaVA of ours as transformers keeps it, and the encoder swapped."""
    start = tmp_path / "llava"
    export(trained, tmp_path / "first", quantize="f16", keep=start)
    named = str(parts / tower)
    if tower == "open_clip":
        open_clip = request.getfixturevalue("open_clip")
        model = request.getfixturevalue("tiny_open_clip")
        torch.manual_seed(4)
        torch.save(open_clip.create_model(model).state_dict(), tmp_path / "weights.pt")
        named = f"open_clip:{model}:{tmp_path / 'weights.pt'}"
    swapped = dataclasses.replace(recipe, model=Model(start=str(start), tower=named))
    run(swapped, data, tmp_path / "run", device="cpu", workers=0)
    assert_says_the_same(tmp_path / "run", data, tmp_path)


def test_joined_patches_are_trained_as_llama_cpp_frames_them(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    joined = dataclasses.replace(recipe.model, projector="pixel-shuffle")
    changed = dataclasses.replace(recipe, model=joined)
    run(changed, data, tmp_path / "run", device="cpu", workers=0)
    assert_says_the_same(tmp_path / "run", data, tmp_path)


def test_a_qwen_in_its_own_template_goes_the_whole_way(
    recipe: LlavaRecipe, data: Path, parts: Path, tmp_path: Path
) -> None:
    """The small recipe's family: tied weights, no first token, a template without pictures."""
    language = tmp_path / "qwen2"
    shutil.copytree(parts / "qwen2", language)
    model = Model(tower=str(parts / "siglip"), language=str(tiny_parts.in_turns(language)))
    assert recipe.stage2 is not None
    stage = dataclasses.replace(recipe.stage2, template="chat")
    changed = dataclasses.replace(recipe, model=model, stage2=stage)
    run(changed, data, tmp_path / "run", device="cpu", workers=0)
    assert_says_the_same(tmp_path / "run", data, tmp_path)


def test_a_vicuna_with_a_sentencepiece_model_goes_the_whole_way(
    recipe: LlavaRecipe, data: Path, parts: Path, tmp_path: Path
) -> None:
    """The paper's language model: what is written around spaces and the picture differs there."""
    pytest.importorskip("sentencepiece")
    language = tiny_parts.language_model(tmp_path / "vicuna", words=tiny_parts.vicuna_tokenizer)
    model = Model(tower=str(parts / "clip"), language=str(language))
    run(dataclasses.replace(recipe, model=model), data, tmp_path / "run", device="cpu", workers=0)
    assert_says_the_same(tmp_path / "run", data, tmp_path)


def test_bf16_with_eight_bit_states_goes_the_whole_way(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    """The way of the 7B recipes, with the types they are exported in."""
    how = dataclasses.replace(
        recipe.train, dtype="bf16", optimizer="adamw-8bit", rounding="stochastic"
    )
    run(dataclasses.replace(recipe, train=how), data, tmp_path / "run", device="cpu", workers=0)
    files, report = export(tmp_path / "run", tmp_path / "pair", quantize="q4_k_m")
    kept = json.loads((tmp_path / "pair" / "parity.json").read_text())
    assert kept["f16"]["same"]
    assert kept["stored"]["cosine"] == report.to_dict()["cosine"]
    assert files.text.name == "tiny-q4_k_m-text.gguf"


def test_a_result_that_changed_is_not_exported(trained: Path, tmp_path: Path) -> None:
    """A file damaged, or base weights replaced on the hub, would become another model's pair."""
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    path = copy / "stage2" / "weights.safetensors"
    found = weights(copy, 2)
    name = next(name for name in found if name.endswith("norm.weight"))
    found[name] = found[name] + 1e-3
    save_file(found, path)
    with pytest.raises(ModelError, match="language of the model are not what stage 2"):
        export(copy, tmp_path / "pair")
    assert not (tmp_path / "pair").exists()


def test_a_folder_without_a_finished_stage_is_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "pair")]) == 2
    assert "holds no finished stage" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "pair"), "--quantize", "q9"]) == 2
    assert "q9" in capsys.readouterr().err


def test_a_checkpoint_is_kept_in_an_empty_folder_only(trained: Path, tmp_path: Path) -> None:
    """Weights of another model left beside it would be converted with it."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "model.safetensors").write_bytes(b"other weights")
    with pytest.raises(InvalidRequest, match="is not empty"):
        export(trained, tmp_path / "pair", keep=tmp_path / "kept")
    assert not (tmp_path / "pair").exists()


def test_a_stage_that_moved_another_part_ends_the_run(recipe: LlavaRecipe) -> None:
    assert recipe.stage1 is not None
    before = {"tower": "a", "projector": "b", "language": "c"}
    prove(1, recipe.stage1, before, before | {"projector": "x"})
    with pytest.raises(ModelError, match=r"stage 1 moved \['language', 'projector'\]"):
        prove(1, recipe.stage1, before, before | {"projector": "x", "language": "y"})
    with pytest.raises(ModelError, match=r"stage 1 moved \[\]"):
        prove(1, recipe.stage1, before, dict(before))


def test_tower_and_stage_belong_to_their_recipes(
    written: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recipes = Path(__file__).parents[3] / "training" / "astrollava_training" / "recipes"
    for arguments, said in (
        (["tower", str(written)], "no recipe of a tower"),
        (["run", str(recipes / "embedded.toml"), "--stage", "1"], "two-stage recipe"),
        (["run", str(recipes / "tower.toml"), "--stage", "1"], "two-stage recipe"),
        (["run", str(written), "--data", str(tmp_path / "none")], "the folder of the data"),
        (["run", str(written), "--set", "train.lrr=1"], "unknown key 'lrr'"),
    ):
        assert main(arguments) == 2
        assert said in capsys.readouterr().err


def test_a_sample_of_a_caption_ends_where_plain_ends_it(
    recipe: LlavaRecipe, data: Path, tmp_path: Path
) -> None:
    """``plain`` teaches no end token: what came after the line was shown as its caption."""
    assert recipe.stage1 is not None
    first = dataclasses.replace(
        recipe.stage1, trains=("projector", "language"), lr=5e-3, epochs=8.0
    )
    run(dataclasses.replace(recipe, stage1=first, stage2=None), data, tmp_path, device="cpu",
        workers=0)  # fmt: skip
    last = read_lines(tmp_path / "stage1" / "evaluations.jsonl")[-1]
    assert last["samples"]
    for sample in last["samples"]:
        assert re.fullmatch(r"A (red|green|blue) disk\.", sample["said"])
