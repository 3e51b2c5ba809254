"""The one way to declare a setting: a pydantic field whose metadata is a `Setting` and whose docstring is its help.

Form field, tooltip, TOML comment, command-line help, validation, importers and the reference all derive from it.
"""

from __future__ import annotations

import builtins
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

Tier = Literal["basic", "advanced", "expert"]


@dataclass(frozen=True)
class Needs:
    """The setting has an effect only while the one at `path` has one of `values` (or none of `unless`); else `why`.
    `or_set`: the path of a setting that, where it is not empty, lets this one have its effect all the same."""

    path: str
    values: tuple[Any, ...] = ()
    why: str = ""
    unless: tuple[Any, ...] = ()
    or_set: str = ""

    def met_by(self, value: Any) -> bool:
        """Whether the other setting's `value` lets this one have an effect."""
        return value not in self.unless if self.unless else value in self.values


@dataclass(frozen=True)
class Setting:
    """What is said of a setting beside its type, default and help.

    `kohya`: the name of the sd-scripts flag. `choices`: the name of a table in `catalog`, where the type is free text.
    `widget`: "path" | "lines" (one list item a line) | "text" | "rows" where the type alone does not tell.
    """

    label: str
    kohya: str = ""
    tier: Tier = "advanced"
    unit: str = ""
    choices: str = ""
    needs: Needs | None = None
    widget: str = ""


class Rule:
    """A default that is computed from other settings, or from the model's family, when a preset is resolved.

    It is never written in a file: a resolved preset holds plain values only.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.is_instance_schema(cls)


@dataclass(frozen=True)
class SameAs(Rule):
    """The default is the value of the setting at `path`."""

    path: str


@dataclass(frozen=True)
class ByFamily(Rule):
    """The default stands in the table of the model's family."""


@dataclass(frozen=True)
class FromFolder(Rule):
    """The default is read from the name of the first image folder (Kohya's `10_name`: 10 repeats, "name")."""


@dataclass(frozen=True)
class UsualPrompts(Rule):
    """The default is one prompt with the trigger word and one without."""


class Section(BaseModel):
    """A group of settings: immutable, closed to unknown names, documented by the strings under its fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, strict=False, allow_inf_nan=False
    )


_INTERVAL = re.compile(r"^\s*(?P<count>\d+)\s*(?P<unit>epoch|step|minute)s?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Interval:
    """How often something happens, or how long: `count` of `unit` ("epoch", "step", "minute"); "never" is count 0."""

    count: int
    unit: str

    def __str__(self) -> str:
        return "never" if self.count == 0 else f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


def parse_interval(text: str) -> Interval:
    """`"1 epoch"`, `"200 steps"`, `"30 minutes"` or `"never"`; ValueError says what is allowed."""
    if text.strip().lower() == "never":
        return Interval(0, "step")
    found = _INTERVAL.match(text)
    if not found or int(found["count"]) < 1:
        raise ValueError('write it as "1 epoch", "200 steps", "30 minutes" or "never"')
    return Interval(int(found["count"]), found["unit"].lower())


def parse_length(text: str) -> Interval:
    """`"10 epochs"` or `"1500 steps"`; ValueError says what is allowed."""
    try:
        length = parse_interval(text)
    except ValueError:
        length = Interval(0, "step")
    if length.count == 0 or length.unit == "minute":
        raise ValueError('write it as "1500 steps" or "10 epochs"')
    return length


Every = Annotated[str, AfterValidator(lambda text: str(parse_interval(text)))]
"""An interval as people say it; kept as text, normalised."""

Length = Annotated[str, AfterValidator(lambda text: str(parse_length(text)))]
"""A run length as people say it; kept as text, normalised."""


def clean_path(text: str) -> str:
    """A path as pasted: without the quotes and blanks around it that file managers add."""
    text = text.strip()
    if "\0" in text:
        raise ValueError("a path cannot hold a NUL character")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


PathText = Annotated[str, AfterValidator(clean_path)]
"""A path as text, cleaned of pasted quotes; relative ones are relative to the preset's own folder."""


@dataclass(frozen=True)
class Item:
    """One setting as found by `walk`."""

    path: str
    name: str
    section: str
    setting: Setting
    field: FieldInfo

    @property
    def help(self) -> str:
        """The whole help text, one paragraph."""
        return " ".join((self.field.description or "").split())

    @property
    def summary(self) -> str:
        """The first sentence of the help: what the setting truly does."""
        return re.split(r"(?<=[.!?])\s+(?=[A-Z0-9\"'`(])", self.help, maxsplit=1)[0]

    @property
    def default(self) -> Any:
        """The declared default: a plain value or a `Rule`."""
        return self.field.get_default(call_default_factory=True)

    @property
    def type(self) -> Any:
        """The value's type without `Annotated` and without the `Rule` half of a union."""
        return plain_type(self.field.annotation)

    @property
    def options(self) -> tuple[str, ...]:
        """The values of a `Literal`, else nothing."""
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()

    @property
    def row(self) -> builtins.type[Section] | None:
        """What a row of the setting is, where its value is a list of rows."""
        inner = typing.get_args(self.type) if typing.get_origin(self.type) is list else ()
        return inner[0] if inner and isinstance(inner[0], builtins.type) and issubclass(inner[0], Section) else None

    def bound(self, kind: str) -> Any:
        """The declared bound `kind` ("ge", "gt", "le", "lt", "max_length"), or None."""
        found = [getattr(m, kind) for m in self.field.metadata if getattr(m, kind, None) is not None]
        return found[0] if found else None


def plain_type(annotation: Any) -> Any:
    """`Annotated[float | SameAs, …]` → `float`."""
    if typing.get_origin(annotation) is Annotated:
        return plain_type(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kept = [a for a in typing.get_args(annotation) if not (isinstance(a, type) and issubclass(a, Rule))]
        return plain_type(kept[0]) if len(kept) == 1 else annotation
    return annotation


def setting_of(field: FieldInfo) -> Setting | None:
    """The `Setting` in a field's metadata."""
    return next((m for m in field.metadata if isinstance(m, Setting)), None)


def walk(root: type[BaseModel]) -> Iterator[Item]:
    """Every setting of `root` (a model whose fields are sections), in the order of declaration."""
    for section, holder in root.model_fields.items():
        kind = holder.annotation
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            continue
        for name, field in kind.model_fields.items():
            setting = setting_of(field)
            if setting is not None:
                yield Item(f"{section}.{name}", name, section, setting, field)
