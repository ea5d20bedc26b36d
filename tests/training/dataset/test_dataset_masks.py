"""Label masks: over every answer and its end, over nothing else, for any tokenizer and template."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("transformers")

import tiny_corpus
import tiny_tokenizers
from astrollava.errors import InvalidRequest, TemplateError
from astrollava_training.dataset.masks import MaskError, Tokens, TooLong, Unfit, Writer
from astrollava_training.dataset.rows import Row
from astrollava_training.dataset.templates import V1_SYSTEM, Template

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARTS = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'].upper() }}: {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40
).map(str.strip).filter(bool)  # fmt: skip


def row(*turns: tuple[str, str], picture: bool = True) -> Row:
    return Row("r", "rows.json:1", turns, Path("0.png") if picture else None)


def chatml() -> Any:
    tokenizer = tiny_corpus.tokenizer(chat_template=CHATML)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<image>"]}, replace_extra_special_tokens=False
    )
    return tokenizer


def sentencepiece(scheme: str = "normalizer") -> Any:
    """A tokenizer like Llama's: spaces are parts of words, rare letters are spelt in bytes."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    added = [AddedToken("<image>", special=True, normalized=False)]
    with tempfile.TemporaryDirectory() as folder:
        words = tiny_tokenizers.llama(Path(folder), scheme, files="json", added=added)
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip


KINDS = {
    "plain": (tiny_corpus.tokenizer, "plain"),
    "v1": (tiny_corpus.tokenizer, "v1"),
    "v1-sentencepiece": (sentencepiece, "v1"),
    "v1-metaspace": (lambda: sentencepiece("first"), "v1"),
    "plain-sentencepiece": (sentencepiece, "plain"),
    "chatml": (chatml, "chat"),
    "parts": (lambda: tiny_corpus.tokenizer(chat_template=PARTS), "chat"),
}


@pytest.fixture(scope="module", params=list(KINDS))
def writer(request: pytest.FixtureRequest) -> tuple[str, Any, Writer]:
    make, template = KINDS[request.param]
    tokenizer: Any = make()
    image = [tokenizer.convert_tokens_to_ids("<image>")] * 5
    return (
        template,
        tokenizer,
        Writer(Template(template, tokenizer), tokenizer, image=image, length=4000),
    )


@given(turns=st.lists(st.tuples(TEXTS | st.just(""), TEXTS), min_size=1, max_size=3))
def test_what_is_learnt_is_the_answers(
    writer: tuple[str, Any, Writer], turns: list[tuple[str, str]]
) -> None:
    """A mask by hard-coded offsets shifts by a token with the next tokenizer, without a sign."""
    template, tokenizer, write = writer
    turns = turns[:1] if template == "plain" else turns
    [made] = write([row(*turns)])
    if isinstance(made, Unfit):
        assert "control token" in made.reason
        return
    assert np.count_nonzero(made.ids == tokenizer.convert_tokens_to_ids("<image>")) == 5
    said = tokenizer.decode(made.ids[made.learned], skip_special_tokens=False)
    kept = "".join(said.split())
    ends = {"plain": "", "v1": "</s>"}.get(template)
    if ends is None:
        ends = "<|im_end|>" if "im_end" in tokenizer.chat_template else "</s>"
    wanted = "".join("".join((answer + ends).split()) for _, answer in turns)
    if "�" not in kept:  # characters that normalizers of tokenizers rewrite
        assert kept == wanted


def test_the_original_template_is_written_word_for_word() -> None:
    """A model taught another prompt than it is asked with answers worse, and nobody sees why."""
    tokenizer = sentencepiece()
    write = Writer(Template("v1", tokenizer), tokenizer, image=[3], length=900)
    [made] = write([row(("What?", "A galaxy."), ("Sure?", "Yes."))])
    assert isinstance(made, Tokens)
    assert made.ids[0] == tokenizer.bos_token_id
    assert np.count_nonzero(made.ids == tokenizer.bos_token_id) == 1
    text = Template("v1", tokenizer).write(
        [("What?", "A galaxy."), ("Sure?", "Yes.")], picture=True
    )
    assert text.text == (
        f"{V1_SYSTEM} USER: <image>\nWhat? ASSISTANT: A galaxy.</s>USER: Sure? ASSISTANT: Yes.</s>"
    )
    assert [text.text[a:b] for a, b in text.answers] == [" A galaxy.</s>", " Yes.</s>"]


def test_the_beginning_is_not_written_twice() -> None:
    """Templates that write the first token themselves met tokenizers that add it again."""
    tokenizer = tiny_corpus.tokenizer(chat_template=PARTS)
    write = Writer(Template("chat", tokenizer), tokenizer, image=[3], length=900)
    [made] = write([row(("What?", "A galaxy."))])
    assert isinstance(made, Tokens)
    assert np.count_nonzero(made.ids == tokenizer.bos_token_id) == 1


