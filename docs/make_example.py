"""Make the bundled example again: a simulated barred spiral in g, r and z, as a FITS file.

    python docs/make_example.py

Nothing in it is real; its header says so. The same numpy gives the same file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from astrollava.images import example

SIDE = 160  # pixels
SCALE = 0.45  # arcsec per pixel
FINE = 3  # sub-pixels a side
SEEING = 1.25  # arcsec, FWHM
BANDS = ("g", "r", "z")
NOISE = (0.005, 0.0085, 0.012)  # nanomaggies a pixel
SEED = 4

# Light relative to r of an old (bulge, bar), a mixed (disk) and a young (arms) population.
OLD, MIXED, YOUNG = (0.50, 1.0, 1.62), (0.68, 1.0, 1.22), (1.02, 1.0, 0.88)

STORY = (
    "SIMULATED: no part of this image was observed.",
    "A barred spiral drawn by docs/make_example.py of astrollava: an",
    "exponential disk, a Sersic bulge, a bar, two logarithmic arms with",
    "clumps and dust lanes, a few stars and small galaxies, Gaussian seeing",
    "and Gaussian sky noise. The position on the sky is invented.",
)


def sersic(radius: np.ndarray, half_light: float, index: float) -> np.ndarray:
    """Profile that is one at the half-light radius (Ciotti & Bertin 1999, leading terms)."""
    b = 2 * index - 1 / 3 + 0.009876 / index
    return np.exp(-b * ((radius / half_light) ** (1 / index) - 1))


def turned(x: np.ndarray, y: np.ndarray, degrees: float, ratio: float) -> tuple[np.ndarray, ...]:
    """Coordinates along and across an axis, the second stretched by the axis ratio."""
    angle = np.radians(degrees)
    return (
        x * np.cos(angle) + y * np.sin(angle),
        (y * np.cos(angle) - x * np.sin(angle)) / ratio,
    )


def spiral(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The galaxy in three bands; coordinates in arcseconds from its centre."""
    u, v = turned(x, y, 28.0, 0.80)
    radius, angle = np.hypot(u, v) + 1e-9, np.arctan2(v, u)
    bar_angle, bar_length, pitch = np.radians(52.0), 12.0, np.radians(19.0)

    disk = 0.40 * np.exp(-radius / 9.5)
    bulge = 0.95 * sersic(np.hypot(*turned(x, y, 28.0, 0.92)), 1.9, 1.6)
    along, across = turned(u, v, 52.0, 0.36)
    bar = 0.80 * np.exp(-((np.hypot(along, across) / (0.86 * bar_length)) ** 3))

    # Two arms start at the ends of the bar and wind outwards; the phase is zero on their ridges.
    winding = np.log(radius / bar_length) / np.tan(pitch)
    phase = angle - bar_angle + winding
    ridge = np.exp((np.cos(2 * phase) - 1) * 1.9)
    reach = 1 / (1 + np.exp(-(radius - 0.90 * bar_length) / 0.8)) * np.exp(-radius / 11.5)
    reach *= 1 / (1 + np.exp((radius - 33.0) / 2.5))
    smooth = ndfilter(rng.normal(size=x.shape), 4.2)
    clumps = np.exp(0.55 * smooth / smooth.std())
    arms = 0.62 * ridge * reach * clumps

    knots = np.zeros_like(x)
    for _ in range(60):
        r = rng.uniform(bar_length, 30.0)
        theta = bar_angle - np.log(r / bar_length) / np.tan(pitch) + np.pi * rng.integers(2)
        theta += rng.normal(0, 0.14)
        distance = np.hypot(u - r * np.cos(theta), v - r * np.sin(theta))
        knots += rng.gamma(1.3, 0.34) * np.exp(-r / 16) * np.exp(-0.5 * (distance / 0.65) ** 2)

    # Dust on the inner edge of the arms and along the bar's leading sides, stronger in the blue.
    lane = np.exp((np.cos(2 * (phase + 0.36)) - 1) * 8.0) * reach * np.exp(radius / 11.5)
    straight = np.exp(-0.5 * ((across * 0.36 - 0.9 * np.sign(along)) / 0.5) ** 2)
    straight *= np.exp(-((along / bar_length) ** 6)) * (np.abs(along) > 1.2)
    depth = 0.75 * lane + 0.65 * straight
    planes = []
    for k in range(3):
        dust = np.exp(-depth * (1.30, 0.90, 0.45)[k])
        old = bulge * OLD[k] + bar * OLD[k] * dust
        planes.append(old + (disk * MIXED[k] + arms * YOUNG[k]) * dust + knots * YOUNG[k])
    return np.stack(planes)


