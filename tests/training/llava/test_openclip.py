"""Towers of open_clip compute the same once they are towers of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from astrollava.errors import EngineUnavailable, ModelNotFound, UnsupportedModel  # noqa: E402
from astrollava_training.llava import openclip  # noqa: E402
from astrollava_training.llava.towers import load_tower  # noqa: E402

#: The text encoder of a tiny model, whose tower is then one of those below.
TEXT = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}
SIZES = {"image_size": 56, "patch_size": 14, "width": 64, "head_width": 32, "layers": 3}


def tower(open_clip: Any, *, quick: bool = False, **vision: Any) -> Any:
    torch.manual_seed(0)
    model = open_clip.CLIP(16, {**SIZES, **vision}, TEXT, quick_gelu=quick)
    return wide(model.visual)


def wide(visual: Any) -> Any:
    """Biases that begin at zero, and scales at one, would hide any that is lost."""
    with torch.no_grad():
        for parameter in visual.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return visual.eval()


def pixels() -> Any:
    return torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(1))


def own_states(visual: Any, count: int) -> list[Any]:
    """The outputs of open_clip's blocks, by its own forward pass."""
    found: list[Any] = []
    blocks = getattr(visual, "transformer", None)
    blocks = blocks.resblocks if blocks is not None else visual.trunk.blocks
    handles = [b.register_forward_hook(lambda *a: found.append(a[2].detach())) for b in blocks]
    with torch.no_grad():
        visual(pixels())
    for handle in handles:
        handle.remove()
    assert len(found) == count
    return found


def assert_same(visual: Any, converted: Any, *, layers: int = 3) -> None:
    theirs = own_states(visual, layers)
    with torch.no_grad():
        ours = converted(pixel_values=pixels(), output_hidden_states=True).hidden_states
    for layer in range(layers):
        torch.testing.assert_close(ours[layer + 1], theirs[layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize(
    "vision", [{}, {"ls_init_value": 0.5}, {"attentional_pool": True}, {"pool_type": "avg"}]
)
def test_a_vit_of_open_clip_becomes_a_clip_of_transformers(
    open_clip: Any, quick: bool, vision: dict[str, Any]
) -> None:
    """The wrong GELU, a lost scale or queries for keys would still give plausible features."""
    visual = tower(open_clip, quick=quick, **vision)
    converted = openclip.convert(visual)
    assert converted.config.model_type == "clip_vision_model"
    assert converted.config.hidden_act == ("quick_gelu" if quick else "gelu")
    assert_same(visual, converted)


@pytest.mark.parametrize("name", ["vit_base_patch16_siglip_224", "vit_base_patch16_clip_224"])
def test_a_vit_of_timm_becomes_what_its_class_token_says(open_clip: Any, name: str) -> None:
    """SigLIP's towers in open_clip are timm's."""
    import timm

    clip = "clip" in name
    trunk = timm.create_model(
        name, img_size=56, patch_size=14, embed_dim=64, depth=3, num_heads=2, num_classes=0,
        init_values=None if clip else 0.3,
    )  # fmt: skip
    visual = torch.nn.Module()
    visual.trunk = wide(trunk)
    visual.forward = trunk.forward  # type: ignore[method-assign]
    converted = openclip.convert(visual)
    kind = "clip" if clip else "siglip"
    assert converted.config.model_type == f"{kind}_vision_model"
    assert_same(visual, converted)


def test_what_transformers_cannot_compute_is_refused_by_name(open_clip: Any) -> None:
    with pytest.raises(UnsupportedModel, match="no norm before its blocks"):
        openclip.convert(tower(open_clip, no_ln_pre=True))
    with pytest.raises(UnsupportedModel, match="blocks of the type CustomResidualAttentionBlock"):
        openclip.convert(tower(open_clip, block_type="custom"))
    with pytest.raises(UnsupportedModel, match="ModifiedResNet"):
        openclip.convert(open_clip.CLIP(16, {**SIZES, "layers": (1, 1, 1, 1)}, TEXT).visual)


def test_a_recipe_names_one_by_its_weights(
    open_clip: Any, tiny_open_clip: str, tmp_path: Path
) -> None:
    """Weights at random in place of those that were meant would train without a complaint."""
    torch.manual_seed(0)
    visual = wide(open_clip.create_model(tiny_open_clip).visual)
    model = open_clip.create_model(tiny_open_clip)
    model.visual.load_state_dict(visual.state_dict())
    path = tmp_path / "weights.pt"
    torch.save(model.state_dict(), path)
    found = load_tower(f"open_clip:{tiny_open_clip}:{path}", torch.float32)
    assert found.mean[0] == pytest.approx(0.48145466)
    assert_same(visual, found.model)
    for name, said in (
        (f"open_clip:{tiny_open_clip}", "names no weights"),
        (f"open_clip:{tiny_open_clip}:nowhere", "nowhere"),
        ("open_clip:ViT-nowhere:openai", "ViT-nowhere"),
    ):
        with pytest.raises(ModelNotFound, match=said):
            load_tower(name, torch.float32)


def test_without_open_clip_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(EngineUnavailable, match=r"astrollava\[towers\]"):
        openclip.create("open_clip:ViT-B-32:openai")
