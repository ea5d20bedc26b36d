"""A language model on the plain C functions of llama.cpp: what its tokens cost and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from astrollava.engine import runtime

__all__ = ["BareText"]

#: Any token will do: what is computed does not depend on which.
_TOKEN = 300


class BareText:
    """Evaluates made-up tokens behind those it holds, and draws greedily."""

    def __init__(self, text: Path, *, threads: int, n_ctx: int) -> None:
        lib = runtime.load()
        self._llama = llama = lib.llama
        params = llama.llama_model_default_params()
        params.n_gpu_layers = 0
        params.use_extra_bufts = not runtime.has_amx(runtime.system_info())
        self._model = llama.llama_model_load_from_file(os.fsencode(text), params)
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = n_ctx, 512, 512
        params.n_threads = params.n_threads_batch = threads
        self._context = llama.llama_init_from_model(self._model, params)
        self._memory = llama.llama_get_memory(self._context)
        self._sampler = llama.llama_sampler_init_greedy()
        self._held = 0

    def hold(self, tokens: int) -> None:
        """Evaluate so many tokens behind those held."""
        given = (self._llama.llama_token * tokens)(*[_TOKEN] * tokens)
        if self._llama.llama_decode(self._context, self._llama.llama_batch_get_one(given, tokens)):
            raise RuntimeError(f"llama_decode failed on {tokens} tokens")
        self._llama.llama_synchronize(self._context)
        self._held += tokens

    def forget(self) -> None:
        """Hold nothing."""
        self._cut(0)

    def prompt(self, tokens: int) -> float:
        """Return the seconds that so many tokens take at once; they are forgotten again."""
        return self._best(lambda: self.hold(tokens))

    def answer(self, asked: int, generated: int) -> float:
        """Return the seconds of a question and of an answer drawn token by token; both go."""

        def speak() -> None:
            self.hold(asked)
            for n in range(generated):
                self._llama.llama_sampler_sample(self._sampler, self._context, -1)
                if n + 1 < generated:
                    self.hold(1)

        return self._best(speak)

    def _best(self, task: Callable[[], None]) -> float:
        held, times = self._held, []
        for _ in range(3):
            began = time.perf_counter()
            task()
            times.append(time.perf_counter() - began)
            self._cut(held)
        return min(times)

    def _cut(self, held: int) -> None:
        self._llama.llama_memory_seq_rm(self._memory, 0, held, -1)
        self._held = held

    def close(self) -> None:
        """Free the model."""
        self._llama.llama_sampler_free(self._sampler)
        self._llama.llama_free(self._context)
        self._llama.llama_model_free(self._model)