def neighbours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Small galaxies and stars of the field: place, light, size, ratio, angle, colour."""
    galaxies = (
        (-30.0, -26.0, 0.22, 1.5, 0.45, 120.0, OLD),
        (27.5, 29.0, 0.10, 1.3, 0.70, 15.0, MIXED),
        (31.0, -12.0, 0.07, 1.0, 0.60, 70.0, YOUNG),
        (-12.0, 32.0, 0.08, 0.9, 0.80, 40.0, OLD),
    )
    stars = (
        (-27.0, 27.5, 30.0, (0.45, 1.0, 1.85)),
        (21.5, -32.0, 11.0, (0.82, 1.0, 1.05)),
        (-31.0, 5.5, 4.0, (0.30, 1.0, 2.3)),
        (31.5, 15.0, 2.5, (0.65, 1.0, 1.3)),
        (3.0, -31.0, 1.6, (0.40, 1.0, 1.9)),
    )
    planes = np.zeros((3, *x.shape))
    for at_x, at_y, light, size, ratio, angle, colour in galaxies:
        r = np.hypot(*turned(x - at_x, y - at_y, angle, ratio))
        planes += light * sersic(r, size, 1.2) * np.reshape(colour, (3, 1, 1))
    for at_x, at_y, light, colour in stars:
        point = np.exp(-0.5 * (np.hypot(x - at_x, y - at_y) / 0.25) ** 2)
        planes += light * point / point.sum() * FINE**2 * np.reshape(colour, (3, 1, 1))
    return planes


def ndfilter(values: np.ndarray, sigma: float) -> np.ndarray:
    """Convolve with a Gaussian of `sigma` cells, edges wrapped."""
    frequencies = [np.fft.fftfreq(n) for n in values.shape[-2:]]
    square = frequencies[0][:, None] ** 2 + frequencies[1][None, :] ** 2
    return np.fft.ifft2(np.fft.fft2(values) * np.exp(-2 * (np.pi * sigma) ** 2 * square)).real


def main() -> None:
    rng = np.random.default_rng(SEED)
    cells = (np.arange(SIDE * FINE) + 0.5) / FINE - SIDE / 2
    x, y = np.meshgrid(cells * SCALE, cells * SCALE)
    planes = spiral(x, y, rng) + neighbours(x, y)
    planes = ndfilter(planes, SEEING / 2.3548 / SCALE * FINE)
    planes = planes.reshape(3, SIDE, FINE, SIDE, FINE).mean(axis=(2, 4))
    planes += rng.normal(size=planes.shape) * np.reshape(NOISE, (3, 1, 1))
    # Photon noise of the sources, as of a survey of about this depth.
    planes += rng.normal(size=planes.shape) * np.sqrt(np.maximum(planes, 0) * 2e-4)

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 20.0]
    wcs.wcs.crpix = [(SIDE + 1) / 2] * 2
    wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.radesys = "ICRS"
    header = wcs.to_header()
    header["OBJECT"] = ("simulated", "a simulated barred spiral galaxy")
    header["TELESCOP"] = ("simulated", "no telescope was used")
    header["BUNIT"] = ("nanomaggy", "AB zero point 22.5 mag")
    header["BANDS"] = "".join(BANDS)
    for plane, band in enumerate(BANDS):
        header[f"BAND{plane}"] = band
    for line in STORY:
        header["COMMENT"] = line
    path: Path = example()
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(planes.astype(">f4"), header).writeto(path, overwrite=True)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
