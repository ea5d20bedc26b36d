"""The folders a checkpoint is spread over, and what was read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from astrollava.errors import InvalidCheckpoint

from ._json import Settings, read_json
from ._lora import ADAPTER_CONFIG, Adapter, find_adapter, read_adapter
from ._names import canonical
from ._near import find_folder
from ._shards import find_weights, missing_weights, read_weights
from ._tensor import StoredTensor, Tensor

__all__ = ["CONFIG", "Sources"]

CONFIG: Final = "config.json"
_PROJECTOR_ONLY: Final = "mm_projector.bin"
_NOT_LORA: Final = "non_lora_trainables.bin"
_TOKENIZERS: Final = ("tokenizer.model", "tokenizer.json", "vocab.json")


class Sources:
    """Reads a checkpoint's folder and those it refers to.

    Parameters
    ----------
    folder : Path
        The checkpoint's.
    base, tower : Path or None
        Where the user says that the base model and the vision tower lie.

    Attributes
    ----------
    folders : list of Path
        The checkpoint's own, then the others.
    files : list of Path
        Every file that was read, in order.
    tensors : dict
        Weights by the names of `canonical`.
    """

    def __init__(self, folder: Path, base: Path | None, tower: Path | None) -> None:
        self.folders = [folder]
        self.files: list[Path] = []
        self.tensors: dict[str, Tensor] = {}
        self._base = base
        self._tower = tower
        self._adapter: Adapter | None = None

    @property
    def folder(self) -> Path:
        """The checkpoint's own folder."""
        return self.folders[0]

    @property
    def tower_given(self) -> bool:
        """Whether the user says where the vision tower lies."""
        return self._tower is not None

    def read(self) -> Settings:
        """Read the weights' headers and return the configuration."""
        weights, lora = find_weights(self.folder), find_adapter(self.folder)
        if lora:
            self._on_base(ADAPTER_CONFIG, "base_model_name_or_path", self.folder / _NOT_LORA)
            self.files += [self.folder / ADAPTER_CONFIG, lora]
            self._adapter = read_adapter(self.folder, read_weights([lora]))
        elif weights:
            self._add(weights)
        elif (self.folder / _PROJECTOR_ONLY).is_file():
            self._on_base(CONFIG, "_name_or_path", self.folder / _PROJECTOR_ONLY)
        else:
            raise missing_weights(self.folder)
        for folder in self.folders:
            if (folder / CONFIG).is_file():
                return Settings(self.json(folder / CONFIG), CONFIG)
        raise InvalidCheckpoint(f"{self.folder} has no {CONFIG}", expected="a checkpoint")

    def merged(self) -> dict[str, Tensor]:
        """Return the weights with the adapter in them, where there is one."""
        return self._adapter.merge(self.tensors) if self._adapter else self.tensors

    def json(self, path: Path) -> dict[str, Any]:
        """Read a JSON file."""
        self.files.append(path)
        return read_json(path)

    def find_tower(self, name: str) -> Path:
        """Find the vision tower's folder and return it."""
        folder = find_folder(
            self.folder, name, self._tower, what="vision tower", option="--vision-tower"
        )
        self.folders.append(folder)
        return folder

    def add_tower(self, folder: Path) -> None:
        """Take up the weights of a vision tower by itself."""
        self._add(_must_find(folder), within="vision.")

    def processor(self, folders: list[Path]) -> tuple[dict[str, Any], str]:
        """Return what the first of some folders says of its image processor, and where."""
        for folder in folders:
            if (folder / "processor_config.json").is_file():
                inner = self.json(folder / "processor_config.json").get("image_processor")
                if isinstance(inner, dict):
                    return inner, "processor_config.json: image_processor"
            if (folder / "preprocessor_config.json").is_file():
                return self.json(folder / "preprocessor_config.json"), "preprocessor_config.json"
        return {}, "preprocessor_config.json"

    def tokenizer_folder(self) -> Path:
        """Return the first folder with a tokenizer."""
        for folder in self.folders:
            if any((folder / name).is_file() for name in _TOKENIZERS):
                return folder
        raise InvalidCheckpoint(
            f"{self.folder} has no tokenizer",
            expected=", ".join(_TOKENIZERS[:-1]),
            hint="Put the tokenizer's files beside the weights",
        )

    def _on_base(self, names_it: str, key: str, extra: Path) -> None:
        """Read the model this one is an addition to, then what it adds beside adapters."""
        reference = Settings(self.json(self.folder / names_it), names_it).text(key, 4096)
        base = find_folder(self.folder, reference, self._base, what="base model", option="--base")
        self.folders.append(base)
        self._add(_must_find(base))
        if extra.is_file():
            self._add([extra])

    def _add(self, files: list[Path], within: str = "") -> None:
        """Take up the weights of some files; later ones stand in place of earlier ones."""
        self.files += files
        found: dict[str, StoredTensor] = {}
        for stored, tensor in read_weights(files).items():
            name = canonical(stored)
            if name is None or not name.startswith(within):
                continue
            if name in found:
                raise InvalidCheckpoint(f"{found[name].name!r} and {stored!r} are the same weight")
            found[name] = tensor
        self.tensors.update(found)


def _must_find(folder: Path) -> list[Path]:
    found = find_weights(folder)
    if not found:
        raise missing_weights(folder)
    return found
