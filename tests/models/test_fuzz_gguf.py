"""No model file that passes our checks may end the process: the real llama.cpp is asked.

Mutants of pairs of every kind that is checked tensor by tensor go through `check_pair`; those that
pass are loaded, shown a picture and made to speak in a process of their own, which must survive.
``python tests/support/gguf_fuzz.py FOLDER [FIRST COUNT]`` does the same for as long as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from astrollava.errors import InvalidModelFile, ProjectorMismatch
from astrollava.models.gguf import check_pair, read_header
from gguf_files import MMPROJS, TEXTS, Model
from gguf_fuzz import Crashed, Llama
from gguf_mutants import Mutant, make_mutant
from gguf_systematic import single_changes

#: Mutants a test; about a third pass the checks and reach llama.cpp.
COUNT = 75


@pytest.fixture(scope="module")
def llama() -> Iterator[Llama]:
    running = Llama()
    yield running
    running.close()


def write(folder: Path, text: bytes, mmproj: bytes) -> tuple[Path, Path]:
    paths = folder / "text.gguf", folder / "mmproj.gguf"
    for path, raw in zip(paths, (text, mmproj), strict=True):
        path.write_bytes(raw)
    return paths


def check(paths: tuple[Path, Path]) -> None:
    check_pair(*(read_header(p) for p in paths))


def survive(folder: Path, llama: Llama, makers: Iterable[Callable[[], Mutant]]) -> int:
    """Try mutants and return how many reached llama.cpp."""
    ran = 0
    for make in makers:
        mutant = make()
        paths = write(folder, mutant.text, mutant.mmproj)
        try:
            check(paths)
        except (InvalidModelFile, ProjectorMismatch):
            continue
        ran += 1
        try:
            llama.run(*paths)
        except Crashed as crash:
            pytest.fail(f"passed the checks and killed llama.cpp: {mutant.story}\n{crash}")
    return ran


@pytest.mark.parametrize("first", range(0, 4 * COUNT, COUNT))
def test_what_passes_does_not_kill(tmp_path: Path, llama: Llama, first: int) -> None:
    makers = (partial(make_mutant, seed) for seed in range(first, first + COUNT))
    assert survive(tmp_path, llama, makers) > COUNT // 10, "the fuzz reaches llama.cpp no more"


@pytest.mark.parametrize("start", [0, 1])
def test_no_single_change_that_passes_kills(tmp_path: Path, llama: Llama, start: int) -> None:
    """A sample of all single changes: strides that share no factor with the tables' lengths."""
    makers = islice(single_changes(), 97 * start, None, 389)
    assert survive(tmp_path, llama, makers) > COUNT // 10, "the fuzz reaches llama.cpp no more"


@pytest.mark.parametrize("text", TEXTS)
def test_sound_language_models_run(tmp_path: Path, llama: Llama, text: str) -> None:
    """What the fuzz starts from must run, or it would prove nothing."""
    paths = write(tmp_path, TEXTS[text]().write(), MMPROJS["mlp"]().write())
    check(paths)
    assert llama.run(*paths).startswith("ok")


@pytest.mark.parametrize("mmproj", MMPROJS)
def test_sound_projectors_run(tmp_path: Path, llama: Llama, mmproj: str) -> None:
    text = "qwen2vl" if mmproj.startswith("qwen") else "llama"
    paths = write(tmp_path, TEXTS[text]().write(), MMPROJS[mmproj]().write())
    check(paths)
    assert llama.run(*paths).startswith("ok")


def _no_heads() -> tuple[Model, Model]:
    mmproj = MMPROJS["mlp"]()
    mmproj.keys["clip.vision.attention.head_count"] = ("i32", 2)
    return TEXTS["llama"](), mmproj


def _same_token_twice() -> tuple[Model, Model]:
    text = TEXTS["llama"]()
    tokens = list(text.keys["tokenizer.ggml.tokens"][1])
    text.keys["tokenizer.ggml.tokens"] = ("[str]", [*tokens[:-1], tokens[-2]])
    return text, MMPROJS["mlp"]()


def _no_projector_bias() -> tuple[Model, Model]:
    mmproj = MMPROJS["mlp"]()
    del mmproj.tensors["mm.0.bias"]
    return TEXTS["llama"](), mmproj


@pytest.mark.parametrize("killer", [_no_heads, _same_token_twice, _no_projector_bias])
def test_the_fuzz_notices_a_death(tmp_path: Path, killer: object) -> None:
    """Files known to kill llama.cpp are refused by us, and do kill it where they are let in."""
    assert callable(killer)
    text, mmproj = killer()
    paths = write(tmp_path, text.write(), mmproj.write())
    with pytest.raises(InvalidModelFile):
        check(paths)
    llama = Llama()
    with pytest.raises(Crashed, match=r"exit code -\d+"):
        llama.run(*paths)
    llama.close()
