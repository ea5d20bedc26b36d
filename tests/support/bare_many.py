"""The evaluations that many images need, made by two threads that do nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from astrollava.engine import Engine
from engine_state import forget

__all__ = ["Floor", "floor_of"]

#: Any token will do: what is computed does not depend on which.
_TOKEN = 300


@dataclass(frozen=True)
class Floor:
    """Seconds of a processor that an image takes in the tower and in the language model.

    `tower` and `text` are those of each by itself; `tower_beside` and `text_beside` those of both
    at a time, when they share caches, memory and perhaps a core.
    """

    tower: float
    text: float
    tower_beside: float
    text_beside: float

    @property
    def seconds(self) -> float:
        """What an image takes at least where two cores are never idle."""
        return (self.tower_beside + self.text_beside) / 2


def floor_of(engine: Engine, prompt: str, pictures: Sequence[Any], generated: int) -> Floor:
    """Evaluate what `engine` does for `pictures`, `generated` tokens each, and nothing else.

    Parameters
    ----------
    engine : Engine
        At rest, grown to all its sequences, with one thread for tower and text each.
    prompt : str
        That of each picture.
    pictures : sequence of ndarray
        Of the engine's size.
    generated : int
        Tokens of each text.
    """
    core = engine._core
    context, slots = core.scheduler.context, core.scheduler.slots
    blocks = engine._plan(prompt, [engine.encode_image(pictures[0])]).blocks
    numbers = list(range(len(slots)))
    forget(engine)
    for slot in slots:
        slot.evaluate(blocks[0])

    def see() -> None:
        for k in numbers:
            core.projector.encode(pictures[k % len(pictures)], "")

    def speak() -> None:
        for slot in slots:
            slot.cut(1)
            for block in blocks[1:]:
                slot.evaluate(block)
        behind = slots[0].position
        for k in range(generated - 1):
            context.decode_rows([_TOKEN] * len(slots), [behind + k] * len(slots), numbers)
            context.best(0)

    waves = max(2, len(pictures) // len(slots))
    see(), speak()
    alone = [_processor([task], waves)[0] / len(slots) for task in (see, speak)]
    beside = [each / len(slots) for each in _processor([see, speak], waves)]
    forget(engine)
    return Floor(*alone, *beside)


def _processor(tasks: Sequence[Callable[[], None]], times: int) -> list[float]:
    """Return the processor time each task takes while all of them go on, a thread each."""
    done = [0] * len(tasks)
    spent = [0.0] * len(tasks)

    def repeat(n: int) -> None:
        began = time.thread_time()
        while min(done) < times:
            tasks[n]()
            done[n] += 1
        spent[n] = (time.thread_time() - began) / done[n]

    threads = [threading.Thread(target=repeat, args=(n,)) for n in range(len(tasks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return spent
