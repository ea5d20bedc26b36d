"""A stage's data on disk: tokenised once, pictures decoded once, what is corrupt listed."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import InvalidRequest
from astrollava_training.dataset.masks import TooLong, Unfit, Writer
from astrollava_training.dataset.pictures import Picture, PictureCache, RenderRule
from astrollava_training.dataset.rows import BadRow, Row, find_files, read_rows
from astrollava_training.dataset.templates import Template

__all__ = ["Corpus", "Source"]

_VERSION = 3
_SHOWN = 5  # bad rows named in an error


@dataclass(frozen=True)
class Source:
    """What a corpus is made of, and how.

    Attributes
    ----------
    files : tuple of str
        Patterns of files inside `root`.
    root : Path
        Folder of the data.
    images : str
        Folder, inside the root, that pictures of JSON files lie in.
    template : {"plain", "v1", "chat"}
    length : int
        Tokens of the longest conversation.
    image : tuple of int
        Tokens that stand for a picture.
    render : RenderRule
    corrupt : float
        Largest share of rows that may be left out, in [0, 1).
    """

    files: tuple[str, ...]
    root: Path
    images: str
    template: Any
    length: int
    image: tuple[int, ...]
    render: RenderRule
    corrupt: float


@dataclass(frozen=True, eq=False)
class Corpus:
    """Conversations as tokens, and their pictures.

    Attributes
    ----------
    ids : ndarray of int32, shape (tokens,)
        All conversations, one after the other.
    learned : ndarray of bool, shape (tokens,)
        Whether a loss is taken on a token.
    bounds : ndarray of int64, shape (conversations + 1,)
        Where each begins, and the last ends.
    pictures : ndarray of int32, shape (conversations,)
        Number of the picture of each, -1 where there is none.
    rows : tuple of Row
        The conversations as they were read.
    shades : ndarray of uint8, shape (pictures, size, size, 3)
    bad : tuple of BadRow
        Rows left out.
    shortened : tuple of BadRow
        Rows of which the last turns are left out.
    identity : str
        What tokens and pictures are, as a hash: a run goes on with the same only.
    """

    ids: NDArray[np.int32]
    learned: NDArray[np.bool_]
    bounds: NDArray[np.int64]
    pictures: NDArray[np.int32]
    rows: tuple[Row, ...]
    shades: NDArray[np.uint8]
    bad: tuple[BadRow, ...]
    shortened: tuple[BadRow, ...]
    identity: str

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each conversation."""
        return np.diff(self.bounds)

    @classmethod
    def make(cls, source: Source, tokenizer: Any, cache: Path, *, workers: int = 1) -> Corpus:
        """Read, check, tokenise and decode a stage's data, or find all of it in the cache.

        Parameters
        ----------
        source : Source
        tokenizer : transformers tokenizer
        cache : Path
            Folder; what is in it is found again by what it was made of. ``left-out-….json`` lists
            what was left out and shortened.
        workers : int
            Processes that decode pictures; 0 decodes in this one.

        Raises
        ------
        InvalidRequest
            If there is no data, or more of it is corrupt than allowed.
        MaskError, TemplateError
            If a conversation cannot be turned into tokens and a mask as it should be.
        """
        files = find_files(source.files, source.root)
        rows, bad = read_rows(files, source.root / source.images)
        total = len(rows) + len(bad)
        if not total:
            raise InvalidRequest(
                f"{', '.join(str(file) for file in files)}: no row is in "
                f"{'it' if len(files) == 1 else 'them'}",
                expected="rows with 'conversations'",
            )
        distinct: list[Picture] = list(
            dict.fromkeys(row.picture for row in rows if row.picture is not None)
        )
        seen = PictureCache.open(distinct, source.render, cache, workers=workers)
        number = {picture: n for n, picture in enumerate(distinct)}
        good: list[Row] = []
        for row in rows:
            reason = seen.bad.get(number[row.picture]) if row.picture is not None else None
            if reason is None:
                good.append(row)
            else:
                bad.append(BadRow(row.id, row.place, f"its picture cannot be read: {reason}"))
        writer = Writer(
            Template(source.template, tokenizer),
            tokenizer,
            image=source.image,
            length=source.length,
        )
        path = cache / f"tokens-{_key(source, files, tokenizer, good)}.npz"
        if not path.exists():
            _write(path, good, writer)
        with np.load(path) as found:
            ids, learned, kept, turns, bounds = (
                found[name] for name in ("ids", "learned", "kept", "turns", "bounds")
            )
            reasons, needed = found["reasons"].tolist(), found["needed"]
        fit = set(kept.tolist())
        unfit = [row for n, row in enumerate(good) if n not in fit]
        bad += [BadRow(r.id, r.place, why) for r, why in zip(unfit, reasons, strict=True)]
        used = tuple(good[n] for n in kept)
        shortened = tuple(
            BadRow(row.id, row.place, f"the last {len(row.turns) - n} turns are too long")
            for row, n in zip(used, turns, strict=True)
            if n < len(row.turns)
        )
        _list(cache, path.stem.removeprefix("tokens-"), bad, shortened)
        _bound(source, bad, total, needed[needed > 0])
        pictures = np.array([-1 if r.picture is None else number[r.picture] for r in used])
        identity = hashlib.sha256(path.stem.encode())
        for part in (ids, learned, bounds, pictures):
            identity.update(np.ascontiguousarray(part).tobytes())
        return cls(
            ids,
            learned,
            bounds,
            pictures.astype(np.int32),
            used,
            seen.shades,
            tuple(bad),
            shortened,
            identity.hexdigest(),
        )


