"""Writes what Kohya's programs say of their own settings, from checkouts of them:

    python tests/golden/record_kohya.py sd-scripts PATH     -> trainer/contract/importers/sdscripts_flags.json
    python tests/golden/record_kohya.py kohya_ss PATH       -> trainer/contract/importers/kohya_gui_defaults.json
    python tests/golden/record_kohya.py presets PATH        -> tests/golden/kohya_ss-lora-presets.json
    python tests/golden/record_kohya.py onetrainer PATH     -> tests/golden/onetrainer-keys.json
    python tests/golden/record_kohya.py handed-on PATH      -> tests/golden/kohya_ss-handed-on.json

The parsers and the form are built by those programs' own code; whatever else they would import (torch, gradio ...) is
stood in for, since a parser and the value of a field need none of it. Only names, types, choices and defaults are kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import types
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
IMPORTERS = ROOT / "trainer" / "contract" / "importers"
SCRIPTS = [
    "train_network",
    "sdxl_train_network",
    "sd3_train_network",
    "flux_train_network",
    "lumina_train_network",
    "hunyuan_image_train_network",
    "anima_train_network",
]


class Anything:
    """Stands in for any class or function; a component of a form when it is called with a `value`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.value = kwargs.get("value", args[0] if args else None)
        self.kwargs = kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return Anything(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Anything()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: Any) -> None:
        return None

    def __iter__(self) -> Any:
        return iter(())

    def __mro_entries__(self, bases: Any) -> tuple[type, ...]:
        return (object,)

    def __or__(self, other: Any) -> Any:
        return self

    __ror__ = __or__

    def __getitem__(self, key: Any) -> Any:
        return self


class Meta(type):
    """Of classes whose every attribute is another such class."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Meta(name, (Component,), {})


class Component(Anything, metaclass=Meta):
    """A gradio component: as a class it is one, as an instance it has a value."""


class StandIn(types.ModuleType):
    """A module that has whatever is asked of it."""

    __version__ = "2.9.9"
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        made = Meta(name, (Component,), {}) if name[:1].isupper() else Anything()
        setattr(self, name, made)
        return made


class Finder(MetaPathFinder, Loader):
    """Makes a stand-in of every module that `really` does not have."""

    def __init__(self, *really: str) -> None:
        self._really = really

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if top in self._really or top in sys.stdlib_module_names:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None


def commit_of(checkout: Path) -> str:
    """The commit that the checkout stands at."""
    done = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def flags_of(parser: argparse.ArgumentParser) -> dict[str, dict[str, Any]]:
    """Each flag of a parser: its type, default, choices and number of words."""
    flags: dict[str, dict[str, Any]] = {}
    for action in parser._actions:
        names = [name[2:] for name in action.option_strings if name.startswith("--")]
        if not names or names[0] == "help":
            continue
        kind = "flag" if action.nargs == 0 else getattr(action.type, "__name__", "str") if action.type else "str"
        row: dict[str, Any] = {"type": kind, "default": action.default}
        if action.choices:
            row["choices"] = list(action.choices)
        if action.nargs not in (None, 0):
            row["nargs"] = action.nargs
        flags[names[0]] = row
    return flags


def sd_scripts(checkout: Path) -> None:
    """The flags of the programs that train adapters."""
    sys.path.insert(0, str(checkout))
    own = [path.stem for path in checkout.glob("*.py")] + ["library", "networks", "tools"]
    sys.meta_path.insert(0, Finder(*own, "numpy", "rich"))
    importlib.import_module("voluptuous").Required = str
    parsers = {name: flags_of(importlib.import_module(name).setup_parser()) for name in SCRIPTS}
    common = parsers["train_network"]
    scripts = {
        name: {flag: row for flag, row in flags.items() if name == "train_network" or common.get(flag) != row}
        for name, flags in parsers.items()
    }
    config_util = importlib.import_module("library.config_util")
    cleaner = config_util.ConfigSanitizer(True, True, True, True)
    levels = {
        "dataset": sorted(str(key) for key in cleaner.db_dataset_schema),
        "subset": sorted(str(key) for key in cleaner.db_subset_schema),
        "masked subset": sorted(str(key) for key in cleaner.cn_subset_schema),
        "metadata subset": sorted(str(key) for key in cleaner.ft_subset_schema),
    }
    write(IMPORTERS / "sdscripts_flags.json", "kohya-ss/sd-scripts", checkout, {"scripts": scripts, "dataset": levels})


def kohya_ss(checkout: Path) -> None:
    """Every key that the LoRA tab saves, with the value that the form begins with."""
    sys.path.insert(0, str(checkout))
    sys.meta_path.insert(0, Finder("kohya_gui", "rich"))
    tab = importlib.import_module("kohya_gui.lora_gui")
    config = importlib.import_module("kohya_gui.class_gui_config").KohyaSSGUIConfig.__new__(
        importlib.import_module("kohya_gui.class_gui_config").KohyaSSGUIConfig
    )
    config.config = {}
    tab.lora_tab(headless=True, config=config)
    form = {name: component.value for name, component in tab.last_built_field_registry}
    names = tab.save_configuration.__code__.co_varnames[: tab.save_configuration.__code__.co_argcount]
    defaults = {name: form[name] for name in sorted(names) if name not in ("file_path", "save_as_bool")}
    write(IMPORTERS / "kohya_gui_defaults.json", "bmaltais/kohya_ss", checkout, {"defaults": defaults})


def handed_on(checkout: Path) -> None:
    """What kohya_ss's own code makes of our samples: the configuration that it hands to sd-scripts."""
    sys.path[:0] = [str(checkout), str(ROOT)]
    from tests.golden.kohya_samples import SAMPLES
    from trainer.contract.importers import kohya_keys, loose

    sys.meta_path.insert(0, Finder("kohya_gui", "rich"))
    tab = importlib.import_module("kohya_gui.lora_gui")
    caught: dict[str, Any] = {}
    tab.write_toml_config = lambda name, data, headless=False: caught.update(data)
    checks = "args_setting file_path folder_path model_path toml_file"
    for check in (*(f"validate_{name}" for name in checks.split()), "require_writable_directory"):
        setattr(tab, check, lambda *given, **named: True)
    tab.verify_image_folder_pattern = lambda *given, **named: True
    tab.check_if_model_exist = lambda *given, **named: False
    tab.get_executable_path = lambda name: name
    tab.create_prompt_file = lambda prompts, folder: ""
    tab.executor = types.SimpleNamespace(is_running=lambda: False)
    names = tab.train_model.__code__.co_varnames[: tab.train_model.__code__.co_argcount]
    Path("img", "1_cat").mkdir(parents=True)
    found = {}
    for name, sample in SAMPLES.items():
        data = tab.update_my_data({**sample, "train_data_dir": "img", "output_dir": "."})
        form = {key: data[key] if data.get(key) is not None else value for key, value in kohya_keys.defaults().items()}
        form |= {key: data.get(key, "") for key in kohya_keys.NO_DEFAULT}
        caught.clear()
        tab.train_model(headless=True, print_only=True, **{key: form[key] for key in names if key in form})
        found[name] = {**caught, **loose.command_line(str(sample.get("additional_parameters", "")))}
    write(ROOT / "tests" / "golden" / "kohya_ss-handed-on.json", "bmaltais/kohya_ss", checkout, {"samples": found})


