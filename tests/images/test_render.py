"""Pictures: sizes, rules, colours and limits, on real images and on degenerate ones."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import visualization
from PIL import Image

from astrollava.errors import RenderError
from astrollava.images import SkyImage, example, read, render

RNG = np.random.default_rng(3)
INTERVALS: list[Any] = [
    None, "zscale", "zscale:0.4", "percentile", "percentile:99", "percentile:1,99.8", "minmax",
    (5.0, 100.0), "manual:5,100",
]  # fmt: skip
STRETCHES = [
    None, "linear", "log", "log:100", "asinh", "asinh:0.01", "sqrt", "power", "power:0.4"
]  # fmt: skip
COMBINES = [None, "simple", "lupton", "lupton:3"]


def noisy(bands: int = 1, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    """Sky with noise one and a bright round source."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    source = 500 * np.exp(-((x - shape[1] / 2) ** 2 + (y - shape[0] / 2) ** 2) / 18)
    return RNG.normal(size=(bands, *shape)) + source + 10


def luminance(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(float).mean(axis=-1)


# Every combination ---------------------------------------------------------------------------


@pytest.mark.parametrize("interval", INTERVALS, ids=str)
@pytest.mark.parametrize("stretch", STRETCHES)
def test_every_interval_with_every_stretch(interval: Any, stretch: str | None) -> None:
    for bands in (1, 2, 3):
        image = read(noisy(bands))
        before = image.pixels.copy()
        for combine in COMBINES if bands > 1 else [None]:
            made = render(image, size=(24, 30), interval=interval, stretch=stretch, combine=combine)
            assert made.rgb.shape == (24, 30, 3)
            assert made.rgb.dtype == np.uint8
            assert made.rgb.flags.c_contiguous
            assert made.rgb.max() > made.rgb.min()
        np.testing.assert_array_equal(image.pixels, before)


@pytest.mark.parametrize(
    "options",
    [
        {"interval": "zscal"},
        {"interval": "percentile:0"},
        {"interval": "percentile:101"},
        {"interval": "percentile:x"},
        {"interval": "minmax:3"},
        {"interval": (3, 3)},
        {"interval": (3, 1)},
        {"interval": (0, float("nan"))},
        {"interval": 7},
        {"interval": [(0, 1), (0, 1)]},
        {"stretch": "sinh"},
        {"stretch": "asinh:0"},
        {"stretch": "asinh:2"},
        {"stretch": "sqrt:2"},
        {"stretch": 5},
        {"combine": "hsv"},
        {"combine": "lupton:-1"},
        {"combine": "lupton:nan"},
        {"rule": "fill"},
        {"size": (0, 10)},
        {"size": 10},
        {"size": (10.5, 10)},
        {"size": (10**6, 10)},
        {"background": (0, 0)},
        {"background": (0, 0, 256)},
        {"background": "black"},
    ],
    ids=str,
)
def test_what_does_not_exist_is_refused_with_the_choices(options: dict[str, Any]) -> None:
    with pytest.raises(RenderError) as raised:
        render(read(noisy(3)), **{"size": (10, 10), **options})
    assert raised.value.expected


def test_one_band_cannot_be_combined() -> None:
    with pytest.raises(RenderError, match="one band"):
        render(read(noisy(1)), size=(10, 10), combine="lupton")


def test_stretches_are_those_of_astropy() -> None:
    """A parameter that means something else than in astropy would mislead its users."""
    values = np.linspace(0, 1, 99).reshape(9, 11)
    known = {
        "linear": visualization.LinearStretch(),
        "log": visualization.LogStretch(),
        "asinh:0.05": visualization.AsinhStretch(0.05),
        "sqrt": visualization.SqrtStretch(),
        "power:3": visualization.PowerStretch(3),
    }
    for name, stretch in known.items():
        made = render(read(values), size=(9, 11), interval=(0, 1), stretch=name).rgb[::-1]
        np.testing.assert_allclose(made[..., 0], 255 * stretch(values), atol=0.51)


def test_intervals_are_those_of_astropy() -> None:
    values = noisy()[0].astype(np.float32)
    known = {
        "zscale": visualization.ZScaleInterval(),
        "percentile:98": visualization.PercentileInterval(98),
        "minmax": visualization.MinMaxInterval(),
    }
    for name, interval in known.items():
        made = render(read(values), size=values.shape, interval=name)
        assert made.record.limits[0] == pytest.approx(interval.get_limits(values))


# Geometry -----------------------------------------------------------------------------------


def test_fits_is_drawn_with_row_zero_at_the_bottom() -> None:
    """Upside down, every position angle in a description would be wrong."""
    values = np.zeros((8, 8))
    values[0, 1] = 1
    made = render(read(values), size=(8, 8), interval=(0, 1), stretch="linear")
    assert made.rgb[7, 1, 0] == 255
    assert made.record.flipped
    shades = np.zeros((8, 8, 3), np.uint8)
    shades[0, 1] = 255
    made = render(read(shades), size=(8, 8))
    assert made.rgb[0, 1, 0] == 255
    assert not made.record.flipped


def test_pad_shows_everything_on_the_background() -> None:
    made = render(
        read(np.ones((10, 20))), size=(40, 40), interval=(0, 1), background=(122, 116, 104)
    )
    assert made.record.content == (10, 0, 20, 40)
    np.testing.assert_array_equal(made.rgb[10:30], 255)
    np.testing.assert_array_equal(made.rgb[:10], [[[122, 116, 104]] * 40] * 10)
    assert render(read(np.ones((1, 5000))), size=(9, 9)).record.content == (4, 0, 1, 9)


def test_crop_fills_the_frame_from_the_middle() -> None:
    values = np.zeros((10, 30))
    values[:, 10:20] = 1
    made = render(read(values), size=(10, 10), rule="crop", interval=(0, 1), stretch="linear")
    np.testing.assert_array_equal(made.rgb, 255)
    assert made.record.resampling == "none"
    assert render(read(values), size=(20, 20), rule="crop").record.scale == (2.0, 2.0)


def test_stretch_squeezes_the_axes_apart() -> None:
    made = render(read(np.ones((10, 30))), size=(20, 15), rule="stretch")
    assert made.record.scale == (2.0, 0.5)
    assert made.record.content == (0, 0, 20, 15)


def test_shrinking_averages_and_keeps_the_mean() -> None:
    """Picking every n-th pixel turns fine stripes into false structure."""
    stripes = np.tile([0.0, 1.0], (120, 60))
    made = render(read(stripes), size=(30, 30), interval=(0, 1), stretch="linear").rgb
    assert abs(luminance(made).mean() - 127.5) < 2
    assert luminance(made)[:, 2:-2].std() < 8


def test_a_star_leaves_no_dark_ring() -> None:
    """Ringing kernels dig holes into the sky around every bright star."""
    y, x = np.mgrid[:60, :60]
    values = 1e6 * np.exp(-((x - 30) ** 2 + (y - 30) ** 2) / 3) + 100
    for side in (20, 45, 60, 100):
        made = render(read(values), size=(side, side), interval=(90, 1e5), stretch="asinh:0.001")
        shades = luminance(made.rgb)
        assert shades.max() > 250
        assert shades.min() >= np.median(shades) - 2.5 > 0


def test_a_finished_picture_of_the_right_size_is_untouched() -> None:
    for shape in ((20, 30, 3), (3, 20, 30)):
        shades = RNG.integers(0, 256, shape, dtype=np.uint8)
        expected = shades if shape[-1] == 3 else np.moveaxis(shades, 0, -1)
        for rule in ("pad", "crop", "stretch"):
            made = render(read(shades), size=(20, 30), rule=rule)
            np.testing.assert_array_equal(made.rgb, expected)
            assert made.record.stretch == "none"
    grey = Image.fromarray(RNG.integers(0, 256, (20, 30), dtype=np.uint8))
    np.testing.assert_array_equal(
        render(read(grey), size=(20, 30)).rgb, np.repeat(np.asarray(grey)[..., None], 3, -1)
    )


def test_a_finished_picture_can_be_stretched_on_request() -> None:
    shades = np.full((5, 5, 3), 64, np.uint8)
    made = render(read(shades), size=(5, 5), stretch="sqrt", combine="simple")
    assert abs(int(made.rgb[0, 0, 0]) - 128) <= 1
    assert made.record.limits == ((0.0, 255.0),) * 3


# Colour -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bands", "telescope", "red", "blue"),
    [
        (("g", "r", "z"), "", "z", "g"),
        (("z", "r", "g"), "", "z", "g"),
        (("i", "g", "r"), "", "i", "g"),
        (("u", "g", "r", "i", "z"), "", "i", "g"),
        (("J", "H", "Ks"), "", "Ks", "J"),
        (("F814W", "F435W", "F606W"), "HST", "F814W", "F435W"),
        (("F814W", "F160W", "F606W"), "HST", "F160W", "F606W"),
        (("F444W", "F090W", "F200W"), "JWST", "F444W", "F090W"),
        (("1", "2", "3"), "", "1", "3"),
        (("R", "G", "B"), "", "R", "B"),
        (("W1", "W2"), "", "W2", "W1"),
        (("FUV", "NUV"), "GALEX", "NUV", "FUV"),
    ],
)
def test_the_longest_wavelength_is_red(
    bands: tuple[str, ...], telescope: str, red: str, blue: str
) -> None:
    image = SkyImage(noisy(len(bands)), bands, meta={"telescope": telescope})
    channels = render(image, size=(20, 20)).record.channels
    assert (channels["red"], channels["blue"]) == (red, blue)
    if len(bands) == 2:
        assert channels["green"] == "mean"


