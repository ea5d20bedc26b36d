"""What plugins add to the rooms of the core, which know nothing of plugins.

A room asks here, and late: for a name that it does not have itself, or for a list. Who answers is
said once, by `answer_with`, when `astrollava` is imported; until then, and in a room used alone,
there is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

__all__ = ["Answering", "Kind", "Offered", "answer_with", "listening", "offered", "tell"]

Kind = Literal[
    "fetchers", "models", "readers", "stretches", "vocabularies", "fact_providers", "exporters"
]


@dataclass(frozen=True)
class Offered:
    """Something of a plugin, and whose it is.

    Attributes
    ----------
    value : object
        What the plugin gives; its type was checked.
    plugin, distribution, version : str
        The plugin's name, and the distribution that it came in.
    """

    value: Any
    plugin: str
    distribution: str
    version: str

    @property
    def from_where(self) -> str:
        """The distribution, to stand behind a name in a message; empty where none brought it."""
        return f" ({self.distribution} {self.version})" if self.distribution else ""

    def to_dict(self) -> dict[str, str]:
        """Return whose it is, as provenance says it."""
        return {
            "name": self.plugin,
            "distribution": self.distribution,
            "version": self.version,
        }


class Answering(Protocol):
    """What knows the plugins."""

    def offered(self, kind: Kind) -> Mapping[str, Offered]:
        """Name -> what plugins give of a kind."""

    def listening(self) -> bool:
        """Whether any plugin wants to be told of descriptions."""

    def tell(self, result: Any, source: Any) -> None:
        """Tell plugins of a description; what they raise is theirs."""


_answering: list[Callable[[], Answering]] = []


def answer_with(ask: Callable[[], Answering]) -> None:
    """Say who knows the plugins; `ask` is called when something is wanted of them, not before."""
    _answering[:] = [ask]


def offered(kind: Kind) -> Mapping[str, Offered]:
    """Return what plugins give of a kind, by name; the first call of all loads the plugins."""
    return _answering[0]().offered(kind) if _answering else {}


def listening() -> bool:
    """Whether any plugin wants to be told of descriptions."""
    return bool(_answering) and _answering[0]().listening()


def tell(result: Any, source: Any) -> None:
    """Tell plugins of a description."""
    if _answering:
        _answering[0]().tell(result, source)
