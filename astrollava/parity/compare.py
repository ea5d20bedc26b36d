"""The comparison itself: one picture after the other through torch and through llama.cpp."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import EngineUnavailable, InvalidRequest, TemplateError
from astrollava.parity.report import Limits, ParityReport

if TYPE_CHECKING:
    from astrollava.engine import Engine
    from astrollava.models.checkpoint import Checkpoint
    from astrollava.models.gguf import GGUFHeader
    from astrollava.parity.reference import TorchReference

__all__ = ["check_pictures", "compare", "default_pictures", "parity"]

#: The key under which the converter writes the hashes of the checkpoint's files, into both files.
_HASHES: Final = "astrollava.checkpoint.sha256"

_Rgb = NDArray[np.uint8]


def parity(
    checkpoint: str | Path,
    pair: str | Path,
    sources: Iterable[Any] = (),
    *,
    question: str = "Describe this image.",
    max_tokens: int = 48,
    threads: int | None = None,
    base: str | Path | None = None,
    vision_tower: str | Path | None = None,
    limits: Limits | None = None,
) -> ParityReport:
    """Compare a pair of GGUF files with the checkpoint it was made of.

    Parameters
    ----------
    checkpoint : path-like
        Folder of a checkpoint, in any layout `astrollava.models.checkpoint` opens. It is run by
        transformers in float32, with all of its weights in memory.
    pair : path-like
        Folder of the pair, or whatever else `astrollava.models.resolve` takes.
    sources : iterable
        Images, as for `astrollava.images.read`; a few made for the purpose by default.
    question : str
        What both are asked about each picture.
    max_tokens : int
        Length of the greedy texts compared.
    threads : int, optional
        Of llama.cpp; the engine's choice by default.
    base, vision_tower : path-like, optional
        As for `astrollava.models.checkpoint.open_checkpoint`.
    limits : Limits, optional
        What the verdict, `ParityReport.is_same`, goes by.

    Returns
    -------
    ParityReport

    Raises
    ------
    EngineUnavailable
        torch, transformers or llama.cpp is missing.
    ModelError, ImageError
        One of the two cannot be loaded, or an image cannot be read.
    InvalidRequest
        The two take pictures of different sizes.
    """
    from astrollava import images, models
    from astrollava.engine import Engine
    from astrollava.faithful import faithful
    from astrollava.models import gguf
    from astrollava.models.checkpoint import open_checkpoint

    right = faithful(models.resolve(pair))
    files = right.files
    headers = gguf.read_header(files.text), gguf.read_header(files.mmproj)
    gguf.check_pair(*headers)
    opened = open_checkpoint(checkpoint, base=base, vision_tower=vision_tower)
    try:
        from astrollava.parity.loading import load_reference
    except ImportError as error:
        raise EngineUnavailable(
            f"the original model cannot be run: {error}",
            expected="torch and transformers",
            hint='Install them with: pip install "astrollava[parity]"',
        ) from error
    with Engine(files.text, files.mmproj, mmproj_twin=right.twin, threads=threads) as engine:
        reference = load_reference(opened)
        rendering = opened.rendering
        pictures = [
            images.render(
                images.read(source),
                size=engine.image_size,
                rule=rendering.rule,
                background=rendering.background,
            ).rgb
            for source in sources
        ]
        report = compare(
            engine,
            reference,
            pictures or default_pictures(engine.image_size[0]),
            question=question,
            max_tokens=max_tokens,
        )
    return dataclasses.replace(
        report,
        repaired=right.repaired,
        made_of_it=_made_of(opened, headers),
        limits=limits or Limits(),
    )


def _made_of(checkpoint: Checkpoint, headers: Iterable[GGUFHeader]) -> bool | None:
    """Say whether a pair names the hashes of this checkpoint's files, None where it names none."""
    from astrollava.models import store

    named = [
        set(hashes)
        for header in headers
        if isinstance(hashes := header.metadata.get(_HASHES), tuple)
    ]
    if not named:
        return None
    here = {store.sha256(path) for path in checkpoint.files}
    return all(hashes == here for hashes in named)


