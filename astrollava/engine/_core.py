"""What of an engine holds memory: the model, the projector, the context, and one lock for all."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path

from astrollava.engine import _logs as logs
from astrollava.engine import runtime
from astrollava.engine._native import Context, TextModel
from astrollava.engine._prompt import TEXT_BLOCK
from astrollava.engine.class_token import class_token_order
from astrollava.engine.sequence import KVCache
from astrollava.engine.vision import ImageEmbedding, Projector
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

_log = logging.getLogger("astrollava")

# llama.cpp's log, which explains a failure, is one for the process.
_load_lock = threading.Lock()


class Core:
    """A loaded pair. Everything but `close` is to be used with `lock` held."""

    def __init__(
        self, lib: runtime.Bindings, model: TextModel, projector: Projector, context: Context
    ) -> None:
        self.lib = lib
        self.model = model
        self.projector = projector
        self.context = context
        self.cache = KVCache(context)
        self.images: OrderedDict[str, ImageEmbedding] = OrderedDict()
        self.lock = threading.Lock()
        self.closed = False

    def check_open(self) -> None:
        """Refuse to touch what is freed; call with the lock held."""
        if self.closed:
            raise ClosedError("the engine was closed", hint="Load the model again")

    def close(self) -> None:
        """Free everything, once the step in progress is done."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            self.images.clear()
            self.context.free()
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
            if n_ctx is None:
                n_ctx = min(model.n_ctx_train, _DEFAULT_CONTEXT)
            context = Context(
                lib,
                model,
                n_ctx=n_ctx,
                n_batch=n_batch,
                threads=threads or _threads_for(text, _TEXT_BYTES_PER_THREAD),
            )
            undo.callback(context.free)
        undo.pop_all()
    return Core(lib, model, projector, context)


def _threads_for(path: Path, per_thread: int) -> int:
    return min(runtime.physical_cores(), 1 + path.stat().st_size // per_thread)
