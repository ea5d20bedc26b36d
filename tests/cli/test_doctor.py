"""``astrollava doctor`` with models that are missing, broken or blind."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from astrollava.doctor.model import check_hashes
from astrollava.models import ModelFiles, resolve
from command_line import records, run


def checks(*arguments: str | Path) -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code and the worst check of each name."""
    done = run("doctor", "--json", *arguments)
    assert done.stderr == ""
    worst: dict[str, dict[str, str]] = {}
    order = ["ok", "warning", "problem"]
    for check in records(done):
        known = worst.setdefault(check["name"], check)
        if order.index(check["status"]) > order.index(known["status"]):
            worst[check["name"]] = check
    return done.returncode, worst


def test_a_missing_model_is_a_problem_and_the_rest_is_still_looked_at(tmp_path: Path) -> None:
    code, found = checks("--model", tmp_path / "no.gguf")
    assert code == 1
    assert found["model files"]["status"] == "problem"
    assert "no.gguf" in found["model files"]["detail"]
    assert found["model files"]["advice"]
    assert found["llama.cpp"]["status"] == "ok"


def test_a_cut_model_file_is_a_problem_of_its_header(speaker: list[str], tmp_path: Path) -> None:
    """An interrupted copy is the most common broken model."""
    text = tmp_path / "text.gguf"
    shutil.copy(speaker[1], text)
    with text.open("r+b") as file:
        file.truncate(text.stat().st_size // 2)
    code, found = checks("--model", text, "--mmproj", speaker[3])
    assert code == 1
    header = found.get("model header", found["model files"])
    assert header["status"] == "problem"
    assert header["advice"]
    assert "self-check" not in found


def test_a_model_that_says_always_the_same_is_blind(speaker: list[str]) -> None:
    """Fluent text from a model that ignores the picture is the failure nobody sees."""
    code, found = checks(*speaker[:4])
    assert code == 1
    assert found["self-check"]["status"] == "problem"
    assert "Do not trust" in found["self-check"]["advice"]


@pytest.fixture
def pair(speaker: list[str], tmp_path: Path) -> ModelFiles:
    for path in (speaker[1], speaker[3]):
        shutil.copy(path, tmp_path)
    return resolve(tmp_path / "text.gguf", tmp_path / "mmproj.gguf")


def test_hashes_are_held_against_the_list_beside_the_model(pair: ModelFiles) -> None:
    assert "not known" in check_hashes(pair).detail
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in (pair.text, pair.mmproj)
    ]
    listed = pair.text.parent / "SHA256SUMS"
    listed.write_text("".join(lines))
    assert check_hashes(pair).status == "ok"
    with pair.mmproj.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x55")
    check = check_hashes(pair)
    assert check.status == "problem"
    assert "mmproj.gguf" in check.detail
    assert "text.gguf" not in check.detail


def test_a_file_the_list_does_not_name_is_a_problem(pair: ModelFiles) -> None:
    (pair.text.parent / "SHA256SUMS").write_text("")
    assert check_hashes(pair).status == "problem"
