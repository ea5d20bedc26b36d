"""What the language model reads must be the image that was given, encoded once."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from astrollava.engine import Engine
from astrollava.engine._prompt import ImageBlock, make_plan
from astrollava.engine.image_cache import MemoryCache
from astrollava.errors import InvalidRequest

Picture = Callable[..., np.ndarray]


def test_embeddings_have_the_shape_promised_and_follow_the_image(
    engine: Engine, picture: Picture
) -> None:
    first, second = (engine.encode_image(picture(engine, seed)) for seed in (1, 2))
    assert first.values.shape == (engine.image_tokens, engine.n_embd)
    assert first.values.dtype == np.float32
    assert np.isfinite(first.values).all()
    assert first.key != second.key
    assert np.abs(first.values - second.values).max() > 0.1
    with pytest.raises(ValueError, match="read-only"):
        first.values[0] = 0


def test_an_image_is_encoded_once_and_few_are_kept(
    engine: Engine, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = engine.encode_image(picture(engine, 1))
    assert engine.encode_image(picture(engine, 1).copy()) is first
    monkeypatch.setattr(engine._images, "memory", MemoryCache(4 * first.values.nbytes))
    for seed in range(10, 20):
        engine.encode_image(picture(engine, seed))
    again = engine.encode_image(picture(engine, 1))
    assert again is not first
    assert np.array_equal(again.values, first.values)


def test_rows_and_columns_are_not_exchanged(engine: Engine, picture: Picture) -> None:
    image = picture(engine)
    turned = engine.encode_image(np.ascontiguousarray(image.swapaxes(0, 1)))
    view = engine.encode_image(image.swapaxes(0, 1))
    assert np.array_equal(turned.values, view.values)
    assert not np.array_equal(turned.values, engine.encode_image(image).values)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((28, 27, 3), np.uint8),
        np.zeros((28, 28, 4), np.uint8),
        np.zeros((28, 28), np.uint8),
        np.zeros((28, 28, 3), np.float32),
        np.zeros((0, 0, 3), np.uint8),
        [[0]],
        None,
    ],
)
def test_anything_but_an_image_of_the_models_size_is_refused(engine: Engine, wrong: object) -> None:
    with pytest.raises(InvalidRequest, match="image to encode"):
        engine.encode_image(wrong)  # type: ignore[arg-type]


def test_markers_and_images_must_agree(engine: Engine, picture: Picture) -> None:
    image = engine.encode_image(picture(engine))
    for prompt, images in (("a", [image]), ("<__media__>", []), ("<__media__>" * 2, [image])):
        with pytest.raises(InvalidRequest, match="places for"):
            engine.complete(prompt, images)


def test_an_embedding_of_another_engine_is_refused(
    engine: Engine, load: Callable[..., Engine], picture: Picture
) -> None:
    with load(width=96) as other:
        image = other.encode_image(picture(other))
    with pytest.raises(InvalidRequest, match="96 wide"):
        engine.complete("<__media__>a", [image])


def test_a_model_whose_image_tokens_see_each_other_is_served(
    load: Callable[..., Engine], picture: Picture
) -> None:
    with load(gemma=True, side=56) as engine:
        image = engine.encode_image(picture(engine))
        assert (engine.projector, engine.image_tokens, image.causal) == ("gemma3", 4, False)
        # Special tokens around the image come from llama.cpp.
        begin, rows, end = image.layout
        assert (begin, rows, end) == ((5,), slice(0, 4), (6,))
        prompt = "<__media__>ab"
        served = engine.score(prompt, [image], ["c"])
        assert served != engine.score(prompt, [replace(image, causal=True)], ["c"])
        assert engine.score(prompt, [image], ["c"]) == served
        # Text is causal again behind it: what follows a token does not change its logits.
        core = engine._core
        before = engine.score(prompt + "7" * 70, [image], ["c"])
        assert core.lib.llama.llama_get_causal_attn(core.scheduler.context._pointer)
        assert engine.score(prompt + "7" * 70, [image], ["c"]) == before


def test_a_prompt_is_cut_into_the_tokens_mtmd_would_make_of_it(
    engine: Engine, picture: Picture
) -> None:
    prompt = "<s><|user|>ab c <__media__>is <__media__>it é☉ ab?</s><|assistant|>"
    rgb = picture(engine)
    image = engine.encode_image(rgb)
    core = engine._core
    plan = make_plan(core.model, prompt, [image, image], n_ctx=400, n_batch=64)
    ours: list[object] = []
    for block in plan.blocks:
        ours += [None] * len(block) if isinstance(block, ImageBlock) else block
    assert ours == _mtmd_tokens(core, prompt, rgb, 2)
    assert plan.tokens == len(ours)


def _mtmd_tokens(core: object, prompt: str, rgb: np.ndarray, images: int) -> list[object]:
    mtmd = core.lib.mtmd  # type: ignore[attr-defined]
    pixels = (ctypes.c_uint8 * rgb.size).from_buffer_copy(rgb.tobytes())
    bitmap = mtmd.mtmd_bitmap_init(rgb.shape[1], rgb.shape[0], pixels)
    chunks = mtmd.mtmd_input_chunks_init()
    data = prompt.encode()
    text = mtmd.mtmd_input_text(
        text=data, text_len=len(data), add_special=False, parse_special=True
    )
    bitmaps = (mtmd.mtmd_bitmap_p_ctypes * images)(*[bitmap] * images)
    pointer = core.projector.pointer  # type: ignore[attr-defined]
    assert mtmd.mtmd_tokenize(pointer, chunks, ctypes.byref(text), bitmaps, images) == 0
    tokens: list[object] = []
    for i in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, i)
        n = ctypes.c_size_t(mtmd.mtmd_input_chunk_get_n_tokens(chunk))
        if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
            tokens += mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(n))[: n.value]
        else:
            tokens += [None] * n.value
    mtmd.mtmd_input_chunks_free(chunks)
    mtmd.mtmd_bitmap_free(bitmap)
    return tokens
