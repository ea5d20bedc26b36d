"""Assembled of parts, a LLaVA computes what the parts compute, and nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from transformers import AutoModelForCausalLM, CLIPModel, SiglipVisionModel  # noqa: E402

import llava_checkpoints  # noqa: E402
from astrollava.errors import InvalidCheckpoint, ModelNotFound, UnsupportedModel  # noqa: E402
from astrollava_training.llava.assemble import Assembled, assemble  # noqa: E402
from astrollava_training.llava.lora import add_adapters, merge_adapters  # noqa: E402
from astrollava_training.llava.sources import find_folder  # noqa: E402
from astrollava_training.llava.towers import load_tower  # noqa: E402
from astrollava_training.parts import fingerprint, part_of  # noqa: E402
from astrollava_training.recipe import (  # noqa: E402
    Data,
    LlavaRecipe,
    Lora,
    Model,
    Stage,
    Train,
)
from astrollava_training.tables import RecipeError  # noqa: E402


def recipe(*, dtype: Any = "fp32", length: int = 256, seed: int = 0, **model: Any) -> LlavaRecipe:
    named = {key: str(v) if isinstance(v, Path) else v for key, v in model.items()}
    return LlavaRecipe(
        "tiny",
        Model(**named),
        seed=seed,
        data=Data(length=length),
        stage1=Stage(("captions.json",), "plain", ("projector",), 1e-3, 8),
        train=Train(dtype=dtype),
    )


def pixels(ready: Assembled) -> Any:
    side = ready.pictures.size
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_parts_compute_what_they_did(parts: Path) -> None:
    """A tower read at another layer, or embeddings that moved, would still train."""
    ready = assemble(recipe(tower=parts / "clip-whole", language=parts / "llama"))
    model = ready.model.eval()
    tower = CLIPModel.from_pretrained(parts / "clip-whole", dtype=torch.float32).vision_model.eval()
    seen = tower(pixel_values=pixels(ready), output_hidden_states=True).hidden_states[-2][:, 1:]
    own = model.get_image_features(pixel_values=pixels(ready)).pooler_output
    torch.testing.assert_close(torch.stack(list(own)), model.model.multi_modal_projector(seen))
    language = AutoModelForCausalLM.from_pretrained(parts / "llama", dtype=torch.float32).eval()
    ids = torch.arange(40)[None]
    rows = language.config.vocab_size
    torch.testing.assert_close(
        model(input_ids=ids).logits[..., :rows], language(input_ids=ids).logits
    )


@pytest.mark.parametrize("language", ["llama", "qwen2"])
def test_the_token_of_the_picture_has_a_row(parts: Path, language: str) -> None:
    """Without one its id would be out of range; and tied weights must stay tied."""
    before = json.loads((parts / language / "config.json").read_text())["vocab_size"]
    ready = assemble(recipe(tower=parts / "clip", language=parts / language))
    model, token = ready.model, ready.pictures.token
    assert ready.tokenizer.convert_ids_to_tokens(token) == "<image>"
    assert ready.tokenizer.encode("<image>", add_special_tokens=False) == [token]
    table = model.get_input_embeddings().weight
    assert token >= before
    assert table.shape[0] % 64 == 0
    assert table.shape[0] == model.lm_head.weight.shape[0] == model.config.text_config.vocab_size
    assert (model.lm_head.weight is table) == (language == "qwen2")
    # The mean of all others: as a word it is unlikely.
    torch.testing.assert_close(table[token], table[:before].mean(0))


def test_a_qwen_keeps_its_own_special_tokens(parts: Path, tmp_path: Path) -> None:
    """Adding one by its role would replace the others of that role."""
    folder = tmp_path / "qwen2"
    shutil.copytree(parts / "qwen2", folder)
    path = folder / "tokenizer_config.json"
    said = json.loads(path.read_text()) | {"additional_special_tokens": ["<|im_start|>"]}
    path.write_text(json.dumps(said))
    ready = assemble(recipe(tower=parts / "clip", language=folder))
    assert len(ready.tokenizer.encode("<|im_start|>", add_special_tokens=False)) == 1
    assert "<|im_start|>" in ready.tokenizer.all_special_tokens


def test_a_siglip_is_read_whole_with_its_own_numbers(parts: Path) -> None:
    """Taking the first patch for a class token would shift the picture by one."""
    ready = assemble(recipe(tower=parts / "siglip", language=parts / "llama", feature_layer=-1))
    assert ready.model.config.vision_feature_select_strategy == "full"
    assert (ready.pictures.tokens, ready.pictures.mean) == (16, (0.5, 0.4, 0.3))
    assert ready.pictures.background == (127, 102, 76)
    tower = SiglipVisionModel.from_pretrained(parts / "siglip", dtype=torch.float32).eval()
    seen = tower(pixel_values=pixels(ready), output_hidden_states=True).hidden_states[-1]
    own = ready.model.eval().get_image_features(pixel_values=pixels(ready)).pooler_output
    torch.testing.assert_close(
        torch.stack(list(own)), ready.model.model.multi_modal_projector(seen)
    )


def test_joined_patches_take_a_quarter_of_the_tokens(parts: Path) -> None:
    ready = assemble(
        recipe(tower=parts / "clip", language=parts / "llama", projector="pixel-shuffle")
    )
    seen = ready.pictures
    assert (seen.tokens, seen.ids.count(seen.token)) == (4, 4)
    # llama.cpp writes these around such a picture: the model must have seen them in training.
    at = seen.ids.index(seen.token)
    assert ready.tokenizer.decode(seen.ids[:at]) == "<img>"
    assert ready.tokenizer.decode(seen.ids[at + 4 :]) == "</img>"


def test_the_projector_is_drawn_from_the_seed_alone(parts: Path) -> None:
    """Drawn from the global state, a resumed run would begin with another one."""

    def drawn(seed: int) -> str:
        made = recipe(tower=parts / "clip", language=parts / "llama", seed=seed)
        return fingerprint(assemble(made).model, "projector")

    first = drawn(1)
    torch.rand(7)
    assert drawn(1) == first
    assert drawn(2) != first


def test_bf16_is_every_weight_s(parts: Path) -> None:
    ready = assemble(recipe(tower=parts / "clip", language=parts / "llama", dtype="bf16"))
    assert {p.dtype for p in ready.model.parameters()} == {torch.bfloat16}
    assert len({fingerprint(ready.model, part) for part in ("tower", "projector", "language")}) == 3


@pytest.mark.parametrize("layout", ["hf", "original"])
def test_a_llava_checkpoint_of_either_layout_is_a_start(tmp_path: Path, layout: str) -> None:
    net = llava_checkpoints.model()
    folder = tmp_path / "llava"
    if layout == "hf":
        llava_checkpoints.save(net, folder)
    else:
        llava_checkpoints.save_original(net, folder, tower=tmp_path / "clip")
        # The original's tokenizer knows no picture.
        words = json.loads((folder / "tokenizer.json").read_text())
        words["added_tokens"] = [t for t in words["added_tokens"] if t["content"] != "<image>"]
        words["model"]["vocab"]["~image~"] = words["model"]["vocab"].pop("<image>")
        (folder / "tokenizer.json").write_text(json.dumps(words))
    ready = assemble(recipe(start=folder))
    assert ready.tokenizer.convert_tokens_to_ids("<image>") == ready.pictures.token
    theirs = net.state_dict()
    for name, value in ready.model.state_dict().items():
        if "post_layernorm" in name:  # behind what LLaVA reads
            continue
        there = theirs[name]
        torch.testing.assert_close(value[: len(there)] if value.dim() else value, there)
    assert ready.pictures.tokens == 16


def test_another_tower_begins_another_projector(parts: Path, tmp_path: Path) -> None:
    """The old one reads features of the old tower: kept, it would look trained and be noise."""
    net = llava_checkpoints.model()
    start = llava_checkpoints.save(net, tmp_path / "llava")
    ready = assemble(recipe(start=start, tower=parts / "siglip"))
    assert ready.model.config.vision_config.model_type == "siglip_vision_model"
    language = ready.model.model.language_model.state_dict()
    for name, value in net.model.language_model.state_dict().items():
        torch.testing.assert_close(language[name], value)
    old = net.model.multi_modal_projector.linear_1.weight
    assert not torch.equal(ready.model.model.multi_modal_projector.linear_1.weight, old)


def test_what_does_not_go_together_is_refused_by_name(parts: Path, tmp_path: Path) -> None:
    clip, llama = parts / "clip", parts / "llama"
    for kind, said, asked in (
        (UnsupportedModel, "wants a class token", {
            "tower": parts / "siglip", "language": llama, "projector": "pixel-shuffle"}),
        (UnsupportedModel, "the vision tower .* of the type 'llama'", {
            "tower": llama, "language": llama}),
        (UnsupportedModel, "the language model .* of the type 'clip", {
            "tower": clip, "language": clip}),
        (RecipeError, "feature_layer is -4", {
            "tower": clip, "language": llama, "feature_layer": -4}),
        (RecipeError, "16 of the 16 tokens", {"tower": clip, "language": llama, "length": 16}),
        (ModelNotFound, "the vision tower 'no-such'", {"tower": "no-such", "language": llama}),
    ):  # fmt: skip
        with pytest.raises(kind, match=f"(?s){said}"):
            assemble(recipe(**asked))
    far = tmp_path / "far"
    shutil.copytree(llama, far)
    said = json.loads((far / "config.json").read_text())
    said["rope_parameters"] = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    (far / "config.json").write_text(json.dumps(said))
    with pytest.raises(UnsupportedModel, match="rotary positions of the type 'dynamic'"):
        assemble(recipe(tower=clip, language=far))
    start = llava_checkpoints.save(llava_checkpoints.model(), tmp_path / "llava")
    with pytest.raises(RecipeError, match="projector is 'pixel-shuffle'"):
        assemble(recipe(start=start, projector="pixel-shuffle"))
    with pytest.raises(RecipeError, match=r"feature_layer is -1.* on -2"):
        assemble(recipe(start=start, feature_layer=-1))


def test_a_tower_or_language_model_with_missing_weights_is_refused(
    parts: Path, tmp_path: Path
) -> None:
    """transformers would fill them with random numbers and a warning."""
    from safetensors.torch import load_file, save_file

    for what, lost in (("clip", "encoder.layers.0.mlp.fc1.weight"), ("llama", "norm.weight")):
        folder = tmp_path / what
        shutil.copytree(parts / what, folder)
        weights = load_file(folder / "model.safetensors")
        gone = next(name for name in weights if name.endswith(lost))
        save_file({n: w for n, w in weights.items() if n != gone}, folder / "model.safetensors",
                  metadata={"format": "pt"})  # fmt: skip
        named = {"tower": parts / "clip", "language": parts / "llama"}
        named["tower" if what == "clip" else "language"] = folder
        with pytest.raises(InvalidCheckpoint, match=lost.split(".")[-2]):
            assemble(recipe(**named))


def test_a_name_of_the_hub_is_found_in_its_cache(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines that train often have no network."""
    from huggingface_hub import constants

    commit = "0" * 40
    cached = tmp_path / "models--some--clip"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    shutil.copytree(parts / "clip", cached / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_folder("some/clip", "the vision tower").name == commit
    assert load_tower("some/clip", torch.float32).model.config.image_size == 56
    with pytest.raises(ModelNotFound, match="hf download some/other"):
        find_folder("some/other", "the vision tower")


def test_adapters_begin_as_nothing_and_merge_into_what_they_compute(parts: Path) -> None:
    ready = assemble(recipe(tower=parts / "clip", language=parts / "llama"))
    model, ids = ready.model.eval(), torch.arange(30)[None]
    before, frozen = model(input_ids=ids).logits, fingerprint(model, "language")
    add_adapters(model, Lora(rank=4, alpha=8.0, dropout=0.0), seed=1)
    model.eval()
    torch.testing.assert_close(model(input_ids=ids).logits, before)
    assert fingerprint(model, "language") == frozen
    adapters = [(n, p) for n, p in model.named_parameters() if part_of(n) == "adapter"]
    assert len(adapters) == 2 * 2 * 7  # both factors, of seven matrices in each of two layers
    with torch.no_grad():
        for _, parameter in adapters:
            parameter.copy_(torch.from_numpy(np.random.default_rng(0).normal(size=parameter.shape)))
            parameter.mul_(0.1)
    adapted = model(input_ids=ids).logits
    assert (adapted - before).abs().max() > 0.01
    merge_adapters(model)
    assert not any("lora" in name or "base_layer" in name for name in model.state_dict())
    torch.testing.assert_close(model(input_ids=ids).logits, adapted, rtol=1e-4, atol=1e-4)
    assert fingerprint(model, "language") != frozen


def test_adapters_are_drawn_from_the_seed(parts: Path) -> None:
    def drawn(seed: int) -> str:
        ready = assemble(recipe(tower=parts / "clip", language=parts / "llama"))
        add_adapters(ready.model, Lora(rank=4), seed)
        return fingerprint(ready.model, "adapter")

    first = drawn(1)
    torch.rand(5)
    assert drawn(1) == first != drawn(2)


def test_a_template_of_the_checkpoint_is_kept_where_a_stage_takes_it(
    parts: Path, tmp_path: Path
) -> None:
    """A model trained on its own template and exported with v1 would be asked in a foreign one."""
    folder = tmp_path / "chatty"
    shutil.copytree(parts / "llama", folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    made = recipe(tower=parts / "clip", language=folder)
    assert "ASSISTANT:" in assemble(made).tokenizer.chat_template
    assert made.stage1 is not None
    own = dataclasses.replace(made, stage1=dataclasses.replace(made.stage1, template="chat"))
    assert assemble(own).tokenizer.chat_template == "{{ messages[0]['content'] }}"