def onetrainer(checkout: Path) -> None:
    """The keys of OneTrainer's configurations, by its own source."""
    found: dict[str, list[str]] = {}
    for file in ("TrainConfig", "ConceptConfig"):
        text = (checkout / "modules" / "util" / "config" / f"{file}.py").read_text(encoding="utf-8")
        for part in re.split(r"^class ", text, flags=re.MULTILINE)[1:]:
            names = re.findall(r'data\.append\(\("(\w+)"', part)
            found[re.match(r"\w+", part)[0]] = names  # type: ignore[index]
    keys = {name: names for name, names in found.items() if names}
    write(ROOT / "tests" / "golden" / "onetrainer-keys.json", "Nerogar/OneTrainer", checkout, {"keys": keys})


def presets(checkout: Path) -> None:
    """What becomes of the LoRA presets that kohya_ss ships: counts and changed settings, not the files."""
    sys.path.insert(0, str(ROOT))
    from tests.golden.kohya_summary import summary

    write(
        ROOT / "tests" / "golden" / "kohya_ss-lora-presets.json",
        "bmaltais/kohya_ss",
        checkout,
        {"presets": {path.name: summary(path) for path in sorted((checkout / "presets" / "lora").rglob("*.json"))}},
    )


def lines_of(data: Any, depth: int = 0) -> str:
    """JSON with a line for each row of a table."""
    flat = json.dumps(data, default=str, ensure_ascii=False)
    if not isinstance(data, dict) or (depth and len(flat) < 100) or depth > 2:
        return flat
    rows = [f"{' ' * (depth + 1)}{json.dumps(name)}: {lines_of(value, depth + 1)}" for name, value in data.items()]
    return "{\n" + ",\n".join(rows) + "\n" + " " * depth + "}"


def write(path: Path, source: str, checkout: Path, content: dict[str, Any]) -> None:
    """The data with its source named."""
    data = {"source": f"https://github.com/{source}", "commit": commit_of(checkout), **content}
    path.write_text(lines_of(data) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    checkout = Path(sys.argv[2]).resolve()
    os.chdir(tempfile.mkdtemp())  # those programs write logs where they stand
    recorders = {"sd-scripts": sd_scripts, "kohya_ss": kohya_ss, "presets": presets, "onetrainer": onetrainer}
    {**recorders, "handed-on": handed_on}[sys.argv[1]](checkout)
