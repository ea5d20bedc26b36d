"""The machine: processor, GPU, memory, and what llama.cpp does on it."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astrollava.doctor.check import Check

__all__ = [
    "check_amx",
    "check_class_token",
    "check_gpu",
    "check_memory",
    "check_processor",
    "memory_available",
]

_FEATURE = re.compile(r"([A-Z][A-Z0-9_]*) = 1")
# Backends of ggml that compute on the CPU or elsewhere on the network.
_NO_GPU = {"CPU", "BLAS", "RPC"}
#: What the interpreter, astropy, llama.cpp and a context take beside the weights, in bytes.
_BESIDE_WEIGHTS = 300_000_000


def check_processor(runtime: Mapping[str, Any]) -> Check:
    """Check which instructions llama.cpp was built to use."""
    features = _FEATURE.findall(runtime["system_info"])
    detail = " ".join(features) or "no features reported"
    if platform.machine().lower() in {"x86_64", "amd64"} and "AVX2" not in features:
        return Check(
            "processor",
            "warning",
            f"llama.cpp does not use AVX2, so it is slow ({detail})",
            "pip install --force-reinstall --no-binary llama-cpp-python llama-cpp-python",
        )
    return Check("processor", "ok", detail)


def check_amx(runtime: Mapping[str, Any]) -> Check:
    """Check the guard against the AMX crash of llama.cpp (its issue 20824)."""
    if not runtime["amx"]:
        return Check("amx", "ok", "llama.cpp does not use AMX here")
    if runtime["amx_guarded"]:
        return Check("amx", "ok", "present, and kept off: llama.cpp can crash with it")
    return Check(
        "amx",
        "problem",
        "present and not guarded: llama.cpp can crash",
        "pip install --upgrade --force astrollava, and report it",
    )


def check_gpu(runtime: Mapping[str, Any]) -> Check:
    """Check which GPUs llama.cpp can use."""
    compiled = [name for name in runtime["backends"] if name not in _NO_GPU]
    if runtime["gpu_offload"]:
        detail = f"{', '.join(compiled)} (devices: {', '.join(runtime['devices'])})"
        return Check("gpu", "ok", detail, "Use it with --gpu-layers -1")
    if compiled:
        detail = f"llama.cpp was built for {', '.join(compiled)}, but finds no device"
        return Check("gpu", "warning", detail, "Check the driver of the GPU")
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        return Check(
            "gpu",
            "warning",
            "an NVIDIA driver is here, but llama.cpp was built for the CPU only",
            "CMAKE_ARGS=-DGGML_CUDA=on pip install --force-reinstall --no-cache-dir "
            "llama-cpp-python, or one of the CUDA wheels that its project page lists",
        )
    return Check("gpu", "ok", "none; llama.cpp runs on the CPU")


def check_class_token(found: Mapping[str, Any]) -> Check:
    """Tell where llama.cpp puts the class token of LLaVA-1.5's tower (its issue 25814).

    Parameters
    ----------
    found : mapping
        ``order`` ("first", "last" or "unknown"), and whether that was ``remembered``.
    """
    how = "remembered" if found["remembered"] else "measured now"
    if found["order"] == "first":
        return Check("class token", "ok", f"before the patches, as LLaVA-1.5 was trained ({how})")
    if found["order"] == "last":
        return Check(
            "class token",
            "ok",
            f"after the patches ({how}): llama.cpp's issue 25814, which astrollava makes good for"
            " LLaVA-1.5",
        )
    return Check(
        "class token",
        "warning",
        f"unknown ({how}): this llama.cpp orders it in a way astrollava does not know, so what it"
        " makes of images may differ from the original LLaVA-1.5. Other models are not concerned",
        "Compare such a model with its original: astrollava models parity",
    )


def check_memory(weights: int) -> Check:
    """Check that the model fits.

    Parameters
    ----------
    weights : int
        Size of the model's files in bytes.
    """
    needed = weights + _BESIDE_WEIGHTS
    available = memory_available()
    if available is None:
        return Check("memory", "ok", f"{_human(needed)} needed; what is free is not known here")
    detail = f"{_human(available)} available, about {_human(needed)} needed"
    if available >= needed:
        return Check("memory", "ok", detail)
    return Check("memory", "warning", detail, "Close other programs or use a smaller model")


def memory_available(
    meminfo: Path = Path("/proc/meminfo"), limits: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the bytes a new process may take, or None where that is not known.

    Parameters
    ----------
    meminfo, limits : pathlib.Path
        Where Linux tells what is free, and what the container may take (cgroup v2).
    """
    try:
        matched = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text(encoding="ascii"))
    except OSError:
        return None
    if matched is None:
        return None
    available = 1024 * int(matched[1])
    try:
        limit = int((limits / "memory.max").read_text(encoding="ascii"))
        used = int((limits / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no cgroup, or "max": no limit
        return available
    return min(available, max(limit - used, 0))


def _human(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