def compare(
    engine: Engine,
    reference: TorchReference,
    pictures: Sequence[_Rgb],
    *,
    question: str,
    max_tokens: int,
    asked: tuple[str, str] | None = None,
) -> ParityReport:
    """Compare a loaded pair with a loaded model.

    Parameters
    ----------
    engine : Engine
        The pair.
    reference : TorchReference
        The model.
    pictures : sequence of ndarray of uint8, shape (side, side, 3)
        Rendered at the tower's input size.
    question, max_tokens
        As for `parity`.
    asked : tuple of str, optional
        What the model reads before and after the picture; by default what the pair's own template
        makes of the question.

    Returns
    -------
    ParityReport

    Raises
    ------
    InvalidRequest
        Without pictures, or where one, or the pair, is of another size than the model.
    """
    size = reference.image_size
    if engine.image_size != size:
        raise InvalidRequest(
            f"the pair takes pictures of {engine.image_size}, the checkpoint of {size}",
            expected="the pair made of this checkpoint",
        )
    check_pictures(pictures, size)
    from astrollava.engine import Sampling

    prompt = _prompt(engine, question)
    first, _, second = prompt.partition(engine.image_marker)
    before, after = asked or (first, second)
    sampling = Sampling(max_tokens=max_tokens)
    cosines, logits, alone, scored, gaps = [], [], [], [], [0.0]
    same: list[bool] = []
    differing = []
    for rgb in pictures:
        answer = reference.answer(rgb, before, after, max_tokens)
        seen = engine.encode_image(rgb)
        if seen.values.shape != answer.values.shape:
            raise InvalidRequest(
                f"the pair makes {seen.values.shape} of a picture, the checkpoint "
                f"{answer.values.shape}",
                expected="the pair made of this checkpoint",
            )
        cosines.append(_cosine(answer.values, seen.values))
        ahead = engine.logits(prompt, [seen])
        logits.append(_relative(ahead, answer.logits))
        alone.append(_relative(ahead, reference.logits(seen.values, before, after)))
        ours = "".join(engine.complete(prompt, [seen], sampling=sampling))
        same.append(ours.strip() == answer.text.strip())
        if not same[-1]:
            differing.append((answer.text, ours))
            gaps.append(answer.gap_before(ours))
        if answer.tokens:
            (score,) = engine.score(prompt, [seen], [answer.text])
            scored.append(abs(score.logprob - answer.logprob) / answer.tokens)
    return ParityReport(
        cosine=np.stack(cosines),
        lost=engine.lost_patches,
        logits=max(logits),
        logits_same_image=max(alone),
        logprob_error=max(scored, default=0.0),
        same=tuple(same),
        gap=max(gaps),
        differing=tuple(differing),
    )


def check_pictures(pictures: Sequence[_Rgb], size: tuple[int, int]) -> None:
    """Raise `InvalidRequest` unless there are pictures, all of this height and width."""
    if not pictures or any(rgb.shape != (*size, 3) for rgb in pictures):
        raise InvalidRequest(
            f"the images have the shapes {[rgb.shape for rgb in pictures]}",
            expected=f"one or more of shape {(*size, 3)}",
            hint="Render them with astrollava.images.render at that size",
        )


def _prompt(engine: Engine, question: str) -> str:
    parts = [{"type": "image"}, {"type": "text", "text": question}]
    try:
        return engine.format([{"role": "user", "content": parts}])
    except TemplateError:
        # Both read the same text: which one it is matters little.
        return f"USER: {engine.image_marker}\n{question}\nASSISTANT:"


def default_pictures(side: int, count: int = 4) -> list[_Rgb]:
    """Make square pictures of so many pixels a side: coloured spots of light in noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2
    made = []
    for number in range(count):
        shift = random.uniform(-side / 6, side / 6, 2)
        radius = ((x - shift[0]) ** 2 + (y - shift[1]) ** 2) / (side / (4 + number)) ** 2
        light = np.exp(-radius)[..., None] * random.uniform(60, 180, 3)
        made.append((light + random.uniform(0, 70, (side, side, 3))).astype(np.uint8))
    return made


def _cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine: NDArray[np.float64] = (a * b).sum(axis=1) / norms
    return cosine


def _relative(ours: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    # Rows of the embedding matrix that no token has may be kept by one and not by the other.
    count = min(len(ours), len(wanted))
    given, right = ours[:count].astype(np.float64), wanted[:count].astype(np.float64)
    return float(np.linalg.norm(given - right)) / max(float(np.linalg.norm(right)), 1e-30)