def wrong(template: str, tokenizer: Any = None) -> Any:
    tokenizer = tokenizer or tiny_corpus.tokenizer()
    tokenizer.chat_template = template
    return Writer(Template("chat", tokenizer), tokenizer, image=[3], length=900)


ASK = "{% if add_generation_prompt %} A:{% endif %}"
SAY = "{% for m in messages %}{% if m['role'] == 'user' %}Q: {{ m['content'] }}{% else %}"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (SAY + " A: {{ m['content'] }}{% endif %}{% endfor %}" + ASK, "never stop"),
        (
            SAY + " A: {{ m['content'][:7] }}{{ eos_token }}{% endif %}{% endfor %}" + ASK,
            "drops a part",
        ),
        (SAY + "{{ m['content'] }}{% endif %}{% endfor %}Q", "rewrites earlier"),
        ("{{ messages[-1]['content'] }}", "rewrites earlier|leaves words out"),
    ],
)
def test_a_template_that_makes_a_wrong_mask_stops_the_run(template: str, problem: str) -> None:
    """LLaVA printed a warning and masked the whole sample: hours of training on nothing."""
    with pytest.raises((MaskError, TemplateError), match=problem):
        list(wrong(template)([row(("What?", "A galaxy far away."))]))


def test_a_tokenizer_that_joins_prompt_and_answer_stops_the_run() -> None:
    """The first token of the answer would be taught as a part of the prompt, or the reverse."""
    from tokenizers import AddedToken

    tokenizer = tiny_corpus.tokenizer()
    tokenizer.add_tokens([AddedToken("ASSISTANT: No", normalized=False)])
    write = Writer(Template("v1", tokenizer), tokenizer, image=[3], length=900)
    with pytest.raises(MaskError, match="covers a part of the prompt") as caught:
        list(write([row(("Is it?", "No, it is not."))]))
    assert "⟦ASSISTANT: No, it is not.</s>⟧" in str(caught.value)
    assert "rows.json:1" in str(caught.value)


@pytest.mark.parametrize("text", ["a</s>b", "<s>", "see <image> here", "<pad>"])
def test_control_tokens_in_texts_are_refused(text: str) -> None:
    """A caption with ``</s>`` in it would end the answer, one with ``<image>`` add a picture."""
    tokenizer = tiny_corpus.tokenizer()
    write = Writer(Template("v1", tokenizer), tokenizer, image=[3], length=900)
    for turn in ((text, "b"), ("a", text)):
        [made] = write([row(turn)])
        assert isinstance(made, Unfit)
        assert "control token" in made.reason


def test_what_is_too_long_loses_whole_turns_or_is_left_out() -> None:
    """An answer cut in the middle teaches the model to stop there."""
    tokenizer = tiny_corpus.tokenizer()
    turns = [("Q?", "No. " * 20), ("Q?", "Yes. " * 20)]
    whole = Writer(Template("v1", tokenizer), tokenizer, image=[3] * 9, length=4000)
    [one], [both] = whole([row(turns[0])]), whole([row(*turns)])
    assert isinstance(one, Tokens)
    assert isinstance(both, Tokens)
    limit = len(one.ids) + 3
    tight = Writer(Template("v1", tokenizer), tokenizer, image=[3] * 9, length=limit)
    [cut] = tight([row(*turns)])
    assert isinstance(cut, Tokens)
    assert cut.turns == 1
    assert (cut.ids == one.ids).all()
    [none] = Writer(Template("v1", tokenizer), tokenizer, image=[3] * 9, length=30)([row(*turns)])
    assert isinstance(none, TooLong)


@pytest.mark.parametrize(
    ("turns", "picture", "said"),
    [
        ([("What?", "A galaxy."), ("Sure?", "Yes.")], True, "2 turns: template 'plain' takes"),
        ([("What?", "A galaxy.")], False, "no picture: template 'plain' takes a picture"),
    ],
)
def test_plain_takes_a_picture_and_its_caption_and_nothing_else(
    turns: list[tuple[str, str]], picture: bool, said: str
) -> None:
    """Two answers were learnt as one caption, their questions dropped, and nothing was said.

    A caption without a picture was asked for at the evaluation by nothing at all, which ended a
    run that was trained to its end with "cannot reshape tensor of 0 elements".
    """
    tokenizer = tiny_corpus.tokenizer()
    given = row(*turns, picture=picture)
    [made] = Writer(Template("plain", tokenizer), tokenizer, image=[3], length=900)([given])
    assert isinstance(made, Unfit)
    assert said in made.reason
    [whole] = Writer(Template("v1", tokenizer), tokenizer, image=[3], length=900)([given])
    assert isinstance(whole, Tokens)


def test_a_tokenizer_without_the_picture_is_refused() -> None:
    """Its pieces would be words like any others, and the picture nowhere."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE({"a": 0, "</s>": 1}, [])), eos_token="</s>"
    )
    with pytest.raises(InvalidRequest, match="no token <image>"):
        Writer(Template("plain", bare), bare, image=[3], length=99)
    with pytest.raises(TemplateError, match="no chat template"):
        Template("chat", bare)
