"""Many sources in flight: some being prepared, some at work in the model, in order out of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Literal, TypeVar, cast

from astrollava.errors import InvalidRequest

__all__ = ["OnError", "check_on_error", "in_flight"]

OnError = Literal["raise", "return"]

Taken = TypeVar("Taken")
Begun = TypeVar("Begun")
Result = TypeVar("Result")

#: Threads that encode pictures and set them to work: one may wait while the other works, and so may
#: as many as a tower encodes at once.
_LEAST_PREPARING, _MOST_PREPARING = 2, 8


def check_on_error(given: str) -> OnError:
    """Refuse anything that is no way to treat an error."""
    if given not in ("raise", "return"):
        raise InvalidRequest(f"on_error={given!r}", expected="'raise' or 'return'")
    return cast(OnError, given)


def in_flight(
    sources: Iterable[Any],
    take: Callable[[Any], Taken | Future[Taken]],
    begin: Callable[[Taken], Begun],
    finish: Callable[[Begun], Result],
    drop: Callable[[Begun], None],
    *,
    window: int,
    together: int,
    on_error: OnError,
    progress: bool,
    what: str,
) -> Generator[Result | Exception, None, None]:
    """Work on sources ahead of who takes the results, in order.

    Parameters
    ----------
    sources : iterable
        Taken one by one in the thread that takes the results, never further ahead than `window`. An
        error of its own is raised behind the results of all that came before it.
    take : callable
        Takes from a source all that is needed, before the next one is asked for: the same array may
        come again with other pixels, a file may be closed. May give a future, where that takes long
        and the source stays what it is.
    begin : callable
        Sets what was taken to work; called in other threads.
    finish : callable
        Waits for the result.
    drop : callable
        Gives up what was begun and nobody will take.
    window : int
        Sources in flight at most.
    together : int
        How many calls of `begin` at a time do better than one.
    on_error : {"raise", "return"}
        Whether an error of one source ends it all or is given in place of its result.
    progress : bool
        Whether to show a bar, where standard error is a terminal.
    what : str
        What the bar says is done.
    """
    ahead: deque[Future[Begun]] = deque()
    waiting = iter(sources)
    ended: BaseException | None = None
    with ExitStack() as undo:
        bar = undo.enter_context(_bar(sources, what)) if progress else None
        threads = min(max(together, _LEAST_PREPARING), _MOST_PREPARING)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="astrollava-prepare")
        undo.callback(_give_up, ahead, drop)
        undo.callback(pool.shutdown, cancel_futures=True)
        while True:
            while ended is None and len(ahead) < window:
                try:
                    source = next(waiting)
                except Exception as error:
                    ended = error
                else:
                    ahead.append(_taken(pool, take, begin, source))
                    del source
            if not ahead:
                break
            result: Result | Exception
            try:
                # It stays in the queue while it is waited for: an interrupt must find it there.
                result = finish(ahead[0].result())
            except Exception as error:
                if on_error == "raise":
                    raise
                result = error
            ahead.popleft()
            if bar is not None:
                bar.update()
            yield result
    if ended is not None and not isinstance(ended, StopIteration):
        raise ended


def _taken(
    pool: ThreadPoolExecutor,
    take: Callable[[Any], Taken | Future[Taken]],
    begin: Callable[[Taken], Begun],
    source: Any,
) -> Future[Begun]:
    try:
        taken = take(source)
    except Exception as error:
        failed: Future[Begun] = Future()
        failed.set_exception(error)
        return failed
    return _behind(taken, pool, begin) if isinstance(taken, Future) else pool.submit(begin, taken)


def _behind(
    taken: Future[Taken], pool: ThreadPoolExecutor, begin: Callable[[Taken], Begun]
) -> Future[Begun]:
    """Begin when what is to be taken is there; no thread waits for it."""
    begun: Future[Begun] = Future()

    def start(done: Future[Taken]) -> None:
        try:
            pool.submit(begin, done.result()).add_done_callback(end)
        except BaseException as error:
            # Also where all was given up in the meantime.
            begun.set_exception(error)

    def end(done: Future[Begun]) -> None:
        if done.cancelled():
            begun.cancel()
        elif (error := done.exception()) is not None:
            begun.set_exception(error)
        else:
            begun.set_result(done.result())

    taken.add_done_callback(start)
    return begun


def _give_up(ahead: deque[Future[Any]], drop: Callable[[Any], None]) -> None:
    for future in ahead:
        if future.done() and not future.cancelled() and future.exception() is None:
            drop(future.result())


def _bar(sources: Iterable[Any], what: str) -> Any:
    from tqdm.auto import tqdm

    total = len(sources) if isinstance(sources, Sized) else None
    # None: off where standard error is no terminal.
    return tqdm(total=total, desc=what, unit="image", disable=None)
