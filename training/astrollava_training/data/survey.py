"""From light to an 8-bit picture: blur, noise, a survey's stretch, defects, compression."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from . import profiles as p
from .profiles import Array

__all__ = ["Survey", "blur", "border", "compress", "noise", "pick", "stretch"]

_STYLES = ("legacy", "lupton", "asinh", "log", "sqrt", "linear")
_SHARES = (0.42, 0.3, 0.1, 0.06, 0.08, 0.04)


@dataclass(frozen=True)
class Survey:
    """How a picture is taken and shown.

    Attributes
    ----------
    style : str
        ``legacy`` (the Legacy Survey's viewer), ``lupton`` (SDSS), or one curve a band.
    psf : float
        Scatter of the core of the point-spread function, pixels.
    band_noise : tuple of float
        Sky noise of each band over the mean.
    poisson : float
        Variance added for each unit of light, in sky noise.
    grain : float
        Correlation of the noise with the next pixel, 0 to about 0.5.
    gain, offset, soft : float
        Stretch: displayed units of one sky noise, black point in sky noise, knee of the curve.
    balance : tuple of float
        Colour balance of the three bands.
    saturation : float
        Strength of the colours: 1 as they are, 0 for one band shown in gray.
    faintest : float
        Surface brightness, in sky noise, that is seen to stand out.
    """

    style: str
    psf: float
    band_noise: tuple[float, float, float]
    poisson: float
    grain: float
    gain: float
    offset: float
    soft: float
    balance: tuple[float, float, float]
    saturation: float
    faintest: float


def pick(rng: np.random.Generator, scale: float) -> Survey:
    """Pick a survey at random; ``scale`` is the picture's side over 120 pixels."""
    style = str(rng.choice(_STYLES, p=_SHARES))
    if rng.random() < (0.3 if style not in ("legacy", "lupton") else 0.04):
        saturation = 0.0
    else:
        saturation = 1.0 if rng.random() < 0.7 else float(rng.uniform(0.1, 1.3))
    tint = rng.uniform(0.01, 0.06) if rng.random() < 0.85 else 0.1
    if style == "legacy":
        gain, offset, soft = (
            rng.lognormal(np.log(0.016), 0.35),
            rng.uniform(0.02, 0.04),
            rng.uniform(16, 22),
        )
    elif style == "lupton":
        gain, offset, soft = (
            rng.lognormal(np.log(0.012), 0.4),
            rng.uniform(-1.6, 0.3),
            rng.uniform(4, 12),
        )
    else:
        gain, offset, soft = (
            rng.uniform(0.985, 0.9999),
            rng.uniform(-2.5, 1.0),
            rng.lognormal(np.log(0.12), 0.6),
        )
    return Survey(
        style=style,
        psf=float(np.clip(rng.lognormal(np.log(1.05), 0.3), 0.6, 2.5)) * scale,
        band_noise=tuple(np.exp(rng.normal(0, 0.2, 3)).tolist()),
        poisson=float(rng.uniform(0.005, 0.12)),
        grain=float(rng.choice([0.0, rng.uniform(0.1, 0.45)])),
        gain=float(gain),
        offset=float(offset),
        soft=float(soft),
        balance=tuple(np.exp(rng.normal(0, tint, 3)).tolist()),
        saturation=saturation,
        faintest=float(rng.uniform(1.2, 2.5) if style == "lupton" else rng.uniform(0.7, 1.6)),
    )


def blur(light: Array, psf: float) -> Array:
    """Convolve (3, n, n) with a Gaussian core and wider wings; the frame wraps round, so pad it."""
    n = light.shape[-1]
    fx, fy = np.fft.rfftfreq(n).astype(np.float32), np.fft.fftfreq(n).astype(np.float32)
    square = (fx[None] ** 2 + fy[:, None] ** 2) * np.float32(-2 * np.pi**2 * psf**2)
    transfer = np.float32(0.88) * np.exp(square) + np.float32(0.12) * np.exp(5 * square)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(light) * transfer, s=(n, n)), np.float32)


