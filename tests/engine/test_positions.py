"""Images with a position in time, row and column each (M-RoPE) must be read as llama.cpp does.

One position a token instead, rows and columns exchanged or a text that goes on at the wrong number
all give fluent text about another picture: so logits are held against mtmd's own evaluation, and
positions against transformers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from astrollava.engine import Engine, Sampling
from astrollava.engine._context import Context
from astrollava.engine._positions import Piece, Places, embedding_batch
from astrollava.engine._prompt import ImageBlock, make_plan, size_of, span_of
from astrollava.engine.vision import ImageEmbedding
from astrollava.models import ModelFiles, facts
from engine_state import forget, held
from gguf_files import MMPROJS, TEXTS, Tensor

#: llama.cpp's kernels differ by the size of a batch; a wrong position moves a logit by units.
CLOSE = 1e-4
SHORT = Sampling(max_tokens=24)
ONE = "<s>ab c<__media__>what is it? "
PROMPTS = {
    "text behind": (ONE, [1]),
    "image last": ("<s>ab c<__media__>", [1]),
    "image first": ("<s><__media__>cd", [1]),
    "two images": ("<s><__media__>and <__media__>which? ", [1, 2]),
    "the same twice": ("<s>a<__media__><__media__>b", [1, 1]),
    "long text": ("<s>" + "bc" * 60 + "<__media__>" + "fa" * 60, [3]),
}


class Loud(Tensor):
    """Weights large enough for attention to choose: else no position would matter."""

    def bytes(self, random: np.random.Generator) -> bytes:
        return (np.frombuffer(super().bytes(random), np.float32) * np.float32(4)).tobytes()


def write(folder: Path, kind: str, *, side: int = 64, context: int = 512) -> tuple[Path, Path]:
    text, mmproj = TEXTS["qwen2vl"](), MMPROJS[kind]()
    text.keys["qwen2vl.context_length"] = ("u32", context)
    # With the usual base a token's column would turn its head by thousandths.
    text.keys["qwen2vl.rope.freq_base"] = ("f32", 4.0)
    for name, tensor in text.tensors.items():
        if "norm" in name or "attn_q.w" in name:
            text.tensors[name] = Loud(tensor.shape)
    mmproj.keys["clip.vision.image_size"] = ("u32", side)
    paths = folder / "text.gguf", folder / "mmproj.gguf"
    for path, model in zip(paths, (text, mmproj), strict=True):
        path.write_bytes(model.write(seed=4))
    return paths


@pytest.fixture(scope="module", params=["qwen2vl", "qwen2.5vl"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return write(tmp_path_factory.mktemp("pair"), request.param)


@pytest.fixture(scope="module")
def engine(files: tuple[Path, Path]) -> Iterator[Engine]:
    with Engine(*files, threads=1) as engine:
        yield engine


@pytest.fixture
def fresh(files: tuple[Path, Path]) -> Iterator[Engine]:
    with Engine(*files, threads=1) as engine:
        yield engine


def picture(engine: Engine, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (*engine.image_size, 3), dtype=np.uint8)


def encoded(engine: Engine, seeds: list[int]) -> list[ImageEmbedding]:
    return [engine.encode_image(picture(engine, seed)) for seed in seeds]


class Reference:
    """mtmd's own evaluation of a prompt with the weights of an engine, in a context of its own."""

    def __init__(self, engine: Engine) -> None:
        self.core = engine._core
        # The same, so that long texts are cut at the same places.
        self.n_batch = self.core.scheduler.context.n_batch
        self.context = Context(
            self.core.lib,
            self.core.model,
            n_ctx=engine.n_ctx,
            n_batch=self.n_batch,
            threads=1,
            flash_attention=True,
        )

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.free()

    def logits(self, prompt: str, pictures: list[np.ndarray]) -> tuple[np.ndarray, int]:
        """Return the logits after `prompt` and the next position."""
        mtmd, n = self.core.lib.mtmd, len(pictures)
        given = prompt.encode()
        text = mtmd.mtmd_input_text(
            text=given, text_len=len(given), add_special=False, parse_special=True
        )
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * n)(
            *[
                mtmd.mtmd_bitmap_init(
                    p.shape[1], p.shape[0], p.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
                )
                for p in pictures
            ]
        )
        chunks = mtmd.mtmd_input_chunks_init()
        projector = self.core.projector.pointer
        assert mtmd.mtmd_tokenize(projector, chunks, ctypes.byref(text), bitmaps, n) == 0
        self.context.truncate(0, -1)
        position = ctypes.c_int32(0)
        assert not mtmd.mtmd_helper_eval_chunks(
            projector, self.context._pointer, chunks, 0, 0, self.n_batch, True,
            ctypes.byref(position),
        )  # fmt: skip
        mtmd.mtmd_input_chunks_free(chunks)
        for bitmap in bitmaps:
            mtmd.mtmd_bitmap_free(bitmap)
        pointer = self.core.lib.llama.llama_get_logits_ith(self.context._pointer, -1)
        rows = np.ctypeslib.as_array(pointer, (self.core.model.n_vocab,))
        return rows.copy(), position.value

    def greedy(self, prompt: str, pictures: list[np.ndarray], count: int) -> list[int]:
        """Return the `count` tokens likeliest one after the other."""
        logits, position = self.logits(prompt, pictures)
        tokens: list[int] = []
        while True:
            tokens.append(int(logits.argmax()))
            if self.core.model.piece(tokens[-1])[1]:
                return tokens[:-1]
            if len(tokens) == count:
                return tokens
            self.context.decode_rows([tokens[-1]], [position], [0])
            position += 1
            logits = self.context.logits()[-1].copy()


