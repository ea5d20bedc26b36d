"""Real pictures varied as another survey, another scale or another hand would have shown them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .profiles import Array
from .survey import blur, border, compress, noise, pick, stretch

__all__ = ["augment"]

_FAINT = 0.75  # quantile of the rim below which its pixels are sky, not a neighbour


def _sky(rng: np.random.Generator, rgb: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """``count`` pixels of sky, drawn one by one from the faint part of a picture's rim."""
    rim = np.concatenate(
        [rgb[:8].reshape(-1, 3), rgb[-8:].reshape(-1, 3), rgb[:, :8].reshape(-1, 3)]
    )
    level = rim[:, 0].astype(np.int32) + rim[:, 1] + rim[:, 2]
    faint = rim[level <= np.quantile(level, _FAINT)]
    return np.asarray(faint[rng.integers(0, len(faint), count)])


def _placed(rng: np.random.Generator, rgb: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Turn, mirror, zoom and shift to ``size``; outside it is reflected, sky or black."""
    zoom = float(np.exp(rng.uniform(np.log(0.55), np.log(2.0))))
    if rng.random() < 0.5:
        rgb = rgb[:, ::-1]
    side = max(round(size * zoom), 16)
    image = Image.fromarray(np.ascontiguousarray(rgb)).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    small = np.asarray(image)
    outside = rng.choice(["reflect", "sky", "black"], p=[0.35, 0.55, 0.1])
    # Far enough that the corners of a turned frame are inside, but never as far as the object
    # itself, which would be seen twice.
    rim = max(int(0.75 * size - side / 2) + 4, 4)
    if outside == "reflect" and rim < 0.28 * side:
        small = np.pad(small, ((rim, rim), (rim, rim), (0, 0)), mode="symmetric")
        image = Image.fromarray(small)
    alpha = Image.fromarray(np.full(small.shape[:2], 255, np.uint8))
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.8 else 0.5 * np.pi * rng.integers(4)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    shift = rng.normal(0, 0.03 * size * (1 if rng.random() < 0.8 else 3), 2)
    middle, centre = small.shape[0] / 2, size / 2
    matrix = (
        cos,
        -sin,
        middle - cos * (centre + shift[0]) + sin * (centre + shift[1]),
        sin,
        cos,
        middle - sin * (centre + shift[0]) - cos * (centre + shift[1]),
    )
    how = Image.Transform.AFFINE
    placed = np.array(image.transform((size, size), how, matrix, Image.Resampling.BICUBIC))
    inside = np.asarray(alpha.transform((size, size), how, matrix, Image.Resampling.NEAREST)) > 0
    if missing := int(inside.size - np.count_nonzero(inside)):
        placed[~inside] = 0 if outside == "black" else _sky(rng, np.asarray(image), missing)
    return placed


def _light(rng: np.random.Generator, rgb: NDArray[np.uint8], noise_of_sky: float) -> Array:
    """Light, in sky noise, that may have made a picture: its asinh-like curve undone."""
    shown = rgb.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    mean = shown.mean(axis=0) + np.float32(1e-4)
    knee = np.float32(rng.uniform(1.5, 3.5))
    light = shown * (np.sinh(knee * mean) / (np.sinh(knee) * mean))
    sky = np.quantile(light[:, ::4, ::4], 0.2, axis=(1, 2))[:, None, None]
    return np.asarray((light - sky) * np.float32(noise_of_sky), np.float32)


def _jittered(rng: np.random.Generator, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gain, gamma, colour balance, saturation and sky level changed a little."""
    shown = rgb.astype(np.float32) * np.float32(1 / 255)
    balance = np.exp(rng.normal(0, 0.07, 3)).astype(np.float32)
    shown = shown * balance * np.float32(np.exp(rng.normal(0, 0.2)))
    gray = shown.mean(axis=2, keepdims=True)
    shown = gray + (shown - gray) * np.float32(rng.uniform(0.3, 1.3) if rng.random() < 0.9 else 0.0)
    shown = np.clip(shown, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.2)))
    if rng.random() < 0.6:
        lift = np.float32(rng.uniform(0, 0.18))
        grain = rng.standard_normal(shown.shape, dtype=np.float32) * np.float32(
            rng.uniform(0, 0.05)
        )
        shown = lift + (1 - lift) * shown + grain
    return np.asarray((np.clip(shown, 0, 1) * 255).astype(np.uint8))


def augment(
    rgb: NDArray[np.uint8],
    rng: np.random.Generator,
    size: int = 120,
    *,
    background: tuple[int, int, int] = (0, 0, 0),
) -> NDArray[np.uint8]:
    """Show a real picture as it might have been taken otherwise.

    It is mirrored, turned, zoomed (0.55 to 2) and shifted; then either its light is recovered
    roughly and taken anew with another survey's blur, noise and stretch, or its colours are changed
    a little.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (height, width, 3)
        A square picture, or nearly so, of an object at its centre.
    rng : numpy.random.Generator
        All that is drawn by chance comes from it.
    size : int
        Side of the result in pixels.
    background : (int, int, int)
        Colour of the bars where a padded picture is imitated.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)
    """
    made = _placed(rng, rgb, size)
    choice = rng.random()
    if choice < 0.55:
        survey = pick(rng, size / 120)
        light = _light(rng, made, float(rng.lognormal(np.log(90), 0.5)))
        if rng.random() < 0.5:
            light = blur(light, survey.psf * rng.uniform(0.3, 0.9))
        made = stretch(noise(rng, light, replace(survey, poisson=0.5 * survey.poisson)), survey)
    elif choice < 0.92:
        made = _jittered(rng, made)
    if rng.random() < 0.4:
        made = compress(made, int(rng.integers(60, 97)))
    if rng.random() < 0.04:
        made = border(rng, made, background)
    return np.ascontiguousarray(made)
