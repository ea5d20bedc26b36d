"""The example project works as a third party's would: built, installed alone, its tests run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

try:
    # Not imported: that would take distutils from whoever in this process needs it later.
    importlib.metadata.version("pip")
except importlib.metadata.PackageNotFoundError:
    pytest.skip("pip is what installs it", allow_module_level=True)

Run = Callable[..., "subprocess.CompletedProcess[str]"]

#: What of this process's environment would change what is tried.
UNWANTED = ("ASTROLLAVA_PLUGINS", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONPATH")


@pytest.fixture(scope="module")
def project(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("author") / "example-plugin"
    source = repository / "docs" / "example-plugin"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run Python in an environment of its own, which borrows what is installed here."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    installed = sysconfig.get_path("purelib")
    own = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    # Editable installs are found by lines of .pth files, which only `addsitedir` reads.
    borrow = f"import site; site.addsitedir({installed!r})\n"
    if site.ENABLE_USER_SITE:
        borrow += f"import site; site.addsitedir({site.getusersitepackages()!r})\n"
    Path(own, "borrowed.pth").write_text(borrow, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name not in UNWANTED}

    def run(*arguments: str | Path, at: Path = folder) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, *arguments],
            cwd=at,
            env=environment | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def installed(run: Run, project: Path) -> Run:
    """The same environment with the project in it; no index is asked for anything."""
    assert '"example"' not in run("-m", "astrollava", "plugins", "list", "--json").stdout
    done = run(
        *("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"),
        project,
    )
    assert done.returncode == 0, done.stderr
    # From now on only what was installed counts.
    shutil.rmtree(project / "src")
    return run


def test_it_is_listed_with_all_it_gives(installed: Run) -> None:
    listed = installed("-m", "astrollava", "plugins", "list", "--json")
    rows = {row["name"]: row for row in map(json.loads, listed.stdout.splitlines())}
    example = rows["example"]
    assert example["state"] == "ok"
    assert (example["distribution"], example["version"]) == ("astrollava-example", "0.1.0")
    assert example["gives"] == {
        "exporters": ["markdown-list"],
        "fetchers": ["example-survey"],
        "stretches": ["smoothstep"],
    }
    assert installed("-m", "astrollava", "plugins", "check", "example").stdout == "example\tok\n"


def test_the_guide_shows_the_test_of_the_survey(repository: Path) -> None:
    """What the guide gave instead, a plane without a name, failed for the very example it was for.

    The text is one, and `test_its_own_tests_pass` runs it.
    """
    guide = (repository / "docs" / "plugins.md").read_text("utf-8")
    section = guide.partition("\n## Test one\n")[2]
    blocks = re.findall(r"^```python\n(.*?)^```", section, flags=re.M | re.S)
    (shown,) = (block for block in blocks if "FetcherSuite" in block)
    own = repository / "docs" / "example-plugin" / "tests" / "test_survey.py"
    assert shown == own.read_text("utf-8")


@pytest.mark.slow
def test_its_own_tests_pass(installed: Run, project: Path) -> None:
    """Who copies it must begin with what is green."""
    done = installed("-m", "pytest", "-q", "-p", "no:cacheprovider", at=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_it_is_used_from_the_command_line(installed: Run, tmp_path: Path) -> None:
    """A stretch and an exporter of somebody else's, by their names."""
    from astrollava.images import example

    target = tmp_path / "list.md"
    done = installed(
        *("-m", "astrollava", "describe", example(), "--json", "--max-tokens", "4"),
        *("--stretch", "smoothstep", "--export", f"markdown-list:{target}"),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["provenance"]["rendering"]["stretch"] == "smoothstep"
    assert result["provenance"]["versions"]["astrollava-example"] == "0.1.0"
    assert target.read_text(encoding="utf-8").startswith(f"- `{example().name}`: ")


def test_the_variable_keeps_it_out(installed: Run) -> None:
    code = (
        "import os; os.environ['ASTROLLAVA_PLUGINS'] = '-example'\n"
        "import sys; from astrollava.hooks import plugins; print(plugins().blocked)\n"
        "print('astrollava_example' in sys.modules)"
    )
    assert installed("-c", code).stdout == "('example',)\nFalse\n"


def test_the_environment_is_not_this_one() -> None:
    """An example left installed here would make every test above pass for nothing."""
    from importlib.metadata import entry_points

    assert "example" not in {entry.name for entry in entry_points(group="astrollava")}
    assert "astrollava_example" not in sys.modules
