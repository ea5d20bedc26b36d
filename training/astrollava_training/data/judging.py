"""How volunteers would vote on a simulated galaxy: what was drawn, as far as it can be seen.

Blur washes out what is near the size of the point-spread function, noise what is faint; the
fractions follow logistic curves of contrast and resolution, so that no picture claims what it does
not show.
"""

from __future__ import annotations

import math

import numpy as np

from .facts import Facts, Fractions, fractions
from .morphology import Made
from .profiles import Array

__all__ = ["asymmetry", "judge"]


def asymmetry(light: Array, faintest: float) -> float:
    """How lopsided noiseless light (n, n) looks, 0 to about 1.

    The part of the light above ``faintest`` that is not met again after half a turn about its
    centre (Conselice 2003), which is where a galaxy out of order shows.
    """
    seen = np.maximum(light - np.float32(faintest), 0)
    total = float(seen.sum())
    if total <= 0:
        return 0.0
    # The core of the light is the centre: weighting by the square keeps tails from pulling it away.
    weight, n = seen * seen, len(light)
    axis = np.arange(n)
    y = int((weight.sum(1) @ axis) / weight.sum() * 2 + 0.5)
    x = int((weight.sum(0) @ axis) / weight.sum() * 2 + 0.5)
    rows, columns = np.clip(y - axis, 0, n - 1), np.clip(x - axis, 0, n - 1)
    # Compressed as the eye and the stretch do: a faint tail counts beside a bright nucleus.
    shown = np.sqrt(seen)
    return float(np.abs(shown - shown[rows][:, columns]).sum() / (2 * shown.sum()))


def _rise(value: float, middle: float, width: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min((value - middle) / width, 40.0), -40.0)))


def _kept(size: float, psf: float) -> float:
    """Share of the contrast of a pattern of period ``size`` that survives blurring."""
    return math.exp(-2.0 * (math.pi * psf / max(size, 0.1)) ** 2)


def _signal(brightness: float, size: float) -> float:
    """Signal to noise of a patch of ``size`` pixels, photon noise included."""
    return brightness / math.sqrt(1.0 + 0.06 * brightness) * max(size, 0.5)


def _seen_arms(made: Made, psf: float) -> float:
    contrast = made.arm_contrast * _kept(made.arm_spacing, psf)
    signal = contrast * _signal(made.brightness, made.arm_spacing / 3)
    return (
        _rise(contrast, 0.42, 0.08) * _rise(math.log(signal + 0.01), 1.4, 0.4) if made.arms else 0.0
    )


def _seen_bar(made: Made, psf: float) -> float:
    if made.bar <= 0:
        return 0.0
    kept = _kept(1.6 * made.bar_length, psf)
    return _rise(made.bar * kept, 0.3, 0.1) * _rise(
        math.log(_signal(made.brightness, 3) + 0.01), 1.4, 0.5
    )


def _label(seen: dict[str, float], made: Made, facts: dict[str, Fractions | None]) -> str | None:
    smooth, rounded = facts["smooth"], facts["rounded"]
    assert smooth is not None
    assert rounded is not None
    if seen["merger"] > 0.55:
        return "merging"
    if seen["disturbed"] > 0.5:
        return "disturbed"
    if seen["merger"] > 0.3 or seen["disturbed"] > 0.3:
        return None
    if made.edge_on and seen["thin"] > 0.55:
        if 0.35 < seen["edge_bulge"] < 0.65:
            return None
        return "edge_on_bulge" if seen["edge_bulge"] > 0.5 else "edge_on_no_bulge"
    if smooth["smooth"] > 0.6:
        best = max(rounded, key=lambda answer: rounded[answer])
        return f"{best}_smooth" if rounded[best] > 0.6 else None
    if smooth["features"] > 0.5 and made.arms and seen["arms"] > 0.5:
        if seen["bar"] > 0.5:
            return "barred_spiral"
        if seen["bar"] < 0.35:
            if made.pitch < 20:
                return "unbarred_tight_spiral"
            if made.pitch > 25:
                return "unbarred_loose_spiral"
    return None


