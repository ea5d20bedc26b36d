"""Which plugins may be loaded: what the environment variable says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

__all__ = ["VARIABLE", "Selection"]

#: The environment variable that selects and blocks plugins.
VARIABLE: Final = "ASTROLLAVA_PLUGINS"


@dataclass(frozen=True)
class Selection:
    """Names of plugins that are selected, or blocked.

    Attributes
    ----------
    only : frozenset of str or None
        The only ones to load; None for all.
    never : frozenset of str
        Those not to load.
    """

    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read ``"none"``, ``"a,b"`` (only these) or ``"-a,-b"`` (all but these).

        Any text has a meaning: a spelling mistake here must not end a command that needs no plugin.

        Examples
        --------
        >>> Selection.parse("-samp").allows("samp"), Selection.parse("-samp").allows("mast")
        (False, True)
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        never = frozenset(word[1:].strip() for word in words if word.startswith("-"))
        only = frozenset(word for word in words if not word.startswith("-"))
        if "none" in only:
            return cls(frozenset(), never)
        return cls(only if only and "all" not in only else None, never)

    @classmethod
    def of_environment(cls) -> Selection:
        """Read ``ASTROLLAVA_PLUGINS``."""
        return cls.parse(os.environ.get(VARIABLE, ""))

    def allows(self, name: str) -> bool:
        """Whether the plugin of that name may be loaded."""
        return name not in self.never and (self.only is None or name in self.only)

    @property
    def named(self) -> frozenset[str]:
        """Every plugin that is spoken of."""
        return (self.only or frozenset()) | self.never