def _key(source: Source, files: Sequence[Path], tokenizer: Any, rows: Sequence[Row]) -> str:
    digest = hashlib.sha256(
        json.dumps([_VERSION, source.template, source.length, list(source.image)]).encode()
    )
    digest.update(json.dumps(asdict(source.render)).encode())
    digest.update(str(getattr(tokenizer, "chat_template", None)).encode())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    for row in rows:
        digest.update(repr((row.id, row.turns, row.picture is not None)).encode())
    return digest.hexdigest()[:16]


def _write(path: Path, rows: Sequence[Row], writer: Writer) -> None:
    from tqdm import tqdm

    ids: list[NDArray[np.int32]] = []
    learned: list[NDArray[np.bool_]] = []
    kept: list[int] = []
    turns: list[int] = []
    reasons: list[str] = []
    needed: list[int] = []
    for number, made in enumerate(tqdm(writer(rows), "tokens", len(rows), disable=None)):
        if isinstance(made, Unfit):
            reasons.append(made.reason)
            needed.append(made.tokens if isinstance(made, TooLong) else 0)
        else:
            ids.append(made.ids)
            learned.append(made.learned)
            kept.append(number)
            turns.append(made.turns)
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(
            stream,
            ids=np.concatenate([np.zeros(0, np.int32), *ids]),
            learned=np.concatenate([np.zeros(0, np.bool_), *learned]),
            bounds=np.cumsum([0, *map(len, ids)]),
            kept=np.array(kept, np.int64),
            turns=np.array(turns, np.int64),
            reasons=np.array(reasons, dtype=np.str_),
            needed=np.array(needed, np.int64),
        )
    part.replace(path)


def _list(cache: Path, key: str, bad: Sequence[BadRow], shortened: Sequence[BadRow]) -> None:
    record = {
        "left out": [asdict(row) for row in bad],
        "shortened": [asdict(row) for row in shortened],
    }
    part = cache / f"left-out-{key}.part"
    part.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(part.with_suffix(".json"))


def _bound(source: Source, bad: Sequence[BadRow], total: int, needed: NDArray[np.int64]) -> None:
    """Raise if too much is left out, or all is; `needed` are the tokens of what is too long."""
    if total == len(bad) or len(bad) > source.corrupt * total:
        first = "".join(f"\n  {row.place} {row.id!r}: {row.reason}" for row in bad[:_SHOWN])
        more = f"\n  and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        remedies = ["Mend the data"] if len(needed) < len(bad) else []
        if len(needed):
            them = "They" if len(needed) == len(bad) else f"{len(needed)} of them"
            remedies.append(
                f"{them} are too long for data.length = {source.length}: {needed.max()} holds all"
            )
        if (share := math.ceil(len(bad) / total * 1000) / 1000) < 1:
            remedies.append(f"With data.corrupt = {share:.3f} they are left out")
        raise InvalidRequest(
            f"{len(bad)} of {total} rows of {', '.join(source.files)} cannot be used:{first}{more}",
            expected=f"some rows, and at most {source.corrupt:.2%} of them left out",
            hint=". ".join(remedies),
        )
