"""What a pair of model files says of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from . import store
from ._formats import FILE_TYPES
from ._header import GGUFHeader, read_header
from ._mmproj_rules import projector_type
from .catalog import ModelFiles
from .repair import has_class_token

__all__ = ["ModelFacts", "facts", "stored_as"]

#: The mean colour of CLIP's training pictures, on which LLaVA-1.5 pads to a square.
_CLIP_MEAN: Final = (122, 116, 104)
_PADS: Final = frozenset({"mlp", "mlp_norm", "ldp", "ldpv2", "adapter"})
_BLACK: Final = (0, 0, 0)

#: Projectors that join patches, two by two along each side where the file does not say otherwise.
_PAIRS: Final = frozenset({
    "qwen2vl_merger", "qwen2.5vl_merger", "qwen3vl_merger", "qwen2.5o", "ling3vl", "exaone4_5",
    "mimovl", "minimax_m3", "glm4v", "glm5v", "youtuvl", "muse-glimmer",
})  # fmt: skip


#: Projectors of towers without a size of their own.
_ANY_SIZE: Final = frozenset({"qwen2vl_merger", "qwen2.5vl_merger"})


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model before it is loaded.

    Attributes
    ----------
    name : str
        The name the model gives itself, or that of its files.
    files : mapping
        Role (``"text"``, ``"mmproj"``) -> ``{"name", "sha256", "bytes"}``.
    architecture : str
        The language model's architecture, for example ``"llama"``.
    quantization : str
        How most of the language model is stored: ``"Q8_0"``, ``"Q4_K_M"``, ..., or ``"mixed"``.
    projector : str
        The projector's type, for example ``"mlp"``.
    n_ctx_train : int
        Tokens of context the model was trained with.
    image_size : tuple of int
        Height and width in pixels of the picture the tower is given; (0, 0) where the file does not
        say. A Qwen tower takes any size of whole tokens: it is given the nearest to what its file
        names, 560 pixels for published ones.
    image_tokens : int
        Tokens of one picture of that size; 0 where the projector's rule is not known.
    render_rule : str
        How a picture that is not square was made so in training: ``"pad"``, ``"crop"`` or
        ``"stretch"``. Where the file does not say: ``"pad"`` for LLaVA's projectors and for
        Qwen's, whose training kept pictures as they are, else ``"stretch"``.
    render_background : tuple of int
        The colour of the padding, 0-255.
    label_temperature : float or None
        By which label scores are divided so that probabilities are calibrated.
    label_threshold : float or None
        The probability under which the model should abstain, in [0, 1].
    questions : tuple of str
        All questions the model was taught to answer; empty where the file does not say.
    licence : str or None
        The model's licence.
    repaired : tuple of str
        What was wrong with the projector file and is right in the copy that is used instead; see
        `astrollava.models.repair`. `files` tells of the file itself.
    """

    name: str
    files: Mapping[str, Mapping[str, Any]]
    architecture: str
    quantization: str
    projector: str
    n_ctx_train: int
    image_size: tuple[int, int]
    image_tokens: int
    render_rule: str
    render_background: tuple[int, int, int]
    label_temperature: float | None
    label_threshold: float | None
    questions: tuple[str, ...]
    licence: str | None
    repaired: tuple[str, ...] = ()


def facts(
    files: ModelFiles, *, given: ModelFiles | None = None, repaired: tuple[str, ...] = ()
) -> ModelFacts:
    """Read what a pair of files says of itself.

    Parameters
    ----------
    files : ModelFiles
        The pair. Only headers are read, and the files' hashes taken once.
    given : ModelFiles, optional
        The pair that `files` was made of, where it was repaired: its hashes are told.
    repaired : tuple of str
        What was repaired.

    Returns
    -------
    ModelFacts
        The facts.

    Raises
    ------
    ModelNotFound, InvalidModelFile
        A file is missing or is no sound GGUF file. Use `astrollava.models.gguf.check_pair` to know
        whether the pair can be loaded.
    """
    text, mmproj = read_header(files.text), read_header(files.mmproj)
    architecture = _text(text, "general.architecture") or ""
    # Files of 2023 do not name theirs; `repair` knows them, and names it in the copy that is used.
    named = "clip.projector_type" in mmproj.metadata or not has_class_token(mmproj)
    projector = projector_type(mmproj) if named else "mlp"
    side = _side(mmproj, projector)
    called = files.name if files.source in {"path", "bundle"} else None
    return ModelFacts(
        name=_text(text, "astrollava.model.name")
        or _text(text, "general.name")
        or called
        or files.text.stem,
        files={"text": _file(files.text), "mmproj": _file((given or files).mmproj)},
        architecture=architecture,
        quantization=stored_as(text),
        projector=projector,
        n_ctx_train=_int(text, f"{architecture}.context_length"),
        image_size=(side, side),
        image_tokens=_image_tokens(mmproj, projector, side),
        render_rule=_rule(mmproj, projector),
        render_background=_background(mmproj, projector),
        label_temperature=_real(text, "astrollava.labels.temperature", 1e-3, 1e3),
        label_threshold=_real(text, "astrollava.labels.threshold", 0.0, 1.0),
        questions=tuple((_text(text, "astrollava.questions") or "").splitlines()),
        licence=files.licence or _text(text, "general.license"),
        repaired=repaired,
    )


