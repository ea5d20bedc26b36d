"""One finding of the doctor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

__all__ = ["Check", "Status"]

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found and what to do about it.

    Attributes
    ----------
    name : str
        What was looked at, in a word or two.
    status : {"ok", "warning", "problem"}
        A warning costs something but nothing is broken; a problem must be solved.
    detail : str
        What was found.
    advice : str
        What to do; empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return plain strings, ready for JSON."""
        return asdict(self)
