"""The pickle inside a PyTorch file, read without running it.

Python's own unpickler calls what a pickle names. This one is a small machine that knows the few
opcodes `torch.save` writes for a dictionary of tensors, and in place of the four functions such a
pickle calls builds plain records. Whatever else a pickle holds is refused.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

__all__ = ["PickleRefused", "Rebuilt", "Storage", "load"]


class PickleRefused(ValueError):
    """The pickle holds more than tensors in dictionaries."""


@dataclass(frozen=True)
class Storage:
    """Where numbers lie: the record of a file, their type and how many there are."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class Rebuilt:
    """A tensor as a view into a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


#: Storage class of torch -> type.
_STORAGES: Final = {
    "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16",
    "DoubleStorage": "F64", "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16",
    "CharStorage": "I8", "ByteStorage": "U8", "BoolStorage": "BOOL",
}  # fmt: skip

_MOST_OPCODES: Final = 4_000_000
_MARK: Final = object()

_LITERALS: Final = frozenset({
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BININT", "BININT1", "BININT2", "LONG1",
    "BINFLOAT",
})  # fmt: skip
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
#: All there is in a pickle of torch.save, by the protocols 2 to 5.
_OPCODES: Final = _LITERALS | _CONSTANTS.keys() | _EMPTY.keys() | {
    "PROTO", "FRAME", "STOP", "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "BINPUT",
    "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL", "BINPERSID",
    "REDUCE", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "BUILD",
}  # fmt: skip
_KNOWN: Final = {op.code.encode("latin-1"): op for op in pickletools.opcodes if op.name in _OPCODES}


@dataclass(frozen=True)
class _Global:
    """A name a pickle refers to; calling it means looking into `_CALLS`."""

    module: str
    name: str


def _counts(value: Any, most: int = 8) -> tuple[int, ...]:
    good = isinstance(value, tuple) and len(value) <= most
    # Values are not printed in errors: a pickle can make one whose text never ends.
    if not good or not all(type(v) is int and 0 <= v < 1 << 48 for v in value):
        raise PickleRefused("a size or place of a tensor is not a few whole numbers")
    return tuple(value)


def _ordered_dict(*items: Any) -> dict[Any, Any]:
    if items not in ((), ([],)):
        raise PickleRefused("an OrderedDict is made of something")
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Rebuilt:
    if not isinstance(storage, Storage):
        raise PickleRefused("a tensor is made of something that is no storage")
    (offset,) = _counts((offset,))
    shape, strides = _counts(shape), _counts(strides)
    if len(shape) != len(strides):
        raise PickleRefused(f"a tensor of {len(shape)} axes has {len(strides)} strides")
    return Rebuilt(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Rebuilt:
    if not isinstance(data, Rebuilt):
        raise PickleRefused("a parameter is made of something that is no tensor")
    return data


#: What a pickle may call -> what is done in its place.
_CALLS: Final[dict[_Global, Callable[..., Any]]] = {
    _Global("collections", "OrderedDict"): _ordered_dict,
    _Global("torch._utils", "_rebuild_tensor_v2"): _tensor,
    _Global("torch._utils", "_rebuild_parameter"): _parameter,
}
_NAMES: Final = frozenset({*_CALLS, *(_Global("torch", name) for name in _STORAGES)})


def load(raw: bytes) -> Any:
    """Read a pickle of dictionaries, lists, tuples, texts, numbers and `Rebuilt` tensors.

    Raises
    ------
    PickleRefused
        The pickle is damaged or holds anything else.
    """
    machine = _Machine()
    try:
        for opcode, argument in _steps(io.BytesIO(raw)):
            machine.step(opcode, argument)
        return machine.result()
    except PickleRefused:
        raise
    # A damaged pickle makes pickletools and the machine stumble in many ways.
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise PickleRefused(f"it is damaged: {error}") from None


def _steps(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Yield opcodes and their arguments up to the end of the pickle."""
    for _ in range(_MOST_OPCODES):
        code = file.read(1)
        known = _KNOWN.get(code)
        if known is None:
            raise PickleRefused(f"it uses the opcode {code!r}, or ends without one")
        if known.name == "GLOBAL":
            # Not by pickletools, which undoes escapes that Python does not.
            lines = file.readline(256), file.readline(256)
            yield known.name, " ".join(line.rstrip(b"\n").decode("ascii") for line in lines)
        else:
            yield known.name, known.arg.reader(file) if known.arg else None
        if known.name == "STOP":
            return
    raise PickleRefused(f"it has more than {_MOST_OPCODES} steps")


class _Machine:
    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        (value,) = self._stack
        return value

    def step(self, opcode: str, argument: Any) -> None:
        """Do one opcode."""
        stack = self._stack
        if opcode in _LITERALS:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _EMPTY:
            stack.append(_EMPTY[opcode]())
        else:
            self._move(opcode, argument)

    def _move(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        match opcode:
            case "MARK":
                stack.append(_MARK)
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "GLOBAL":
                self._name(*argument.split(" ", 1))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                self._name(module, name)
            case _:
                self._build(opcode)

    def _build(self, opcode: str) -> None:
        stack = self._stack
        match opcode:
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                arguments, called = stack.pop(), stack.pop()
                call = _CALLS.get(called) if isinstance(called, _Global) else None
                if call is None or not isinstance(arguments, tuple):
                    raise PickleRefused(f"it calls {_called(called)}")
                stack.append(call(*arguments))
            case "SETITEM" | "SETITEMS":
                pairs = self._since_mark() if opcode == "SETITEMS" else self._last(2)
                self._put(zip(pairs[::2], pairs[1::2], strict=True))
            case "APPEND" | "APPENDS":
                values = self._since_mark() if opcode == "APPENDS" else self._last(1)
                target = stack[-1]
                if not isinstance(target, list):
                    raise PickleRefused("it appends to something that is no list")
                target.extend(values)
            case "BUILD":
                # An OrderedDict's attributes, such as a state dict's `_metadata`: not needed.
                if not (isinstance(stack.pop(), dict) and isinstance(stack[-1], dict)):
                    raise PickleRefused("it gives attributes to an object")

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleRefused("it is damaged: a name is no text")
        found = _Global(module, name)
        if found not in _NAMES:
            raise PickleRefused(f"it names {_called(found)}")
        self._stack.append(found)

    def _since_mark(self) -> list[Any]:
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PickleRefused("it is damaged: a mark is missing")
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    def _last(self, count: int) -> list[Any]:
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _put(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict):
            raise PickleRefused(f"it puts items into a {type(target).__name__}")
        for key, value in pairs:
            if not isinstance(key, str | int):
                raise PickleRefused(f"a key is a {type(key).__name__}")
            target[key] = value


def _called(value: Any) -> str:
    return f"{value.module:.60}.{value.name:.60}" if isinstance(value, _Global) else "an object"


def _storage(identity: Any) -> Storage:
    if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
        raise PickleRefused("it refers to something that is no storage")
    _, kind, key, _, count = identity
    if not isinstance(kind, _Global) or kind.name not in _STORAGES or kind.module != "torch":
        raise PickleRefused(f"it refers to a storage of {_called(kind)}")
    if not isinstance(key, str) or len(key) > 64:
        raise PickleRefused("it refers to a storage without a short name")
    (count,) = _counts((count,))
    return Storage(_STORAGES[kind.name], key, count)
