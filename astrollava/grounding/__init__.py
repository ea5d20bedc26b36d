"""What in a text not to believe: claims that no picture supports, circles, untaught answers."""

from __future__ import annotations

from astrollava.grounding.claims import KINDS, find_claims
from astrollava.grounding.loops import find_loops
from astrollava.grounding.taught import find_untaught, untaught_words

__all__ = ["KINDS", "find_claims", "find_loops", "find_untaught", "untaught_words"]
