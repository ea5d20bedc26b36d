"""What the library says of its arguments, said in options."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astrollava.cli._wording import in_options

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cube") / "cube.fits"
    fits.PrimaryHDU(np.random.default_rng(3).random((10, 32, 32), np.float32)).writeto(path)
    return path


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("such as bands=[0, 5, 9], or", "such as --bands 0,5,9, or"),
        (
            "is fetched with fetch='auto' and a size, or by astrollava fetch",
            "is fetched by astrollava fetch",
        ),
        ("bands=[0, 12] for 10 plane(s)", "--bands 0,12 for 10 plane(s)"),
        ("bands='K', but a.fits has", "--bands K, but a.fits has"),
        ("Give bands=, or leave", "Give --bands, or leave"),
        ("hdu=1, but it is a picture", "--hdu 1, but it is a picture"),
        ("hdu=None", "no --hdu"),
        ('survey: fetch="auto" chooses one', "survey: --from auto chooses one"),
        ("combine='simple:5' for one band", "--combine simple:5 for one band"),
        ("Read a part with cutout=(position, size)", "Read a part with --cutout X,Y,SIZE"),
        ("Give the projector's path as mmproj", "Give the projector's path with --mmproj"),
        ("Use mmproj=, the file", "Use --mmproj, the file"),
        ("n_gpu_layers=-1", "--gpu-layers -1"),
        ("bands='' is empty", "--bands '' is empty"),
    ],
)
def test_arguments_become_options(said: str, meant: str) -> None:
    assert in_options(said) == meant


@pytest.mark.parametrize(
    "name", ["bands=3.fits", "a/hdu=1 b.fits", "there is no file 'hdu=1'", "--set n_ctx=4096"]
)
def test_names_of_files_stay_whole(name: str) -> None:
    """A path that was rewritten cannot be found."""
    assert in_options(name) == name


@pytest.mark.parametrize(
    "said",
    [
        "https://a.org/cutout?ra=1&size=3&pixels=240&bands=grz answered 404",
        "at 'http://a.org/bands=3/hdu=None?pixels=240'",
        "/cutout?pixels=240&bands=grz",
        "pixels=240&bands=grz was sent",
    ],
)
def test_addresses_stay_whole(said: str) -> None:
    """`&--pixels 240&--bands grz` is what no service understands, nor who is to look why."""
    assert in_options(said) == said


def test_what_is_beside_an_address_is_reworded() -> None:
    said = "https://a.org/x?bands=g failed? Give bands='g', hdu=None"
    assert in_options(said) == "https://a.org/x?bands=g failed? Give --bands g, no --hdu"


def test_a_cube_is_asked_for_by_the_option(run: Run, cube: Path, speaker: list[str]) -> None:
    done = run("describe", "--json", cube, *speaker)
    assert done.returncode == 2
    assert "--bands 0,5,9" in done.stderr
    message = json.loads(done.stdout)["error"]["message"]
    assert "--bands 0,5,9" in message
    assert "bands=" not in done.stderr + message


def test_planes_chosen_by_number_are_red_last(run: Run, cube: Path, speaker: list[str]) -> None:
    done = run("describe", "--json", "--bands", "0,5,9", cube, *speaker)
    assert done.returncode == 0, done.stderr
    channels = json.loads(done.stdout)["provenance"]["rendering"]["channels"]
    assert channels == {"red": "9", "green": "5", "blue": "0"}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["describe", "--stretch", "histeq"], "there is no stretch 'histeq'"),
        (["describe", "--interval", "percentile:200"], "interval percentile"),
        (["classify", "--combine", "rainbow"], "there is no combination 'rainbow'"),
        (["describe", "--seed", "-1"], "'--seed'"),
        (["describe", "--temperature", "11"], "'--temperature'"),
        (["describe", "--bands", ","], "--bands is empty"),
        (["classify", "--vocabulary", "foo"], "there is no vocabulary named 'foo'"),
        (["classify", "--labels", "star"], "the vocabulary has one label"),
        (["classify", "--labels", "star,star"], "are alike"),
        (["classify", "--question", " "], "the question of vocabulary"),
    ],
)
def test_a_wrong_option_is_said_once(
    run: Run, picture: Path, image: Path, words: list[str], problem: str
) -> None:
    """A thousand files gave a thousand times the same line, each after an encoded image.

    Nothing may be loaded for it either: the model named here does not exist.
    """
    done = run(*words, picture, image, "--model", "/nowhere/model.gguf")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count(problem) == 1
    assert "nowhere" not in done.stderr
    assert picture.name not in done.stderr


@pytest.mark.parametrize("labels", ["", " , "])
def test_no_labels_are_called_so(run: Run, picture: Path, labels: str) -> None:
    """ "the vocabulary has 1 labels" is no answer to an empty variable of a shell."""
    done = run("classify", picture, "--labels", labels, "--model", "/nowhere/model.gguf")
    assert done.returncode == 2
    assert "--labels is empty" in done.stderr
