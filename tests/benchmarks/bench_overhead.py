"""What `Engine` costs over bare llama.cpp calls: one image and 200 tokens on the same pair.

    python tests/benchmarks/bench_overhead.py [TEXT.gguf MMPROJ.gguf] [--threads N] [--rounds N]
        [--loads N]

Without files a random pair of about the embedded model's size is written. Both sides encode the
image, evaluate the same blocks and draw 200 tokens greedily; rounds alternate, and the ratio is the
median over rounds of Engine / bare. Both load the model several times: where its memory happens to
lie makes a difference of some per cent, between two bare programs as well. Processor time is given
beside elapsed time: on a busy machine it is the one to read.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from astrollava.engine import Engine, Sampling, runtime
from engine_state import forget
from tiny_pair import TinyPair, write_pair

TOKENS = 200
LIMIT = 1.03
EMBEDDED_LIKE = TinyPair(
    width=192, layers=6, heads=6, merges=1200, context=1024, side=120, patch=12,
    tower_width=192, tower_layers=6,
)  # fmt: skip


class Bare:
    """The shortest program that does the same, straight on the C functions."""

    def __init__(self, text: Path, mmproj: Path, threads: int, n_batch: int, blocks: Any) -> None:
        lib = runtime.load()
        self.llama, self.mtmd = lib.llama, lib.mtmd
        llama, mtmd = self.llama, self.mtmd
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = not runtime.has_amx(runtime.system_info())
        self.model = llama.llama_model_load_from_file(str(text).encode(), params)
        self.vocab = llama.llama_model_get_vocab(self.model)
        options = mtmd.mtmd_context_params_default()
        options.use_gpu, options.warmup, options.print_timings = False, False, False
        options.n_threads = threads
        self.vision = mtmd.mtmd_init_from_file(str(mmproj).encode(), self.model, options)
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = 1024, n_batch, n_batch
        params.n_outputs_max = params.n_outputs_max_per_seq = 32
        params.n_threads = params.n_threads_batch = threads
        if threads > 1:
            params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = llama.llama_init_from_model(self.model, params)
        self.memory = llama.llama_get_memory(self.context)
        self.blocks = blocks

    def encode(self, rgb: np.ndarray) -> np.ndarray:
        mtmd = self.mtmd
        bitmap = mtmd.mtmd_bitmap_init(
            rgb.shape[1], rgb.shape[0], rgb.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        )
        chunks = mtmd.mtmd_input_chunks_init()
        marker = mtmd.mtmd_default_marker()
        text = mtmd.mtmd_input_text(marker, len(marker), False, True)
        bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
        mtmd.mtmd_tokenize(self.vision, chunks, ctypes.byref(text), bitmaps, 1)
        chunk = mtmd.mtmd_input_chunks_get(chunks, 0)
        mtmd.mtmd_encode_chunk(self.vision, chunk)
        shape = (
            mtmd.mtmd_input_chunk_get_n_tokens(chunk),
            self.llama.llama_model_n_embd(self.model),
        )
        values = np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(self.vision), shape).copy()
        mtmd.mtmd_input_chunks_free(chunks)
        mtmd.mtmd_bitmap_free(bitmap)
        return values

    def run(self, rgb: np.ndarray) -> list[int]:
        llama = self.llama
        llama.llama_memory_clear(self.memory, False)
        values = self.encode(rgb)
        for block in self.blocks:
            if isinstance(block, tuple):
                tokens = (llama.llama_token * len(block))(*block)
                batch = llama.llama_batch_get_one(tokens, len(block))
            else:
                batch = llama.llama_batch_get_one(None, len(values))
                batch.embd = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            llama.llama_decode(self.context, batch)
        sampler = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        llama.llama_sampler_chain_add(sampler, llama.llama_sampler_init_greedy())
        buffer = ctypes.create_string_buffer(64)
        data = b""
        drawn: list[int] = []
        tokens = (llama.llama_token * 1)()
        while True:
            token = llama.llama_sampler_sample(sampler, self.context, -1)
            if llama.llama_vocab_is_eog(self.vocab, token):
                break
            n = llama.llama_token_to_piece(self.vocab, token, buffer, 64, 0, False)
            data += buffer.raw[:n]
            drawn.append(token)
            if len(drawn) == TOKENS:
                break
            tokens[0] = token
            llama.llama_decode(self.context, llama.llama_batch_get_one(tokens, 1))
        llama.llama_sampler_free(sampler)
        data.decode(errors="replace")
        return drawn

    def free(self) -> None:
        llama = self.llama
        llama.llama_free(self.context)
        self.mtmd.mtmd_free(self.vision)
        llama.llama_model_free(self.model)


def with_engine(engine: Engine, prompt: str, rgb: np.ndarray) -> list[int]:
    """One request as a user makes it, nothing kept from the one before."""
    engine._images.memory.clear()
    forget(engine)
    image = engine.encode_image(rgb)
    completion = engine.complete(prompt, [image], sampling=Sampling(max_tokens=TOKENS))
    completion.run()
    return completion._request.tokens


def main() -> int:
    """Print the table; exit with 1 where the limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="a GGUF pair: text and mmproj")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5, help="of each load")
    parser.add_argument("--loads", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = options.files or write_pair(Path(folder), EMBEDDED_LIKE)
        times: dict[str, list[tuple[float, float]]] = {"bare": [], "engine": []}
        for _ in range(options.loads):
            drawn = compare(*files, times, threads=options.threads, rounds=options.rounds)
    print(f"{drawn} tokens, {options.threads} threads, {options.loads} x {options.rounds} rounds")
    return show(times)


def compare(
    text: Path,
    mmproj: Path,
    times: dict[str, list[tuple[float, float]]],
    *,
    threads: int,
    rounds: int,
) -> int:
    """Load both sides and time them in turn; return the tokens drawn."""
    engine = Engine(text, mmproj, threads=threads, n_ctx=1024)
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (*engine.image_size, 3), dtype=np.uint8)
    content = [{"type": "image"}, {"type": "text", "text": "Describe this galaxy in detail."}]
    prompt = engine.format([{"role": "user", "content": content}])
    blocks = engine._plan(prompt, [engine.encode_image(rgb)]).blocks
    bare = Bare(text, mmproj, threads, engine._core.scheduler.context.n_batch, blocks)
    if (drawn := bare.run(rgb)) != with_engine(engine, prompt, rgb):
        raise SystemExit("the two sides disagree: nothing to compare")
    sides = [
        ("bare", lambda: bare.run(rgb)),
        ("engine", lambda: with_engine(engine, prompt, rgb)),
    ]
    for turn in range(rounds):
        for name, side in sides if turn % 2 else sides[::-1]:
            elapsed, processor = time.perf_counter(), time.process_time()
            side()
            times[name].append((time.perf_counter() - elapsed, time.process_time() - processor))
    bare.free()
    engine.close()
    return len(drawn)


def show(times: dict[str, list[tuple[float, float]]]) -> int:
    """Print medians in milliseconds; return 1 where the limit is passed."""
    print(f"{'':10}{'bare':>10}{'engine':>10}{'ratio':>8}")
    worst = []
    for column, name in enumerate(("elapsed", "processor")):
        columns = {side: [row[column] for row in rows] for side, rows in times.items()}
        ratio = statistics.median(
            e / b for e, b in zip(columns["engine"], columns["bare"], strict=True)
        )
        worst.append(ratio)
        b, e = (statistics.median(columns[side]) * 1e3 for side in ("bare", "engine"))
        print(f"{name:10}{b:10.1f}{e:10.1f}{ratio:8.3f}")
    return int(min(worst) > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
