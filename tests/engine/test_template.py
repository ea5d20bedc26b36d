"""A chat template must write what the model was trained on, and harm nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from astrollava.engine import Engine
from astrollava.engine.template import LLAVA_TEMPLATE, ChatTemplate
from astrollava.errors import InvalidRequest, TemplateError
from tiny_pair import CHAT_TEMPLATE

Load = Callable[..., Engine]

IMAGE = {"type": "image"}

# The template of llava-hf/llava-1.5-7b-hf: images first, then text, from typed parts.
LLAVA_HF = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "{{ message['role'].upper() + ': '}}{% endif %}{# Render all images first #}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{# Render all text next #}"
    "{% if message['role'] != 'assistant' %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ content['text'] + ' '}}{% endfor %}{% else %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ content['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# ChatML, as many text files carry it: content is a string.
CHATML = (
    "{%- for message in messages %}\n"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# Typed parts without a word for an image.
TEXT_PARTS = (
    "{{ bos_token }}{% for m in messages %}{% if m.content is string %}"
    "{{ raise_exception('parts only') }}{% endif %}[{{ m.role }}]"
    "{% for p in m.content %}{{ p['text'] }}{% endfor %}{% endfor %}[model]"
)
# Mistral's rule.
ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '[INST] ' ~ m['content'] ~ ' [/INST]' if m['role'] == 'user' else m['content'] }}"
    "{% endfor %}"
)


def user(*parts: Any) -> dict[str, Any]:
    content = [p if isinstance(p, dict) else {"type": "text", "text": p} for p in parts]
    return {"role": "user", "content": content}


def template(source: str, **options: Any) -> ChatTemplate:
    return ChatTemplate(source, marker="<M>", bos="<s>", eos="</s>", **options)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (LLAVA_HF, "USER: <M>\nwhat <image>? ASSISTANT: a disk USER: sure? ASSISTANT:"),
        (LLAVA_TEMPLATE, "USER: <M>\nwhat <image>? ASSISTANT: a disk</s>USER: sure? ASSISTANT:"),
        (
            CHATML,
            (
                "<|im_start|>user\n<M>\nwhat <image>?<|im_end|>\n<|im_start|>assistant\na disk"
                "<|im_end|>\n<|im_start|>user\nsure?<|im_end|>\n<|im_start|>assistant\n"
            ),
        ),
        (TEXT_PARTS, "<s>[user]<M>what <image>?[assistant]a disk[user]sure?[model]"),
        (ALTERNATING, "[INST] <M>\nwhat <image>? [/INST]a disk[INST] sure? [/INST]"),
    ],
    ids=["llava-hf", "llava", "chatml", "parts", "mistral"],
)
def test_known_kinds_of_template_write_what_they_should(source: str, expected: str) -> None:
    # The words "<image>" in a question stay words: they are no second image.
    messages = [
        user(IMAGE, "what <image>?"),
        {"role": "assistant", "content": "a disk"},
        user("sure?"),
    ]
    assert template(source).render(messages) == expected


def test_an_image_framed_by_llama_cpp_is_not_framed_twice() -> None:
    framed = CHAT_TEMPLATE.replace("<image>", "<begin><image><end>")
    assert "<begin><M><end>" in template(framed).render([user(IMAGE, "a")])
    assert "<begin>" not in template(framed, frames_images=True).render([user(IMAGE, "a")])


def test_the_engine_formats_with_the_template_of_the_file(load: Load) -> None:
    with load() as engine:
        assert engine.chat_template == CHAT_TEMPLATE
        prompt = engine.format([user(IMAGE, "ab"), {"role": "assistant", "content": "c"}])
    assert prompt == "<|user|><__media__>ab<|assistant|>c</s><|assistant|>"


def test_a_llava_file_without_a_template_gets_llavas(load: Load) -> None:
    with load(template=None) as engine:
        assert engine.chat_template is None
        assert engine.format([user(IMAGE, "ab")]) == "USER: <__media__>\nab ASSISTANT:"


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "no messages"),
        ([{"role": "wizard", "content": "a"}], "wizard"),
        ([{"role": "user"}], "NoneType"),
        ([{"role": "user", "content": [{"type": "audio"}]}], "audio"),
        ([{"role": "user", "content": [{"type": "text", "text": 3}]}], "part"),
        ([{"role": "user", "content": ["a"]}], "part"),
        ([{"role": "user", "content": "a <M> b"}], "stands for an image"),
    ],
)
def test_messages_of_another_form_are_named(messages: list[Any], problem: str) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        template(CHAT_TEMPLATE).render(messages)


def test_a_template_that_refuses_the_messages_is_quoted() -> None:
    with pytest.raises(TemplateError, match="roles must alternate"):
        template(ALTERNATING).render([user(IMAGE, "a"), user("b")])


def test_an_image_the_template_drops_is_an_error() -> None:
    silent = (
        "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    )
    with pytest.raises(TemplateError, match="0 images of 1"):
        template(silent).render([{"role": "assistant", "content": [IMAGE]}, user("a")])


@pytest.mark.parametrize(
    "source", ["{% for %}", "{{ messages", "no messages at all", "{{ 1 / 0 }}", "{{ undefined.x }}"]
)
def test_an_unusable_template_is_an_error_of_ours(source: str) -> None:
    with pytest.raises(TemplateError, match="chat template"):
        template(source)


SHOWS = "{% for m in messages %}{{ m.content }}{% endfor %}"


def growing(change: str) -> str:
    """A template that sixty times makes a text longer by itself."""
    head = "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(60) %}"
    return head + "{% set n.s = " + change + " %}{% endfor %}"


TWICE = "{% for a in s %}{% for b in s %}{% endfor %}{% endfor %}"
HOSTILE = {
    "attributes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "globals": "{{ cycler.__init__.__globals__ }}",
    "write": "{{ messages.append(1) }}",
    "nested loops": "{% set s = range(90000) %}" + TWICE,
    "loops over text": "{% set s = 'x' * 9000 %}" + TWICE,
    "repetition": "{{ 'x' * 900000 * 900000 }}",
    "repeated list": "{% set l = [1] * 900000 %}{% set l = l * 900000 %}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "doubling": growing("n.s ~ n.s"),
    "adding": growing("n.s + n.s"),
    "joining": growing("[n.s, n.s] | join(n.s)"),
    "joining method": growing("n.s.join([n.s, n.s])"),
    "replacing": growing("n.s | replace('x', n.s)"),
    "replacing method": growing("n.s.replace('x', n.s)"),
    "padding": "{{ 'x'|center(999999999) }}",
    "padding method": "{{ 'x'.ljust(999 * 999 * 999) }}",
    "formatting": "{{ '%0999999999d'|format(1) }}",
    "formatting operator": "{{ '%0999999999d' % 1 }}",
    "formatting method": "{{ '{:999999999}'.format(1) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "output": "{% for i in range(90000) %}{{ 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' }}{% endfor %}",
    "files": "{% include '/etc/passwd' %}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_template_is_stopped_soon(source: str) -> None:
    started = time.process_time()
    with pytest.raises(TemplateError):
        template(source + SHOWS)
    assert time.process_time() - started < 6


def test_an_endless_source_is_not_compiled() -> None:
    with pytest.raises(TemplateError, match="characters"):
        template("{{ messages }}" * 100_000)


def test_helpers_of_published_templates_work() -> None:
    source = (
        "{%- macro show(x) -%}{{ x | tojson(indent=4) | indent(2) }}{%- endmacro -%}"
        "{{ strftime_now('%Y') | length }} {{ show({'é': 1}) }} "
        "{{ ['a', 'b'] | join(', ') }} {{ 'a-b'.split('-') | last | trim | upper }} "
        "{{ 'aba' | replace('a', 'c') }} {{ 'x'.replace('x', 'y') }} "
        "{% for i in [1, 2, 3] %}{% if i == 2 %}{% continue %}{% endif %}"
        "{{ i }}{{ '' if loop.last else ';' }}{% if loop.length > 9 %}{% break %}{% endif %}"
        "{% endfor %} "
    )
    written = template(source + SHOWS).render([user(IMAGE, "!")])
    assert written == '4 {\n      "é": 1\n  } a, b B cbc y 1;3 <M>\n!'