def lit(count: int, plane: int) -> np.ndarray:
    """A cube of noise with a source in one plane only."""
    cube = RNG.normal(size=(count, 24, 24)).astype(np.float32)
    cube[plane, 8:16, 8:16] += 300
    return cube


def brightest(image: SkyImage) -> int:
    return int(np.argmax(render(image, size=(24, 24)).rgb[12, 12]))


@pytest.mark.parametrize("chosen", [[0, 5, 9], "0,5,9", ["0", "5", "9"], "059"])
def test_of_planes_chosen_by_number_the_last_is_red(chosen: Any) -> None:
    """`--bands 0,5,9` says "red last", and drew plane 0 red."""
    for plane, colour in ((0, 2), (5, 1), (9, 0)):
        image = read(lit(10, plane), bands=chosen)
        assert image.bands == ("0", "5", "9")
        assert brightest(image) == colour
        channels = render(image, size=(24, 24)).record.channels
        assert channels == {"red": "9", "green": "5", "blue": "0"}
        # What is read again is in the order of the choice before.
        assert brightest(read(image, cutout=((12, 12), 20))) == colour


def test_other_numbers_of_chosen_planes() -> None:
    two = read(noisy(10), bands=[3, 7])
    assert render(two, size=(9, 9)).record.channels == {"red": "7", "green": "mean", "blue": "3"}
    many = read(noisy(10), bands=[1, 2, 3, 4, 5])
    assert render(many, size=(9, 9)).record.channels == {"red": "5", "green": "3", "blue": "1"}


