"""Pictures with known classes, in the forms they are published and kept in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from astrollava.errors import InvalidRequest
from astrollava_training.evaluate.items import Dataset

__all__ = ["open_data"]


def open_data(
    name: str | Path, *, mirror: str | None = None, vocabulary: str | None = None
) -> Dataset:
    """Open the data meant.

    Parameters
    ----------
    name : str or path
        - ``Galaxy10_DECals.h5`` or ``Galaxy10.h5`` (SDSS), as astroNN publishes them;
        - a Parquet file, or a folder of them, with the columns ``image`` and ``label`` as the
          Hugging Face hub writes them;
        - a CSV table with a column ``image``: with the votes of Galaxy Zoo 2 or Galaxy Zoo DECaLS,
          or with a column ``label``, also of FITS files;
        - a folder with one folder for each class;
        - ``"galaxy10-decals"``, ``"galaxy10-decals-test"`` or ``"galaxy10-sdss"``: the published
          file, downloaded once.
    mirror : str, optional
        Where downloads come from in the place of their publishers.
    vocabulary : str, optional
        What classes are named by: ``"galaxy10"`` or another vocabulary, pictures of other names
        then have no class; or ``"own"``, every name as it is written. Without it names of Galaxy10
        DECaLS are known as such, see `classes_of`; what was made of them is in `Dataset.notes`.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidRequest
        It is none of these, or what is in it makes no sense.
    DownloadFailed, HashMismatch, NotEnoughSpace
        It has to be downloaded and cannot be.
    """
    from astrollava_training.evaluate.sets import download, folders, galaxy10, parquet, tables

    if str(name) in download.PUBLISHED:
        name = download.fetch(download.PUBLISHED[str(name)], mirror=mirror)
    path = Path(name).expanduser()
    if path.is_dir():
        reader = parquet.read if any(path.rglob("*.parquet")) else folders.read
        return reader(path, vocabulary)
    if not path.is_file():
        raise InvalidRequest(
            f"there are no data at {path}",
            expected=f"a file, a folder, or one of {', '.join(download.PUBLISHED)}",
            hint="--data names them",
        )
    readers: dict[str, Callable[[Path, str | None], Dataset]] = {
        ".h5": galaxy10.read,
        ".hdf5": galaxy10.read,
        ".parquet": parquet.read,
        ".csv": tables.read,
    }
    found = readers.get(path.suffix.lower())
    if found is None:
        raise InvalidRequest(
            f"{path} is of no kind that is known", expected=f"one of {', '.join(readers)}"
        )
    return found(path, vocabulary)
