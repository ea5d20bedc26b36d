"""Names of intervals and stretches to their `astropy.visualization` objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrollava.errors import RenderError
from astrollava.images._foreign import names_of_stretches, plugged_stretch

__all__ = ["STRETCHES", "Interval", "Limits", "Stretch", "widened"]

Limits = tuple[float, float]

_INTERVALS = ("zscale", "percentile", "minmax", "manual:lo,hi", "a pair (lo, hi)")

#: Stretch -> default parameter; None where it has none. The parameters are those of
#: `astropy.visualization`, so that "asinh:0.1" is what ``AsinhStretch(a=0.1)`` draws.
STRETCHES: dict[str, float | None] = {
    "linear": None,
    "log": 1000.0,
    "asinh": 0.1,
    "sqrt": None,
    "power": 2.0,
}


@dataclass(frozen=True)
class Interval:
    """How black and white are chosen: by a rule, or as given limits (one pair, or one a band)."""

    name: str
    parameters: tuple[float, ...] = ()
    given: tuple[Limits, ...] = ()

    @classmethod
    def parse(cls, asked: Any) -> Interval:
        """Understand ``"zscale"``, ``"percentile:99.5"``, ``(lo, hi)``, one pair a band ..."""
        if isinstance(asked, str):
            name, values = _split(asked, "interval")
            if name == "percentile":
                return cls(name, _percentiles(values))
            if name == "zscale" and len(values) <= 1 and all(0 < v <= 1 for v in values):
                return cls(name, values or (0.25,))
            if name == "minmax" and not values:
                return cls(name)
            if name == "manual" and len(values) == 2:
                return cls(name, given=_pairs(values))
            raise _no_such("interval", asked, _INTERVALS)
        return cls("manual", given=_pairs(asked))

    def __str__(self) -> str:
        return ":".join(filter(None, (self.name, ",".join(f"{v:g}" for v in self.parameters))))

    def divided_by(self, scale: float) -> Interval:
        """Return the interval for values that were divided by a number."""
        return replace(self, given=tuple((low / scale, high / scale) for low, high in self.given))

    def limits(self, values: NDArray[np.float64], band: int) -> Limits:
        """Return the values of black and white for the finite values of a band."""
        from astropy.visualization import (
            AsymmetricPercentileInterval,
            MinMaxInterval,
            ZScaleInterval,
        )

        if self.given:
            return self.given[band if len(self.given) > 1 else 0]
        if self.name == "percentile":
            found = AsymmetricPercentileInterval(*self.parameters).get_limits(values)
        elif self.name == "zscale":
            found = ZScaleInterval(contrast=self.parameters[0]).get_limits(values)
        else:
            found = MinMaxInterval().get_limits(values)
        return widened(float(found[0]), float(found[1]))


@dataclass(frozen=True)
class Stretch:
    """A map of [0, 1] onto [0, 1], with its parameter if it has one, or a plugin's function."""

    name: str
    parameter: float | None
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None

    @classmethod
    def parse(cls, asked: Any) -> Stretch:
        """Understand ``"asinh"``, ``"asinh:0.05"``, ``"power:0.5"`` and the like."""
        if not isinstance(asked, str):
            raise _no_such("stretch", asked, (*STRETCHES, *names_of_stretches()))
        name, values = _split(asked, "stretch")
        function = None if name in STRETCHES else plugged_stretch(name)
        if (name not in STRETCHES and function is None) or len(values) > 1:
            raise _no_such("stretch", asked, (*STRETCHES, *names_of_stretches()))
        default = STRETCHES.get(name)
        if not values:
            return cls(name, default, function)
        if default is None:
            raise RenderError(f"stretch {asked!r}", expected=f"{name!r} without a parameter")
        if not (0 < values[0] <= 1 if name == "asinh" else 0 < values[0] < 1e9):
            raise RenderError(
                f"stretch {asked!r}",
                expected="a parameter in (0, 1]" if name == "asinh" else "a parameter above zero",
            )
        return cls(name, values[0])

    def __str__(self) -> str:
        return self.name if self.parameter is None else f"{self.name}:{self.parameter:.6g}"

    def build(self) -> Any:
        """Return the `astropy.visualization` stretch."""
        from astropy import visualization

        if self.function is not None:
            return _plugged(self.function)
        classes = {
            "linear": visualization.LinearStretch,
            "log": visualization.LogStretch,
            "asinh": visualization.AsinhStretch,
            "sqrt": visualization.SqrtStretch,
            "power": visualization.PowerStretch,
        }
        kind = classes[self.name]
        return kind() if self.parameter is None else kind(self.parameter)


def _plugged(function: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Any:
    """Return a function as a stretch of `astropy.visualization`, whose mappings accept no other."""
    from astropy.visualization import BaseStretch

    class Plugged(BaseStretch):  # type: ignore[misc]
        def __call__(self, values: Any, clip: bool = True, out: Any = None) -> Any:
            stretched = function(np.asarray(values))
            if out is None:
                return stretched
            out[...] = stretched
            return out

    return Plugged()


def widened(low: float, high: float) -> Limits:
    """Return limits that can be divided by; what is constant is drawn black."""
    if high > low and math.isfinite(high - low):
        return low, high
    step = max(1.0, abs(low)) if high <= low else 1.0
    return low, low + step


def _split(asked: str, what: str) -> tuple[str, tuple[float, ...]]:
    name, _, rest = asked.strip().lower().partition(":")
    try:
        values = tuple(float(piece) for piece in rest.split(",")) if rest else ()
    except ValueError:
        raise RenderError(
            f"{what} {asked!r}", expected=f"numbers after the colon, such as '{name}:0.5'"
        ) from None
    return name, values


def _percentiles(values: tuple[float, ...]) -> tuple[float, ...]:
    """Return lower and upper percentile; a single value is the share kept, half cut each side."""
    if not values:
        values = (99.5,)
    if len(values) == 1:
        values = ((100 - values[0]) / 2, (100 + values[0]) / 2)
    if len(values) != 2 or not 0 <= values[0] < values[1] <= 100:
        raise RenderError(
            f"interval percentile with {values}",
            expected="'percentile:99.5' (the share kept) or 'percentile:1,99.8' (from, to)",
        )
    return values


def _pairs(asked: Any) -> tuple[Limits, ...]:
    pairs = asked if isinstance(asked, Sequence) and asked and np.ndim(asked[0]) else [asked]
    try:
        limits = tuple((float(low), float(high)) for low, high in pairs)
    except (TypeError, ValueError):
        raise _no_such("interval", asked, _INTERVALS) from None
    if not all(low < high and math.isfinite(high - low) for low, high in limits):
        raise RenderError(f"interval {asked!r}", expected="finite limits with lo below hi")
    return limits


def _no_such(what: str, asked: Any, known: tuple[str, ...]) -> RenderError:
    return RenderError(
        f"there is no {what} {asked!r}",
        expected=f"one of {', '.join(known)}",
        hint="Parameters follow a colon, such as 'asinh:0.05' or 'percentile:99.5'",
    )
