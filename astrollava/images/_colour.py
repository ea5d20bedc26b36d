"""Which band is red, and how the bands are balanced."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["balance", "calm", "choose_bands", "wavelength"]

# Effective wavelengths in micrometres, rounded: only their order matters, and their ratios roughly.
_WAVELENGTHS = {
    "fuv": 0.153, "nuv": 0.231, "u": 0.36, "U": 0.365, "B": 0.445, "g": 0.477, "V": 0.551,
    "r": 0.625, "R": 0.658, "i": 0.763, "I": 0.806, "z": 0.913, "y": 0.976, "Y": 1.02, "J": 1.24,
    "H": 1.65, "K": 2.18, "Ks": 2.16, "W1": 3.37, "W2": 4.62, "W3": 12.1, "W4": 22.2,
    "VIS": 0.715, "NISP-Y": 1.08, "NISP-J": 1.37, "NISP-H": 1.77,
}  # fmt: skip

# Flux of a typical galaxy relative to g for bands on a common (AB) scale. The first, third and
# fourth are the weights of the DECaLS DR2 pictures (0.008 : 0.014 : 0.019), which Galaxy Zoo and
# Galaxy10 DECaLS saw; i lies between its neighbours.
_AB_FLUX = {"g": 1.0, "r": 1.75, "i": 2.1, "z": 2.375, "y": 2.6, "u": 0.5}

# Surveys seldom look redder or bluer than this against those weights; beyond, the planes are not
# on a common scale.
_PLAUSIBLE = 3.0


def wavelength(band: str, telescope: str = "") -> float | None:
    """Return the wavelength of a band in micrometres, or None where its name says nothing."""
    if band in _WAVELENGTHS:
        return _WAVELENGTHS[band]
    if band.lower() in _WAVELENGTHS:
        return _WAVELENGTHS[band.lower()]
    found = re.fullmatch(r"[fF](\d{3,4})(W2?|M|N|LP|X|DN)", band, flags=re.IGNORECASE)
    if found is None:
        return None
    number = int(found[1])
    # F814W of Hubble counts nanometres, F160W and everything of Webb hundredths of a micrometre.
    if "JWST" in telescope.upper() or number < 200:
        return number / 100
    return number / 1000


def choose_bands(
    bands: Sequence[str], telescope: str = "", *, red_last: bool = False
) -> tuple[int, ...]:
    """Return the planes for red, green and blue, or for red and blue, or the only one.

    The longest wavelength is red. Planes whose names say nothing are taken in their order, which is
    red, green, blue in a FITS file that holds a colour picture; with `red_last`, as in a choice of
    planes, it is from blue to red.
    """
    if tuple(bands[:3]) == ("R", "G", "B") or len(bands) == 1:
        return tuple(range(min(len(bands), 3)))
    known = [wavelength(band, telescope) for band in bands]
    if any(value is None for value in known):
        if red_last:
            return _ends_and_middle(list(reversed(range(len(bands)))))
        return tuple(range(min(len(bands), 3)))
    for trio in (("i", "r", "g"), ("z", "r", "g")):
        if len(bands) > 3 and set(trio) <= set(bands):
            return tuple(bands.index(band) for band in trio)
    return _ends_and_middle(sorted(range(len(bands)), key=lambda plane: -(known[plane] or 0.0)))


def _ends_and_middle(order: list[int]) -> tuple[int, ...]:
    if len(order) > 3:
        return order[0], order[len(order) // 2], order[-1]
    return tuple(order)


def balance(
    planes: Sequence[NDArray[np.float32]],
    names: Sequence[str],
    sigmas: Sequence[float],
    *,
    calibrated: bool,
) -> list[float]:
    """Return the flux of a neutral object in each band, in any common unit.

    Parameters
    ----------
    planes : sequence of ndarray
        Planes with their sky subtracted, without NaN.
    names : sequence of str
        Their bands.
    sigmas : sequence of float
        The noise of each, above zero.
    calibrated : bool
        False where the unit is that of a detector: equal numbers are then no equal fluxes.
    """
    light = _object_light(planes, sigmas)
    if calibrated and all(name in _AB_FLUX for name in names):
        weights = [_AB_FLUX[name] for name in names]
        if light is None:
            return weights
        ratios = [seen / weight for seen, weight in zip(light, weights, strict=True)]
        if max(ratios) <= _PLAUSIBLE * min(ratios):
            return weights
    return list(sigmas) if light is None else light


def _object_light(
    planes: Sequence[NDArray[np.float32]], sigmas: Sequence[float]
) -> list[float] | None:
    """Return the light of what stands out of the noise in each band, if anything does in all."""
    # In double precision: beside almost no noise, light is more times it than a float holds.
    stack = [plane.astype(np.float64) / sigma for plane, sigma in zip(planes, sigmas, strict=True)]
    bright = np.mean(stack, axis=0) > 10.0
    if not bright.any():
        return None
    light = [float(np.mean(plane[bright], dtype=np.float64)) for plane in planes]
    # A band with no light of its own (a drop-out) must not be blown up to match the others.
    faintest = [3.0 * sigma for sigma in sigmas]
    return light if all(a > b for a, b in zip(light, faintest, strict=True)) else None


def calm(
    planes: NDArray[np.float32], intensity: NDArray[np.float32], sigma: float, snr: float
) -> NDArray[np.float32]:
    """Fade colours where the intensity is within the noise, so that sky noise is grey.

    Parameters
    ----------
    planes : ndarray
        Shape ``(3, ny, nx)``, balanced, sky at zero.
    intensity : ndarray
        Their mean.
    sigma : float
        Noise of the intensity, above zero.
    snr : float
        Signal to noise of a 3 x 3 pixel mean at which half of the colour is left.
    """
    padded = np.pad(intensity, 1, mode="edge")
    ny, nx = intensity.shape
    # Shifted sums instead of a filter: scipy is not needed for nine terms.
    around = np.mean([padded[y : y + ny, x : x + nx] for y in range(3) for x in range(3)], axis=0)
    # The mean of nine has a third of the noise of one. Far above it nothing fades any more.
    ratio = np.clip(around.astype(np.float64) / (sigma / 3.0), 0.0, 1e6)
    kept = (ratio**2 / (ratio**2 + snr**2)).astype(np.float32)
    calmed: NDArray[np.float32] = intensity + kept * (planes - intensity)
    return calmed