def test_without_a_choice_the_first_plane_is_red() -> None:
    """Three planes that nothing names are a colour picture; a part of it is the same picture."""
    image = read(lit(3, 0))
    assert brightest(image) == brightest(read(image, cutout=((12, 12), 20))) == 0
    assert brightest(read(lit(3, 0), bands="grz")) == 2
    # Names may come later too: numbers are none.
    assert brightest(read(image, bands="grz")) == 2


def test_wavelengths_go_before_the_order_of_a_choice() -> None:
    named = SkyImage(lit(3, 2), ("g", "r", "z"))
    assert brightest(read(named, bands=[2, 1, 0])) == brightest(read(named, bands=[0, 1, 2])) == 0


def test_a_picture_keeps_its_colours_in_any_choice() -> None:
    """The planes of a finished picture are not guesses: R is red wherever it was put."""
    shades = np.zeros((8, 8, 3), np.uint8)
    shades[..., 0] = 200
    for order in ([0, 1, 2], [2, 1, 0]):
        made = render(read(shades, bands=order), size=(8, 8))
        assert made.rgb[4, 4].tolist() == [200, 0, 0]
        assert made.record.channels == {"red": "R", "green": "G", "blue": "B"}


def test_a_red_source_is_red_and_a_blue_one_blue() -> None:
    planes = RNG.normal(size=(3, 60, 60))
    planes[:, 10:20, 10:20] += np.reshape((50, 400, 2000), (3, 1, 1))
    planes[:, 40:50, 40:50] += np.reshape((900, 500, 300), (3, 1, 1))
    for combine in ("simple:5", "simple", "lupton"):
        made = render(SkyImage(planes, ("g", "r", "z")), size=(60, 60), combine=combine).rgb[::-1]
        red, blue = made[15, 15].astype(int), made[45, 45].astype(int)
        assert red[0] > red[2] + 30
        assert blue[2] > blue[0] + 15


