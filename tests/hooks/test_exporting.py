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

    def __init__(
        self, failure: BaseException | None, remove: bool = False, announces: bool = False
    ) -> None:
        self.failure = failure
        self.remove = remove
        self.announces = announces
        self.given: Path | None = None

    def write(self, results: Any, path: Path) -> None:
        assert not path.exists(), "what is there is not for the exporter to spoil"
        self.given = path
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


ANNOUNCES = pytest.mark.parametrize("announces", [False, True])
FAILURES = pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (KeyError("no such key"), PluginError),
        (PluginError("no hub"), PluginError),
        (OSError("disk full"), InvalidRequest),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)


@ANNOUNCES
@pytest.mark.parametrize("remove", [False, True])
@FAILURES
def test_an_exporter_that_fails_midway_leaves_the_earlier_file(
    astrollava_plugins: Callable[..., Plugins],
    tmp_path: Path,
    failure: BaseException,
    raised: type[BaseException],
    remove: bool,
    announces: bool,
) -> None:
    """Half a file, or none, was left of the table of the night before."""
    astrollava_plugins(torn=Plugin(Torn(failure, remove, announces)))
    file = tmp_path / "table.txt"
    file.write_text("of yesterday")
    with pytest.raises(raised):
        export(sample_results(), file, "torn")
    assert file.read_text() == "of yesterday"
    assert list(tmp_path.iterdir()) == [file], "a copy is left lying about"


@ANNOUNCES
@FAILURES
def test_an_exporter_that_fails_leaves_no_part_of_a_new_file(
    astrollava_plugins: Callable[..., Plugins],
    tmp_path: Path,
    failure: BaseException,
    raised: type[BaseException],
    announces: bool,
) -> None:
    """Half a table under the name of a whole one was read as the whole one."""
    astrollava_plugins(torn=Plugin(Torn(failure, announces=announces)))
    with pytest.raises(raised):
        export(sample_results(), tmp_path / "table.txt", " Torn ")
    assert list(tmp_path.iterdir()) == []


@ANNOUNCES
def test_an_exporter_that_succeeds_replaces_the_earlier_file(
    astrollava_plugins: Callable[..., Plugins], tmp_path: Path, announces: bool
) -> None:
    """Put back after a success too, the earlier file would hide every new result."""
    torn = Torn(None, announces=announces)
    astrollava_plugins(torn=Plugin(torn))
    file = tmp_path / "table.txt"
    file.write_text("of yesterday")
    file.chmod(0o640)
    assert export(sample_results(), file, "torn").read_text() == "half"
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [file]
    assert torn.given is not None
    assert torn.given.suffix == ".txt"
    # Only who tells others of it has to know the name before the file is whole.
    assert (torn.given == file) == announces


@ANNOUNCES
def test_what_a_link_leads_to_is_replaced_and_not_the_link(
    astrollava_plugins: Callable[..., Plugins], tmp_path: Path, announces: bool
) -> None:
    astrollava_plugins(torn=Plugin(Torn(None, announces=announces)))
    place, link = tmp_path / "place", tmp_path / "link.txt"
    link.symlink_to(place)
    place.write_text("of yesterday")
    export(sample_results(), link, "torn")
    assert link.is_symlink()
    assert place.read_text() == "half"
