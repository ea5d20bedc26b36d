"""What a pair is computed with, and how much memory its sequences take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from astrollava.engine import runtime
from astrollava.engine._context import MAX_OUTPUTS, Footprint

__all__ = ["TextMeans", "sequences_for", "spares", "text_means", "total_bytes", "tower_threads"]

#: Bytes of weights that keep a thread busy, per token of text and per image: threads wait for each
#: other hundreds of times a token, which costs a small model more than they bring.
_TEXT_BYTES_PER_THREAD = 32 * 2**20
_TOWER_BYTES_PER_THREAD = 16 * 2**20
#: Weights of a language model that one thread reads in time for a lone token.
_SMALL_TEXT_BYTES = 256 * 2**20
#: Sequences at most where nobody says, and the share of the free memory that all contexts may take.
_MOST_SEQUENCES = 16
_MEMORY_SHARE = 0.25


@dataclass(frozen=True)
class TextMeans:
    """How a language model is evaluated.

    Attributes
    ----------
    threads : int
        Threads of the CPU.
    on_gpu : bool
        Whether the CPU evaluates nothing of it, and what holds of its kernels is of no account.
    flash_attention : bool
        Whether llama.cpp may use it.
    """

    threads: int
    on_gpu: bool
    flash_attention: bool


def text_means(path: Path, *, layers: int, n_gpu_layers: int, threads: int | None) -> TextMeans:
    """Choose how to evaluate a language model.

    Parameters
    ----------
    path : path
        The GGUF file.
    layers : int
        All there are to put on a GPU.
    n_gpu_layers : int
        Those that are put there; -1 for all.
    threads : int or None
        What the user asks for.
    """
    size = path.stat().st_size
    threads = threads or _threads_for(size, _TEXT_BYTES_PER_THREAD)
    # A single layer left to the CPU is evaluated by its kernels, with all their differences.
    on_gpu = n_gpu_layers < 0 or n_gpu_layers >= layers
    # On a CPU, beyond 256 tokens, it has to evaluate a lone token with one thread, which makes a
    # large model slow.
    flash_attention = on_gpu or threads == 1 or size <= _SMALL_TEXT_BYTES
    return TextMeans(threads, on_gpu, flash_attention)


def tower_threads(path: Path) -> int:
    """Choose how many threads encode an image."""
    return _threads_for(path.stat().st_size, _TOWER_BYTES_PER_THREAD)


def _threads_for(size: int, per_thread: int) -> int:
    return min(runtime.physical_cores(), 1 + size // per_thread)


def sequences_for(one: Footprint) -> int:
    """Choose how many sequences the memory that is free now can hold.

    Parameters
    ----------
    one : Footprint
        What the context of one sequence takes, which is there already.
    """
    room = int(_MEMORY_SHARE * runtime.available_memory())
    most = min(_MOST_SEQUENCES, MAX_OUTPUTS)
    return max((n for n in range(1, most + 1) if total_bytes(one, n) <= room), default=1)


def total_bytes(one: Footprint, sequences: int) -> int:
    """Return what contexts take at most, beside that of one sequence with which all begins.

    That is one of all sequences, where there are several; one in which continuations are scored
    side by side; and a copy of a sequence on its way from one to another.
    """
    several = sequences * one.cache + one.rest if sequences > 1 else 0
    return several + one.cache + one.rest + one.cache


def spares(one: Footprint) -> bool:
    """Whether the memory that is free now has room for a context like that of one sequence."""
    return one.cache + one.rest <= _MEMORY_SHARE * runtime.available_memory()
