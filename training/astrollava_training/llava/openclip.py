"""Vision towers of open_clip as towers of transformers, which llama.cpp's converter knows.

open_clip is imported only here and only when asked for: it needs torchvision.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

from astrollava.errors import EngineUnavailable, ModelNotFound, UnsupportedModel

__all__ = ["convert", "create", "is_name", "loss", "normalisation", "require", "tokenizer"]

_PREFIX: Final = "open_clip:"
#: Ways of open_clip to name a model that have a colon of their own.
_SCHEMES: Final = ("hf-hub:", "local-dir:")

_State = dict[str, torch.Tensor]


def is_name(name: str) -> bool:
    """Whether a recipe's name of a tower is one of open_clip."""
    return name.startswith(_PREFIX)


def create(name: str, *, untrained: bool = False) -> Any:
    """Make a model of open_clip, tower and text encoder, on the CPU, in float32.

    Parameters
    ----------
    name : str
        ``open_clip:NAME:PRETRAINED``, where NAME is one of ``open_clip.list_models()`` and
        PRETRAINED one of its tags or a file of weights; or ``open_clip:hf-hub:OWNER/NAME``, or
        ``open_clip:local-dir:FOLDER``.
    untrained : bool
        Whether PRETRAINED may be left out, for weights at random.

    Raises
    ------
    EngineUnavailable
        If open_clip is not installed, or cannot be imported.
    ModelNotFound
        If there is no such model, or no such weights.
    """
    model, pretrained = _named(name)
    if not (pretrained or untrained or model.startswith(_SCHEMES)):
        raise ModelNotFound(
            f"the tower {name!r} names no weights",
            expected="open_clip:NAME:PRETRAINED",
            hint="The tags of a model: open_clip.list_pretrained_tags_by_model(NAME)",
        )
    package = _package()
    try:
        return package.create_model(
            model,
            pretrained=pretrained or None,
            require_pretrained=not untrained or bool(pretrained),
        )
    except (RuntimeError, FileNotFoundError, OSError) as error:
        raise ModelNotFound(
            f"open_clip has no {name!r}: {error}", expected="open_clip:NAME:PRETRAINED"
        ) from error


def tokenizer(name: str) -> Any:
    """Return what makes tokens of captions for a model of `create`."""
    return _package().get_tokenizer(_named(name)[0])


def require(what: str) -> None:
    """Refuse, before anything is made, what would need open_clip only later.

    Raises
    ------
    EngineUnavailable
        If open_clip cannot be used; the error says what for.
    """
    _package(f"{what} needs open_clip: it")


def loss(*, siglip: bool) -> Any:
    """Return open_clip's contrastive loss, SigLIP's or CLIP's, for one process."""
    kinds = _package().loss
    return kinds.SigLipLoss() if siglip else kinds.ClipLoss()


def normalisation(visual: Any) -> tuple[Any, Any]:
    """Return mean and deviation of the pictures of a tower of open_clip."""
    said = visual.preprocess_cfg
    return tuple(said["mean"]), tuple(said["std"])


def _named(name: str) -> tuple[str, str]:
    """Split a recipe's name of a tower into open_clip's of the model and of its weights."""
    asked = name.removeprefix(_PREFIX)
    if asked.startswith(_SCHEMES):
        return asked, ""
    model, _, pretrained = asked.partition(":")
    return model, pretrained


def _package(subject: str = "open_clip") -> Any:
    """Import it, or say with a subject why it cannot be."""
    try:
        import open_clip
    except (ImportError, RuntimeError) as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "open_clip"
        raise EngineUnavailable(
            f"{subject} {'is not installed' if missing else f'cannot be used: {error}'}",
            expected="open_clip_torch and a torchvision that fits torch",
            hint='Install them with: pip install "astrollava[towers]"',
        ) from error
    return open_clip


