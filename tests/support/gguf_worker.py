"""Load pairs of model files in llama.cpp, one a line of stdin, and say what became of each.

A process of its own because a bad file may kill it. ``--raw`` skips the engine's own refusals
(M-RoPE) and drives the projector through mtmd alone.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import sys

import numpy as np


def main() -> None:
    faulthandler.enable(sys.stderr)
    # A file that makes llama.cpp allocate without end must fail here, not take the machine down.
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What llama.cpp prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    run = raw if "--raw" in sys.argv else whole
    for line in sys.stdin:
        text, mmproj = json.loads(line)
        try:
            outcome = run(text, mmproj)
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        print(json.dumps(outcome), file=answers, flush=True)


def whole(text: str, mmproj: str) -> str:
    """Load, describe a picture in a few tokens, close: what a user's call comes to."""
    from astrollava.engine import Engine, Sampling

    with Engine(text, mmproj, threads=1) as engine:
        height, width = engine.image_size
        rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
        image = engine.encode_image(rgb)
        prompt = f"{engine.image_marker}a b é\n"
        pieces = engine.complete(prompt, [image], sampling=Sampling(max_tokens=3))
        said = "".join(pieces)
        engine.score(prompt, [image], ["ab", " c"])
        return f"ok {said!r}"


def raw(text: str, mmproj: str) -> str:
    """Run the projector on a picture for any language model."""
    from astrollava.engine import runtime
    from astrollava.engine._native import TextModel

    lib = runtime.load()
    model = TextModel(lib, text, n_gpu_layers=0)
    options = lib.mtmd.mtmd_context_params_default()
    options.use_gpu, options.print_timings, options.n_threads = False, False, 1
    options.warmup = False
    context = lib.mtmd.mtmd_init_from_file(mmproj.encode(), model.pointer, options)
    if not context:
        model.free()
        return "refused"
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    bitmap = lib.mtmd.mtmd_bitmap_init(64, 64, data)
    chunks = lib.mtmd.mtmd_input_chunks_init()
    marker = lib.mtmd.mtmd_default_marker()
    given = lib.mtmd.mtmd_input_text(
        text=marker, text_len=len(marker), add_special=True, parse_special=True
    )
    one = (lib.mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
    outcome = lib.mtmd.mtmd_tokenize(context, chunks, ctypes.byref(given), one, 1)
    for i in range(lib.mtmd.mtmd_input_chunks_size(chunks)):
        chunk = lib.mtmd.mtmd_input_chunks_get(chunks, i)
        kind = lib.mtmd.mtmd_input_chunk_get_type(chunk)
        if kind == lib.mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
            outcome = outcome or lib.mtmd.mtmd_encode_chunk(context, chunk)
    lib.mtmd.mtmd_input_chunks_free(chunks)
    lib.mtmd.mtmd_bitmap_free(bitmap)
    lib.mtmd.mtmd_free(context)
    model.free()
    return f"ok raw {outcome}"


if __name__ == "__main__":
    main()