def _file(path: Path) -> dict[str, Any]:
    return {"name": path.name, "sha256": store.sha256(path), "bytes": path.stat().st_size}


def _text(header: GGUFHeader, key: str) -> str | None:
    value = header.metadata.get(key)
    return value if isinstance(value, str) and value else None


def _int(header: GGUFHeader, key: str, default: int = 0) -> int:
    value = header.metadata.get(key)
    return value if isinstance(value, int) else default


def _real(header: GGUFHeader, key: str, low: float, high: float) -> float | None:
    value = header.metadata.get(key)
    return value if isinstance(value, float) and low <= value <= high else None


def stored_as(header: GGUFHeader) -> str:
    """Return how most of a file is stored: ``"Q8_0"``, ``"Q4_K_M"``, ..., or ``"mixed"``."""
    stated = FILE_TYPES.get(_int(header, "general.file_type", -1))
    if stated:
        return stated
    sizes: Counter[str] = Counter()
    for tensor in header.tensors:
        sizes[tensor.type] += tensor.size
    most, size = sizes.most_common(1)[0] if sizes else ("mixed", 1)
    return most if size >= 0.9 * sizes.total() else "mixed"


def _side(header: GGUFHeader, projector: str) -> int:
    """Return the side of the square picture a tower is given, as `astrollava.engine` takes it."""
    side = _int(header, "clip.vision.image_size")
    token = 2 * _int(header, "clip.vision.patch_size")
    if projector not in _ANY_SIZE or not token:
        return side
    # As ``calc_size_preserved_ratio`` of llama.cpp: 8 to 4096 tokens.
    return token * min(max((2 * side + token) // (2 * token), 3), 64)


def _image_tokens(header: GGUFHeader, projector: str, side: int) -> int:
    """Count the tokens of a square picture, as ``clip_n_output_tokens`` of llama.cpp does."""
    patches = side // max(_int(header, "clip.vision.patch_size"), 1)
    scale = _int(header, "clip.vision.projector.scale_factor")
    if projector in {"mlp", "mlp_norm", "janus_pro", "phi4"}:
        return patches**2
    if projector in {"idefics3", "internvl", "nemotron_v2_vl", "llama4"}:
        return patches**2 // max(scale, 1) ** 2
    if projector in {"gemma3", "gemma4v"}:
        return patches**2 // (scale or (4 if projector == "gemma3" else 3)) ** 2
    if projector in {"ldp", "ldpv2"}:
        return patches**2 // 4
    if projector in _PAIRS:
        return (patches // 2) ** 2
    return 0


def _rule(header: GGUFHeader, projector: str) -> str:
    stated = _text(header, "astrollava.render.rule")
    if stated in {"pad", "crop", "stretch"}:
        return stated
    # Training kept the proportions of pictures for towers of any size: a square has to, too.
    return "pad" if projector in _PADS | _ANY_SIZE else "stretch"


def _background(header: GGUFHeader, projector: str) -> tuple[int, int, int]:
    value = header.metadata.get("astrollava.render.background")
    if isinstance(value, tuple) and len(value) == 3:
        red, green, blue = value
        # One by one, for the types.
        if isinstance(red, int) and isinstance(green, int) and isinstance(blue, int):
            return min(max(red, 0), 255), min(max(green, 0), 255), min(max(blue, 0), 255)
    # llama.cpp's own colour around a picture that it brings to whole tokens.
    return _BLACK if projector in _ANY_SIZE else _CLIP_MEAN
