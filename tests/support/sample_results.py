"""Results with a full record, as the front door makes them, for tests that need no model."""

from __future__ import annotations

import io
import json
from typing import Any

from astrollava.grounding import find_claims
from astrollava.results import Answer, Classification, Description, Extraction, Provenance

__all__ = [
    "HASH",
    "answer",
    "classification",
    "description",
    "extraction",
    "provenance",
    "thumbnail",
]

HASH = "0123456789abcdef" * 4


def provenance(**changed: Any) -> Provenance:
    """A whole record; keyword arguments replace its fields."""
    record: dict[str, Any] = {
        "model": {
            "name": "astrollava-embedded-v0",
            "files": {
                "text": {"name": "v0-text.gguf", "sha256": HASH, "bytes": 9_437_184},
                "mmproj": {"name": "v0-mmproj.gguf", "sha256": HASH[::-1], "bytes": 4_194_304},
            },
            "quantization": "Q8_0",
            "licence": "MIT",
        },
        "prompt": {"id": "describe", "version": "1", "text": "Describe this image."},
        "sampling": {
            "temperature": 0.0,
            "top_k": 40,
            "top_p": 0.95,
            "min_p": 0.05,
            "repeat_penalty": 1.0,
            "seed": 0,
            "max_tokens": 256,
        },
        "rendering": {
            "version": 1,
            "size": [120, 120],
            "rule": "pad",
            "interval": "percentile 99.5",
            "stretch": "asinh",
            "combine": "lupton",
            "limits": [[-0.02, 1.8], [-0.01, 2.5], [-0.03, 3.9]],
            "masked_fraction": 0.0,
        },
        "source": {
            "kind": "fits",
            "path": "decals_a.fits",
            "sha256": HASH,
            "hdu": 0,
            "shape": [3, 424, 424],
            "centre": [184.9513, 14.4167],
            "pixel_scale": 0.262,
        },
        "generation": {
            "finish_reason": "stop",
            "prompt_tokens": 131,
            "generated_tokens": 42,
            "seconds": 0.412,
        },
        "versions": {"astrollava": "0.1.0", "python": "3.11.9", "numpy": "2.3.4"},
        "created": "2026-11-23T01:02:03+00:00",
    }
    return Provenance(**record | changed)


def thumbnail(size: int = 16, shade: int = 90) -> bytes:
    """A small PNG of one colour."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (size, size), (shade, shade // 2, 20)).save(out, format="PNG")
    return out.getvalue()


def description(
    text: str = "A barred spiral galaxy, NGC 1300, about 19 Mpc away.", **changed: Any
) -> Description:
    """A description with the flags its text deserves."""
    return Description(
        **{
            "provenance": provenance(),
            "thumbnail": thumbnail(),
            "text": text,
            "flags": find_claims(text),
        }
        | changed
    )


def answer(text: str = "Yes, there is a bar.", **changed: Any) -> Answer:
    """An answer with the flags its text deserves."""
    return Answer(
        **{
            "provenance": provenance(),
            "thumbnail": thumbnail(),
            "question": "Is there a bar?",
            "text": text,
            "flags": find_claims(text),
        }
        | changed
    )


def classification(**changed: Any) -> Classification:
    """Probabilities over three labels."""
    scored = {"finish_reason": "scored", "labels": 3}
    return Classification(
        **{
            "provenance": provenance(generation=scored),
            "thumbnail": thumbnail(),
            "vocabulary": "custom",
            "probabilities": {"spiral": 0.7, "elliptical": 0.2, "merger": 0.1},
            "threshold": 0.5,
        }
        | changed
    )


def extraction(**changed: Any) -> Extraction:
    """An object with two values that are one of a few."""
    text = '{"bar":true,"arms":"two","note":"about 19 Mpc away"}'
    return Extraction(
        **{
            "provenance": provenance(),
            "thumbnail": thumbnail(),
            "value": json.loads(text),
            "text": text,
            "probabilities": {
                "bar": {"false": 0.25, "true": 0.75},
                "arms": {"two": 0.9, "one": 0.1},
            },
            "flags": find_claims(text),
        }
        | changed
    )
