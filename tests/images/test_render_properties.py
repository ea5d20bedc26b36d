"""What must hold of every picture, whatever the image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from astrollava.images import SkyImage, read, render

shapes = st.tuples(st.integers(1, 3), st.integers(1, 20), st.integers(1, 20))
wild = hnp.arrays(
    np.float32, shapes, elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
)
tame = hnp.arrays(np.float32, shapes, elements=st.floats(-1000, 1000, width=32), unique=False)
sizes = st.tuples(st.integers(1, 60), st.integers(1, 60))
rules = st.sampled_from(["pad", "crop", "stretch"])
intervals = st.sampled_from([None, "zscale", "percentile:99", "minmax", (-1.0, 5.0)])
stretches = st.sampled_from([None, "linear", "log", "asinh", "sqrt", "power:0.5"])
combines = st.sampled_from([None, "simple", "lupton", "lupton:3"])


@settings(max_examples=80)
@given(wild, sizes, rules, intervals, stretches, combines)
def test_any_values_give_a_picture(planes, size, rule, interval, stretch, combine) -> None:  # type: ignore[no-untyped-def]
    """No NaN, infinity, overflow or shape may raise, warn, or change the input."""
    before = planes.copy()
    image = read(planes)
    made = render(
        image,
        size=size,
        rule=rule,
        interval=interval,
        stretch=stretch,
        combine=combine if len(planes) > 1 else None,
    )
    assert made.rgb.shape == (*size, 3)
    assert made.rgb.dtype == np.uint8
    assert made.rgb.flags.c_contiguous
    np.testing.assert_array_equal(planes, before)
    np.testing.assert_array_equal(image.pixels, before)
    assert np.all(np.isfinite(made.record.limits))
    assert all(low < high for low, high in made.record.limits)
    assert 0 <= made.record.masked_fraction <= 1
    top, left, height, width = made.record.content
    assert 0 <= top <= top + height <= size[0]
    assert 0 <= left <= left + width <= size[1]


@settings(max_examples=50)
@given(tame, intervals, stretches)
def test_brighter_is_never_darker(planes, interval, stretch) -> None:  # type: ignore[no-untyped-def]
    """For one band and no resampling, the shade must grow with the value."""
    plane = planes[0]
    made = render(read(plane), size=plane.shape, interval=interval, stretch=stretch).rgb[::-1]
    order = np.argsort(plane, axis=None)
    assert np.all(np.diff(made[..., 0].ravel()[order].astype(int)) >= 0)
    np.testing.assert_array_equal(made[..., 0], made[..., 2])


@settings(max_examples=30)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(4, 30), st.integers(1, 30), st.just(3))))
def test_finished_pictures_pass_unchanged(shades) -> None:  # type: ignore[no-untyped-def]
    np.testing.assert_array_equal(render(read(shades), size=shades.shape[:2]).rgb, shades)


@settings(max_examples=30)
@given(tame, st.integers(1, 40), rules)
def test_the_order_of_bands_does_not_matter(planes, side, rule) -> None:  # type: ignore[no-untyped-def]
    """The channels follow the wavelengths, not the order in the file."""
    names = ("g", "r", "z")[: len(planes)]
    forward = render(SkyImage(planes, names), size=(side, side), rule=rule).rgb
    backward = render(SkyImage(planes[::-1], names[::-1]), size=(side, side), rule=rule).rgb
    np.testing.assert_array_equal(forward, backward)


@settings(max_examples=60)
@given(st.integers(0, 1000), st.integers(1, 3), st.sampled_from([0.0, 0.05]), st.integers(-90, 110))
def test_the_unit_of_the_pixels_does_not_matter(seed, bands, noise, power) -> None:  # type: ignore[no-untyped-def]
    """In W/Hz or in solar luminosities a galaxy looks as it does in nanomaggies."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :20]
    light = np.exp(-np.hypot(x - rng.normal(10, 2), y - rng.normal(12, 2)) / rng.uniform(1, 4))
    flux = rng.uniform(1, 100, (bands, 1, 1)) * light + noise * rng.normal(size=(bands, 24, 20))
    names = ("g", "r", "z")[:bands]
    plain, scaled = (
        render(SkyImage((flux * factor).astype(np.float32), names), size=(24, 20))
        for factor in (1.0, 2.0**power)
    )
    np.testing.assert_array_equal(plain.rgb, scaled.rgb)
