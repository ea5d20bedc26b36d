"""Every fetcher that comes along is held to the suite, whatever its service does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from astrollava.hooks import plugins
from fetcher_suites import CoreSuite

HERE = Path(__file__).parent


def held() -> set[str]:
    """Return the names of the fetchers of all suites in this folder."""
    names = set()
    for path in sorted(HERE.glob("test_*.py")):
        if "(CoreSuite)" not in path.read_text(encoding="utf-8"):
            continue
        spec = importlib.util.spec_from_file_location(f"held_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        names |= {
            suite().make("http://127.0.0.1:9").name
            for name, suite in vars(module).items()
            if name.startswith("Test") and isinstance(suite, type) and issubclass(suite, CoreSuite)
        }
    return names


def test_every_fetcher_has_its_suite() -> None:
    """Two of a service differ in bands, scales and footprints: where one holds another may not."""
    ours = {
        fetcher.name
        for fetcher in plugins().fetchers.values()
        if type(fetcher).__module__.startswith("astrollava_plugins.")
    }
    assert len(ours) >= 25
    assert ours - held() == set()
