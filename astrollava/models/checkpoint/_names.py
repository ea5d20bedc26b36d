"""One name for each weight, whatever the layout calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["canonical", "stored_name"]

_PROJECTOR: Final = {"linear_1": "0", "linear_2": "2"}
#: Computed anew by everybody: positions in order, the frequencies of the rotary embedding.
_BUFFERS: Final = re.compile(r"(.*\.)?(position_ids|rotary_emb\.inv_freq)")
#: The text half of CLIP and SigLIP, and what joins it to the pictures.
_OTHER_HALF: Final = (
    "text_model.", "text_projection.", "visual_projection.", "logit_scale", "logit_bias",
)  # fmt: skip
#: A tower by itself, saved by transformers 5.
_ALONE: Final = ("embeddings.", "encoder.", "pre_layrnorm.", "post_layernorm.", "head.")


def canonical(name: str) -> str | None:
    """Return the name of a weight as `Checkpoint.tensors` has it, None for one that is not needed.

    Parameters
    ----------
    name : str
        As in a file: of ``LlavaForConditionalGeneration`` in any version of transformers, of
        ``LlavaLlamaForCausalLM``, of a vision tower by itself, or of a PEFT adapter.

    Returns
    -------
    str or None
        It begins with ``language.``, ``vision.``, ``projector.`` or, for what fits nowhere,
        ``other.``.

    Examples
    --------
    >>> canonical("language_model.model.layers.0.mlp.up_proj.weight")
    'language.layers.0.mlp.up_proj.weight'
    >>> canonical("base_model.model.model.mm_projector.0.bias")
    'projector.0.bias'
    """
    rest = _without(name, ("base_model.", "model."))
    if _BUFFERS.fullmatch(rest) or rest.startswith(_OTHER_HALF):
        return None
    if rest.startswith(("vision_tower.", "vision_model.")):
        return "vision." + _without(rest, ("vision_tower.", "vision_model."))
    if rest.startswith("language_model."):
        return "language." + _without(rest, ("language_model.", "model."))
    if rest.startswith("mm_projector."):
        return "projector." + rest.removeprefix("mm_projector.")
    if rest.startswith("multi_modal_projector."):
        part, _, kind = rest.removeprefix("multi_modal_projector.").partition(".")
        return f"projector.{_PROJECTOR.get(part, part)}.{kind}"
    if rest.startswith(_ALONE):
        return "vision." + rest
    if rest.startswith(("embed_tokens.", "layers.", "norm.", "lm_head.")):
        return "language." + rest
    return "other." + rest


def stored_name(name: str, present: Mapping[str, str]) -> str:
    """Return what a file would call a weight that is missing, by those that are there.

    Parameters
    ----------
    name : str
        As `canonical` returns it.
    present : mapping
        The same of the weights that are there -> their names in the files.

    Examples
    --------
    >>> present = {"language.norm.weight": "language_model.model.norm.weight"}
    >>> stored_name("language.layers.0.mlp.up_proj.weight", present)
    'language_model.model.layers.0.mlp.up_proj.weight'
    """
    part, _, rest = name.partition(".")
    for known, stored in present.items():
        if not known.startswith(f"{part}."):
            continue
        inside = known.removeprefix(f"{part}.")
        if part == "projector" and ".linear_" in stored:
            number, _, kind = rest.partition(".")
            layer = {ours: theirs for theirs, ours in _PROJECTOR.items()}.get(number, number)
            return f"{stored[: stored.index('.linear_')]}.{layer}.{kind}"
        head = "lm_head." in name or "lm_head." in known
        if stored.endswith(inside) and not head:
            return stored.removesuffix(inside) + rest
        if stored.endswith(inside) and "lm_head." in name:
            # Outside the inner model: "language_model.lm_head" or "lm_head".
            outer = stored.removesuffix(inside)
            return ("language_model." if outer.endswith("language_model.model.") else "") + rest
    return rest


def _without(name: str, prefixes: tuple[str, ...]) -> str:
    while name.startswith(prefixes):
        name = name[name.index(".") + 1 :]
    return name