def test_sky_noise_is_grey() -> None:
    """Coloured speckle is the first thing a model would learn to describe."""
    image = SkyImage(RNG.normal(size=(3, 80, 80)) + 50, ("g", "r", "z"))

    def colour(combine: str | None) -> float:
        return float(np.ptp(render(image, size=(80, 80), combine=combine).rgb, axis=-1).mean())

    assert colour(None) < 0.3 * colour("simple")


def test_where_a_band_is_missing_the_picture_is_grey(shared_data: Path) -> None:
    """Half of this DECaLS cut-out has z only: drawn as it is, its galaxy would be bright red."""
    made = render(read(shared_data / "fits" / "decals_bad_pixels.fits"), size=(212, 212))
    galaxy = made.rgb[80:130, 80:130].astype(int)
    assert galaxy.max() > 120
    assert np.abs(galaxy[..., 0] - galaxy[..., 2]).mean() < 12
    assert made.record.masked_fraction > 0.5


@pytest.mark.parametrize("name", ["decals_a", "decals_b"])
def test_decals_cutouts_look_like_the_surveys_own_pictures(shared_data: Path, name: str) -> None:
    folder = shared_data / "fits"
    ours = render(read(folder / f"{name}.fits"), size=(424, 424)).rgb.astype(float)
    theirs = np.asarray(Image.open(folder / f"{name}.jpeg").convert("RGB")).astype(float)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97
    assert np.abs(ours - theirs).mean() < 16
    for channel in range(3):
        bright = theirs.mean(axis=-1) > 120
        assert abs((ours - theirs)[bright][:, channel].mean()) < 30


def test_a_galaxy_that_fills_the_frame_keeps_its_sky_dark(shared_data: Path) -> None:
    """Two-sided clipping takes the disk for sky and cuts it off."""
    made = render(read(shared_data / "fits" / "decals_a.fits"), size=(212, 212))
    shades = luminance(made.rgb)
    assert np.percentile(shades, 1) < 30
    assert np.percentile(shades, 50) > 40
    assert shades[96:116, 96:116].max() > 240


def test_a_nebula_without_sky_uses_the_whole_range(shared_data: Path) -> None:
    shades = luminance(render(read(shared_data / "fits" / "HorseHead.fits"), size=(200, 200)).rgb)
    assert np.percentile(shades, 2) < 40
    assert np.percentile(shades, 98) > 200
    assert 60 < np.median(shades) < 180


