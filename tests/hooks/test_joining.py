"""What a plugin gives is found by its name wherever a name of the core is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from astrollava import vocabularies
from astrollava.errors import (
    CorruptImage,
    ImageTooLarge,
    InvalidRequest,
    ModelNotFound,
    RenderError,
    UnsupportedImage,
)
from astrollava.hooks import Entry, Plugins, Reader, RemoteFile, Vocabulary, hookimpl
from astrollava.images import SkyImage, read, render
from astrollava.models import catalog, resolve
from tiny_pair import write_pair

Use = Callable[..., Plugins]
MAGIC = b"PLANES1\n"


class Planes(Reader):
    """Reads a format of the test's own: magic, three little numbers, float32 planes."""

    name = "planes"
    suffixes = (".planes",)

    def accepts(self, head: bytes) -> bool:
        return head.startswith(MAGIC)

    def read(self, file: Any, *, max_pixels: int) -> SkyImage:
        file.seek(len(MAGIC))
        shape = np.frombuffer(file.read(12), "<i4")
        if int(np.prod(shape)) > max_pixels:
            raise ImageTooLarge(f"{tuple(shape)} is too large")
        values = np.frombuffer(file.read(), "<f4").reshape(shape)
        return SkyImage(values, ("g", "r", "z")[: len(values)], source={"telescope": "a box"})


def planes(bands: int = 3, side: int = 8) -> bytes:
    shape = np.array([bands, side, side], "<i4")
    return MAGIC + shape.tobytes() + np.arange(shape.prod(), dtype="<f4").tobytes()


class Plugin:
    """A plugin that gives one of each."""

    astrollava_contract = 1

    @hookimpl
    def astrollava_readers(self) -> list[Reader]:
        return [Planes()]

    @hookimpl
    def astrollava_stretches(self) -> dict[str, Callable[[Any], Any]]:
        return {
            "cubed": lambda x: x**3,
            "doubled": lambda x: 2 * x,
            "flat": lambda x: x.ravel(),
            "nothing": lambda x: x * np.nan,
            "fails": lambda x: 1 / 0,
        }

    @hookimpl
    def astrollava_vocabularies(self) -> list[Vocabulary]:
        words = {"tidal": "A tidal tail.", "none": "No tidal tail."}
        return [Vocabulary("tides", tuple(words), "Is there a tidal tail?", words)]

    @hookimpl
    def astrollava_models(self) -> list[Entry]:
        files = {role: RemoteFile(f"{role}.gguf", about=1000) for role in ("text", "mmproj")}
        return [Entry("wren", "A wren", "MIT", 4, "pad", repo="garden/wren", **files)]


@pytest.fixture
def there(astrollava_plugins: Use) -> Plugins:
    there = astrollava_plugins(bird=Plugin())
    assert there.broken == ()
    return there


# Readers -------------------------------------------------------------------------------------


def test_a_file_of_a_plugins_format_is_read(there: Plugins, tmp_path: Path) -> None:
    path = tmp_path / "a.planes"
    path.write_bytes(planes())
    image = read(path)
    assert image.pixels.shape == (3, 8, 8)
    assert image.bands == ("g", "r", "z")
    assert image.source["kind"] == "planes"
    assert image.source["plugin"]["name"] == "bird"
    assert image.source["path"] == str(path)
    assert len(image.source["sha256"]) == 64
    assert image.source["telescope"] == "a box"
    assert read(path.read_bytes(), bands="z", cutout=((4, 4), 4)).pixels.shape == (1, 4, 4)


def test_a_packed_file_too(there: Plugins) -> None:
    import gzip

    assert read(gzip.compress(planes())).bands == ("g", "r", "z")


def test_what_nobody_reads_is_refused_as_before(there: Plugins) -> None:
    with pytest.raises(UnsupportedImage, match="Expected FITS"):
        read(b"neither one nor the other")


def test_a_readers_failure_is_an_error_of_the_image(there: Plugins) -> None:
    """A ValueError of somebody's code would end a run over ten thousand files."""
    with pytest.raises(CorruptImage, match=r"the reader 'planes' of the plugin bird.*ValueError"):
        read(planes()[:-1])
    with pytest.raises(ImageTooLarge):
        read(planes(), max_pixels=100)


def test_a_reader_is_never_asked_about_fits(there: Plugins, monkeypatch: Any) -> None:
    """What the core reads must not change with what is installed."""
    from astrollava.images import example

    monkeypatch.setattr(Planes, "accepts", lambda self, head: True)
    assert read(example()).source["kind"] == "fits"
    assert "plugin" not in read(example()).source


def test_a_reader_that_gives_something_else_says_whose_fault_it_is(
    there: Plugins, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Planes, "read", lambda self, file, max_pixels: np.zeros((3, 3)))
    with pytest.raises(CorruptImage, match=r"plugin bird.*gave ndarray.*a SkyImage"):
        read(planes())
    monkeypatch.setattr(Planes, "accepts", lambda self, head: 1 / 0)
    with pytest.raises(UnsupportedImage):
        read(planes())


# Stretches -----------------------------------------------------------------------------------

