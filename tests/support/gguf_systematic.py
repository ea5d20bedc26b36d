"""Every single change to every kind of model: what chance finds late, this finds for certain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from gguf_files import MMPROJS, TEXTS, Model, Tensor, block
from gguf_mutants import INTEGERS, KINDS, MMPROJ_KEYS, NEW_TENSORS, REALS, TEXT_KEYS, Mutant

__all__ = ["single_changes"]

_Change = Callable[[Model], None]


def single_changes() -> Iterator[Callable[[], Mutant]]:
    """Yield about 30,000 makers of mutants; a stride through them is a fair sample."""
    for which, models in enumerate((TEXTS, MMPROJS)):
        for kind, make in models.items():
            for story, change in _changes(make(), which):
                yield partial(_mutant, kind, which, story, change)


def _mutant(kind: str, which: int, story: str, change: _Change) -> Mutant:
    model = (TEXTS, MMPROJS)[which][kind]()
    change(model)
    if which:
        text = TEXTS["qwen2vl" if "vl" in kind and kind != "internvl" else "llama"]()
        return Mutant(f"{kind} mmproj: {story}", text.write(), model.write())
    mmproj = MMPROJS["qwen2vl" if kind == "qwen2vl" else "mlp"]()
    return Mutant(f"{kind} text: {story}", model.write(), mmproj.write())


def _changes(base: Model, which: int) -> Iterator[tuple[str, _Change]]:
    arch = base.keys["general.architecture"][1]
    for key, kind, values in (TEXT_KEYS, MMPROJ_KEYS)[which]:
        for value in values:
            yield _set_key(key.format(a=arch), kind, value)
    for key, (kind, old) in base.keys.items():
        yield f"without {key}", lambda m, key=key: m.keys.pop(key)
        near = [old + 1, max(old - 1, 0), 2 * old, old // 2] if kind == "u32" else []
        for value in {"u32": INTEGERS + near, "f32": REALS, "bool": [0, 1]}.get(kind, []):
            yield _set_key(key, kind, value)
        for other in {"u32", "i32", "u64", "f32", "bool"} - {kind}:
            yield _set_key(key, other, 1)
    for name, tensor in base.tensors.items():
        yield f"without {name}", lambda m, name=name: m.tensors.pop(name)
        for number in KINDS:
            if tensor.shape[0] % block(number)[0] == 0:
                yield _set_tensor(name, tensor.shape, number)
        for axis, size in enumerate(tensor.shape):
            for new in {size + 1, max(size - 1, 1), 2 * size, max(size // 2, 1), 1} - {size}:
                shape = (*tensor.shape[:axis], new, *tensor.shape[axis + 1 :])
                yield _set_tensor(name, shape, tensor.kind)
    for name, shape in NEW_TENSORS:
        for number in (0, 1, 26):
            yield _set_tensor(name, shape, number)


def _set_key(key: str, kind: str, value: object) -> tuple[str, _Change]:
    return f"{key} = {value} as {kind}", lambda m: m.keys.update({key: (kind, value)})


def _set_tensor(name: str, shape: tuple[int, ...], kind: int) -> tuple[str, _Change]:
    return f"{name} {shape} as {kind}", lambda m: m.tensors.update({name: Tensor(shape, kind)})
