"""A checkpoint of LLaVA made into a model astrollava opens, in any storage type."""

from __future__ import annotations

import dataclasses
import logging
import os
from pathlib import Path
from typing import Final

from astrollava.engine import quantize as llama
from astrollava.errors import InvalidCheckpoint, InvalidRequest, TemplateError
from astrollava.models import ModelFiles
from astrollava.models import convert as direct
from astrollava.models.checkpoint import Checkpoint, open_checkpoint
from astrollava.quantize import Progress, quantize

__all__ = ["convert"]

_log = logging.getLogger("astrollava")

_RULES: Final = ("pad", "crop", "stretch")
_WHOLE: Final = ("f32", "f16", "bf16")


def convert(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    quantize: str = "f16",
    mmproj_quantize: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    render_rule: str | None = None,
    base: str | os.PathLike[str] | None = None,
    vision_tower: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ModelFiles:
    """Convert a checkpoint into a pair of GGUF files, without torch.

    Parameters
    ----------
    checkpoint : path-like
        A folder as transformers' ``LlavaForConditionalGeneration`` or the original LLaVA saved it;
        see `astrollava.models.checkpoint.open_checkpoint`. Nothing in it is run.
    out : path-like
        A new or empty folder. It appears with both files in it, or not at all.
    quantize : str
        Storage type of the language model, one of `astrollava.engine.quantize.TYPES`:
        ``"f16"``, ``"q8_0"``, ``"q4_k_m"``, ...
    mmproj_quantize : str, optional
        The same for vision tower and projector, one of `PROJECTOR_TYPES` there. By default like the
        language model in ``"f32"``, ``"f16"`` and ``"bf16"``, else ``"q8_0"``.
    name : str, optional
        Name of the model and of its files; by default that of the checkpoint.
    licence : str, optional
        Of the weights; by default what the checkpoint's model card says.
    render_rule : {"pad", "crop", "stretch"}, optional
        How pictures were made square in training, where the checkpoint's own word is not to be
        taken: published LLaVA-1.5 checkpoints of transformers say "crop" and were trained with
        "pad".
    base, vision_tower : path-like, optional
        Folders of the base model of an adapter or projector, and of a vision tower, where they do
        not lie beside the checkpoint.
    threads : int, optional
        Of llama.cpp, for the types it alone writes; by default one a physical core.
    progress : callable, optional
        Told the step, and its bytes done and in all.

    Returns
    -------
    ModelFiles
        The files, each named by its own type: ``{name}-{quantize}-text.gguf`` and
        ``{name}-{mmproj_quantize}-mmproj.gguf``.

    Raises
    ------
    ModelNotFound
        There is no such folder, or the base model or vision tower is not found.
    InvalidRequest
        An unknown type or rule, or an `out` that is not empty.
    InvalidCheckpoint
        The checkpoint is damaged, incomplete or hostile, or its chat template cannot be used.
    UnsupportedModel
        A part of it has no equal in llama.cpp.
    NotEnoughSpace, ModelError
        The files cannot be written, or llama.cpp refused them.
    """
    kind = llama.check_type(quantize)
    wanted = direct.mmproj_default(kind) if mmproj_quantize is None else mmproj_quantize
    mmproj_kind = llama.check_type(wanted, projector=True)
    if render_rule is not None and render_rule not in _RULES:
        raise InvalidRequest(f"the rule {render_rule!r:.40}", expected=", ".join(_RULES))
    target = Path(out).expanduser()
    opened = open_checkpoint(Path(checkpoint), base=_path(base), vision_tower=_path(vision_tower))
    if render_rule is not None:
        rendering = dataclasses.replace(opened.rendering, rule=render_rule, assumed=False)
        opened = dataclasses.replace(opened, rendering=rendering)
    _check_template(opened)
    if opened.rendering.assumed:
        _log.warning(
            "the checkpoint has no processor_config.json or preprocessor_config.json: pictures are"
            " rendered by the rule %s on %s, which is assumed; --render-rule sets another",
            opened.rendering.rule,
            opened.rendering.background,
        )
    if {kind, mmproj_kind} <= {*direct.QUANTIZATIONS}:
        return direct.convert(
            opened,
            target,
            quantize=kind,
            mmproj_quantize=mmproj_kind,
            name=name,
            licence=licence,
            progress=progress,
        )
    return _through_llama(opened, target, kind, mmproj_kind, name, licence, threads, progress)


def _check_template(checkpoint: Checkpoint) -> None:
    """Refuse a chat template the engine could not use; tell of one that is assumed."""
    # It brings jinja2, and only here.
    from astrollava.engine.template import ChatTemplate

    own = direct.own_template(checkpoint.tokenizer_folder)
    if own is None:
        source = direct.chat_template(checkpoint.tokenizer_folder, checkpoint.config)
        name = "LLaVA's v1"
        if source == direct.TEMPLATES["llava_llama_2"]:
            name = "LLaVA's for Llama 2"
        elif source is None and checkpoint.language.architecture != "llama":
            _log.warning("the checkpoint has no chat template: ask with prompts of your own")
            return
        _log.warning("the checkpoint has no chat template: %s is assumed", name)
        return
    try:
        ChatTemplate(own, marker="<__media__>", bos="<s>", eos="</s>")
    except TemplateError as error:
        raise InvalidCheckpoint(
            f"the checkpoint's chat template cannot be used: {error.problem}",
            expected="a Jinja2 template that writes the image and the text of a message",
            hint="Put a sound chat_template.jinja into "
            f"{checkpoint.tokenizer_folder}, which is taken first",
        ) from error


def _through_llama(
    checkpoint: Checkpoint,
    out: Path,
    kind: str,
    mmproj_kind: str,
    name: str | None,
    licence: str | None,
    threads: int | None,
    progress: Progress | None,
) -> ModelFiles:
    """Write the pair whole first, beside `out`, and let llama.cpp store it smaller."""
    direct.check_free(out)
    tower_done = mmproj_kind in direct.QUANTIZATIONS
    with direct.room(out) as folder:
        whole = direct.write_pair(
            checkpoint,
            folder,
            quantize=kind if kind in _WHOLE else _exact(checkpoint),
            mmproj_quantize=mmproj_kind if tower_done else _exact(checkpoint),
            name=name,
            licence=licence,
            progress=progress,
            # What llama.cpp writes is at most as large.
            reserve=lambda text, mmproj: text + mmproj,
        )
        made = quantize(
            whole,
            kind,
            out,
            # None leaves alone what is quantized already.
            mmproj_quantize=None if tower_done and mmproj_kind not in _WHOLE else mmproj_kind,
            threads=threads,
            progress=progress,
        )
    # Only what was cancelled is None.
    assert made is not None
    return dataclasses.replace(made, licence=whole.licence)


def _exact(checkpoint: Checkpoint) -> str:
    """Return a type in which nothing that matters to smaller ones is lost."""
    weight = checkpoint.tensors.get("language.layers.0.mlp.up_proj.weight")
    return "bf16" if weight is not None and weight.kind == "BF16" else "f16"


def _path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)
