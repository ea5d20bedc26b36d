"""Chat templates of checkpoints: the prompt must be the one of training, to the letter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from astrollava.engine.template import ChatTemplate
from astrollava.errors import InvalidCheckpoint
from astrollava.models.convert.chat import TEMPLATES, chat_template

ORIGINAL = {"architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava"}
HF = {"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}

V1_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives"
    " helpful, detailed, and polite answers to the user's questions."
)
LLAMA_2_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content"
    " that the user provides, and assist the user with a variety of tasks using natural language."
)

Turns = list[tuple[str, str]]


def v1(turns: Turns, system: str = V1_SYSTEM) -> str:
    """What ``Conversation.get_prompt`` of the LLaVA code writes for SeparatorStyle.TWO."""
    out = system + " "
    for question, answer in turns:
        out += f"USER: {question} ASSISTANT:"
        out += f" {answer}</s>" if answer else ""
    return out


def llama_2(turns: Turns, system: str = LLAMA_2_SYSTEM) -> str:
    """The same for SeparatorStyle.LLAMA_2, whose first <s> it strips."""
    out = ""
    for number, (question, answer) in enumerate(turns):
        told = f"<<SYS>>\n{system}\n<</SYS>>\n\n{question}" if number == 0 else question
        out += f"<s>[INST] {told} [/INST]"
        out += f" {answer} </s>" if answer else ""
    return out.removeprefix("<s>")


def render(template: str, turns: Turns, system: str | None = None) -> str:
    messages: list[dict[str, Any]] = []
    if system is not None:
        messages.append({"role": "system", "content": system})
    for question, answer in turns:
        content: list[dict[str, str]] = [{"type": "text", "text": question}]
        if not messages or messages[-1]["role"] == "system":
            content.insert(0, {"type": "image"})
        messages.append({"role": "user", "content": content})
        if answer:
            messages.append({"role": "assistant", "content": answer})
    return ChatTemplate(template, marker="<__media__>", bos="<s>", eos="</s>").render(messages)


TALKS: list[Turns] = [
    [("Is there a bar?", "")],
    [("Is there a bar?", "Yes."), ("How long is it?", "")],
    [("One", "1"), ("Two", "2"), ("Three", "")],
]


@pytest.mark.parametrize("turns", TALKS)
@pytest.mark.parametrize("system", [None, "Be brief."])
@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_prompts_are_those_of_training(name: str, system: str | None, turns: Turns) -> None:
    """A space too many or a separator too few is a prompt the model was not trained on."""
    reference = {"v1": v1, "llava_llama_2": llama_2}[name]
    asked = [(f"<__media__>\n{turns[0][0]}", turns[0][1]), *turns[1:]]
    wanted = reference(asked) if system is None else reference(asked, system)
    assert render(TEMPLATES[name], turns, system) == wanted


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_content_may_be_plain_text(name: str) -> None:
    """llama.cpp's own programs hand templates text, not parts."""
    chat = ChatTemplate(TEMPLATES[name], marker="<__media__>", bos="<s>", eos="</s>")
    parts = [{"type": "text", "text": "Hello"}]
    assert chat.render([{"role": "user", "content": "Hello"}]) == chat.render(
        [{"role": "user", "content": parts}]
    )


def test_own_templates_come_first(tmp_path: Path) -> None:
    """A fine-tuned model may have another conversation than what it was made from."""
    assert chat_template(tmp_path, HF) is None
    assert chat_template(tmp_path, ORIGINAL) == TEMPLATES["v1"]
    tokenizer = tmp_path / "tokenizer_config.json"
    several = [{"name": "tool", "template": "t"}, {"name": "default", "template": "of tokenizer"}]
    tokenizer.write_text(json.dumps({"chat_template": several}))
    assert chat_template(tmp_path, ORIGINAL) == "of tokenizer"
    (tmp_path / "chat_template.json").write_text('{"chat_template": "of processor"}')
    assert chat_template(tmp_path, HF) == "of processor"
    (tmp_path / "chat_template.jinja").write_text("of jinja\n")
    assert chat_template(tmp_path, HF) == "of jinja\n"


def test_llama_2_is_known_by_name(tmp_path: Path) -> None:
    """The file says nowhere which conversation the original code trained with."""
    named = {**ORIGINAL, "_name_or_path": "/ckpt/llava-llama-2-13b-chat-lightning-preview"}
    assert chat_template(tmp_path, named) == TEMPLATES["llava_llama_2"]
    folder = tmp_path / "llava_llama_2_7b"
    folder.mkdir()
    assert chat_template(folder, ORIGINAL) == TEMPLATES["llava_llama_2"]


@pytest.mark.parametrize("text", ["x" * 200_001, "\xff"])
def test_damaged_templates_are_refused(tmp_path: Path, text: str) -> None:
    """The file is foreign; its size is bounded before it gets into a model file."""
    (tmp_path / "chat_template.jinja").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidCheckpoint):
        chat_template(tmp_path, HF)


def test_a_template_is_text(tmp_path: Path) -> None:
    """Other types would end in an error deep inside the writer."""
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": 3}')
    with pytest.raises(InvalidCheckpoint, match="int"):
        chat_template(tmp_path, HF)
