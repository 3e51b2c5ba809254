"""Whether values read from a file have the types that a dataclass says: a run folder may come from anybody, and what is
drawn on the page must be what it is taken for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

LARGEST = 1 << 64
"""Whole numbers beyond it count as none: nothing here counts so far, and they cannot become floats."""

Check = Callable[[Any], bool]


def fitting(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that `kind`, a dataclass, has fields for. ValueError where one is of another type than its field."""
    known = _checks(kind)
    for name, check in known.items():
        if name in values and not check(values[name]):
            raise ValueError(f"{name} is not what it should be")
    return {name: value for name, value in values.items() if name in known}


@lru_cache(maxsize=64)
def _checks(kind: type) -> dict[str, Check]:
    hints = get_type_hints(kind)
    return {one.name: _check(hints[one.name]) for one in fields(kind)}


def _check(hint: Any) -> Check:
    if hint in _PLAIN:
        return _PLAIN[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in inner
    each = [_check(one) for one in inner if one is not ...]
    if origin in (Union, UnionType):
        return lambda value: any(check(value) for check in each)
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(each[0], value))
    if origin is dict:
        return lambda value: isinstance(value, dict) and all(each[0](k) and each[1](v) for k, v in value.items())
    if origin is tuple:
        return lambda value: isinstance(value, tuple) and len(value) == len(each) and all(map(_applied, each, value))
    return lambda value: isinstance(value, hint)


def _applied(check: Check, value: Any) -> bool:
    return check(value)


def _whole(value: Any) -> bool:
    return type(value) is int and -LARGEST < value < LARGEST


_PLAIN: dict[Any, Check] = {
    int: _whole,
    float: lambda value: type(value) is float or _whole(value),
    str: lambda value: type(value) is str,
    bool: lambda value: type(value) is bool,
    NoneType: lambda value: value is None,
}
