"""What is written down of a stage while it runs: numbers a step, evaluations, incidents.

``steps.jsonl``, ``evaluations.jsonl`` and ``incidents.jsonl`` in the folder of the stage are what
the report is made of; the same numbers go to TensorBoard and, in short, to the progress bar.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from astrollava_training.loop.lines import read_lines
from astrollava_training.loop.report import write_report

__all__ = ["Journal"]

_SAY_EVERY = 60.0  # seconds, where no bar can be drawn: in the log of a batch system


class Journal:
    """The record of a stage; nothing is written by any but the first process.

    Parameters
    ----------
    folder : Path
        Of the stage.
    steps : int
        Of the stage.
    begun : int
        Steps done already; what was written of later ones, before the process was killed, is
        taken out, for these steps are done again.
    active : bool
        Whether this process writes.
    """

    def __init__(self, folder: Path, *, steps: int, begun: int, active: bool) -> None:
        self._folder = folder
        self._active = active
        self._board: Any = None
        self._bar: Any = None
        if not active:
            return
        for name in ("steps", "evaluations"):
            path = folder / f"{name}.jsonl"
            lines = [line for line in read_lines(path) if line["step"] <= begun]
            part = path.with_suffix(".part")
            part.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            part.replace(path)
        from torch.utils.tensorboard import SummaryWriter

        self._board = SummaryWriter(folder / "tensorboard", purge_step=begun + 1)
        self._bar = tqdm(
            total=steps, initial=begun, desc=folder.name, unit="step", disable=None,
            dynamic_ncols=True,
        )  # fmt: skip
        self._begun = begun
        self._began = self._said = time.monotonic()

    def step(self, step: int, values: Mapping[str, float | None]) -> None:
        """Record the numbers of a step; the first is step 1."""
        if not self._active:
            return
        self._append("steps", {"step": step, **values})
        for name, value in values.items():
            if value is not None:
                self._show("add_scalar", name, value, step)
        if not self._bar.disable:
            self._bar.set_postfix_str(_short(values), refresh=False)
            self._bar.update()
        elif step == self._bar.total or time.monotonic() - self._said >= _SAY_EVERY:
            self._said = time.monotonic()
            left = (self._said - self._began) / (step - self._begun) * (self._bar.total - step)
            told = f"{self._folder.name} {step}/{self._bar.total}: {_short(values)}"
            with suppress(OSError):  # a reader that went away, or a full disk, ends no training
                print(f"{told}, {left / 60:.0f} min left", file=sys.stderr, flush=True)

    def evaluation(self, step: int, loss: float, samples: list[dict[str, Any]]) -> None:
        """Record what the model says after a step."""
        if self._active:
            self._append("evaluations", {"step": step, "loss": loss, "samples": samples})
            self._show("add_scalar", "held-out loss", loss, step)
            for number, sample in enumerate(samples):
                self._show("add_text", f"sample {number}", sample["said"], step)

    def report(self) -> None:
        """Write the report of the run as it stands."""
        if self._active:
            try:
                write_report(self._folder.parent)
            except OSError as error:  # a full disk ends no training
                self.incident(f"no report: {error}")

    def incident(self, text: str) -> None:
        """Record what went wrong without ending the run, and say it."""
        if self._active:
            self._append("incidents", {"text": text})
            self._tell(text)

    def close(self) -> None:
        """Close the files."""
        if self._active:
            self._show("close")
            self._bar.close()

    def _show(self, what: str, *given: Any) -> None:
        """Call TensorBoard's writer; one that cannot write any more is called no more."""
        if self._board is not None:
            try:
                getattr(self._board, what)(*given)
            except OSError as error:  # of its thread, on a full disk
                self._board = None
                self.incident(f"no more of this run goes to TensorBoard: {error}")

    def _append(self, name: str, record: Mapping[str, Any]) -> None:
        try:
            with (self._folder / f"{name}.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(record) + "\n")
        except OSError as error:
            # A full disk ends no training: it may have room again before the weights are written.
            self._tell(f"{name}.jsonl: {error}")

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # where it goes may be a file on the same disk
            self._bar.write(text)


def _short(values: Mapping[str, float | None]) -> str:
    def of(name: str) -> float | None:
        return values.get(name)

    parts = [f"loss {of('loss'):.4f}", f"{of('tokens_per_s'):.0f} tokens/s"]
    if (mfu := of("mfu")) is not None:
        parts.append(f"MFU {mfu:.1%}")
    if (memory := of("memory")) is not None:
        parts.append(f"{memory / 1e9:.1f} GB")
    if (joules := of("joules")) is not None:
        parts.append(f"{joules / 3.6e6:.3f} kWh")
    return ", ".join(parts)
