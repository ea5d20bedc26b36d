"""What a picture cannot show: finds such claims in a text."""

from __future__ import annotations

from astrollava.grounding.claims import KINDS, find_claims

__all__ = ["KINDS", "find_claims"]
