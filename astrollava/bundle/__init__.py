"""Bundles: a model, cutouts and settings in one file, for machines without a network.

A bundle is a zip archive of stored (not compressed) files::

    bundle.json         names the model and lists every file with its size and SHA-256
    model/...           the language model and its projector
    cutouts/...         images

`create` writes one, `use` unpacks one after it has checked that nothing in it is damaged, altered,
missing or added. The SHA-256 of ``bundle.json`` stands for the whole: who passes it on by another
way (`Bundle.digest`) lets the receiver know that the bundle is the one that was sent.
"""

from __future__ import annotations

from ._create import create
from ._use import Bundle, use

__all__ = ["Bundle", "create", "use"]
