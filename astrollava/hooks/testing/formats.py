"""What every reader, stretch and exporter must do."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from astrollava.errors import ImageError, ImageTooLarge
from astrollava.hooks.checks import find_faults
from astrollava.hooks.kinds import Exporter, Reader
from astrollava.hooks.testing._needed import needed
from astrollava.hooks.testing.samples import sample_results
from astrollava.hooks.testing.whole import in_place
from astrollava.images import SkyImage, read, render

__all__ = ["ExporterSuite", "ReaderSuite", "StretchSuite"]


class _Giving:
    """A plugin of one hook, made on the spot."""

    astrollava_contract = 1

    def __init__(self, hook: str, given: Any) -> None:
        from astrollava.hooks import hookimpl

        setattr(self, hook, hookimpl(lambda: given))


class ReaderSuite:
    """Holds a reader to the contract. Subclass it, and write `make` and `file`.

    Attributes
    ----------
    shape : (int, int, int)
        Bands, rows and columns of the image in `file`.
    """

    shape: ClassVar[tuple[int, int, int]] = needed(
        "say what image is in `file`: shape = (bands, rows, columns)"
    )

    def make(self) -> Reader:
        """Return the reader."""
        raise NotImplementedError("say how to make the reader: def make(self): ...")

    def file(self) -> bytes:
        """Return a small, sound file of the format."""
        raise NotImplementedError("give a file: def file(self): ...")

    def read(self, data: bytes, **options: Any) -> SkyImage:
        """Read a file as a user would."""
        with in_place(plugin=_Giving("astrollava_readers", [self.make()])) as there:
            assert [broken.reason for broken in there.broken] == []
            return read(data, **options)

    def test_it_declares_what_the_contract_asks_for(self) -> None:
        """It must not take what astrollava reads itself, nor an empty file."""
        assert find_faults("readers", self.make()) == []

    def test_a_sound_file_is_read(self) -> None:
        """Through `astrollava.images.read`, and with where it came from."""
        image = self.read(self.file())
        assert image.pixels.shape == self.shape
        assert image.source["kind"] == self.make().name

    def test_a_part_of_it_is_read(self) -> None:
        """``cutout`` and ``bands`` mean the same for every format."""
        _, rows, columns = self.shape
        image = self.read(self.file(), cutout=((columns // 2, rows // 2), min(rows, columns) // 2))
        assert image.shape == (min(rows, columns) // 2,) * 2

    def test_a_file_that_is_too_large_is_refused(self) -> None:
        """A header of a few bytes may promise terabytes."""
        with pytest.raises(ImageTooLarge):
            self.read(self.file(), max_pixels=int(np.prod(self.shape)) - 1)

    def test_damaged_files_give_our_errors_only(self) -> None:
        """Files come from anywhere: cut, with bytes changed, with bytes too many."""
        whole = self.file()
        chance = random.Random(5)  # noqa: S311
        damaged = [whole[: len(whole) * part // 8] for part in range(1, 8)]
        for _ in range(64):
            changed = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                changed[chance.randrange(min(len(changed), 4096))] = chance.randrange(256)
            damaged.append(bytes(changed))
        for data in damaged:
            try:
                self.read(data, max_pixels=10_000_000)
            except ImageError as error:
                fault = error.__cause__
                assert fault is None or isinstance(fault, (ImageError, OSError, ValueError)), (
                    f"the reader let a {type(fault).__name__} out: {fault}"
                )


class StretchSuite:
    """Holds a stretch to the contract. Subclass it, and write `make`."""

    def make(self) -> Callable[[Any], Any]:
        """Return the function."""
        raise NotImplementedError("give the function: def make(self): ...")

    def test_it_maps_zero_to_one_onto_zero_to_one(self) -> None:
        """In any shape, and without changing what it is given."""
        assert find_faults("stretches", self.make()) == []

    def test_it_keeps_the_order_of_shades(self) -> None:
        """What is brighter on the sky is not darker in the picture."""
        shades = np.asarray(self.make()(np.linspace(0.0, 1.0, 1001)))
        assert (np.diff(shades) >= -1e-9).all()

    @pytest.mark.parametrize("bands", [1, 3])
    def test_a_picture_is_made_with_it(self, bands: int) -> None:
        """Of one band, and of colours."""
        light = np.linspace(0, 1, bands * 32 * 32, dtype=np.float32).reshape(bands, 32, 32)
        image = SkyImage(light, ("g", "r", "z")[:bands])
        with in_place(plugin=_Giving("astrollava_stretches", {"mine": self.make()})):
            picture = render(image, size=(16, 16), interval="minmax", stretch="mine")
        assert picture.record.stretch == "mine"
        assert picture.rgb.max() > picture.rgb.min()


class ExporterSuite:
    """Holds an exporter to the contract. Subclass it, and write `make`.

    Attributes
    ----------
    refuses : tuple of str
        Kinds of results that the format has no place for, such as ``("Extraction",)``.
    """

    refuses: ClassVar[tuple[str, ...]] = ()

    def make(self) -> Exporter:
        """Return the exporter."""
        raise NotImplementedError("say how to make the exporter: def make(self): ...")

    def write(self, results: Any, path: Path) -> bytes:
        """Write results as a user would."""
        from astrollava.hooks import export

        exporter = self.make()
        with in_place(plugin=_Giving("astrollava_exporters", [exporter])):
            return export(results, path, exporter.name).read_bytes()

    def test_it_declares_what_the_contract_asks_for(self) -> None:
        """A name and a suffix."""
        assert find_faults("exporters", self.make()) == []

    def test_results_are_written(self, tmp_path: Path) -> None:
        """Of every kind, with quotes, brackets and letters that formats stumble over."""
        results = [r for r in sample_results() if type(r).__name__ not in self.refuses]
        assert self.write(results, tmp_path / f"out put{self.make().suffix}")

    def test_one_result_alone_is_written(self, tmp_path: Path) -> None:
        """A list of one is the usual case."""
        kinds = {type(result).__name__: result for result in sample_results()}
        one = next(result for kind, result in kinds.items() if kind not in self.refuses)
        assert self.write(one, tmp_path / f"one{self.make().suffix}")

    def test_what_is_there_is_replaced(self, tmp_path: Path) -> None:
        """Written a second time, a file holds what it held after the first."""
        results = [r for r in sample_results() if type(r).__name__ not in self.refuses]
        path = tmp_path / f"again{self.make().suffix}"
        path.write_bytes(b"something that was there before\n" * 2000)
        self.write(results, path)
        first = len(path.read_bytes())
        self.write(results, path)
        assert len(path.read_bytes()) == first
        assert b"something that was there" not in path.read_bytes()
