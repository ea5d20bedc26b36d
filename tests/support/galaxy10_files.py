"""Files of the layouts Galaxy10 is published in, with pictures drawn for the purpose."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["drawn", "png", "write_h5", "write_parquet"]


def drawn(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Draw blobs of light, shape (count, side, side, 3), uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    flat = rng.uniform(0.2, 1.0, (count, 1, 1))
    light = (
        200
        * np.exp(-9 * (x**2 + (y / flat) ** 2))[..., None]
        * rng.uniform(0.6, 1, (count, 1, 1, 3))
    )
    return np.clip(light + rng.normal(10, 3, light.shape), 0, 255).astype(np.uint8)


def write_h5(
    path: Path, count: int, *, side: int = 256, decals: bool = True, **changed: Any
) -> Any:
    """Write ``Galaxy10_DECals.h5`` (or the SDSS file's layout); `changed` replaces data sets."""
    import h5py

    rng = np.random.default_rng(1)
    held: dict[str, Any] = {"images": drawn(count, side), "ans": np.arange(count) % 10}
    held["ans"] = held["ans"].astype(np.uint8)
    if decals:
        held |= {
            "ra": rng.uniform(0, 360, count), "dec": rng.uniform(-20, 60, count),
            "redshift": rng.uniform(0.01, 0.2, count), "pxscale": np.full(count, 0.262),
        }  # fmt: skip
    held |= changed
    with h5py.File(path, "w") as file:
        for name, values in held.items():
            if values is not None:
                file.create_dataset(name, data=values)
    return held


def png(rgb: np.ndarray) -> bytes:
    """Return a picture as a PNG file."""
    kept = io.BytesIO()
    Image.fromarray(rgb).save(kept, "PNG")
    return kept.getvalue()


def write_parquet(
    path: Path, count: int, *, names: tuple[str, ...] = (), seed: int = 0, rows_in_group: int = 7
) -> list[bytes]:
    """Write a file as the Hugging Face hub does; returns its pictures."""
    import pyarrow as pa
    from pyarrow import parquet

    pictures = [png(rgb) for rgb in drawn(count, 48, seed)]
    image = pa.array(
        [{"bytes": data, "path": None} for data in pictures],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table(
        {"image": image, "label": pa.array([i % 10 for i in range(count)], pa.int64())}
    )
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        said = json.dumps({"info": {"features": features}}).encode()
        table = table.replace_schema_metadata({b"huggingface": said})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path, row_group_size=rows_in_group)
    return pictures
