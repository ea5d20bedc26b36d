"""The project's files say what the code does: versions, names, docstrings, documents, the wheel."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    ROOT / "astrollava",
    ROOT / "plugins" / "astrollava_plugins",
    ROOT / "training" / "astrollava_training",
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# What users import; the command line's own modules have no interface but the command.
ROOMS = (
    "astrollava",
    "astrollava.bundle",
    "astrollava.describer",
    "astrollava.doctor",
    "astrollava.engine",
    "astrollava.errors",
    "astrollava.grounding",
    "astrollava.hooks",
    "astrollava.hooks.checks",
    "astrollava.hooks.exporting",
    "astrollava.hooks.kinds",
    "astrollava.hooks.manager",
    "astrollava.hooks.specs",
    "astrollava.images",
    "astrollava.models",
    "astrollava.models.catalog",
    "astrollava.models.store",
    "astrollava.prompts",
    "astrollava.results",
    "astrollava.selfcheck",
    "astrollava.sheet",
    "astrollava.streams",
    "astrollava.vocabularies",
)
SUMMARY_CHECKS = {"GL08", "SS03", "SS06"}
PARAMETER_CHECKS = {"PR01", "PR02", "PR03"}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def documents() -> list[Path]:
    found = list(ROOT.glob("*.md"))
    found += [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    return sorted(found)


def module_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Versions ------------------------------------------------------------------------------------


def test_one_version_everywhere() -> None:
    """A release whose package, metadata and changelog disagree cannot be cited."""
    import astrollava

    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d[^\]]*)\]", changes, flags=re.MULTILINE)
    assert newest is not None
    assert astrollava.__version__ == PROJECT["project"]["version"] == newest[1]


# Names ---------------------------------------------------------------------------------------


def all_names(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            assert isinstance(node, ast.Assign)
            return ast.literal_eval(node.value)
    return None


@pytest.mark.parametrize("path", modules(), ids=module_id)
def test_all_names_what_is_public(path: Path) -> None:
    """A public function missing from `__all__` is documented nowhere and tested by nobody."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exported = all_names(tree)
    public = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    }
    if exported is None:
        assert not public, "has public names but no __all__"
        return
    assert len(exported) == len(set(exported))
    assert public <= set(exported)


@pytest.mark.parametrize("name", [*ROOMS, "astrollava.hooks.testing"])
def test_all_names_exist(name: str) -> None:
    """`from astrollava.images import *` would fail on a name that moved."""
    module = importlib.import_module(name)
    for exported in module.__all__:
        getattr(module, exported)


# Dependencies --------------------------------------------------------------------------------

# Where the name to import is not the name to install.
DISTRIBUTIONS = {
    "llama_cpp": "llama-cpp-python",
    "open_clip": "open-clip-torch",
    "PIL": "pillow",
}


# Projects of their own: what they import is named by them, or by who runs their tests.
APART = (ROOT / "astrollava" / "hooks" / "testing", ROOT / "docs" / "example-plugin")


def imported_packages(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        if folder not in APART and any(apart in path.parents for apart in APART):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    ours = {"astrollava", "astrollava_plugins", "astrollava_training"}
    ours |= {path.stem for path in (ROOT / "tests" / "support").glob("*.py")}
    return found - set(sys.stdlib_module_names) - ours


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        # `astrollava.parity` and footprints alone import what extras name: see the arrows.
        ("astrollava", ["fetch", "parity"]),
        ("astrollava/hooks/testing", ["test"]),
        ("plugins", ["fetch"]),
        ("training", ["training", "towers"]),
        ("tests", ["fetch", "parity", "towers", "training", "test"]),
        ("docs", ["docs"]),
    ],
)
def test_what_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    """A package that is only there because another one needs it vanishes with that one."""
    declared = [*PROJECT["project"]["dependencies"]]
    for extra in extras:
        declared += PROJECT["project"]["optional-dependencies"][extra]
    names = {re.split(r"[<>=!~\[; ]", line)[0].lower().replace("_", "-") for line in declared}
    needed = {
        DISTRIBUTIONS.get(name, name).lower().replace("_", "-")
        for name in imported_packages(ROOT / folder)
    }
    assert needed <= names


# Docstrings ----------------------------------------------------------------------------------


