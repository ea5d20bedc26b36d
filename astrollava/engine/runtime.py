"""llama.cpp as it is installed here: imported on demand, checked, and quiet.

Nothing in this module touches llama-cpp-python before `load` is called.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astrollava.engine import _logs as logs
from astrollava.errors import EngineUnavailable

__all__ = [
    "SUPPORTED",
    "Bindings",
    "RuntimeInfo",
    "available_memory",
    "check_version",
    "has_amx",
    "info",
    "load",
    "physical_cores",
    "system_info",
]

#: llama-cpp-python releases whose low-level structures this package was written against:
#: from the first (included) to the second (excluded).
SUPPORTED = ((0, 3, 36), (0, 3, 37))

_INSTALL_HINT = (
    'Install it with: pip install "llama-cpp-python>=0.3.36,<0.3.37". To spare yourself a build,'
    " add --extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cpu, or in its place"
    " whl/cu124 (CUDA), whl/metal, whl/rocm72 or whl/vulkan: see the llama-cpp-python project page"
)


@dataclass(frozen=True)
class Bindings:
    """The low-level modules of llama-cpp-python, loaded, checked and with their logs routed.

    Attributes
    ----------
    llama, mtmd : module
        ``llama_cpp.llama_cpp`` and ``llama_cpp.mtmd_cpp``.
    gguf, ggml : ctypes.CDLL
        The libraries that export ``gguf_*`` and ``ggml_backend_*``.
    version : str
        Version of llama-cpp-python.
    """

    llama: Any
    mtmd: Any
    gguf: Any
    ggml: Any
    version: str


@dataclass(frozen=True)
class RuntimeInfo:
    """What ``astrollava doctor`` tells about llama.cpp.

    Attributes
    ----------
    version : str
        Version of llama-cpp-python.
    system_info : str
        The CPU features llama.cpp was compiled with and found.
    amx : bool
        True where llama.cpp would use Intel AMX kernels, which crash on some machines.
    amx_guarded : bool
        True where `amx` is and this package keeps llama.cpp from using them.
    gpu_offload : bool
        True where a backend for a GPU is compiled in and finds a device.
    backends, devices : tuple of str
        Names of the compute backends compiled in, and of the devices they see.
    """

    version: str
    system_info: str
    amx: bool
    amx_guarded: bool
    gpu_offload: bool
    backends: tuple[str, ...]
    devices: tuple[str, ...]


_lock = threading.Lock()
_bindings: Bindings | None = None


def load() -> Bindings:
    """Import llama-cpp-python, check its version and silence its logs.

    Returns
    -------
    Bindings
        The same object at every call.

    Raises
    ------
    EngineUnavailable
        llama-cpp-python is missing, broken or of another version.
    """
    global _bindings
    with _lock:
        if _bindings is None:
            _bindings = _load()
        return _bindings


def _load() -> Bindings:
    try:
        package = importlib.import_module("llama_cpp")
        version = str(package.__version__)
        check_version(version)
        llama = importlib.import_module("llama_cpp.llama_cpp")
        mtmd = importlib.import_module("llama_cpp.mtmd_cpp")
    except ImportError as error:
        raise EngineUnavailable(
            f"llama-cpp-python cannot be imported ({error})", hint=_INSTALL_HINT
        ) from error
    except (OSError, RuntimeError, AttributeError) as error:
        if isinstance(error, EngineUnavailable):
            raise
        raise EngineUnavailable(
            f"llama-cpp-python is installed but does not load ({error})",
            expected="a build for this machine, with its shared libraries in place",
            hint=_INSTALL_HINT,
        ) from error
    logs.attach(llama, mtmd)
    llama.llama_backend_init()
    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(str(llama.__file__)).parent / "lib")
    return Bindings(
        llama,
        mtmd,
        gguf=_library(folder, "ggml-base", llama),
        ggml=_library(folder, "ggml", llama),
        version=version,
    )


def _library(folder: Path, name: str, llama: Any) -> Any:
    loader = importlib.import_module("llama_cpp._ctypes_extensions")
    try:
        return loader.load_shared_library(name, folder)
    except FileNotFoundError:
        return llama._lib  # a monolithic build exports everything from one library


def check_version(version: str) -> None:
    """Refuse a release of llama-cpp-python outside `SUPPORTED`.

    Raises
    ------
    EngineUnavailable
        The version is another; a wrong structure layout would crash the process.
    """
    numbers = []
    for part in version.split("+")[0].split(".")[:3]:
        digits = "".join(c for c in part if c.isdigit())
        numbers.append(int(digits or 0))
    low, high = SUPPORTED
    if not low <= tuple(numbers) < high:
        raise EngineUnavailable(
            f"llama-cpp-python {version} is installed",
            expected=f"{'.'.join(map(str, low))} or later, before {'.'.join(map(str, high))}",
            hint=_INSTALL_HINT,
        )


def system_info() -> str:
    """Return the CPU features llama.cpp was compiled with and found."""
    return str(load().llama.llama_print_system_info().decode("utf-8", "replace")).strip(" |")


def has_amx(features: str) -> bool:
    """Tell from `system_info` whether llama.cpp would use Intel AMX kernels.

    On such machines the first decode with quantized weights can die of SIGSEGV (llama.cpp issue
    #20824), so models are loaded without the buffer types that select these kernels.
    """
    return "AMX_INT8 = 1" in features


def info() -> RuntimeInfo:
    """Describe the llama.cpp in use.

    Raises
    ------
    EngineUnavailable
        llama-cpp-python is missing, broken or of another version.
    """
    lib = load()
    features = system_info()
    amx = has_amx(features)
    return RuntimeInfo(
        version=lib.version,
        system_info=features,
        amx=amx,
        amx_guarded=amx,
        gpu_offload=bool(lib.llama.llama_supports_gpu_offload()),
        backends=_names(lib.ggml.ggml_backend_reg_count, lib.ggml.ggml_backend_reg_get,
                        lib.gguf.ggml_backend_reg_name),
        devices=_names(lib.ggml.ggml_backend_dev_count, lib.ggml.ggml_backend_dev_get,
                       lib.gguf.ggml_backend_dev_description),
    )  # fmt: skip


def _names(count: Any, get: Any, name: Any) -> tuple[str, ...]:
    count.restype = ctypes.c_size_t
    get.argtypes, get.restype = [ctypes.c_size_t], ctypes.c_void_p
    name.argtypes, name.restype = [ctypes.c_void_p], ctypes.c_char_p
    return tuple(name(get(i)).decode("utf-8", "replace").strip() for i in range(count()))


def physical_cores() -> int:
    """Count the physical cores this process may use, at least 1.

    Hyper-threads of one core share its arithmetic units: llama.cpp is fastest with one thread a
    core. The scheduler's affinity mask and a container's CPU quota are respected on Linux.
    """
    if not hasattr(os, "sched_getaffinity"):
        return max(1, (os.cpu_count() or 2) // 2)
    allowed = sorted(os.sched_getaffinity(0))
    cores = {_core_of(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota() or len(cores)))


def _core_of(cpu: int) -> tuple[str, ...]:
    topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
    try:
        names: Sequence[str] = ("physical_package_id", "core_id")
        return tuple((topology / name).read_text().strip() for name in names)
    except OSError:
        return (str(cpu),)


def _quota() -> int | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        return None


def available_memory() -> int:
    """Return how many bytes of memory this process may still take, as far as the system tells."""
    free = _reported_as_available()
    if free is None:
        # macOS and Windows: a quarter of a small laptop.
        free = 2**31
    try:
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        free = min(free, most - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        # No control group, or one without a limit ("max").
        pass
    return max(free, 0)


def _reported_as_available() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None
