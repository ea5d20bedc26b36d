"""How a conversation is written as text, and where in it the answers stand.

``plain`` is stage 1's: the picture, the caption, the end of the line. ``v1`` is that of LLaVA-1.5
(Vicuna's), ``chat`` the template that came with the tokenizer of the checkpoint. The last two are
Jinja templates, the text of which `Template.jinja` gives to whoever exports the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from astrollava.errors import TemplateError
from astrollava_training.dataset.rows import IMAGE

__all__ = ["LINE_END", "V1", "V1_SYSTEM", "Template", "Written"]

LINE_END = "\n"
"""What ``plain`` teaches as the end of a caption."""

V1_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)
"""What LLaVA-1.5 reads before every conversation."""

V1 = (
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }} "
    "{% else %}" + V1_SYSTEM + " {% endif %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>\n{% endif %}"
    "{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %}"
    "{% elif message['role'] == 'assistant' %} ASSISTANT: "
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{{ message['content'][0]['text'] }}{% endif %}{{ eos_token }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
"""LLaVA-1.5's template as Jinja."""


@dataclass(frozen=True)
class Written:
    """A conversation as text.

    Attributes
    ----------
    text : str
        With `IMAGE` where the picture stands.
    answers : tuple of (int, int)
        Where what is learnt begins and ends: each answer, the space before it and its end token.
    """

    text: str
    answers: tuple[tuple[int, int], ...]


class Template:
    """One of the templates, for one tokenizer.

    Parameters
    ----------
    name : {"plain", "v1", "chat"}
    tokenizer : transformers tokenizer
        With a chat template of its own for ``chat``.

    Attributes
    ----------
    jinja : str or None
        The template's text; None for ``plain``.

    Raises
    ------
    TemplateError
        If the tokenizer has no chat template, or it has no place for the picture.
    """

    def __init__(self, name: Literal["plain", "v1", "chat"], tokenizer: Any) -> None:
        self.name = name
        self._tokenizer = tokenizer
        self.jinja: str | None = None
        self._parts = False
        if name == "plain":
            return
        self.jinja = V1 if name == "v1" else getattr(tokenizer, "chat_template", None)
        if not isinstance(self.jinja, str):
            raise TemplateError(
                "the tokenizer has no chat template",
                expected="one, for template = 'chat'",
                hint="Use template = 'v1'",
            )
        # Templates of text models want strings, those of LLaVA lists of parts: see which it is.
        probe = "Which galaxy?"
        for self._parts in (False, True):
            try:
                text = self._render(self._messages([(probe, "M 31.")], picture=True), ask=False)
            except TemplateError:
                continue
            if text.count(IMAGE) == text.count(probe) == text.count("M 31.") == 1:
                return
        raise TemplateError(
            "the chat template has no place for a picture or leaves words out",
            expected=f"a template that writes {IMAGE}, question and answer",
            hint="Use template = 'v1'",
        )

    def refusal(self, turns: Sequence[tuple[str, str]], *, picture: bool) -> str:
        """Say why a conversation cannot be written, or nothing.

        ``plain`` writes no question: of a second turn the answer would be learnt as the caption's
        next line, and without a picture nothing would stand before the caption.
        """
        if self.jinja is not None or (len(turns) == 1 and picture):
            return ""
        what = f"{len(turns)} turns" if len(turns) > 1 else "no picture"
        return (
            f"{what}: template 'plain' takes a picture and one caption, 'v1' and 'chat' take "
            "conversations"
        )

    def write(self, turns: Sequence[tuple[str, str]], *, picture: bool) -> Written:
        """Write a conversation that is not refused, see `refusal`.

        Parameters
        ----------
        turns : sequence of (question, answer)
        picture : bool
            Whether it begins with one.

        Raises
        ------
        TemplateError
            If the template writes a conversation otherwise than its beginning and its next turn,
            so that nobody can say where an answer stands.
        """
        if self.jinja is None:
            # As LLaVA's: whatever was asked, the caption is what follows the picture.
            [(_, caption)] = turns
            text = IMAGE + caption + LINE_END
            return Written(text, ((len(IMAGE), len(text)),))
        messages = self._messages(turns, picture=picture)
        answers: list[tuple[int, int]] = []
        whole = self._render(messages, ask=False)
        for turn in range(len(turns)):
            asked = self._render(messages[: 2 * turn + 1], ask=True)
            told = self._render(messages[: 2 * turn + 2], ask=False)
            if not (whole.startswith(asked) and whole.startswith(told.rstrip())):
                raise TemplateError(
                    f"the chat template rewrites earlier turns: {whole!r} does not begin with "
                    f"{asked!r}",
                    expected="one that adds to the text turn by turn",
                    hint="Use template = 'v1'",
                )
            # A line break after the end token belongs to the next turn.
            answers.append((len(asked), len(told.rstrip())))
        return Written(whole, tuple(answers))

    def _messages(self, turns: Sequence[tuple[str, str]], *, picture: bool) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = []
        for number, (question, answer) in enumerate(turns):
            seen = picture and number == 0
            if self._parts:
                words: list[dict[str, str]] = [{"type": "text", "text": question}]
                told: Any = [{"type": "text", "text": answer}]
                asked: Any = [{"type": "image"}, *words] if seen else words
            else:
                asked, told = f"{IMAGE}\n{question}" if seen else question, answer
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
        return messages

    def _render(self, messages: list[dict[str, Any]], *, ask: bool) -> str:
        from jinja2 import TemplateError as JinjaError

        try:
            return str(
                self._tokenizer.apply_chat_template(
                    messages,
                    chat_template=self.jinja,
                    tokenize=False,
                    add_generation_prompt=ask,
                )
            )
        except (JinjaError, TypeError, ValueError, KeyError, IndexError) as error:
            raise TemplateError(
                f"the chat template cannot be rendered: {error}", expected="a working template"
            ) from None