def noise(rng: np.random.Generator, light: Array, survey: Survey) -> Array:
    """Light with sky, photon and correlated noise; the sky itself is subtracted."""
    n = light.shape[-1]
    draw = rng.standard_normal(light.shape, dtype=np.float32)
    if survey.grain:
        a = np.float32(survey.grain)
        draw[..., 1:, :] += a * draw[..., :-1, :]
        draw[..., 1:] += a * draw[..., :-1]
        draw *= 1 / (1 + a * a)
    sigma = np.sqrt(1 + np.float32(survey.poisson) * np.maximum(light, 0))
    noisy = light + draw * sigma * np.array(survey.band_noise, np.float32)[:, None, None]
    if rng.random() < 0.15:
        slope = p.grid(n)[0] * np.float32(rng.normal(0, 1.5) / n) + p.grid(n)[1] * np.float32(
            rng.normal(0, 1.5) / n
        )
        noisy += slope * np.exp(rng.normal(0, 0.2, (3, 1, 1))).astype(np.float32)
    return np.asarray(noisy, np.float32)


def stretch(light: Array, survey: Survey) -> NDArray[np.uint8]:
    """Show (3, n, n) as (n, n, 3) 8-bit, red first."""
    bands = light
    if survey.saturation != 1.0:
        gray = light.mean(axis=0, keepdims=True)
        bands = gray + (light - gray) * np.float32(survey.saturation)
    balance = np.array(survey.balance, np.float32)[:, None, None]
    if survey.style == "legacy":
        # The viewer's own curve: each band over a floor, the mean through asinh, colour kept.
        shown = np.maximum(bands * balance * np.float32(survey.gain) + np.float32(survey.offset), 0)
        mean = shown.mean(axis=0) + np.float32(1e-6)
        shown = shown * (
            np.arcsinh(np.float32(survey.soft) * mean) / (np.float32(np.sqrt(survey.soft)) * mean)
        )
    elif survey.style == "lupton":
        shown = np.maximum(
            (bands * balance - np.float32(survey.offset)) * np.float32(survey.gain), 0
        )
        mean = shown.mean(axis=0) + np.float32(1e-6)
        shown = shown * (
            np.arcsinh(np.float32(survey.soft) * mean) / (np.float32(0.5 * survey.soft) * mean)
        )
        # SDSS keeps the hue of what is too bright to show.
        shown = shown / np.maximum(shown.max(axis=0), 1)
    else:
        top = np.partition(bands.mean(axis=0).ravel(), int(survey.gain * (bands[0].size - 1)))
        high = max(float(top[int(survey.gain * (bands[0].size - 1))]), 25.0)
        t = np.clip(
            (bands * balance - np.float32(survey.offset)) / np.float32(high - survey.offset), 0, 1
        )
        if survey.style == "asinh":
            shown = np.arcsinh(t / np.float32(survey.soft)) / np.float32(
                np.arcsinh(1 / survey.soft)
            )
        elif survey.style == "log":
            shown = np.log1p(t * np.float32(1.5 / survey.soft)) / np.float32(
                np.log1p(1.5 / survey.soft)
            )
        else:
            shown = np.sqrt(t) if survey.style == "sqrt" else t
    return np.asarray(np.clip(shown * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def compress(rgb: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress a picture as JPEG and open it again."""
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def border(
    rng: np.random.Generator, rgb: NDArray[np.uint8], background: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Lay bars over two opposite sides, as where a picture that is not square was padded."""
    barred = np.array(rgb)
    wide = int(rng.uniform(0.04, 0.25) * len(barred))
    view = barred if rng.random() < 0.5 else barred.transpose(1, 0, 2)
    view[:wide] = background
    view[len(barred) - wide :] = background
    return barred
