"""Galaxy10 as astroNN publishes it: one HDF5 file (Leung & Bovy; Walmsley et al. 2022)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import CorruptImage, InvalidRequest
from astrollava.vocabularies import GALAXY10, Vocabulary
from astrollava_training.evaluate.items import Dataset, Item, split_of
from astrollava_training.evaluate.sets._common import counts_of, hash_of
from astrollava_training.evaluate.sets.classes import check_stated, meanings_of, truth_of

__all__ = ["SDSS", "read"]

_SDSS_SIDE = 69  # pixels; those of Galaxy10 DECaLS have 256
_DECALS = ("ra", "dec", "redshift", "pxscale")

_SDSS_ROWS = (
    ("Disk, Face-on, No Spiral", "A face-on disk without spiral arms."),
    ("Smooth, Completely round", "A round smooth galaxy."),
    ("Smooth, in-between round", "An in-between smooth galaxy."),
    ("Smooth, Cigar shaped", "A cigar-shaped smooth galaxy."),
    ("Disk, Edge-on, Rounded Bulge", "An edge-on galaxy with a rounded bulge."),
    ("Disk, Edge-on, Boxy Bulge", "An edge-on galaxy with a boxy bulge."),
    ("Disk, Edge-on, No Bulge", "An edge-on galaxy without a bulge."),
    ("Disk, Face-on, Tight Spiral", "A tight spiral galaxy."),
    ("Disk, Face-on, Medium Spiral", "A medium-wound spiral galaxy."),
    ("Disk, Face-on, Loose Spiral", "A loose spiral galaxy."),
)

SDSS = Vocabulary(
    "galaxy10-sdss",
    tuple(label for label, _ in _SDSS_ROWS),
    GALAXY10.question,
    dict(_SDSS_ROWS),
)
"""The ten classes of the first Galaxy10, of SDSS pictures, in its order."""

_SMOOTH = {"smooth": "smooth", "bar": "no", "spiral": "no"}
_EDGE = {"smooth": "features", "edge_on": "yes"}
_FACE = {"smooth": "features", "edge_on": "no"}
_SDSS_TRUTH = (
    {**_FACE, "spiral": "no"},
    {**_SMOOTH, "edge_on": "no", "rounded": "round"},
    {**_SMOOTH, "edge_on": "no", "rounded": "in_between"},
    {**_SMOOTH, "rounded": "cigar"},
    {**_EDGE, "bulge": "present"},
    {**_EDGE, "bulge": "present"},
    {**_EDGE, "bulge": "none"},
    {**_FACE, "spiral": "yes", "winding": "tight"},
    {**_FACE, "spiral": "yes", "winding": "medium"},
    {**_FACE, "spiral": "yes", "winding": "loose"},
)


def read(path: Path, vocabulary: str | None = None) -> Dataset:
    """Read ``Galaxy10_DECals.h5`` or ``Galaxy10.h5``; pictures are read when they are due.

    The file names no splits: `split_of` gives each object one, by its position on the sky where
    the file has it, so that two pictures of one galaxy never lie in two splits.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    vocabulary : str, optional
        That of its classes, where one is stated.

    Raises
    ------
    InvalidRequest
        The file is not of this layout or of that vocabulary, or h5py is missing.
    """
    try:
        import h5py
    except ImportError:
        raise InvalidRequest(
            f"{path} cannot be read without h5py", hint="pip install h5py"
        ) from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InvalidRequest(f"{path} is no HDF5 file ({error})") from None
    images, answers = file.get("images"), file.get("ans")
    if images is None or answers is None or images.ndim != 4 or images.shape[3] != 3:
        raise InvalidRequest(
            f"{path} holds {sorted(file)}",
            expected="'images' of shape (n, side, side, 3) and 'ans'",
            hint="Galaxy10_DECals.h5 and Galaxy10.h5 are of that layout",
        )
    labels: NDArray[np.intp] = np.asarray(answers[()], np.intp)
    if (
        images.dtype != np.uint8
        or len(labels) != len(images)
        or not np.isin(labels, range(10)).all()
    ):
        raise InvalidRequest(
            f"{path} holds {len(images)} pictures of {images.dtype} and {len(labels)} answers from"
            f" {min(labels, default='none')} to {max(labels, default='none')}",
            expected="as many 8-bit pictures as answers, from 0 to 9",
        )
    sdss = images.shape[1] == _SDSS_SIDE
    columns = {name: file[name][()] for name in _DECALS if name in file}
    kind = "galaxy10-sdss" if sdss else "galaxy10-decals"
    known = check_stated(path, SDSS if sdss else GALAXY10, vocabulary)
    items = []
    for i, label in enumerate(labels):
        about = {name: float(values[i]) for name, values in columns.items()}
        group = _object(kind, i, about)
        truth = _SDSS_TRUTH[label] if sdss else truth_of(known, int(label))
        items.append(
            Item(
                f"{kind}/{i:05d}",
                partial(_picture, images, i),
                int(label),
                split_of(group),
                truth,
                group,
                about,
            )
        )
    facts = {
        "file": path.name,
        "sha256": hash_of([path], path.parent),
        "credit": "Galaxy10 (Leung & Bovy), Galaxy Zoo, "
        + ("SDSS" if sdss else "DESI Legacy Imaging Surveys"),
    }
    return Dataset(
        kind,
        known,
        tuple(items),
        facts,
        counts_of(known),
        _SDSS_TRUTH if sdss else meanings_of(known),
        divided=False,
        large=True,
    )


def _picture(images: Any, number: int) -> NDArray[np.uint8]:
    try:
        found: NDArray[np.uint8] = images[number]
    except OSError as error:
        raise CorruptImage(f"picture {number} of {images.file.filename}: {error}") from None
    return found


def _object(kind: str, number: int, about: dict[str, float]) -> str:
    """Return the name of the object shown: its position to a few arcseconds."""
    if "ra" in about and "dec" in about:
        return f"{kind}/{about['ra']:.3f}{about['dec']:+.3f}"
    return f"{kind}/{number:05d}"
