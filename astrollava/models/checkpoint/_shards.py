"""All tensors of a folder, from one file or from the shards an index names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final

from astrollava.errors import InvalidCheckpoint, UnsupportedModel

from ._json import read_json
from ._safetensors import read_safetensors
from ._tensor import StoredTensor
from ._torch_zip import read_torch

__all__ = ["find_weights", "missing_weights", "plain_name", "read_weights"]

_MOST_SHARDS: Final = 4096

#: Weights by themselves and in shards, the safer format first.
_WHOLE: Final = ("model.safetensors", "pytorch_model.bin")
_INDICES: Final = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
#: Formats of other frameworks, to say what is there instead.
_FOREIGN: Final = {
    "tf_model.h5": "TensorFlow", "flax_model.msgpack": "Flax", "consolidated.00.pth": "Meta",
}  # fmt: skip


def find_weights(folder: Path) -> list[Path]:
    """Return the files that hold a folder's weights, none where there are none.

    Raises
    ------
    InvalidCheckpoint
        An index names a file outside the folder, or one that is not there.
    """
    for whole, index in zip(_WHOLE, _INDICES, strict=True):
        if (folder / index).is_file():
            return _shards(folder, index)
        if (folder / whole).is_file():
            return [folder / whole]
    return []


def read_weights(files: list[Path]) -> dict[str, StoredTensor]:
    """Read which tensors some files hold and where.

    Raises
    ------
    InvalidCheckpoint
        A file is damaged or hostile, or a tensor stands in two of them.
    """
    found: dict[str, StoredTensor] = {}
    for path in files:
        read = read_safetensors if path.suffix == ".safetensors" else read_torch
        for name, tensor in read(path).items():
            if name in found:
                raise InvalidCheckpoint(
                    f"the tensor {name!r:.80} stands in {found[name].path.name} and {path.name}",
                    expected="each tensor once",
                )
            found[name] = tensor
    return found


def missing_weights(folder: Path) -> UnsupportedModel | InvalidCheckpoint:
    """Make the error for a folder without weights, naming what is there instead."""
    for name, framework in _FOREIGN.items():
        if (folder / name).is_file():
            return UnsupportedModel(
                f"{folder} holds weights in the format of {framework} ({name})",
                expected="safetensors or PyTorch's .bin",
            )
    return InvalidCheckpoint(
        f"{folder} holds no weights",
        expected=f"{', '.join(_WHOLE)} or shards with an index",
        hint="Give the folder of a checkpoint; a Hugging Face download may be incomplete",
    )


def plain_name(name: object) -> bool:
    """Say whether a name is that of a file in the same folder, on any system."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= 255
        and name not in (".", "..")
        and "\0" not in name
        and PurePosixPath(name).name == name
        and PureWindowsPath(name).name == name
    )


def _shards(folder: Path, index: str) -> list[Path]:
    places = read_json(folder / index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise InvalidCheckpoint(f"{index} has no weight_map", expected="tensor -> file")
    suffix = ".safetensors" if "safetensors" in index else ".bin"
    names = []
    for name in dict.fromkeys(v if isinstance(v, str) else "" for v in places.values()):
        if not plain_name(name) or not name.endswith(suffix):
            raise InvalidCheckpoint(
                f"{index} names the file {name!r:.120}",
                expected=f"a {suffix} file in the same folder",
                hint="The checkpoint may be made to read other files; do not use it",
            )
        names.append(name)
    if len(names) > _MOST_SHARDS:
        raise InvalidCheckpoint(f"{index} names {len(names)} files")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InvalidCheckpoint(
            f"{folder} lacks {len(missing)} of {len(names)} shards, such as {missing[0]}",
            hint="Download the checkpoint to its end",
        )
    return [folder / name for name in sorted(names)]