# Bad pixels and degenerate images -----------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"interval": "zscale"}, {"stretch": "log"}], ids=str)
def test_defined_results_for_degenerate_images(bands: int, options: dict[str, Any]) -> None:
    """All of these are black: documented, and no warning or division by zero."""
    for values in (
        np.full((bands, 6, 7), 3.5),
        np.zeros((bands, 6, 7)),
        np.full((bands, 6, 7), np.nan),
        np.full((bands, 6, 7), -1e30),
        np.full((bands, 1, 1), 7.0),
    ):
        for size in ((6, 7), (3, 3), (14, 14)):
            made = render(read(values), size=size, rule="stretch", **options)
            assert not made.rgb.any()
            json.dumps(made.record.to_dict(), allow_nan=False)
    everything_bad = render(read(np.full((bands, 6, 7), np.nan)), size=(5, 5))
    assert everything_bad.record.masked_fraction == 1.0


def test_a_constant_finished_picture_keeps_its_shade() -> None:
    assert np.all(render(read(np.full((5, 5, 3), 200, np.uint8)), size=(9, 9)).rgb == 200)


@pytest.mark.parametrize("size", [(40, 50), (20, 25), (80, 100)])
def test_bad_pixels_are_filled_and_counted(size: tuple[int, int]) -> None:
    values = noisy()[0]
    clean = luminance(render(read(values), size=size, rule="stretch", stretch="asinh").rgb)
    values[5, 7] = np.nan
    values[20, 25] = np.inf
    values[30:, 40:] = np.nan
    made = render(read(values), size=size, rule="stretch", stretch="asinh")
    assert made.record.masked_fraction == pytest.approx(102 / 2000)
    # Nothing in the picture jumps: the star is whole, the corner is sky.
    shades = luminance(made.rgb)
    assert abs(shades.max() - clean.max()) < 12
    assert np.percentile(np.abs(shades - clean), 99) < 40


def test_a_hot_pixel_does_not_spoil_the_rest() -> None:
    values = noisy()[0]
    values[3, 3] = 3e38
    values[4, 4] = -3e38
    made = render(read(values), size=(40, 50))
    assert np.percentile(luminance(made.rgb), 99.5) > 150


# Record, determinism, speed -----------------------------------------------------------------


@pytest.mark.parametrize("bands", [1, 2, 3])
@pytest.mark.parametrize("size", [(40, 50), (22, 22), (90, 90)])
@pytest.mark.parametrize("stretch", [None, "log"])
def test_a_picture_can_be_repeated_from_its_record(
    bands: int, size: tuple[int, int], stretch: str | None
) -> None:
    image = read(noisy(bands))
    made = render(image, size=size, background=(1, 2, 3), stretch=stretch)
    record = json.loads(json.dumps(made.record.to_dict(), allow_nan=False))
    again = render(
        image,
        size=record["size"],
        rule=record["rule"],
        interval=record["limits"],
        stretch=record["stretch"],
        combine=record["combine"] if bands > 1 else None,
        background=record["background"],
    )
    np.testing.assert_array_equal(again.rgb, made.rgb)
    assert record["automatic"][:1] == ["interval"]
    assert again.record.automatic == ()


def test_two_runs_give_the_same_picture() -> None:
    image = read(example())
    np.testing.assert_array_equal(
        render(image, size=(99, 77)).rgb, render(read(example()), size=(99, 77)).rgb
    )


def test_speed() -> None:
    """A render must cost nothing beside the encoding of the picture (half a second and more)."""
    image = SkyImage(noisy(3, (512, 512)), ("g", "r", "z"))
    render(image, size=(512, 512))
    times = []
    while len(times) < 5 or (min(times) >= 0.25 and len(times) < 50):
        start = time.process_time()
        render(image, size=(512, 512))
        times.append(time.process_time() - start)
    # Measured: 0.05 s; the bound leaves room for slow machines, and busy ones get more tries.
    assert min(times) < 0.25
