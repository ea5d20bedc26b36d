"""What of an engine holds memory: the model, the projector, and the contexts."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path

from astrollava.engine import _logs as logs
from astrollava.engine import runtime
from astrollava.engine._context import Context
from astrollava.engine._means import sequences_for, spares, text_means, tower_threads
from astrollava.engine._native import TextModel
from astrollava.engine._prompt import TEXT_BLOCK
from astrollava.engine._sharing import Sharing
from astrollava.engine._towers import Towers
from astrollava.engine.class_token import class_token_order
from astrollava.engine.scheduler import Scheduler
from astrollava.engine.vision import Projector
from astrollava.errors import ClosedError, ModelLoadFailed

__all__ = ["Core", "load_core"]

#: The context of a model trained on longer ones: a KV cache grows with it, answers are short.
_DEFAULT_CONTEXT = 4096
#: Image rows evaluated at once at most; bounds the compute buffer.
_MAX_BATCH = 512
#: Share of the free memory that a second copy of the vision tower may take.
_COPY_SHARE = 0.125

_log = logging.getLogger("astrollava")

# llama.cpp's log, which explains a failure, is one for the process.
_load_lock = threading.Lock()


class Core:
    """A loaded pair.

    Attributes
    ----------
    towers : Towers
        Encode images with the projector, or a copy of it.
    scheduler : Scheduler
        Works with the text model.
    words : threading.Lock
        Held while the model's vocabulary is used outside the scheduler.
    """

    def __init__(
        self,
        lib: runtime.Bindings,
        model: TextModel,
        projector: Projector,
        towers: Towers,
        scheduler: Scheduler,
    ) -> None:
        self.lib = lib
        self.model = model
        self.projector = projector
        self.towers = towers
        self.scheduler = scheduler
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
        with self.towers.at_work, self.words:
            self.towers.free()
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
        n_gpu_layers, projector_on_gpu = 0, False
    with _load_lock, ExitStack() as undo:
        with logs.Captured():
            model = TextModel(lib, text, n_gpu_layers=n_gpu_layers)
            undo.callback(model.free)
            projector = Projector(
                lib,
                mmproj,
                model,
                on_gpu=projector_on_gpu,
                threads=threads or tower_threads(mmproj),
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
            means = text_means(
                text, layers=model.layers, n_gpu_layers=n_gpu_layers, threads=threads
            )

            def make_context(
                sequences: int, tokens: int | None, *, shared: bool = False
            ) -> Context:
                if shared and tokens is None and not spares(first.footprint):
                    raise ModelLoadFailed("there is no memory to spare to score side by side")
                with logs.Captured():
                    return Context(
                        lib,
                        model,
                        n_ctx=tokens or longest,
                        n_batch=n_batch,
                        threads=means.threads,
                        sequences=sequences,
                        flash_attention=means.flash_attention,
                        on_gpu=means.on_gpu,
                        shared=shared,
                    )

            sharing = Sharing(
                runtime.physical_cores(),
                tower=0 if projector_on_gpu else projector.threads,
                text=0 if means.on_gpu else means.threads,
            )

            def copy() -> Projector:
                with _load_lock, logs.Captured():
                    return Projector(lib, mmproj, model, on_gpu=False, threads=sharing.beside)

            first = make_context(1, None)
            undo.callback(first.free)
            scheduler = Scheduler(
                first,
                make_context,
                limit=parallel or sequences_for(first.footprint),
                exact=exact,
                sharing=sharing,
            )
            room = runtime.available_memory() * _COPY_SHARE > mmproj.stat().st_size
            towers = Towers(
                projector,
                copy if room and not projector.reads_class_token else None,
                sharing,
                exact=exact,
            )
        undo.pop_all()
    return Core(lib, model, projector, towers, scheduler)
