"""The chat template of a model: messages in, prompt out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from jinja2 import TemplateError as JinjaError

from astrollava.engine._sandbox import Budget, compile_template
from astrollava.errors import InvalidRequest, TemplateError

__all__ = ["LLAVA_TEMPLATE", "ChatTemplate"]

#: LLaVA-1.5's conversation (``vicuna_v1``) as its Hugging Face release writes it, for files of that
#: kind without a template of their own.
LLAVA_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + ' ' }}"
    "{% elif message['role'] == 'user' %}{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

_MAX_SOURCE = 200_000  # characters; the longest templates published have some 20,000
#: How a template written for Hugging Face's LLaVA marks an image.
_HF_IMAGE = "<image>"
_NEEDLE = "astrollavaneedle"

Message = Mapping[str, Any]
#: What a template is given as the content of a message.
Content: TypeAlias = "str | list[dict[str, str]]"


class ChatTemplate:
    """A compiled chat template.

    Parameters
    ----------
    source : str
        The Jinja2 text.
    marker : str
        What stands for an image in the prompt.
    bos, eos : str
        The texts of the tokens that begin and end a sequence.
    frames_images : bool
        True where llama.cpp itself writes what the model wants around an image; the template's own
        image placeholder is then not used.

    Raises
    ------
    TemplateError
        The template is too long or no valid Jinja2.
    """

    def __init__(
        self, source: str, *, marker: str, bos: str = "", eos: str = "", frames_images: bool = False
    ) -> None:
        if len(source) > _MAX_SOURCE:
            raise TemplateError(
                f"the model's chat template has {len(source)} characters",
                expected=f"at most {_MAX_SOURCE}",
            )
        self._marker = marker
        self._special = {"bos_token": bos, "eos_token": eos}
        # Done in the source, so that the words "<image>" in a user's question stay words.
        self._typed_images = _HF_IMAGE in source and not frames_images
        if self._typed_images:
            source = source.replace(_HF_IMAGE, marker)
        self._budget = Budget()
        try:
            self._template = compile_template(source, self._budget)
        except (JinjaError, RecursionError, ValueError) as error:
            raise TemplateError(
                f"the model's chat template does not compile ({_first_line(error)})",
                hint="Load a file with a sound template",
            ) from error
        self._shape = self._choose_shape()

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt for `messages`, up to where the model is to speak.

        Parameters
        ----------
        messages : sequence of mappings
            Each with ``role`` ("system", "user" or "assistant") and ``content``: text, or a list of
            ``{"type": "image"}`` and ``{"type": "text", "text": ...}``.

        Raises
        ------
        InvalidRequest
            A message is not of that form.
        TemplateError
            The template refuses the messages, fails, or exceeds its limits.
        """
        parts = [(role, list(content)) for role, content in map(self._parse, messages)]
        if not parts:
            raise InvalidRequest("there are no messages", expected="at least one")
        text = self._run([{"role": r, "content": self._shape(c)} for r, c in parts])
        images = sum(part is None for _, content in parts for part in content)
        if text.count(self._marker) != images:
            raise TemplateError(
                f"the model's chat template wrote {text.count(self._marker)} images of {images}",
                hint="Put images into user messages only; some templates drop them elsewhere",
            )
        return text

    def _parse(self, message: Message) -> tuple[str, Iterator[str | None]]:
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant"):
            raise InvalidRequest(
                f"a message has the role {role!r}", expected='"system", "user" or "assistant"'
            )
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, Sequence):
            raise InvalidRequest(
                f"a message has a content of type {type(content).__name__}",
                expected="text, or a list of parts",
            )
        return role, map(self._parse_part, content)

    def _parse_part(self, part: object) -> str | None:
        """Return the text of a part, None for an image."""
        fields = part if isinstance(part, Mapping) else {}
        if fields.get("type") == "image":
            return None
        text = fields.get("text")
        if not isinstance(text, str) or fields.get("type") != "text":
            raise InvalidRequest(
                f"a message has the part {part!r}"[:200],
                expected='{"type": "image"} or {"type": "text", "text": ...}',
            )
        if self._marker in text:
            raise InvalidRequest(
                f"a text contains {self._marker}, which stands for an image",
                hint="Remove it from the text",
            )
        return text

    def _choose_shape(self) -> Callable[[Sequence[str | None]], Content]:
        """Find out whether the template reads content as parts or as one string."""
        shapes = (self._as_typed_parts, self._as_string, self._as_text_parts)
        failure: TemplateError | None = None
        for shape in shapes[0 if self._typed_images else 1 :]:
            try:
                text = self._run([{"role": "user", "content": shape([None, _NEEDLE])}])
            except TemplateError as error:
                failure = error
                continue
            if text.count(self._marker) == 1 and _NEEDLE in text:
                return shape
        raise TemplateError(
            "the model's chat template does not write the image and the text of a user's message"
            + (f" ({failure.problem})" if failure else ""),
            hint="Load a file whose template is made for images",
        )

    def _as_typed_parts(self, parts: Sequence[str | None]) -> Content:
        return [{"type": "image"} if p is None else {"type": "text", "text": p} for p in parts]

    def _as_text_parts(self, parts: Sequence[str | None]) -> Content:
        return [{"type": "text", "text": self._marker if p is None else p} for p in parts]

    def _as_string(self, parts: Sequence[str | None]) -> Content:
        return "".join(f"{self._marker}\n" if p is None else p for p in parts)

    def _run(self, messages: list[dict[str, Any]]) -> str:
        self._budget.refill()
        pieces = []
        length = 0
        try:
            for piece in self._template.generate(
                messages=messages, add_generation_prompt=True, **self._special
            ):
                pieces.append(piece)
                length += len(piece)
                self._budget.check_length(length)
        except TemplateError:
            raise
        except RecursionError as error:
            raise TemplateError("the model's chat template calls itself without end") from error
        # A template can provoke any error of the values it handles.
        except Exception as error:
            raise TemplateError(
                f"the model's chat template fails ({_first_line(error)})",
                hint="Some templates want user and assistant to alternate, or no system message",
            ) from error
        return "".join(pieces)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
