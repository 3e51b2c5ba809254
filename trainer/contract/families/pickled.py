"""Tensor names and shapes of a .ckpt file, read from its pickle as data: nothing in it is built, imported or called."""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import Any, cast

_LARGEST_PICKLE = 64 * 1024 * 1024


class _Mark:
    """Where a tuple or dict began on the stack."""


class _Shape(tuple[int, ...]):
    """The size of a tensor, found as the third argument of `torch._utils._rebuild_tensor_v2`."""


class _Global(str):
    """The name of something that the file would call; it stays a name."""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Tensor name -> shape of a torch zip file; nested dicts give their inner names (`state_dict` is transparent).

    ValueError where the file is no torch zip file or its pickle is not understood."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl"), None)
            if name is None:
                raise ValueError("it holds no data.pkl: not a PyTorch file")
            if archive.getinfo(name).file_size > _LARGEST_PICKLE:
                raise ValueError("its list of tensors is implausibly large")
            data = archive.read(name)
    except zipfile.BadZipFile:
        raise ValueError("it is not a PyTorch zip file: too old, damaged, or cut short") from None
    try:
        root = _replay(data)
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("its list of tensors is damaged") from error
    shapes: dict[str, tuple[int, ...]] = {}
    _collect(root, shapes)
    return shapes


def _collect(value: Any, shapes: dict[str, tuple[int, ...]], depth: int = 0) -> None:
    if isinstance(value, dict) and depth < 4:
        for key, item in value.items():
            if isinstance(item, _Shape) and isinstance(key, str):
                shapes[key] = tuple(item)
            else:
                _collect(item, shapes, depth + 1)


def _called(function: Any, arguments: Any) -> Any:
    """What a call leaves behind: a shape for a tensor, an empty dict for OrderedDict, nothing for anything else."""
    if isinstance(function, _Global) and isinstance(arguments, tuple):
        name = function.split()[-1]
        if name == "_rebuild_tensor_v2":
            return _Shape(arguments[2])
        if name == "_rebuild_parameter":
            return arguments[0]
        if name == "OrderedDict":
            return {}
    return None


def _to_mark(stack: list[Any]) -> list[Any]:
    items: list[Any] = []
    while not isinstance(stack[-1], _Mark):
        items.append(stack.pop())
    stack.pop()
    return items[::-1]


def _set_items(target: Any, items: list[Any]) -> None:
    if isinstance(target, dict):
        target.update((key, value) for key, value in zip(items[::2], items[1::2]) if isinstance(key, str | int))


def _replay(data: bytes) -> Any:
    """The value that the opcodes describe, with names in place of everything callable."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for opcode, value, _ in pickletools.genops(data):
        name, argument = opcode.name, cast(Any, value)
        if name == "STOP":
            return stack[-1]
        if name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[int(argument)])
        elif name == "MARK":
            stack.append(_Mark())
        elif name == "POP":
            stack.pop()
        else:
            _apply(name, argument, stack)
    raise ValueError("its list of tensors has no end")


def _apply(name: str, argument: Any, stack: list[Any]) -> None:
    """One opcode that makes or changes a value."""
    if name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
        stack.append({} if name == "EMPTY_DICT" else [] if name == "EMPTY_LIST" else ())
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        count = int(name[-1])
        stack[-count:] = [tuple(stack[-count:])]
    elif name == "TUPLE":
        stack.append(tuple(_to_mark(stack)))
    elif name in ("SETITEM", "SETITEMS"):
        items = _to_mark(stack) if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
        _set_items(stack[-1], items)
    elif name in ("APPEND", "APPENDS"):
        items = _to_mark(stack) if name == "APPENDS" else [stack.pop()]
        if isinstance(stack[-1], list):
            stack[-1].extend(items)
    elif name == "GLOBAL":
        stack.append(_Global(argument))
    elif name == "STACK_GLOBAL":
        stack[-2:] = [_Global(f"{stack[-2]} {stack[-1]}")]
    elif name in ("REDUCE", "NEWOBJ"):
        arguments = stack.pop()
        stack[-1] = _called(stack[-1], arguments)
    elif name == "BINPERSID":
        stack[-1] = None
    elif name == "BUILD":
        stack.pop()
    elif name in ("NONE", "NEWTRUE", "NEWFALSE"):
        stack.append({"NEWTRUE": True, "NEWFALSE": False}.get(name))
    elif name not in ("PROTO", "FRAME"):
        if argument is None:
            raise ValueError(f"its list of tensors uses {name}, which no checkpoint needs")
        stack.append(argument)
