"""What the doctor says of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from astrollava.doctor.machine import (
    check_amx,
    check_class_token,
    check_gpu,
    check_memory,
    check_processor,
    memory_available,
)


def runtime(**changes: object) -> dict[str, object]:
    return {
        "version": "0.3.36",
        "system_info": "CPU : SSE3 = 1 | AVX2 = 1 | FMA = 1 | AMX_INT8 = 0 | REPACK = 1 | ",
        "amx": False,
        "amx_guarded": True,
        "gpu_offload": False,
        "backends": ["CPU"],
        "devices": [],
        **changes,
    }


def test_features_that_are_off_are_not_listed() -> None:
    assert check_processor(runtime()).detail == "SSE3 AVX2 FMA REPACK"


def test_a_build_without_avx2_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel for any processor answers ten times slower, and nothing else says why."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    check = check_processor(runtime(system_info="CPU : SSE3 = 1 | "))
    assert check.status == "warning"
    assert "AVX2" in check.detail
    assert check.advice


@pytest.mark.parametrize(
    ("amx", "guarded", "status"),
    [(False, False, "ok"), (True, True, "ok"), (True, False, "problem")],
)
def test_amx_without_its_guard_is_a_problem(amx: bool, guarded: bool, status: str) -> None:
    assert check_amx(runtime(amx=amx, amx_guarded=guarded)).status == status


def test_a_gpu_build_without_a_gpu_is_a_warning() -> None:
    check = check_gpu(runtime(backends=["CUDA", "CPU"], devices=["AMD EPYC"]))
    assert check.status == "warning"


def test_a_gpu_is_named() -> None:
    check = check_gpu(runtime(gpu_offload=True, backends=["CUDA", "CPU"], devices=["NVIDIA A100"]))
    assert check.status == "ok"
    assert "NVIDIA A100" in check.detail
    assert "--gpu-layers" in check.advice


def test_a_model_larger_than_the_memory_is_a_warning(tmp_path: Path) -> None:
    assert check_memory(25_000_000).status == "ok"
    check = check_memory(10**18)
    assert check.status == "warning"
    assert check.advice


def test_a_container_has_less_than_its_host(tmp_path: Path) -> None:
    """In a container, /proc/meminfo tells what the host has."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 64000000 kB\nMemAvailable:   32000000 kB\n")
    assert memory_available(meminfo, tmp_path) == 32_000_000 * 1024
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.current").write_text("500000000\n")
    assert memory_available(meminfo, tmp_path) == 1_500_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_available(meminfo, tmp_path) == 32_000_000 * 1024


def test_elsewhere_the_memory_is_not_known(tmp_path: Path) -> None:
    assert memory_available(tmp_path / "nothing", tmp_path) is None


@pytest.mark.parametrize(
    ("order", "remembered", "status", "words"),
    [
        ("first", True, "ok", "before the patches, as LLaVA-1.5 was trained (remembered)"),
        ("last", False, "ok", "after the patches (measured now)"),
        ("unknown", False, "warning", "unknown (measured now)"),
    ],
)
def test_the_order_of_the_class_token_is_told(
    order: str, remembered: bool, status: str, words: str
) -> None:
    """A LLaVA-1.5 that reads its picture a patch aside still writes fluent text."""
    check = check_class_token({"order": order, "remembered": remembered})
    assert check.status == status
    assert check.detail.startswith(words)
    assert bool(check.advice) is (status == "warning")
