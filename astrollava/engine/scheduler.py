"""Many requests in flight over one context: who is worked on when, and in which sequence.

One thread owns the context. A request is put into a sequence, its prompt is evaluated block by
block, then its tokens are drawn one by one; between any two evaluations others take their turn,
and tokens that several requests wait for are evaluated together. Sequences are added when there is
first more than one request at a time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from astrollava.engine._context import MAX_OUTPUTS, Context, MakeContext
from astrollava.engine._prompt import Block, ImageBlock, size_of
from astrollava.engine._sharing import Sharing
from astrollava.engine._waiting import Waiting
from astrollava.engine.branches import BranchingSlot
from astrollava.engine.independence import rows_are_independent
from astrollava.engine.requests import Request, Work
from astrollava.engine.scoring import Scoring
from astrollava.engine.slots import Slot
from astrollava.errors import AstrollavaError, ClosedError, GenerationError

__all__ = ["Scheduler"]

_log = logging.getLogger("astrollava")

#: Blocks of prompts evaluated at most between two steps of the texts being generated.
_PROMPTS_A_STEP = 4
#: Tokens in common that make one free sequence better than another.
_WORTH_HOLDING = 16
#: Tokens a request must have in common with another sequence for the cache of that to be copied.
_WORTH_COPYING = 48
#: Sequences with which to try, at least, whether what is evaluated together is as it is alone.
_ROWS_TRIED = 8


class _Job:
    """A request at work in a slot."""

    __slots__ = ("request", "slot", "token", "work")

    def __init__(self, request: Request[Any], slot: Slot, work: Work) -> None:
        self.request = request
        self.slot = slot
        self.work = work
        #: The token it wants evaluated; None where it has an evaluation of its own to make.
        self.token: int | None = None


class Scheduler:
    """Works on requests, in a thread that starts with the first.

    Parameters
    ----------
    context : Context
        Of one sequence; freed with the others.
    make_context : MakeContext
        Makes those needed besides.
    limit : int
        Sequences at most.
    exact : bool
        Whether a result must not depend, to the last bit, on what is worked on beside it.
    sharing : Sharing
        Says with how many threads to evaluate.
    """

    def __init__(
        self,
        context: Context,
        make_context: MakeContext,
        *,
        limit: int,
        exact: bool,
        sharing: Sharing,
    ) -> None:
        self._make_context = make_context
        self.limit = limit
        self._exact = exact
        self._sharing = sharing
        self.context = context
        self.slots = [Slot(self.context, 0)]
        self._retired: Slot | None = None
        self._branching: BranchingSlot | None = None
        self._may_branch = True
        self._together: bool | None = None
        self._waiting = Waiting()
        self._jobs: list[_Job] = []
        self._changed = threading.Condition()
        self._closing = False
        self._failure: AstrollavaError | None = None
        self._process = os.getpid()
        self._thread: threading.Thread | None = None
        self._then: Callable[[], None] | None = None

    def submit(self, request: Request[Any]) -> None:
        """Queue a request.

        Raises
        ------
        ClosedError
            After `close`, or in a process forked off since.
        GenerationError
            After a failure that ended the work.
        """
        if os.getpid() != self._process:
            # The thread that works was left behind: one would wait for ever.
            raise ClosedError(
                "the engine was loaded by another process, from which this one was forked",
                hint="Load the model in each process, or start processes by 'spawn'",
            )
        with self._changed:
            if self._closing:
                raise self._failure or _closed()
            self._waiting.put(request)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="astrollava-engine", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    @property
    def busy(self) -> bool:
        """Whether there is text being generated, or waiting to be."""
        return bool(self._jobs or self._waiting)

    @property
    def row_by_row(self) -> bool:
        """Whether tokens are evaluated one at a time, so that results are exact."""
        if not self._exact:
            return False
        if self._together is None:
            rows = max(self.limit, _ROWS_TRIED)
            self._together = rows_are_independent(self._make_context, rows)
            # A GPU has kernels for many numbers of rows, and branches come in large ones.
            if self._together and self.context.on_gpu:
                self._together = rows_are_independent(self._make_context, MAX_OUTPUTS, shared=True)
        return not self._together

    @property
    def text_row_by_row(self) -> bool:
        """Whether tokens that follow each other are evaluated one at a time, to be exact.

        Without flash attention the rows of one sequence meet its keys in one product, by another
        kernel than a lone row.
        """
        # In this order: to try whether rows are independent takes dozens of evaluations.
        return self._exact and (not self.context.flash_attention or self.row_by_row)

    def close(self, then: Callable[[], None]) -> bool:
        """Stop the work and free the context; requests not done end with `ClosedError`.

        Parameters
        ----------
        then : callable
            Called at the end of the scheduler's own thread if that is the one that closes, as when
            the garbage collector comes by in it.

        Returns
        -------
        bool
            Whether all is done; False where `then` will be called.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is threading.current_thread():
            self._then = then
            return False
        if thread is None:
            self.context.free()
        else:
            thread.join()
        return True

    def _run(self) -> None:
        try:
            while self._next():
                self._step()
        except Exception as error:
            _log.exception("the engine failed")
            self._failure = GenerationError(
                f"the engine failed ({type(error).__name__}: {error})", hint="Load the model again"
            )
        finally:
            ended = self._failure or _closed()
            with self._changed:
                self._closing = True
                left = self._waiting.clear()
            for request in [*(job.request for job in self._jobs), *left]:
                request.fail(ended)
            self._jobs.clear()
            self._free_retired()
            if self._branching is not None:
                self._branching.context.free()
            self.context.free()
            if self._then is not None:
                self._then()

    def _next(self) -> bool:
        """Wait until there is something to do; False when closing."""
        with self._changed:
            while not (self._closing or self._waiting or self._jobs):
                self._changed.wait()
            return not self._closing

    def _step(self) -> None:
        if self._waiting:
            self._admit()
        if len(self._jobs) == 1 and self._jobs[0].token is not None and self._retired is None:
            # A text by itself: the whole way below would be a twentieth of its time.
            self._evaluate_alone(self._jobs[0])
            return
        alone = [job for job in self._jobs if job.token is None][:_PROMPTS_A_STEP]
        for job in alone:
            self._advance(job, -1)
        together = [job for job in self._jobs if job.token is not None]
        for context in {id(job.slot.context): job.slot.context for job in together}.values():
            # In the order of their numbers they make one batch; else llama.cpp makes several.
            jobs = [job for job in together if job.slot.context is context]
            if jobs:
                self._evaluate(sorted(jobs, key=lambda job: job.slot.sequence))
        self._free_retired()
        # Those just served go behind the others.
        for job in alone:
            if job in self._jobs:
                self._jobs.remove(job)
                self._jobs.append(job)

    def _admit(self) -> None:
        """Put waiting requests into slots, the clients in turn."""
        while (request := self._take()) is not None:
            try:
                slot = self._branching_slot_for(request) or self._slot_for(request)
            except Exception as error:
                # It is in no queue any more: nobody else would tell whoever waits for it.
                request.fail(error)
                continue
            self._jobs.append(_Job(request, slot, request.steps(slot)))

    def _take(self) -> Request[Any] | None:
        """Take the next request there is room for."""
        if not self._waiting:
            return None
        with self._changed:
            self._waiting.drop_cancelled()
        if not self._waiting or (len(self._busy()) == len(self.slots) and not self._grow()):
            return None
        with self._changed:
            return self._waiting.take(self._is_being_prepared)

    def _busy(self) -> set[int]:
        return {job.slot.sequence for job in self._jobs if job.slot.context is self.context}

    def _is_being_prepared(self, request: Request[Any]) -> bool:
        """Whether another evaluates an image at this moment that `request` will want to copy."""
        for job in self._jobs:
            if job.request.prompted:
                continue
            common = 0
            for mine, other in zip(request.plan.blocks, job.request.plan.blocks, strict=False):
                if mine != other:
                    break
                common += 1
            blocks = request.plan.blocks[:common]
            if any(isinstance(block, ImageBlock) for block in blocks) and all(
                slot.shares(blocks) < common for slot in self._sources()
            ):
                return True
        return False

    def _slot_for(self, request: Request[Any]) -> Slot:
        """Choose a free slot, and give it what another holds of the prompt."""
        busy = self._busy()
        held = partial(_held, request.plan.blocks[:-1])
        free = [slot for slot in self.slots if slot.sequence not in busy]
        # Of like ones the first: sequences side by side are evaluated together.
        best = max(free, key=lambda slot: (held(slot) // _WORTH_HOLDING, -slot.sequence))
        source = max(self._sources(), key=held)
        if held(source) - held(best) >= _WORTH_COPYING:
            # What holds least is given up.
            best = min(free, key=lambda slot: slot.tokens)
            best.copy_from(source)
        return best

    def _branching_slot_for(self, request: Request[Any]) -> BranchingSlot | None:
        """Return the slot for continuations side by side, if it serves a request best."""
        if not isinstance(request, Scoring) or not self._may_branch or self.text_row_by_row:
            return None
        if self._branching is None:
            self._branching = BranchingSlot.made_by(self._make_context)
            self._may_branch = self._branching is not None
        slot = self._branching
        if slot is None or any(job.slot is slot for job in self._jobs) or not request.fits(slot):
            return None
        held = partial(_held, request.plan.blocks[:-1])
        source = max(self._sources(), key=held)
        if held(source) - held(slot) < _WORTH_COPYING or slot.copy_from(source):
            return slot
        return None

    def _sources(self) -> list[Slot]:
        """Return all slots from which what they hold may be copied."""
        others = [slot for slot in (self._branching, self._retired) if slot is not None]
        return [*self.slots, *others]

    def _grow(self) -> bool:
        """Make a context of all sequences there may be; what is at work stays in the old one."""
        if self.limit <= len(self.slots):
            return False
        try:
            new = self._make_context(self.limit, None)
        except AstrollavaError:
            # There is no memory for more.
            self.limit = len(self.slots)
            return False
        self._retired = self.slots[0]
        self.context = new
        self.slots = [Slot(new, n) for n in range(self.limit)]
        return True

    def _free_retired(self) -> None:
        """Free the context of before when nothing is at work in it any more."""
        old = self._retired
        if old is not None and all(job.slot is not old for job in self._jobs):
            self._retired = None
            old.context.free()

    def _advance(self, job: _Job, row: int) -> None:
        """Let a request make its next step."""
        request = job.request
        try:
            if request.cancelled:
                job.work.close()
                request.drop()
                self._jobs.remove(job)
                return
            if job.token is None:
                with self._sharing.generating() as threads:
                    job.slot.context.use(threads)
                    job.token = next(job.work)
            else:
                # It only looks at its row: nothing is evaluated.
                job.token = job.work.send(row)
        except StopIteration:
            self._jobs.remove(job)
        except Exception as error:
            self._jobs.remove(job)
            request.fail(error)

    def _evaluate(self, jobs: list[_Job]) -> None:
        """Evaluate the tokens that requests wait for, and let each make its next step."""
        if len(jobs) == 1 or self.row_by_row:
            for job in jobs:
                self._evaluate_alone(job)
            return
        try:
            rows = self._decode(jobs)
        except GenerationError:
            # Whose fault it is shows when each is evaluated alone.
            for job in jobs:
                job.slot.context.truncate(job.slot.sequence, job.slot.position)
                self._evaluate_alone(job)
            return
        for job, row in zip(jobs, rows, strict=True):
            assert job.token is not None
            job.slot.append_token(job.token)
            self._advance(job, row)

    def _evaluate_alone(self, job: _Job) -> None:
        """Evaluate the token that one request waits for, and let it make its next step."""
        slot, token = job.slot, job.token
        assert token is not None
        try:
            with self._sharing.generating() as threads:
                slot.context.use(threads)
                slot.context.decode_rows((token,), (slot.position,), (slot.sequence,))
        except GenerationError as error:
            self._jobs.remove(job)
            job.request.fail(error)
            return
        slot.append_token(token)
        self._advance(job, 0)

    def _decode(self, jobs: list[_Job]) -> list[int]:
        """Evaluate a token of each job, whose sequences rise; return the rows of their logits.

        llama.cpp evaluates sequences together whose numbers follow each other. Where few are
        missing in between, they evaluate a token, too, and forget it again.
        """
        context = jobs[0].slot.context
        slots = [job.slot for job in jobs]
        idle = self._between(slots)
        if idle:
            slots = sorted([*idle, *slots], key=lambda slot: slot.sequence)
        tokens = {job.slot.sequence: job.token or 0 for job in jobs}
        with self._sharing.generating() as threads:
            context.use(threads)
            context.decode_rows(
                [tokens.get(slot.sequence, 0) for slot in slots],
                [slot.position for slot in slots],
                [slot.sequence for slot in slots],
            )
        for slot in idle:
            context.truncate(slot.sequence, slot.position)
        rows = {slot.sequence: row for row, slot in enumerate(slots)}
        return [rows[sequence] for sequence in tokens]

    def _between(self, slots: list[Slot]) -> list[Slot]:
        """Return the slots between those that rise by number, if it pays to evaluate them."""
        context, first, last = slots[0].context, slots[0].sequence, slots[-1].sequence
        if context is not self.context or not context.forgets:
            return []
        taken = {slot.sequence for slot in slots}
        idle = [slot for slot in self.slots[first:last] if slot.sequence not in taken]
        if len(idle) > len(slots) or any(slot.tokens >= context.n_ctx for slot in idle):
            return []
        return idle


def _held(wanted: Sequence[Block], slot: Slot) -> int:
    """Count the tokens of `wanted` that a slot holds already."""
    return size_of(wanted[: slot.shares(wanted)])


def _closed() -> ClosedError:
    return ClosedError("the engine was closed", hint="Load the model again")
