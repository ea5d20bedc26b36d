"""The engine: a language model and its projector, ready for requests."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from astrollava.engine import runtime
from astrollava.engine._context import MAX_OUTPUTS
from astrollava.engine._core import load_core
from astrollava.engine._prompt import IMAGE_MARKER, Plan, make_plan
from astrollava.engine.choosing import Chain, Chooser, Constrained
from astrollava.engine.completion import Completion
from astrollava.engine.disk_cache import DiskCache
from astrollava.engine.image_cache import ImageCache, MemoryCache
from astrollava.engine.requests import Generation, NextLogits, Request
from astrollava.engine.sampling import Sampling
from astrollava.engine.scoring import ContinuationScore, Continued, Scoring
from astrollava.engine.vision import ImageEmbedding, pixel_key
from astrollava.errors import InvalidRequest, ModelNotFound, TemplateError

if TYPE_CHECKING:
    from astrollava.engine.template import ChatTemplate

__all__ = ["Engine"]

_Result = TypeVar("_Result")

#: Bytes of encoded images kept.
_CACHED_BYTES = 64 * 2**20


class Engine:
    """A vision-language model run in this process by llama.cpp.

    It may be shared by threads. `close` it, use it in a ``with`` statement, or drop it: each frees
    its memory.

    Parameters
    ----------
    text, mmproj : path
        The GGUF files of the language model and of its vision tower and projector.
    n_ctx : int, optional
        Tokens of prompt, images and answer together; by default what the model was trained with,
        but at most 4096.
    n_gpu_layers : int
        Layers of the language model to put on a GPU; 0 none, -1 all.
    projector_on_gpu : bool
        Whether to put the vision tower and projector on a GPU.
    mmproj_twin : path, optional
        A copy of `mmproj` in which the positions of patches 0 and 1 are exchanged; see
        `astrollava.models.repair.twin`. With it no patch of LLaVA-1.5 is lost; it takes the memory
        and the time of the vision tower once more.
    threads : int, optional
        Threads to compute with; by default as many as the models' sizes keep busy, at most one a
        physical core this process may use.
    parallel : int, optional
        Requests worked on at the same time, in [1, 32]; each takes a context's memory as soon as
        there is more than one. By default what a quarter of the free memory holds, at most 16.
    exact : bool
        Whether a result must be the same, to the last bit, whatever is worked on beside it. False
        lets tokens of several requests always be evaluated together, which is faster unless the
        weights are Q8_0, where it makes no difference on a CPU.

    Attributes
    ----------
    image_size : tuple of int
        Height and width in pixels of the images the model reads.
    image_tokens : int
        Tokens one image takes of the context.
    lost_patches : tuple of int
        Rows of an image's embedding that llama.cpp does not give and a neighbour stands in for:
        (0,) for LLaVA-1.5 without `mmproj_twin` where its class token comes last, else none.
    n_ctx, n_embd : int
        Size of the context in tokens, and width of an image token.
    parallel : int
        Requests worked on at the same time at most.
    threads : int
        Threads that generate text.
    architecture, projector : str
        What llama.cpp calls the two, for example ``"llama"`` and ``"mlp"``.
    chat_template : str or None
        The template in the file.
    image_marker : str
        What stands for an image in a prompt.

    Raises
    ------
    EngineUnavailable
        llama-cpp-python is missing, broken or of another version.
    ModelNotFound
        There is no file at a path.
    ModelLoadFailed
        llama.cpp cannot load a file.
    ProjectorMismatch
        The two files do not belong together.
    InvalidRequest
        A number is out of range.

    Examples
    --------
    >>> with Engine("text.gguf", "mmproj.gguf") as engine:              # doctest: +SKIP
    ...     prompt = engine.format([{"role": "user", "content": [
    ...         {"type": "image"}, {"type": "text", "text": "What is this?"}]}])
    ...     for piece in engine.complete(prompt, [engine.encode_image(rgb)]):
    ...         print(piece, end="")
    """

    def __init__(
        self,
        text: str | PathLike[str],
        mmproj: str | PathLike[str],
        *,
        n_ctx: int | None = None,
        n_gpu_layers: int = 0,
        projector_on_gpu: bool = False,
        mmproj_twin: str | PathLike[str] | None = None,
        threads: int | None = None,
        parallel: int | None = None,
        exact: bool = True,
    ) -> None:
        if n_ctx is not None:
            _check_integer("n_ctx", n_ctx, 1, 2**24)
        _check_integer("n_gpu_layers", n_gpu_layers, -1, 10_000)
        if threads is not None:
            _check_integer("threads", threads, 1, 512)
        if parallel is not None:
            _check_integer("parallel", parallel, 1, MAX_OUTPUTS)
        paths = Path(text), Path(mmproj)
        twin = None if mmproj_twin is None else Path(mmproj_twin)
        for path in (*paths, *([] if twin is None else [twin])):
            if not path.is_file():
                raise ModelNotFound(f"there is no file at {path}", expected="a GGUF file")
        self._core = load_core(
            *paths,
            twin=twin,
            n_ctx=n_ctx,
            n_gpu_layers=n_gpu_layers,
            projector_on_gpu=projector_on_gpu,
            threads=threads,
            parallel=parallel,
            exact=exact,
        )
        self._images = ImageCache(MemoryCache(_CACHED_BYTES))
        self._projector_on_gpu = projector_on_gpu
        # Also at exit, while the drivers of GPUs are still there to free into.
        self._close = weakref.finalize(self, self._core.close)
        model, projector = self._core.model, self._core.projector
        self.image_size: tuple[int, int] = projector.image_size
        self.image_tokens: int = projector.image_tokens
        self.lost_patches: tuple[int, ...] = projector.lost_patches
        self.n_ctx: int = self._core.scheduler.context.n_ctx
        self.n_embd: int = model.n_embd
        self.architecture: str = model.architecture
        self.projector: str = projector.kind
        self.chat_template: str | None = model.chat_template
        self.image_marker: str = IMAGE_MARKER
        self.parallel: int = self._core.scheduler.limit
        self.threads: int = self._core.scheduler.context.threads
        self._template: ChatTemplate | None = None
        self._continued = Continued(model)

    def format(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the prompt the model's chat template makes of `messages`.

        Parameters
        ----------
        messages : sequence of mappings
            Each with ``role`` ("system", "user" or "assistant") and ``content``: text, or a list of
            ``{"type": "image"}`` and ``{"type": "text", "text": ...}``.

        Returns
        -------
        str
            Ends where the model is to speak; `image_marker` stands for each image.

        Raises
        ------
        TemplateError
            There is no template, or it cannot be used for these messages.
        InvalidRequest
            A message is not of the form above.
        """
        self._core.check_open()
        if self._template is None:
            self._template = self._compile()
        return self._template.render(messages)

    def _compile(self) -> ChatTemplate:
        # Jinja2 costs a tenth of a cold start: only now.
        from astrollava.engine.template import LLAVA_TEMPLATE, ChatTemplate

        source = self.chat_template
        if source is None:
            if (self.architecture, self.projector) != ("llama", "mlp"):
                raise TemplateError(
                    f"the {self.architecture} file has no chat template",
                    expected="a GGUF file with tokenizer.chat_template",
                    hint="Convert the model again with its template, or write the prompt yourself"
                    " and call complete",
                )
            source = LLAVA_TEMPLATE
        model = self._core.model
        return ChatTemplate(
            source,
            marker=IMAGE_MARKER,
            bos=model.bos_text,
            eos=model.eos_text,
            frames_images=self._core.projector.frames_images,
        )

    def encode_image(self, rgb: npt.NDArray[np.uint8]) -> ImageEmbedding:
        """Run the vision tower and projector on an image; the last few results are kept.

        Parameters
        ----------
        rgb : ndarray of uint8, shape (height, width, 3)
            Exactly of `image_size`; row 0 is the top.

        Returns
        -------
        ImageEmbedding
            For `complete` and `score`, of this engine.

        Raises
        ------
        InvalidRequest
            Another dtype or shape.
        ClosedError
            The engine was closed.
        """
        core = self._core
        core.projector.check(rgb)
        key = pixel_key(rgb)
        found = self._images.get(key)
        if found is not None:
            core.check_open()
            return found
        found = core.towers.encode(
            rgb,
            key,
            memory=self._images.memory,
            busy=lambda: core.scheduler.busy,
            check_open=core.check_open,
        )
        # On disk, too, where asked for; nobody waits for it, since a disk may be slow.
        self._images.put(found)
        return found

    def keep_images(
        self, folder: str | PathLike[str], limit_bytes: int, *, made_by: Mapping[str, str]
    ) -> None:
        """Keep encoded images on disk, too, from now on; processes may share the folder.

        Parameters
        ----------
        folder : path
            Made where it is missing.
        limit_bytes : int
            What all images in it may take, at least 1.
        made_by : mapping of str to str
            What their values depend on besides pixels and llama.cpp: the projector file's hash.
        """
        _check_integer("limit_bytes", limit_bytes, 1, 2**60)
        projector = self._core.projector
        # Kernels differ between processors, and with the number of threads.
        here = {
            "runtime": runtime.system_info(),
            "threads": str(projector.threads),
            "lost_patches": repr(projector.lost_patches),
            "gpu": str(self._projector_on_gpu),
        }
        disk = DiskCache(folder, limit_bytes, like=projector.blank, made_by={**here, **made_by})
        self._images = ImageCache(self._images.memory, disk)

    def complete(
        self,
        prompt: str,
        images: Sequence[ImageEmbedding] = (),
        *,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        cancel: threading.Event | None = None,
        grammar: str | None = None,
        client: object = None,
    ) -> Completion:
        """Start to generate the text that follows `prompt`.

        Parameters
        ----------
        prompt : str
            From `format`, or written with one `image_marker` for each image.
        images : sequence of ImageEmbedding
            From `encode_image`, in the order of the markers.
        sampling : Sampling, optional
            How to choose tokens and when to stop; greedy by default.
        stop : sequence of str
            The text ends before any of these.
        cancel : threading.Event, optional
            Setting it ends the text at the next token, from any thread.
        grammar : str, optional
            The text is one of the rule ``root`` of this grammar, in GBNF, as far as it goes.
        client : object, optional
            Requests of different clients take turns.

        Returns
        -------
        Completion
            An iterator over pieces of text; nothing is evaluated before the first is asked for, or
            `Completion.start` is called.

        Raises
        ------
        ContextTooLong
            The prompt leaves no room for an answer.
        InvalidRequest
            Images and markers differ in number, or a stop string is empty.
        ClosedError
            The engine was closed; also while the text is being generated.
        """
        if isinstance(stop, str) or not all(isinstance(s, str) and s for s in stop):
            raise InvalidRequest(f"stop={stop!r}", expected="a sequence of texts, none empty")
        core, chosen = self._core, sampling or Sampling()
        plain = chosen.temperature == 0 and chosen.repeat_penalty == 1.0 and grammar is None

        def chooser() -> Chooser:
            if grammar is None:
                return Chain(core.lib, core.model, chosen)
            return Constrained(core.lib, core.model, chosen, grammar)

        request = Generation(
            self._plan(prompt, images),
            core.model,
            n_ctx=self.n_ctx,
            max_tokens=chosen.max_tokens,
            chooser=None if plain else chooser,
            stop=stop,
            cancel=cancel,
            client=client,
        )
        return Completion(self, core.scheduler, request)

    def score(
        self, prompt: str, images: Sequence[ImageEmbedding], continuations: Sequence[str]
    ) -> list[ContinuationScore]:
        """Return how probable each continuation of `prompt` is; the prompt is evaluated once.

        Parameters
        ----------
        prompt, images
            As for `complete`.
        continuations : sequence of str
            Texts, none empty; a leading space counts.

        Returns
        -------
        list of ContinuationScore
            In the order given. Each is the same whatever the others are.

        Raises
        ------
        ContextTooLong, InvalidRequest, ClosedError
            As for `complete`.
        """
        if isinstance(continuations, str):
            raise InvalidRequest("continuations is one text", expected="a sequence of texts")
        plan = self._plan(prompt, images)
        if not continuations:
            return []
        core, scheduler = self._core, self._core.scheduler
        with core.words:
            core.check_open()
            tokens = self._continued.tokens(plan, continuations, self.n_ctx)
        return self._done(
            Scoring(plan, tokens, continuations, row_by_row=lambda: scheduler.text_row_by_row)
        )

    def logits(self, prompt: str, images: Sequence[ImageEmbedding] = ()) -> npt.NDArray[np.float32]:
        """Return the logits of the token that follows `prompt`.

        Parameters
        ----------
        prompt, images
            As for `complete`.

        Returns
        -------
        ndarray of float32, shape (vocabulary,)

        Raises
        ------
        ContextTooLong, InvalidRequest, ClosedError
            As for `complete`.
        """
        return self._done(NextLogits(self._plan(prompt, images)))

    def _done(self, request: Request[_Result]) -> _Result:
        self._core.scheduler.submit(request)
        return request.wait()

    def _plan(self, prompt: str, images: Sequence[ImageEmbedding]) -> Plan:
        core = self._core
        with core.words:
            core.check_open()
            n_batch = core.scheduler.context.n_batch
            return make_plan(core.model, prompt, images, n_ctx=self.n_ctx, n_batch=n_batch)

    @property
    def images_together(self) -> int:
        """How many images are encoded at once at most, where several threads ask for it."""
        return self._core.towers.together

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._core.closed

    def close(self) -> None:
        """Free all memory; a second call does nothing. A text being generated ends."""
        self._close()

    def __enter__(self) -> Engine:
        self._core.check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"n_ctx={self.n_ctx}, image_size={self.image_size}"
        return f"<Engine {self.architecture}+{self.projector}, {state}>"


def _check_integer(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRequest(f"{name}={value!r}", expected=f"an integer from {low} to {high}")
