"""What `export` would refuse of a tokenizer, refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from astrollava.engine.template import ChatTemplate
from astrollava.errors import AstrollavaError
from astrollava.models.convert import own_template
from astrollava.models.convert.vocabulary import vocabulary
from astrollava.parity.loading import quiet

__all__ = ["check_tokenizer"]


def check_tokenizer(model: Any, tokenizer: Any, named: str) -> None:
    """Hold a tokenizer, as a run would save it, against the exporter's own reading of it.

    Parameters
    ----------
    model : LlavaForConditionalGeneration
        For its configuration, which names tokens, too, and the rows of its embeddings.
    tokenizer : transformers tokenizer
    named : str
        What the recipe calls the model it came with, for the error.

    Raises
    ------
    InvalidCheckpoint, UnsupportedModel, TemplateError
        If llama.cpp would split text in another way, or write conversations in another way.
    """
    with TemporaryDirectory(prefix="astrollava-tokenizer-") as name:
        folder = Path(name)
        with quiet():
            tokenizer.save_pretrained(folder)
            model.config.save_pretrained(folder)
        try:
            vocabulary(folder, model.get_input_embeddings().weight.shape[0])
            if (template := own_template(folder)) is not None:
                ChatTemplate(template, marker="<__media__>", bos="<s>", eos="</s>")
        except AstrollavaError as error:
            raise type(error)(
                f"what is trained on {named} could not be exported: {error.problem}",
                expected=error.expected,
                # An old run comes by here on its way to be exported, too.
                hint=error.hint
                or "Name another model in the recipe, or give this one a tokenizer that converts",
            ) from error