@pytest.mark.parametrize("name", PROMPTS)
def test_logits_and_text_are_those_of_mtmd(engine: Engine, name: str) -> None:
    prompt, seeds = PROMPTS[name]
    pictures = [picture(engine, seed) for seed in seeds]
    images = encoded(engine, seeds)
    with Reference(engine) as reference:
        expected, position = reference.logits(prompt, pictures)
        assert np.abs(engine.logits(prompt, images) - expected).max() < CLOSE
        assert held(engine).position == position < held(engine).tokens
        completion = engine.complete(prompt, images, sampling=SHORT)
        list(completion)
        assert completion._request.tokens == reference.greedy(prompt, pictures, SHORT.max_tokens)


@pytest.mark.parametrize("change", ["line", "transposed", "span"])
def test_other_positions_would_be_seen(engine: Engine, change: str) -> None:
    """The comparison above proves nothing unless each mistake moves the logits."""
    (image,) = encoded(engine, [1])
    (places,) = image.places
    origin, span = places.origin, places.span
    if change == "line":
        origin = np.tile(np.arange(origin.shape[1], dtype=np.int32), (4, 1))
        span = origin.shape[1]
    elif change == "transposed":
        origin = origin[[0, 2, 1, 3]]
    else:
        span += 3
    wrong = replace(image, key=change, places=(Places(origin, places.moves, span),))
    difference = engine.logits(ONE, [image]) - engine.logits(ONE, [wrong])
    assert np.abs(difference).max() > 100 * CLOSE


def test_a_conversation_says_what_a_fresh_engine_says(engine: Engine, fresh: Engine) -> None:
    """What is reused ends at a position that is not the number of tokens held."""
    prompt, reused = ONE, []
    images, alone = encoded(engine, [5]), encoded(fresh, [5])
    for turn in range(4):
        forget(fresh)
        completion = engine.complete(prompt, images, sampling=SHORT)
        text = "".join(completion)
        assert text == "".join(fresh.complete(prompt, alone, sampling=SHORT)), turn
        assert np.array_equal(engine.logits(prompt, images), fresh.logits(prompt, alone))
        reused.append(completion.reused_tokens)
        prompt += f"{text} {'de' * 40} and {turn}?"
        if turn == 1:
            prompt += "<__media__>"
            images, alone = encoded(engine, [5, 6]), encoded(fresh, [5, 6])
    assert reused[1] > engine.image_tokens
    assert reused == sorted(reused)


def test_continuations_are_scored_where_they_stand(engine: Engine) -> None:
    images, texts = encoded(engine, [1]), ["ab", "bad cafe", "a" * 50]
    scores = engine.score(ONE, images, texts)
    assert engine.score(ONE, images, texts[::-1]) == scores[::-1]
    with Reference(engine) as reference:
        for text, score in zip(texts, scores, strict=True):
            total, tokens = 0.0, engine._core.model.tokenize(text)
            logits, position = reference.logits(ONE, [picture(engine, 1)])
            for at, token in enumerate(tokens):
                row = logits.astype(np.float64)
                total += float(row[token] - np.logaddexp.reduce(row))
                reference.context.decode_rows([token], [position + at], [0])
                logits = reference.context.logits()[-1].copy()
            assert score.logprob == pytest.approx(total, abs=CLOSE * len(tokens))


def test_an_image_larger_than_a_batch(tmp_path: Path) -> None:
    """Its rows share one time: the second half must not be taken for tokens out of order."""
    files = write(tmp_path, "qwen2vl", side=384, context=2048)
    with Engine(*files, threads=1) as engine, Reference(engine) as reference:
        assert engine.image_tokens == 576 > engine._core.scheduler.context.n_batch
        images = encoded(engine, [1])
        expected, _ = reference.logits(ONE, [picture(engine, 1)])
        assert np.abs(engine.logits(ONE, images) - expected).max() < CLOSE


