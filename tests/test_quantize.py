"""A pair in fewer bits."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from astrollava.engine import Engine, Sampling
from astrollava.errors import InvalidModelFile, InvalidRequest
from astrollava.models import facts, resolve
from astrollava.quantize import quantize
from tiny_pair import TinyPair, write_pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write_pair(folder, TinyPair(width=256, heads=4, tower_width=64))
    return folder


def test_a_pair_in_fewer_bits_still_talks(pair: Path, tmp_path: Path) -> None:
    """Both files must be found, pass the checks and be read by llama.cpp."""
    steps: list[tuple[str, int, int]] = []
    made = quantize(
        pair, "Q4_K_M", tmp_path / "small", threads=1, progress=lambda *s: steps.append(s)
    )
    assert made is not None
    assert made.text.name == f"{pair.name}-q4_k_m-text.gguf"
    # The projector's own type: it is not stored as the text is.
    assert made.mmproj.name == f"{pair.name}-q8_0-mmproj.gguf"
    again = resolve(tmp_path / "small")
    assert (again.text, again.mmproj) == (made.text, made.mmproj)
    known = facts(again)
    assert known.quantization == "Q4_K_M"
    assert known.files["text"]["bytes"] < (pair / "text.gguf").stat().st_size / 4
    assert steps[-1][1] == steps[-1][2]
    with Engine(made.text, made.mmproj, threads=1) as engine:
        image = engine.encode_image(np.zeros((*engine.image_size, 3), np.uint8))
        prompt = engine.format([{"role": "user", "content": [{"type": "image"}]}])
        answer = engine.complete(prompt, [image], sampling=Sampling(max_tokens=4))
        "".join(answer)
        assert answer.generated_tokens > 0
    with pytest.raises(InvalidRequest, match="quantized already"):
        quantize(made, "q4_0", tmp_path / "smaller")
    smaller = quantize(made, "q4_0", tmp_path / "smaller", requantize=True, threads=1)
    assert smaller is not None
    assert smaller.mmproj.name == f"{pair.name}-q8_0-mmproj.gguf", "left as it was"


def test_nothing_is_left_of_what_fails(pair: Path, tmp_path: Path) -> None:
    """A folder that is there looks finished: it may only be there when it is."""
    cancel = threading.Event()
    cancel.set()
    out = tmp_path / "out"
    assert quantize(pair, "q8_0", out, threads=1, cancel=cancel) is None
    with pytest.raises(InvalidRequest, match="no storage type"):
        quantize(pair, "q9", out)
    with pytest.raises(InvalidRequest, match="for a projector"):
        quantize(pair, "q8_0", out, mmproj_quantize="q2_k")
    (tmp_path / "text.gguf").write_bytes((pair / "text.gguf").read_bytes()[:-1000])
    (tmp_path / "mmproj.gguf").write_bytes((pair / "mmproj.gguf").read_bytes())
    with pytest.raises(InvalidModelFile):
        quantize(tmp_path, "q8_0", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mmproj.gguf", "text.gguf"]
