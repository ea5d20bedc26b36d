"""The front of the exporter: one model in, two files and their checksums out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from astrollava.engine.quantize import check_type
from astrollava.models.convert import mmproj_default
from astrollava_training.data.tokens import CHAT_TEMPLATE
from astrollava_training.export import storage
from astrollava_training.export.about import About
from astrollava_training.export.mmproj import write_mmproj
from astrollava_training.export.text import write_text

__all__ = ["export"]


def export(
    model: Any,
    tokenizer: Any,
    out: Path,
    *,
    name: str,
    quantize: str = "q8_0",
    mmproj_quantize: str | None = None,
    chat_template: str = CHAT_TEMPLATE,
    add_bos: bool = True,
    about: About | None = None,
) -> tuple[Path, Path]:
    """Write a LLaVA as a GGUF pair.

    Parameters
    ----------
    model : transformers.LlavaForConditionalGeneration
        A SigLIP-type tower (no CLS token), LLaVA's projector and a Llama; any dtype and device.
    tokenizer : tokenizers.Tokenizer
        Byte-level BPE with ``<s>``, ``</s>``, ``<pad>`` and ``<image>``.
    out : pathlib.Path
        Folder of the files, made where missing.
    name : str
        Name of the model: the files are ``{name}-text.gguf`` and ``{name}-mmproj.gguf``.
    quantize : str
        Storage of the language model's matrices, one of `QUANTIZATIONS`. Vectors stay f32; matrices
        whose rows do not fill the blocks of the type are f16.
    mmproj_quantize : str, optional
        The same for tower and projector; by default as `mmproj_default` of
        `astrollava.models.convert` says.
    chat_template : str
        Jinja source.
    add_bos : bool
        Whether training put ``<s>`` before every sequence.
    about : About, optional
        Licence, rendering and calibration.

    Returns
    -------
    text, mmproj : pathlib.Path
        Beside them lies ``SHA256SUMS``. The same arguments give the same bytes.

    Raises
    ------
    InvalidRequest
        For an unknown quantization, or a model or tokenizer llama.cpp would not repeat exactly.
    ModelError
        For weights that are not finite.
    """
    text_type = check_type(quantize)
    mmproj_type = check_type(mmproj_quantize or mmproj_default(text_type), projector=True)
    about = about if about is not None else About()
    out.mkdir(parents=True, exist_ok=True)
    text, mmproj = out / f"{name}-text.gguf", out / f"{name}-mmproj.gguf"
    write_text(
        text,
        model,
        tokenizer,
        name=name,
        about=about,
        quantize=text_type,
        chat_template=chat_template,
        add_bos=add_bos,
    )
    write_mmproj(mmproj, model, name=name, about=about, quantize=mmproj_type)
    storage.write_checksums([text, mmproj])
    return text, mmproj
