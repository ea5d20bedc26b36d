"""Distributions with plugins, as pip leaves them in a folder, without pip."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

from astrollava.hooks import Plugins
from astrollava.hooks._selection import Selection

__all__ = ["HEAD", "Shelf", "entry_points_in", "install"]

_numbers = itertools.count()

#: How a plugin of one module begins.
HEAD = "from astrollava.hooks import hookimpl\nastrollava_contract = 1\n"


def install(
    folder: Path,
    distribution: str,
    modules: Mapping[str, str],
    *,
    version: str = "1.0",
    entries: Mapping[str, str] | None = None,
) -> None:
    """Put a distribution into a folder of the path.

    Parameters
    ----------
    folder : Path
        As it would be on `sys.path`.
    distribution : str
        Its name.
    modules : mapping
        Module -> source.
    version : str
        Its version.
    entries : mapping, optional
        Plugin -> what its entry point names; each module under its own name by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    info = folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
    )
    named = dict(zip(modules, modules, strict=True)) if entries is None else entries
    lines = [f"{name} = {value}\n" for name, value in named.items()]
    (info / "entry_points.txt").write_text("[astrollava]\n" + "".join(lines), encoding="utf-8")


def entry_points_in(folder: Path) -> list[EntryPoint]:
    """Return the plugins that the distributions of a folder name."""
    found = distributions(path=[str(folder)])
    return [e for d in found for e in d.entry_points if e.group == "astrollava"]


class Shelf:
    """A folder of the path with distributions in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(
        self, name: str, code: str, *, head: str = HEAD, distribution: str = "", entry: str = ""
    ) -> str:
        """Install a plugin of one module and return the module's name, which no other test has."""
        module = f"plugin_{next(_numbers)}_{name.replace('-', '_').replace('.', '_')}"
        install(
            self.folder,
            distribution or f"dist-{name}",
            {module: head + textwrap.dedent(code)},
            entries={name: f"{module}{entry}"},
        )
        return module

    def load(self, selection: str = "") -> Plugins:
        """Load all that is there."""
        return Plugins(entry_points_in(self.folder), Selection.parse(selection))
