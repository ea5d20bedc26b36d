"""The fact sheet of a model: all that its files, the catalogue and this runtime say of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from astrollava.models import ModelFiles
    from astrollava.models.gguf import GGUFHeader

__all__ = ["sheet"]

_VISION: Final = "clip.vision."


def sheet(files: ModelFiles) -> dict[str, Any]:
    """Tell all that is known of a model without loading it.

    Parameters
    ----------
    files : ModelFiles
        The model.

    Returns
    -------
    dict
        JSON-able: ``name``, ``licence``, ``source``, ``architecture``, ``quantization``,
        ``parameters``, ``context``, ``template``, ``tower``, ``projector``,
        ``projector_quantization``, ``image_tokens``, ``render``, ``calibrated``,
        ``files`` (role -> name, path, bytes, SHA-256), ``defects``
        (what is wrong with the projector file for the llama.cpp that is installed, each with
        ``repaired``: a copy without it is what `Describer` loads), and ``checked`` (``"in full"``
        where every tensor is checked before llama.cpp sees the files, else ``"in general"``).

    Raises
    ------
    ModelNotFound, InvalidModelFile, ProjectorMismatch
        A file is missing, is no sound GGUF file, or they do not belong together.
    """
    from astrollava import models
    from astrollava.models import gguf
    from astrollava.models.facts import stored_as

    text, mmproj = gguf.read_header(files.text), gguf.read_header(files.mmproj)
    defects = _defects(mmproj)
    if not defects:
        gguf.check_pair(text, mmproj)
    facts = models.facts(files)
    paths = {"text": files.text, "mmproj": files.mmproj}
    return {
        "name": facts.name,
        "licence": facts.licence,
        "source": files.source,
        "architecture": facts.architecture,
        "quantization": facts.quantization,
        "parameters": sum(_count(tensor.shape) for tensor in text.tensors),
        "context": facts.n_ctx_train,
        "template": _template(text, mmproj),
        "tower": _tower(mmproj, facts.image_size[0]),
        "projector": facts.projector or None,
        "projector_quantization": stored_as(mmproj),
        "image_tokens": facts.image_tokens or None,
        "render": {"rule": facts.render_rule, "background": list(facts.render_background)},
        "calibrated": facts.label_temperature is not None,
        "files": {
            role: {**facts.files[role], "path": str(path), "real_path": str(Path(path).resolve())}
            for role, path in paths.items()
        },
        "defects": defects,
        "checked": "in full" if gguf.fully_checked(text, mmproj) else "in general",
    }


def _defects(mmproj: GGUFHeader) -> list[dict[str, Any]]:
    from astrollava.models import repair

    if not repair.has_class_token(mmproj):
        return []
    # Only of such files does it matter what llama.cpp does, and asking it takes a moment.
    from astrollava.engine import class_token_order

    return [
        {"name": defect.name, "problem": defect.problem, "repaired": True}
        for defect in repair.diagnose(mmproj, class_token_order())
    ]


def _template(text: GGUFHeader, mmproj: GGUFHeader) -> str | None:
    """Say where the chat template is from; None where there is none."""
    if isinstance(text.metadata.get("tokenizer.chat_template"), str):
        return "its own"
    kinds = text.metadata.get("general.architecture"), mmproj.metadata.get("clip.projector_type")
    return "LLaVA's v1" if kinds in {("llama", "mlp"), ("llama", None)} else None


def _tower(mmproj: GGUFHeader, side: int) -> dict[str, Any]:
    names = {tensor.name for tensor in mmproj.tensors}
    return {
        "class_token": "v.class_embd" in names,
        "layers": mmproj.metadata.get(_VISION + "block_count"),
        "width": mmproj.metadata.get(_VISION + "embedding_length"),
        "heads": mmproj.metadata.get(_VISION + "attention.head_count"),
        "image_size": side or None,
        "patch_size": mmproj.metadata.get(_VISION + "patch_size"),
        "parameters": sum(_count(tensor.shape) for tensor in mmproj.tensors),
    }


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