IMAGE = SkyImage(np.linspace(0, 1, 3 * 16 * 16, dtype=np.float32).reshape(3, 16, 16), ("g",) * 3)
GREY = SkyImage(np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8), ("r",))


def test_a_stretch_of_a_plugin_is_applied(there: Plugins) -> None:
    """Against the same function written out, for one band."""
    picture = render(GREY, size=(8, 8), interval="minmax", stretch="cubed")
    shades = np.rint(GREY.pixels[0].astype(float) ** 3 * 255)[::-1]
    assert np.abs(picture.rgb[..., 0] - shades).max() <= 1
    assert picture.record.stretch == "cubed"
    again = render(GREY, size=(8, 8), interval=picture.record.limits, stretch="cubed")
    assert np.array_equal(again.rgb, picture.rgb)


@pytest.mark.parametrize("combine", ["simple", "simple:5", "lupton"])
def test_a_stretch_of_a_plugin_paints_colours(there: Plugins, combine: str) -> None:
    ours = render(IMAGE, size=(16, 16), interval="minmax", stretch="power:3", combine=combine)
    theirs = render(IMAGE, size=(16, 16), interval="minmax", stretch="cubed", combine=combine)
    assert np.abs(ours.rgb.astype(int) - theirs.rgb).max() <= 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("doubled", r"outside \[0, 1\]"),
        ("nothing", r"outside \[0, 1\], or none"),
        ("flat", r"made the shape"),
        ("fails", "ZeroDivisionError"),
    ],
)
def test_a_stretch_that_is_none_is_refused(there: Plugins, name: str, said: str) -> None:
    """It would paint noise, or black, and nobody would know why."""
    with pytest.raises(RenderError, match=f"(?s)stretch '{name}' of the plugin bird.*{said}"):
        render(GREY, size=(8, 8), stretch=name)


def test_an_unknown_stretch_names_those_of_plugins(there: Plugins) -> None:
    with pytest.raises(RenderError, match="power, cubed, doubled"):
        render(GREY, size=(8, 8), stretch="cube")
    with pytest.raises(RenderError, match="without a parameter"):
        render(GREY, size=(8, 8), stretch="cubed:2")


# Vocabularies and models ---------------------------------------------------------------------


def test_a_vocabulary_of_a_plugin_is_found(there: Plugins) -> None:
    assert vocabularies.get("tides").labels == ("tidal", "none")
    with pytest.raises(InvalidRequest, match=r"one of galaxy10, tides.*Did you mean 'tides'\?"):
        vocabularies.get("tide")


def test_a_model_of_a_plugin_is_found(there: Plugins) -> None:
    assert catalog.get("Wren").title == "A wren"
    assert catalog.plugin_of("wren") == "bird"
    assert catalog.entries()[-1].name == "wren"
    with pytest.raises(ModelNotFound, match="Did you mean wren"):
        catalog.get("wrenn")


def test_a_name_that_was_added_goes_before_a_plugins(
    there: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_added", {})
    with pytest.raises(InvalidRequest, match="already"):
        catalog.add(Entry("wren", "Another", "MIT", 4, "pad", repo="a/b", **_files()))
    assert catalog.plugin_of("embedded") is None


def test_a_folder_here_goes_before_a_plugins_model(
    there: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a command does to files must not change with what is installed."""
    write_pair(tmp_path / "wren")
    monkeypatch.chdir(tmp_path)
    assert resolve("wren").source == "path"
    (tmp_path / "wren").rename(tmp_path / "robin")
    with pytest.raises(ModelNotFound, match="wren is not on this machine"):
        resolve("wren", download=False)


def _files() -> dict[str, RemoteFile]:
    return {role: RemoteFile(f"{role}.gguf") for role in ("text", "mmproj")}


# When plugins load ---------------------------------------------------------------------------


def loaded_after(code: str) -> bool:
    """Whether the manager of plugins is imported after running code."""
    code += "\nimport sys; print('astrollava.hooks.manager' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return bool(json.loads(done.stdout.splitlines()[-1].lower()))


@pytest.mark.parametrize(
    "code",
    [
        "import astrollava.errors, astrollava.results, astrollava.vocabularies",
        "from astrollava.vocabularies import get; get('galaxy10')",
        "from astrollava.models import resolve; resolve('embedded')",
        "from astrollava.images import *; render(read(example()), size=(8, 8), stretch='asinh')",
        "from astrollava.models.catalog import find, plugin_of; plugin_of('embedded')",
        (
            "import tempfile, pathlib; from astrollava.models import resolve\n"
            "path = pathlib.Path(tempfile.mkdtemp()) / 'a.gguf'\n"
            "try: resolve(str(path.parent) + '/./none')\n"
            "except Exception: pass"
        ),
    ],
)
def test_what_the_core_has_needs_no_plugin(code: str) -> None:
    """A broken environment of plugins must cost a user of the core nothing."""
    assert not loaded_after(code)


def test_a_name_that_the_core_lacks_loads_plugins() -> None:
    code = "from astrollava.vocabularies import get\ntry: get('tides')\nexcept ValueError: pass"
    assert loaded_after(code)
