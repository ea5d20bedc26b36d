"""A checkpoint under evaluation, run by transformers on the very pictures llama.cpp would see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astrollava import images
from astrollava._session import READING, RENDERING, continued, user_turn
from astrollava.engine.template import ChatTemplate
from astrollava.errors import ImageError, InvalidRequest, TemplateError
from astrollava.models import store
from astrollava.models.checkpoint import open_checkpoint
from astrollava.models.convert import chat_template
from astrollava.parity.loading import load_reference
from astrollava.vocabularies import Vocabulary
from astrollava_training.evaluate.models import Choice, Model, Query, Reply, Rule

__all__ = ["TorchModel"]

_MARKER = "<__media__>"


class TorchModel(Model):
    """A LLaVA checkpoint, in any layout `astrollava.models.checkpoint` opens.

    Parameters
    ----------
    folder : str
        The checkpoint.
    device : str, optional
        Of torch; a GPU where there is one.
    dtype : str
        What it computes in: ``"float32"``, ``"bfloat16"`` or ``"float16"``.

    Raises
    ------
    ModelError
        It cannot be opened, or has no chat template.
    InvalidRequest
        There is no such device or kind of number.
    """

    def __init__(self, folder: str, *, device: str | None = None, dtype: str = "float32") -> None:
        self._checkpoint = open_checkpoint(folder)
        self._dtype = dtype
        template = chat_template(self._checkpoint.tokenizer_folder, self._checkpoint.config)
        if template is None:
            raise TemplateError(
                f"{folder} has no chat template", hint="Put a chat_template.jinja into it"
            )
        self._reference = load_reference(self._checkpoint)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._reference.to(device, getattr(torch, dtype))
        except (RuntimeError, AttributeError) as error:
            raise InvalidRequest(
                f"the model cannot be brought to {device!r} as {dtype!r}: {error}",
                expected="a device of torch, and float32, bfloat16 or float16",
            ) from None
        self._template = ChatTemplate(template, marker=_MARKER)
        self.name = self._checkpoint.stated_name or self._checkpoint.source
        self.image_size = self._reference.image_size

    def facts(self) -> dict[str, Any]:
        """Return what identifies it."""
        how = self._checkpoint.rendering
        return {
            "runtime": "torch",
            "name": self.name,
            "files": {path.name: store.sha256(path) for path in self._checkpoint.files},
            "dtype": self._dtype,
            "render_rule": how.rule,
            "render_background": list(how.background),
        }

    def rule(self, vocabulary: Vocabulary) -> Rule:
        """Return the rule of models without a temperature: a checkpoint names none."""
        return Rule("corrected")

    def answer(self, queries: Iterable[Query]) -> Iterator[Reply]:
        """Answer queries one after the other."""
        for query in queries:
            try:
                rgb = self._rendered(query)
            except ImageError as error:
                yield Reply(error=f"{type(error).__name__}: {error}")
                continue
            values = self._reference.look(rgb)
            texts = tuple(
                self._reference.say(values, *self._around(words), query.max_tokens).strip()
                for words in query.say
            )
            yield Reply(texts, tuple(self._weighed(values, choice) for choice in query.score))

    def close(self) -> None:
        """Free the model."""
        del self._reference

    def _rendered(self, query: Query) -> NDArray[np.uint8]:
        how = self._checkpoint.rendering
        reading = {k: v for k, v in query.options.items() if k in READING}
        drawing = {k: v for k, v in query.options.items() if k in RENDERING}
        return images.render(
            images.read(query.picture(), **reading),
            size=self.image_size,
            rule=how.rule,
            background=how.background,
            **drawing,
        ).rgb

    def _around(self, words: str) -> tuple[str, str]:
        """Return the prompt before and after the picture."""
        before, _, after = self._template.render([user_turn(words, image=True)]).partition(_MARKER)
        return before, after

    def _weighed(self, values: Any, choice: Choice) -> tuple[float, ...]:
        before, after = self._around(choice.question)
        answers = [continued(after, answer) for answer in choice.answers]
        return tuple(self._reference.weigh(values, before, after, answers))