def convert(visual: Any) -> Any:
    """Make a tower of transformers that computes what one of open_clip does.

    What comes behind the layers, pooling and projection, is not LLaVA's and is left out. A scale of
    layers is multiplied into their weights.

    Parameters
    ----------
    visual : nn.Module
        ``model.visual`` of open_clip: its own ``VisionTransformer``, or one of timm.

    Returns
    -------
    CLIPVisionModel or SiglipVisionModel
        By whether there is a class token; in evaluation mode.

    Raises
    ------
    UnsupportedModel
        For a tower that neither of the two can compute.
    """
    kind = type(visual).__name__
    if kind == "VisionTransformer":
        return _own(visual)
    trunk = getattr(visual, "trunk", None)
    if type(trunk).__name__ == "VisionTransformer":
        return _timm(trunk)
    raise _unsupported(f"a {kind}" + (f" around a {type(trunk).__name__}" if trunk else ""))


def _own(visual: Any) -> Any:
    """Convert open_clip's own ViT, as CLIP."""
    blocks = list(visual.transformer.resblocks)
    for block in blocks:
        if type(block).__name__ != "ResidualAttentionBlock":
            raise _unsupported(f"blocks of the type {type(block).__name__}")
    if not isinstance(visual.ln_pre, nn.LayerNorm):
        raise _unsupported("no norm before its blocks")
    width = visual.conv1.out_channels
    state: _State = {
        "embeddings.class_embedding": visual.class_embedding,
        "embeddings.patch_embedding.weight": visual.conv1.weight,
        "embeddings.position_embedding.weight": visual.positional_embedding,
    }
    _put(state, "pre_layrnorm", visual.ln_pre)
    # A pooling by attention has its norm behind it, of another width.
    if visual.ln_post.weight.shape == (width,):
        _put(state, "post_layernorm", visual.ln_post)
    for number, block in enumerate(blocks):
        place = f"encoder.layers.{number}"
        _put(state, f"{place}.layer_norm1", block.ln_1)
        _put(state, f"{place}.layer_norm2", block.ln_2)
        attention = block.attn
        _put_qkv(state, place, attention.in_proj_weight, attention.in_proj_bias)
        _put(state, f"{place}.self_attn.out_proj", attention.out_proj, scale=block.ls_1)
        _put(state, f"{place}.mlp.fc1", block.mlp.c_fc)
        _put(state, f"{place}.mlp.fc2", block.mlp.c_proj, scale=block.ls_2)
    first = blocks[0]
    config = CLIPVisionConfig(
        **_sizes(visual.image_size, visual.patch_size, width, len(blocks)),
        intermediate_size=first.mlp.c_fc.out_features,
        num_attention_heads=first.attn.num_heads,
        hidden_act=_activation(first.mlp.gelu),
        layer_norm_eps=visual.ln_pre.eps,
    )
    return _filled(CLIPVisionModel(config), state)