def test_an_image_left_half_way_is_not_taken_for_read(tmp_path: Path) -> None:
    """llama.cpp cannot forget the second half of an image: both have the position of its start."""
    with Engine(*write(tmp_path, "qwen2vl", side=384, context=2048), threads=1) as engine:
        (image,) = encoded(engine, [1])
        core = engine._core
        expected = engine.logits(ONE, [image])
        blocks = make_plan(
            core.model, ONE, [image], n_ctx=engine.n_ctx, n_batch=core.scheduler.context.n_batch
        ).blocks
        first = next(i for i, block in enumerate(blocks) if isinstance(block, ImageBlock))
        for evaluated in range(first, first + 3):
            slot = held(forget(engine))
            for block in blocks[:evaluated]:
                slot.evaluate(block)
            slot.cut(len(slot.blocks))
            kept = evaluated if evaluated != first + 1 else first
            assert slot.tokens == size_of(blocks[:kept])
            assert slot.position == sum(map(span_of, blocks[:kept]))
            assert np.array_equal(engine.logits(ONE, [image]), expected)


def test_a_text_that_fills_the_context_ends(tmp_path: Path) -> None:
    """Positions run behind the cells of the cache: the cells are what is used up."""
    with Engine(*write(tmp_path, "qwen2vl", context=128), threads=1) as engine:
        images = encoded(engine, [1])
        completion = engine.complete("<s><__media__>ab", images, sampling=Sampling(max_tokens=500))
        list(completion)
        assert completion.finish_reason in {"context", "stop"}
        assert completion.finish_reason == "stop" or held(engine).tokens == 128


@pytest.mark.parametrize(
    ("named", "side"), [(16, 48), (48, 48), (55, 48), (56, 64), (100, 96), (1040, 1024)]
)
@pytest.mark.parametrize("kind", ["qwen2vl", "qwen2.5vl"])
def test_pictures_have_a_size_that_is_not_resized(
    tmp_path: Path, kind: str, named: int, side: int
) -> None:
    """A tower for any size: from 8 to 4096 tokens of 16 pixels here, and mtmd resizes others.

    What is said of the files before they are loaded has to be the same.
    """
    files = write(tmp_path, kind, side=named)
    said = facts(ModelFiles("tiny", *files))
    with Engine(*files, threads=1) as engine:
        assert (engine.image_size, engine.image_tokens) == (said.image_size, said.image_tokens)
        assert engine.image_size == (side, side)
        assert engine.image_tokens == (side // 16) ** 2
        if side < 128:
            (image,) = encoded(engine, [0])
            assert image.values.shape == (engine.image_tokens, engine.n_embd)
            assert image.places[0].span == side // 16


def test_positions_are_those_of_transformers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For this test alone: processes that others start would be offline, too.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch = pytest.importorskip("torch", reason="transformers' positions need torch")
    pytest.importorskip("transformers", reason="compares with transformers")
    from transformers import Qwen2VLConfig
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLModel

    prompt, seeds = PROMPTS["two images"]
    images = encoded(engine, seeds)
    plan = make_plan(engine._core.model, prompt, images, n_ctx=512, n_batch=10)
    ours, kinds, position = [], [], 0
    for block in plan.blocks:
        if isinstance(block, ImageBlock):
            batch = embedding_batch([Piece(block.values, position, block.places)])
            ours.append(batch.positions.reshape(4, -1)[:3])
            assert batch.ends == (position + span_of(block),)
        else:
            ours.append(np.tile(np.arange(position, position + len(block)), (3, 1)))
        kinds += [int(isinstance(block, ImageBlock))] * len(block)
        position += span_of(block)
    side = engine.image_size[0] // 8
    # Only its arithmetic is wanted: no weights are made.
    model = Qwen2VLModel.__new__(Qwen2VLModel)
    torch.nn.Module.__init__(model)
    model.config = Qwen2VLConfig()
    assert model.config.vision_config.spatial_merge_size == 2
    theirs, delta = model.get_rope_index(
        torch.zeros(1, len(kinds), dtype=torch.int64),
        torch.tensor([kinds]),
        image_grid_thw=torch.tensor([[1, side, side]] * 2),
    )
    assert np.array_equal(np.concatenate(ours, axis=1), theirs[:, 0].numpy())
    assert position == len(kinds) + int(delta)


def test_images_of_several_sequences_in_one_batch(engine: Engine) -> None:
    """Positions lie by kind, not by image: those of a second image come behind the first's."""
    (image,) = encoded(engine, [1])
    n, places = len(image.values), image.places[0]
    pieces = [Piece(image.values, 7, places, 0), Piece(image.values, 3, places, 2)]
    batch = embedding_batch(pieces)
    assert batch.values.shape == (2 * n, engine.n_embd)
    times, rows, columns, rest = batch.positions.reshape(4, 2 * n)
    assert times.tolist() == [7] * n + [3] * n
    assert rows.tolist() == [s + i // 4 for s in (7, 3) for i in range(n)]
    assert columns.tolist() == [s + i % 4 for s in (7, 3) for i in range(n)]
    assert not rest.any()
    assert batch.sequences.tolist() == [0] * n + [2] * n
    assert batch.ends == (11, 7)
    line = embedding_batch([Piece(image.values, 5), Piece(image.values[:2], 0, None, 1)])
    assert line.positions.tolist() == [*range(5, 5 + n), 0, 1]
    assert line.ends == (5 + n, 2)
