"""The plugins that come along: found by their entry points, sound, and light to load."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from astrollava.hooks import plugins
from astrollava.hooks.checks import inspect_plugins

ROOT = Path(__file__).resolve().parents[2]
NAMED: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["entry-points"]["astrollava"]

# What `astrollava[fetch]` adds: not there for who has installed the core alone.
EXTRA = ("astroquery", "mocpy", "pyvo", "requests", "urllib3")

# Loads every plugin where what the extra adds is not installed.
BARE = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {EXTRA!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import json
from astrollava.hooks import plugins
there = plugins()
print(json.dumps([sorted(p.name for p in there.loaded), [b.reason for b in there.broken]]))
"""


@pytest.mark.parametrize(
    "path", sorted((ROOT / "plugins").glob("*/[!_]*.py")), ids=lambda p: p.stem
)
def test_every_module_is_named_as_a_plugin(path: Path) -> None:
    """A service without its entry point is found by nobody."""
    assert NAMED.get(path.stem.replace("_", "-"), NAMED.get(path.stem)) == (
        f"astrollava_plugins.{path.stem}"
    )


def test_every_plugin_named_is_installed_and_sound() -> None:
    """One whose entry point leads nowhere shows as broken to everybody."""
    there = plugins()
    ours = {plugin.name for plugin in there.loaded if plugin.distribution == "astrollava"}
    missing = set(NAMED) - ours
    assert not missing, f"broken, or install anew (pip install -e .): {missing}, {there.broken}"


def test_what_they_give_keeps_the_contract() -> None:
    """`astrollava plugins check` is the first thing that an author tries."""
    findings = inspect_plugins(plugins(), NAMED)
    assert [f"{f.plugin}: {f.about}: {f.fault}" for f in findings] == []


def test_they_load_without_the_libraries_of_the_services() -> None:
    """`pip install astrollava` alone would list a dozen broken plugins."""
    done = subprocess.run(
        [sys.executable, "-c", BARE], capture_output=True, text=True, check=True, timeout=60
    )
    loaded, broken = json.loads(done.stdout)
    assert broken == []
    assert set(loaded) >= set(NAMED)


def test_none_of_them_wants_to_be_told_of_descriptions() -> None:
    """Describing an image loads those of others alone: one of ours would hear nothing."""
    there = plugins()
    assert not [p.name for p in there.loaded if "astrollava_after_describe" in p.hooks]


def test_describing_an_image_loads_none_of_them() -> None:
    """Half a second of a core, at every cold `astrollava describe`."""
    code = (
        "import sys\nfrom astrollava import Describer, _plugged\n"
        "print(_plugged.listening(), 'astrollava_plugins' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False False\n"


def test_loading_them_loads_nothing_heavy() -> None:
    """Each describes images, too: what they load is paid by every first description."""
    code = (
        "import json, sys\nfrom astrollava.hooks import plugins\nplugins()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert loaded.isdisjoint({*EXTRA, "torch", "llama_cpp", "PIL", "matplotlib", "scipy"})