def public_objects(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Dotted names of public classes, functions and their own public methods and properties."""
    for name in module.__all__:
        thing = getattr(module, name)
        if inspect.isclass(thing):
            yield f"{module.__name__}.{name}", thing
            for member, value in vars(thing).items():
                callable_or_property = isinstance(value, property | classmethod | staticmethod)
                if member.startswith("_") or not (
                    callable_or_property or inspect.isfunction(value)
                ):
                    continue
                yield f"{module.__name__}.{name}.{member}", value
        elif inspect.isfunction(thing):
            yield f"{module.__name__}.{name}", thing


def unstated(name: str, thing: object) -> list[str]:
    """What numpydoc's validation has against the docstring of a public name."""
    from numpydoc.validate import validate

    checks = set(SUMMARY_CHECKS)
    # Those that another call makes have a constructor of their own, but nobody calls it.
    handed_out = re.search(r"\b(Made|Returned) by\b", inspect.getdoc(thing) or "")
    own_init = inspect.isclass(thing) and "__init__" in vars(thing) and not handed_out
    if dataclasses.is_dataclass(thing):
        doc = inspect.getdoc(thing) or ""
        fields = [field.name for field in dataclasses.fields(thing) if field.init]
        own = vars(thing).get("__annotations__", {})
        missing = [
            field
            for field in fields
            if field in own and not field.startswith("_") and not re.search(rf"\b{field}\b", doc)
        ]
        return [f"field {field} is not documented" for field in missing]
    if own_init or inspect.isfunction(thing):
        checks |= PARAMETER_CHECKS
    return [text for code, text in validate(name)["errors"] if code in checks]


@pytest.mark.parametrize("room", ROOMS)
def test_public_docstrings_say_what_is_taken(room: str) -> None:
    """A parameter that no docstring explains has to be guessed, units and all."""
    faults = {
        name: found
        for name, thing in public_objects(importlib.import_module(room))
        if (found := unstated(name, thing))
    }
    assert faults == {}


# Documents -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", documents(), ids=module_id)
def test_relative_links_lead_somewhere(path: Path) -> None:
    """A moved file leaves dead links behind."""
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:|#", target):
            continue
        assert (path.parent / target.split("#")[0]).exists(), target


@pytest.mark.parametrize("path", documents(), ids=module_id)
def test_python_in_documents_compiles(path: Path) -> None:
    """An example with a typing error is the first thing a user copies."""
    for code in re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), flags=re.M | re.S):
        compile(code, str(path), "exec")


def names_in_examples() -> set[tuple[str, str]]:
    found = set()
    for path in documents():
        for code in re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.M | re.S):
            for node in ast.walk(ast.parse(code)):
                if isinstance(node, ast.ImportFrom) and node.module:
                    found.update((node.module, alias.name) for alias in node.names)
    return {pair for pair in found if pair[0].split(".")[0] == "astrollava"}


@pytest.mark.parametrize(("module", "name"), sorted(names_in_examples()))
def test_documents_import_what_exists(module: str, name: str) -> None:
    """A README once promised an import that never existed."""
    assert hasattr(importlib.import_module(module), name)


def test_every_option_is_documented() -> None:
    """An option only `--help` knows is found by nobody."""
    import typer

    from astrollava.cli._app import app

    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    program = typer.main.get_command(app)
    commands = getattr(program, "commands", {})
    assert {"describe", "ask", "chat", "demo", "doctor"} <= set(commands)
    missing = [
        f"{name} {option}"
        for name, command in commands.items()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and f"`{option}" not in page and option != "--help"
    ]
    missing += [name for name in commands if f"astrollava {name}" not in page]
    assert missing == []


def test_the_readme_shows_what_the_model_says() -> None:
    """Output that an older model printed would promise what nobody gets.

    The words may differ a little on another processor; the model must be the same.
    """
    from astrollava import Describer
    from astrollava.images import example

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- output (\S+) -->\n```text\n(.*?)```", text, flags=re.DOTALL)
    assert shown is not None, "run docs/make_readme_assets.py"
    with Describer() as describer:
        said = describer.describe(example())
    files = said.provenance.model["files"]
    mark = "-".join(files[role]["sha256"][:12] for role in sorted(files))
    assert shown[1] == mark, "the model changed: run docs/make_readme_assets.py"
    printed = " ".join(shown[2].split())[: len(said.text)]
    assert difflib.SequenceMatcher(None, printed, said.text).ratio() > 0.7


# The tree and the wheel ----------------------------------------------------------------------


def tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout: what is tracked is unknown")
    return [name for name in done.stdout.split("\0") if name]


def test_no_path_of_one_machine() -> None:
    """A path that exists on the author's machine only breaks everywhere else."""
    local = re.compile(rb"(?<![\w.\-/}])/(?:home|Users|root|work|opt)/\w")
    faults = []
    for name in tracked():
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".gguf", ".fits", ".gz", ".bz2"}:
            continue
        if local.search(path.read_bytes()):
            faults.append(name)
    assert faults == []


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    built = next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"]))
    return zipfile.ZipFile(built).namelist()


def test_the_wheel_carries_the_model_and_the_example(wheel_names: list[str]) -> None:
    """Without them the first answer would need a download."""
    data = {Path(name).suffix for name in wheel_names if name.startswith("astrollava/")}
    assert {".gguf", ".fits", ".typed", ".md"} <= data
    assert "astrollava_training/recipes/embedded.toml" in wheel_names


def test_the_wheel_carries_nothing_else(wheel_names: list[str]) -> None:
    """Tests or training runs in a wheel would land in everybody's site-packages."""
    tops = {name.split("/")[0] for name in wheel_names}
    version = PROJECT["project"]["version"]
    packages = {"astrollava", "astrollava_plugins", "astrollava_training"}
    assert tops == {*packages, f"astrollava-{version}.dist-info"}
    assert not [name for name in wheel_names if "__pycache__" in name]


def test_the_embedded_model_is_small() -> None:
    """The wheel must stay quick to fetch: at most 25 MB of model."""
    files = list((ROOT / "astrollava" / "models" / "embedded").glob("*.gguf"))
    assert sum(path.stat().st_size for path in files) <= 25e6
