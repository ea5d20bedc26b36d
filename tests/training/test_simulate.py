"""Simulated pictures: facts that the picture does not show would teach the model to invent."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from astrollava_training.data import profiles as p
from astrollava_training.data.augment import augment
from astrollava_training.data.facts import LABELS, TREE
from astrollava_training.data.interactions import merging
from astrollava_training.data.judging import asymmetry, judge
from astrollava_training.data.morphology import DRAWN, Made, Stage
from astrollava_training.data.simulate import MIX, simulate, simulate_one
from astrollava_training.data.survey import blur, compress, noise, pick, stretch


@pytest.fixture(scope="module")
def many():
    return simulate(400, seed=11)


def _rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_same_seed_makes_the_same_pictures_however_shared_out():
    whole, facts = simulate(6, 64, seed=3)
    first, early = simulate(2, 64, seed=3)
    rest, late = simulate(4, 64, seed=3, start=2)
    assert np.array_equal(whole, np.concatenate([first, rest]))
    assert facts == early + late


def test_another_seed_makes_other_pictures():
    assert not np.array_equal(simulate(3, 64, seed=1)[0], simulate(3, 64, seed=2)[0])


@pytest.mark.parametrize("size", [48, 120, 150])
def test_pictures_have_the_size_asked_for(size):
    rgb, facts = simulate(4, size)
    assert rgb.shape == (4, size, size, 3)
    assert rgb.dtype == np.uint8
    assert len(facts) == 4


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("what", list(MIX))
def test_every_kind_is_drawn_without_overflow_or_nan(what):
    for seed in range(12):
        rgb, facts = simulate_one(_rng(seed), what=what)
        assert rgb.shape == (120, 120, 3)
        for question in TREE:
            found = facts.answers(question)
            assert found is None or sum(found.values()) == pytest.approx(1)
            assert found is None or min(found.values()) >= 0
        facts.vector()


def test_the_classes_are_all_met_and_none_swamps_the_rest(many):
    _, facts = many
    counts = {label: sum(f.label == label for f in facts) for label in LABELS}
    assert min(counts.values()) >= 5, counts
    assert max(counts.values()) <= 0.2 * len(facts), counts
    assert 2 <= sum(f.kind != "galaxy" for f in facts) <= 0.15 * len(facts)


def test_what_is_no_galaxy_has_no_morphology(many):
    for facts in many[1]:
        if facts.kind != "galaxy":
            assert facts.label is None
            assert all(facts.answers(question) is None for question in TREE)


def test_pictures_are_neither_all_black_nor_all_white(many):
    rgb, facts = many
    for picture, known in zip(rgb, facts, strict=True):
        if known.kind == "galaxy":
            assert picture[40:80, 40:80].max() > 40
            assert np.median(picture) < 245


def test_a_galaxy_stands_out_near_the_centre(many):
    """Guards against galaxies lost off the frame or below the noise."""
    rgb, facts = many
    light = rgb.astype(np.float32).mean(axis=3)
    inner = light[:, 50:70, 50:70].mean(axis=(1, 2))
    frame = np.median(light[:, 20:100, 20:100], axis=(1, 2))
    brighter = [
        i > f + 3 for i, f, k in zip(inner, frame, facts, strict=True) if k.kind == "galaxy"
    ]
    assert np.mean(brighter) > 0.93


def test_blur_and_noise_take_votes_away_from_arms_and_bars():
    made = Made(
        axis_ratio=0.8,
        half_light=14,
        brightness=12,
        disk=True,
        bar=1.0,
        bar_length=8,
        arms=2,
        pitch=20,
        arm_contrast=1.5,
        arm_spacing=12,
    )

    def votes(made: Made, psf: float) -> tuple[float, float]:
        facts = judge(made, psf, 0)
        assert facts.bar is not None
        assert facts.spiral is not None
        return facts.bar["yes"], facts.spiral["yes"]

    sharp, blurred = votes(made, 1.0), votes(made, 5.0)
    faint = votes(replace(made, brightness=0.1), 1.0)
    assert min(sharp) > 0.8
    assert max(blurred) < 0.3
    assert max(faint) < 0.3
    assert judge(made, 1.0, 0).label == "barred_spiral"
    assert judge(made, 5.0, 0).label not in ("barred_spiral", "unbarred_loose_spiral")


def test_the_axis_ratio_decides_how_round_a_smooth_galaxy_is():
    for ratio, label in (
        (0.97, "round_smooth"),
        (0.6, "in_between_smooth"),
        (0.25, "cigar_smooth"),
    ):
        assert judge(Made(ratio, 12, 10), 1.0, 0).label == label
    # A cigar as small as the blur is round to every eye.
    assert judge(Made(0.25, 0.5, 50), 3.0, 0).label == "round_smooth"


def test_a_bulge_decides_between_the_edge_on_classes():
    thin = Made(0.12, 15, 10, edge_on=True, disk=True)
    assert judge(thin, 1.0, 0).label == "edge_on_no_bulge"
    assert judge(replace(thin, bulge=0.4), 1.0, 0).label == "edge_on_bulge"


def test_asymmetry_sees_a_one_sided_tail_and_not_the_inclination():
    x, y = p.grid(96)
    u, v = p.turned(x, y, (3.0, -2.0), 0.7)
    disk = 50 * np.exp(-p.elliptical_radius(u, v, 0.4) / 6)
    tail = 8 * np.exp(-(((u - 20) / 8) ** 2) - ((v - 9) / 3) ** 2)
    assert asymmetry(disk, 1.0) < 0.08
    assert asymmetry(disk + tail, 1.0) > asymmetry(disk, 1.0) + 0.1
    assert asymmetry(np.zeros((8, 8), np.float32), 1.0) == 0


def test_merging_galaxies_are_two():
    """Guards against a pair drawn on top of itself: the second nucleus must add light elsewhere."""
    apart = [merging(_rng(seed), Stage(128, (0.0, 0.0), 25.0, 1.0))[1].apart for seed in range(20)]
    assert min(apart) > 5


@pytest.mark.parametrize("what", list(DRAWN))
def test_light_is_positive_and_shaped_by_bands(what):
    light, made = DRAWN[what](_rng(5), Stage(128, (2.0, 1.0), 25.0, 1.0))
    assert light.shape == (3, 128, 128)
    assert np.isfinite(light).all()
    assert light.min() >= 0
    assert made.brightness > 0


def test_blurring_keeps_the_light_and_spreads_a_point():
    point = np.zeros((3, 64, 64), np.float32)
    point[:, 32, 32] = 100
    seen = blur(point, 1.5)
    assert seen.sum(axis=(1, 2)) == pytest.approx(100, rel=1e-3)
    assert 100 * 0.88 / (2 * np.pi * 1.5**2) == pytest.approx(seen[0].max(), rel=0.1)


def test_arms_have_the_number_asked_for():
    x, y = p.grid(129)
    r, theta = p.polar(x, y, 1.0)
    flat = np.zeros_like(r)
    for number in (1, 2, 3, 4):
        ridge = p.arms(r, theta, number, 0.3, start=10, phase=0.4, sharpness=3, wobble=flat)
        angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
        row = np.round(64 + 30 * np.sin(angle)).astype(int)
        column = np.round(64 + 30 * np.cos(angle)).astype(int)
        spectrum = np.abs(np.fft.rfft(ridge[row, column]))
        assert int(np.argmax(spectrum[1:10])) + 1 == number


def test_a_stretch_never_inverts_the_picture():
    rising = np.broadcast_to(np.linspace(0, 60, 64, dtype=np.float32), (3, 64, 64))
    for seed in range(60):
        shown = stretch(rising, pick(_rng(seed), 1.0)).astype(int).sum(axis=2)
        assert shown[:, -8:].mean() > shown[:, :8].mean() + 20


def test_noise_has_the_scatter_it_says():
    survey = replace(pick(_rng(1), 1.0), band_noise=(1.0, 1.0, 1.0), grain=0.4)
    drawn = [noise(_rng(s), np.zeros((3, 96, 96), np.float32), survey) for s in range(8)]
    assert np.median([d.std() for d in drawn]) == pytest.approx(1, abs=0.1)


def test_real_pictures_are_varied_but_stay_pictures(shared_data):
    from PIL import Image

    path = min((shared_data / "galaxies" / "images").glob("*.jpg"))
    real = np.asarray(Image.open(path).convert("RGB"))
    kept = real.copy()
    made = [augment(real, _rng(seed)) for seed in range(40)]
    assert all(m.shape == (120, 120, 3) and m.dtype == np.uint8 for m in made)
    assert np.array_equal(augment(real, _rng(7)), made[7])
    assert np.std([m.mean() for m in made]) > 3
    assert np.array_equal(real, kept), "the picture given was changed"


def test_compression_changes_little_at_high_quality(many):
    picture = many[0][0]
    assert np.abs(compress(picture, 96).astype(int) - picture).mean() < 12


def test_a_thousand_pictures_do_not_hold_up_training():
    """At 5 ms a picture one core feeds the training; ten times that is a fault."""
    began = time.process_time()
    simulate(40, seed=2)
    assert (time.process_time() - began) / 40 < 0.05
