"""Quantization by llama.cpp, in a process of its own."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from astrollava.engine import quantize as quantizing
from astrollava.engine.quantize import PROJECTOR_TYPES, TYPES, check_type, quantize
from astrollava.errors import InvalidRequest, ModelError
from astrollava.models import gguf
from astrollava.models._formats import FILE_TYPES

PairWriter = Callable[..., tuple[Path, Path]]


def test_numbers_are_llama_cpps() -> None:
    """A wrong number would store another type under the name asked for."""
    assert all(FILE_TYPES[number].lower() == name for name, number in TYPES.items())


def test_unknown_types_are_refused() -> None:
    """The error lists what there is; a projector has fewer types."""
    assert check_type("Q4_K_M") == "q4_k_m"
    with pytest.raises(InvalidRequest, match="q4_k_m"):
        check_type("q4_k")
    # Of nineteen names, the one that was meant.
    with pytest.raises(InvalidRequest, match="Did you mean 'q4_k_m'"):
        check_type("q4km")
    assert "q2_k" not in PROJECTOR_TYPES
    with pytest.raises(InvalidRequest, match="for a projector"):
        check_type("q2_k", projector=True)


def test_a_k_quant_is_whole_and_told_step_by_step(pair: PairWriter, tmp_path: Path) -> None:
    """llama.cpp has no callback: without its log nobody would know how far it is."""
    source, _ = pair(width=256, heads=4)
    target = tmp_path / "small.gguf"
    steps: list[tuple[int, int]] = []
    done = quantize(source, target, "q4_k_m", threads=1, progress=lambda *s: steps.append(s))
    assert done
    before, after = gguf.read_header(source), gguf.read_header(target)
    gguf.check_text(after)
    assert after.metadata["general.file_type"] == TYPES["q4_k_m"]
    kinds = Counter(tensor.type for tensor in after.tensors if len(tensor.shape) == 2)
    assert {"Q4_K", "Q6_K"} == set(kinds)
    assert after.size < before.size / 4
    assert steps == [(i + 1, len(before.tensors)) for i in range(len(before.tensors))]
    # Everything else the file says is kept.
    new = {"general.file_type", "general.quantization_version"}
    for key, value in before.metadata.items():
        if key not in new and not isinstance(value, gguf.LazyArray):
            assert after.metadata[key] == value
    assert sorted(p.name for p in tmp_path.iterdir()) == ["small.gguf"]


def test_what_is_quantized_is_left_alone(pair: PairWriter, tmp_path: Path) -> None:
    """Quantizing twice loses more than once: it must be asked for, and the reason be told."""
    _, mmproj = pair()
    small = tmp_path / "mmproj.gguf"
    assert quantize(mmproj, small, "q8_0", threads=1)
    gguf.check_mmproj(gguf.read_header(small))
    with pytest.raises(ModelError, match="requantizing from type q8_0"):
        quantize(small, tmp_path / "smaller.gguf", "q4_0", threads=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mmproj.gguf"]


def test_the_death_of_llama_cpp_is_survived(
    pair: PairWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This type makes it abort on a projector; in this process that would be the end."""
    _, mmproj = pair()
    monkeypatch.setattr(quantizing, "check_type", lambda name: name)
    with pytest.raises(ModelError, match=r"SIGABRT|status"):
        quantize(mmproj, tmp_path / "out.gguf", "q2_k", threads=1)
    assert not list(tmp_path.iterdir())


def test_it_can_be_cancelled(pair: PairWriter, tmp_path: Path) -> None:
    """A large model takes minutes; nothing half-done may stay behind."""
    source, _ = pair(width=256, heads=4)
    cancel = threading.Event()
    cancel.set()
    assert not quantize(source, tmp_path / "out.gguf", "q4_k_m", threads=1, cancel=cancel)
    assert not list(tmp_path.iterdir())


def test_an_interrupt_ends_the_other_process(pair: PairWriter, tmp_path: Path) -> None:
    """Ctrl-C while it waits must not leave a process that writes on."""
    source, _ = pair(width=256, heads=4)

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantize(source, tmp_path / "out.gguf", "q4_k_m", threads=1, progress=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_file_is_not_quantized_onto_itself(pair: PairWriter, tmp_path: Path) -> None:
    """The source is mapped into memory while it is read."""
    source = shutil.copy(pair()[0], tmp_path / "model.gguf")
    with pytest.raises(InvalidRequest, match="overwritten"):
        quantize(source, tmp_path / "model.gguf", "q8_0")
