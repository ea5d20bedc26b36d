"""What of an engine holds memory: the model, the projector, and the contexts."""

from __future__ import annotations

import contextlib
import logging
import threading
from contextlib import ExitStack
from pathlib import Path

from astrollava.engine import _logs as logs
from astrollava.engine import runtime
from astrollava.engine._context import MAX_OUTPUTS, Context
from astrollava.engine._native import TextModel
from astrollava.engine._prompt import TEXT_BLOCK
from astrollava.engine._turns import Turns
from astrollava.engine.class_token import class_token_order
from astrollava.engine.scheduler import Scheduler
from astrollava.engine.vision import Projector
from astrollava.errors import ClosedError

__all__ = ["Core", "load_core"]

#: The context of a model trained on longer ones: a KV cache grows with it, answers are short.
_DEFAULT_CONTEXT = 4096
#: Bytes of weights that keep a thread busy, per token of text and per image: threads wait for each
#: other hundreds of times a token, which costs a small model more than they bring.
_TEXT_BYTES_PER_THREAD = 32 * 2**20
_TOWER_BYTES_PER_THREAD = 16 * 2**20
#: Image rows evaluated at once at most; bounds the compute buffer.
_MAX_BATCH = 512
#: Sequences at most where nobody says, and the share of the free memory they may take.
_MOST_SEQUENCES = 16
_MEMORY_SHARE = 0.25

_log = logging.getLogger("astrollava")

# llama.cpp's log, which explains a failure, is one for the process.
_load_lock = threading.Lock()


class Core:
    """A loaded pair.

    Attributes
    ----------
    scheduler : Scheduler
        Works with the text model.
    seeing, words : threading.Lock
        Held while the projector, or the model's vocabulary, is used outside the scheduler.
    compute : context manager
        Held during each evaluation by one of the two, where both together would want more cores
        than there are.
    """

    def __init__(
        self,
        lib: runtime.Bindings,
        model: TextModel,
        projector: Projector,
        scheduler: Scheduler,
        compute: contextlib.AbstractContextManager[object],
    ) -> None:
        self.lib = lib
        self.model = model
        self.projector = projector
        self.scheduler = scheduler
        self.compute = compute
        self.seeing = threading.Lock()
        self.words = threading.Lock()
        self.closed = False

    def check_open(self) -> None:
        """Refuse to touch what is freed."""
        if self.closed:
            raise ClosedError("the engine was closed", hint="Load the model again")

    def close(self) -> None:
        """Free everything, once the steps in progress are done."""
        if self.closed:
            return
        self.closed = True
        if self.scheduler.close(self._free):
            self._free()

    def _free(self) -> None:
        with self.seeing, self.words:
            self.projector.free()
            self.model.free()


def load_core(
    text: Path,
    mmproj: Path,
    *,
    twin: Path | None,
    n_ctx: int | None,
    n_gpu_layers: int,
    projector_on_gpu: bool,
    threads: int | None,
    parallel: int | None,
    exact: bool,
) -> Core:
    """Load both files; the parameters are those of `Engine`, already checked."""
    lib = runtime.load()
    if (n_gpu_layers or projector_on_gpu) and not lib.llama.llama_supports_gpu_offload():
        _log.warning("a GPU was asked for, but this build of llama.cpp has none: the CPU is used")
    with _load_lock, ExitStack() as undo:
        with logs.Captured():
            model = TextModel(lib, text, n_gpu_layers=n_gpu_layers)
            undo.callback(model.free)
            projector = Projector(
                lib,
                mmproj,
                model,
                on_gpu=projector_on_gpu,
                threads=threads or _threads_for(mmproj, _TOWER_BYTES_PER_THREAD),
            )
            undo.callback(projector.free)
            if projector.reads_class_token and class_token_order() == "last":
                second = None
                if twin is not None and projector.can_have_twin:
                    second = Projector(
                        lib, twin, model, on_gpu=projector_on_gpu, threads=projector.threads
                    )
                projector.restore_rows(second)
            n_batch = max(TEXT_BLOCK, projector.image_tokens)
            if projector.causal:
                # Else all tokens of an image see each other, and it must go in at once.
                n_batch = min(n_batch, _MAX_BATCH)
            longest = n_ctx or min(model.n_ctx_train, _DEFAULT_CONTEXT)
            text_threads = threads or _threads_for(text, _TEXT_BYTES_PER_THREAD)

            def make_context(sequences: int, tokens: int | None) -> Context:
                with logs.Captured():
                    return Context(
                        lib,
                        model,
                        n_ctx=tokens or longest,
                        n_batch=n_batch,
                        threads=text_threads,
                        sequences=sequences,
                        flash_attention=n_gpu_layers != 0 or text_threads == 1,
                    )

            limit = parallel or _sequences_for(model.kv_bytes_per_token * longest)
            crowded = text_threads + projector.threads > runtime.physical_cores()
            compute: contextlib.AbstractContextManager[object] = (
                Turns() if crowded else contextlib.nullcontext()
            )
            scheduler = Scheduler(make_context, limit=limit, exact=exact, compute=compute)
        undo.pop_all()
    return Core(lib, model, projector, scheduler, compute)


def _threads_for(path: Path, per_thread: int) -> int:
    return min(runtime.physical_cores(), 1 + path.stat().st_size // per_thread)


def _sequences_for(kv_bytes: int) -> int:
    """Choose how many sequences of a size the memory that is free now can hold."""
    room = int(_MEMORY_SHARE * runtime.available_memory() / max(kv_bytes, 1))
    return max(1, min(room, _MOST_SEQUENCES, MAX_OUTPUTS))