def _timm(trunk: Any) -> Any:
    """Convert a ViT of timm: as CLIP with a class token, as SigLIP without one."""
    clip = trunk.cls_token is not None
    patches, blocks = trunk.patch_embed.proj, list(trunk.blocks)
    for wrong, what in (
        (isinstance(trunk.norm_pre, nn.LayerNorm) != clip, "norms that fit neither"),
        ((patches.bias is None) != clip, "biases of patches that fit neither"),
        (getattr(trunk, "reg_token", None) is not None, "register tokens"),
        (trunk.pos_embed is None or trunk.no_embed_class, "positions of another kind"),
        (
            any(type(b).__name__ != "Block" or type(b.mlp).__name__ != "Mlp" for b in blocks),
            "blocks of another kind",
        ),
    ):
        if wrong:
            raise _unsupported(what)
    state: _State = {
        "embeddings.patch_embedding.weight": patches.weight,
        "embeddings.position_embedding.weight": trunk.pos_embed[0],
    }
    if clip:
        state["embeddings.class_embedding"] = trunk.cls_token[0, 0]
        _put(state, "pre_layrnorm", trunk.norm_pre)
    else:
        state["embeddings.patch_embedding.bias"] = patches.bias
    if isinstance(trunk.norm, nn.LayerNorm):
        _put(state, "post_layernorm", trunk.norm)
    for number, block in enumerate(blocks):
        place = f"encoder.layers.{number}"
        if not isinstance(block.attn.q_norm, nn.Identity) or block.attn.qkv.bias is None:
            raise _unsupported("attention of another kind")
        _put(state, f"{place}.layer_norm1", block.norm1)
        _put(state, f"{place}.layer_norm2", block.norm2)
        _put_qkv(state, place, block.attn.qkv.weight, block.attn.qkv.bias)
        _put(state, f"{place}.self_attn.out_proj", block.attn.proj, scale=block.ls1)
        _put(state, f"{place}.mlp.fc1", block.mlp.fc1)
        _put(state, f"{place}.mlp.fc2", block.mlp.fc2, scale=block.ls2)
    first = blocks[0]
    sizes = {
        **_sizes(
            trunk.patch_embed.img_size, patches.kernel_size, patches.out_channels, len(blocks)
        ),
        "intermediate_size": first.mlp.fc1.out_features,
        "num_attention_heads": first.attn.num_heads,
        "hidden_act": _activation(first.mlp.act),
        "layer_norm_eps": first.norm1.eps,
    }
    if clip:
        return _filled(CLIPVisionModel(CLIPVisionConfig(**sizes)), state)
    config = SiglipVisionConfig(**sizes, vision_use_head=False)
    return _filled(SiglipVisionModel(config), state)


def _sizes(image: Any, patch: Any, width: int, layers: int) -> dict[str, int]:
    if len({*image}) != 1 or len({*patch}) != 1:
        raise _unsupported(f"pictures of {image} in patches of {patch}")
    return {
        "image_size": image[0],
        "patch_size": patch[0],
        "hidden_size": width,
        "num_hidden_layers": layers,
    }


def _put(state: _State, name: str, module: Any, scale: Any = None) -> None:
    """Take up weight and bias of a module, times what scales its output."""
    factor = getattr(scale, "gamma", None)
    for kind in ("weight", "bias"):
        value = getattr(module, kind)
        if factor is not None:
            value = value * (factor[:, None] if kind == "weight" else factor)
        state[f"{name}.{kind}"] = value


def _put_qkv(state: _State, place: str, weight: torch.Tensor, bias: torch.Tensor) -> None:
    for kind, joined in (("weight", weight), ("bias", bias)):
        for letter, value in zip("qkv", joined.chunk(3), strict=True):
            state[f"{place}.self_attn.{letter}_proj.{kind}"] = value


def _activation(module: Any) -> str:
    name = type(module).__name__
    if name == "QuickGELU":
        return "quick_gelu"
    if isinstance(module, nn.GELU):
        return "gelu" if module.approximate == "none" else "gelu_pytorch_tanh"
    raise _unsupported(f"the activation {name}")


def _filled(model: Any, state: _State) -> Any:
    """Put weights into a model whose names may begin with another."""
    (begins,) = (
        name.removesuffix("embeddings.patch_embedding.weight")
        for name in model.state_dict()
        if name.endswith("embeddings.patch_embedding.weight")
    )
    found = model.load_state_dict({begins + name: v.detach() for name, v in state.items()}, False)
    lacking = [name for name in found.missing_keys if "post_layernorm" not in name]
    if lacking or found.unexpected_keys:
        raise _unsupported(f"other weights: {[*lacking, *found.unexpected_keys][:4]}")
    return model.eval()


def _unsupported(what: str) -> UnsupportedModel:
    return UnsupportedModel(
        f"the open_clip tower has {what}",
        expected="a plain ViT: a CLIP with a norm before its blocks, or a SigLIP",
        hint="Towers of other kinds are not computed by llama.cpp's converter either",
    )
