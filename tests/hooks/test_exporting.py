"""What is left of a file when its exporter fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from astrollava.errors import InvalidRequest, PluginError
from astrollava.hooks import Exporter, Plugins, export, hookimpl
from astrollava.hooks.testing import sample_results


class Torn(Exporter):
    """Writes half a file over what is there, or takes it away, and then may fail."""

    name = "torn"
    suffix = ".txt"

    def __init__(self, failure: BaseException | None, remove: bool = False) -> None:
        self.failure = failure
        self.remove = remove

    def write(self, results: Any, path: Path) -> None:
        path.write_text("half")
        if self.remove:
            path.unlink()
        if self.failure is not None:
            raise self.failure


class Plugin:
    astrollava_contract = 1

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter

    @hookimpl
    def astrollava_exporters(self) -> list[Exporter]:
        return [self.exporter]


@pytest.mark.parametrize("remove", [False, True])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (KeyError("no such key"), PluginError),
        (PluginError("no hub"), PluginError),
        (OSError("disk full"), InvalidRequest),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_exporter_that_fails_midway_leaves_the_earlier_file(
    astrollava_plugins: Callable[..., Plugins],
    tmp_path: Path,
    failure: BaseException,
    raised: type[BaseException],
    remove: bool,
) -> None:
    """Half a file, or none, was left of the table of the night before."""
    astrollava_plugins(torn=Plugin(Torn(failure, remove)))
    file = tmp_path / "table.txt"
    file.write_text("of yesterday")
    with pytest.raises(raised):
        export(sample_results(), file, "torn")
    assert file.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [file], "a copy is left lying about"


def test_an_exporter_that_succeeds_replaces_the_earlier_file(
    astrollava_plugins: Callable[..., Plugins], tmp_path: Path
) -> None:
    """Put back after a success too, the earlier file would hide every new result."""
    astrollava_plugins(torn=Plugin(Torn(None)))
    file = tmp_path / "table.txt"
    file.write_text("of yesterday")
    assert export(sample_results(), file, "torn").read_text() == "half"