def judge(made: Made, psf: float, neighbours: int) -> Facts:
    """Facts of a simulated galaxy as volunteers would state them.

    Parameters
    ----------
    made : Made
        What was drawn.
    psf : float
        Scatter of the point-spread function in pixels.
    neighbours : int
        Companions and stars plainly seen.

    Returns
    -------
    Facts
        With a label only where the picture decides it.
    """
    half = made.half_light
    axis = math.sqrt(((made.axis_ratio * half) ** 2 + psf**2) / (half**2 + psf**2))
    signal = _rise(math.log(_signal(made.brightness, half) + 0.01), 1.8, 0.6)
    seen = {
        "arms": _seen_arms(made, psf),
        "bar": _seen_bar(made, psf),
        "thin": _rise(axis, 0.33, 0.04) * -1 + 1,
        "merger": made.odd.get("merger", 0.0) * signal * _rise(made.apart / psf, 3.2, 0.7),
        "disturbed": max(made.odd.get("disturbed", 0.0), made.odd.get("irregular", 0.0))
        * signal
        * _rise(made.asymmetry, 0.17, 0.03)
        * _rise(half / psf, 1.3, 0.3),
        "ring": made.odd.get("ring", 0.0) * signal * _rise(half / psf, 3.5, 1.0),
        "dust_lane": made.odd.get("dust_lane", 0.0) * signal * _rise(half * axis / psf, 1.2, 0.4),
        "edge_bulge": _rise(made.bulge, 0.065, 0.02) * (0.3 + 0.7 * _rise(half / psf, 1.5, 0.5)),
    }
    odd = min(
        max(seen["merger"], seen["disturbed"], 0.7 * seen["ring"], 0.8 * seen["dust_lane"], 0.05),
        0.95,
    )
    if made.edge_on:
        disky = seen["thin"]
    else:
        plain = 0.12 + (0.18 * signal if made.disk and made.bulge < 0.25 else 0.0)
        disky = max(plain, seen["arms"], seen["bar"], seen["ring"], 0.75 * seen["disturbed"])
        disky = max(disky, 0.45 * seen["merger"])
    features = 0.04 + 0.9 * disky
    edge = seen["thin"] if made.edge_on else 0.5 * (1 - _rise(axis, 0.3, 0.04))
    tight, loose = 1 - _rise(made.pitch, 17.0, 2.0), _rise(made.pitch, 28.0, 2.5)
    vague = (
        0.08
        + 0.7 * made.flocculent * (1 - 0.6 * seen["arms"])
        + 0.3 * (made.arms > 2) * (1 - seen["arms"])
    )
    count = {"1": "1", "2": "2", "3": "3", "4": "4"}.get(str(made.arms), "more")
    dominance = made.bulge
    cigar, round_ = 1 - _rise(axis, 0.44, 0.035), _rise(axis, 0.81, 0.04)
    boxy = (0.7 if made.boxy else 0.04) * seen["edge_bulge"]
    asked: dict[str, Fractions | None] = {
        "smooth": fractions(
            "smooth", {"smooth": 1 - features - 0.01, "features": features, "artifact": 0.01}
        ),
        "edge_on": fractions("edge_on", {"yes": edge, "no": 1 - edge}),
        "bar": fractions("bar", {"yes": 0.06 + 0.9 * seen["bar"], "no": 0.94 - 0.9 * seen["bar"]}),
        "spiral": fractions(
            "spiral", {"yes": 0.06 + 0.92 * seen["arms"], "no": 0.94 - 0.92 * seen["arms"]}
        ),
        "bulge": fractions(
            "bulge",
            {
                "none": 1 - _rise(dominance, 0.04, 0.02),
                "noticeable": _rise(dominance, 0.04, 0.02) * (1 - _rise(dominance, 0.2, 0.04)),
                "obvious": _rise(dominance, 0.2, 0.04) * (1 - _rise(dominance, 0.5, 0.06)),
                "dominant": _rise(dominance, 0.5, 0.06),
            },
        ),
        "odd": fractions("odd", {"yes": odd, "no": 1 - odd}),
        "rounded": fractions(
            "rounded", {"round": round_, "in_between": 1 - round_ - cigar, "cigar": cigar}
        ),
        "odd_feature": fractions(
            "odd_feature",
            {
                "ring": seen["ring"],
                "disturbed": made.odd.get("disturbed", 0.0) * signal,
                "irregular": made.odd.get("irregular", 0.0) * signal,
                "merger": 1.3 * seen["merger"],
                "dust_lane": seen["dust_lane"],
                "other": 0.06,
            },
        ),
        "edge_bulge": fractions(
            "edge_bulge",
            {"rounded": seen["edge_bulge"] - boxy, "boxy": boxy, "none": 1 - seen["edge_bulge"]},
        )
        if made.edge_on
        else None,
        "winding": fractions(
            "winding", {"tight": tight, "loose": loose, "medium": 1 - tight - loose}
        )
        if made.arms
        else None,
        "arms": fractions("arms", {count: 1 - vague, "cant_tell": vague}) if made.arms else None,
    }
    return Facts.of_galaxy(asked, label=_label(seen, made, asked), neighbours=neighbours)
