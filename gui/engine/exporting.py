"""A preset as sd-scripts' files: for a run, in a folder, for a download; and what that program cannot do. What the
files say is `trainer/contract/exporters`' business, where they lie and what starts them is told here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tomlkit

from gui import text
from gui.engine.runner import FIGURES, FOLDER, NOTES, PROMPTS
from trainer.contract import families
from trainer.contract.exporters.sdscripts import Around, Exported, export
from trainer.contract.preset import with_values
from trainer.contract.problems import Problem, Problems
from trainer.contract.rundir import RunDir, slug, write_whole
from trainer.contract.settings import Preset

CONFIG, DATASET = "config.toml", "dataset.toml"

HARMLESS = (
    "sampling.every",
    "saving.every",
    "validation.folder",
    "validation.each_step",
    "validation.stop",
)
"""Settings that change what is told or kept of a training, not what is trained: these can be left out."""

DISK_CACHES = ("cache_latents_to_disk", "cache_text_encoder_outputs_to_disk")

LAUNCH = "accelerate launch --num_cpu_threads_per_process 1"


@dataclass(frozen=True)
class Written:
    """Files that were written, what is to be known, and the command that trains with them."""

    told: tuple[str, ...]
    command: str


def around(preset: Preset, lycoris: bool = True) -> Around:
    """What the preset leaves to its model. `lycoris`: that library is installed there."""
    try:
        model = families.recognise(preset.model.path)
    except (Problems, OSError):
        return Around(lycoris=lycoris)
    return Around(family=model.family, prediction=model.prediction, zero_snr=model.zero_snr, lycoris=lycoris)


def script_of(preset: Preset) -> str:
    """The script that trains this preset's model."""
    return export(preset, around(preset)).script


def refusals(preset: Preset, lycoris: bool = True) -> tuple[list[Problem], list[Problem]]:
    """What the other program cannot do: first what would train something else, then what may be left out."""
    refused = export(preset, around(preset, lycoris)).refused
    harmless = [problem for problem in refused if problem.path in HARMLESS and problem.change]
    return [problem for problem in refused if problem not in harmless], harmless


def without(preset: Preset, harmless: Sequence[Problem]) -> Preset:
    """The preset as it is trained where these are left out: it says what is done, no more."""
    return with_values(preset, {path: value for problem in harmless for path, value in problem.change})


def put(exported: Exported, folder: Path) -> Path:
    """Write the files; returns the first of them, which names the others."""
    contents = {CONFIG: exported.config_toml, DATASET: exported.dataset_toml, PROMPTS: exported.prompts_txt}
    for name, content in contents.items():
        if content:
            write_whole(folder / name, content)
    return folder / CONFIG


def placed(preset: Preset, folder: Path, output: Path, figures: Path, lycoris: bool = True) -> Exported:
    """The files' contents for a place. Forward slashes: Windows takes both, and they need no escapes."""
    places = replace(
        around(preset, lycoris),
        output_dir=output.as_posix(),
        logging_dir=figures.as_posix(),
        dataset_file=(folder / DATASET).as_posix(),
        prompts_file=(folder / PROMPTS).as_posix(),
    )
    return export(preset, places)


def for_run(preset: Preset, run: RunDir, lycoris: bool = True) -> Path:
    """The files of a run, in its own folder, with everything that it makes beside them."""
    folder = run.path / FOLDER
    exported = placed(preset, folder, run.path, run.path / FIGURES, lycoris)
    write_whole(folder / NOTES, "".join(f"{note}\n" for note in exported.notes))
    return put(replace(exported, config_toml=_leaving_folders_alone(exported.config_toml)), folder)


def _leaving_folders_alone(config_toml: str) -> str:
    """Its cache on the disk lies beside the images: a run started from here changes nobody's folder of pictures, so
    that latents are kept in memory."""
    document = tomlkit.parse(config_toml)
    document.update({flag: False for flag in DISK_CACHES if flag in document})
    document.pop("log_prefix", None)  # a part of a path, and the preset may be a stranger's
    return tomlkit.dumps(document)


def write(preset: Preset, folder: Path, leave_out: bool, overwrite: Callable[[Sequence[Path]], None]) -> Written:
    """The files in a folder of the user's. `overwrite`: asked before anything is replaced. Problems: what sd-scripts
    cannot do, but for what is harmless where it is to be left out."""
    harmful, harmless = refusals(preset)
    if harmful or (harmless and not leave_out):
        raise Problems([*harmful, *harmless, *hint(harmful, harmless)])
    preset = without(preset, harmless)
    exported = placed(preset, folder, folder / "output", folder / "output" / FIGURES)
    overwrite([folder / name for name in (CONFIG, DATASET, PROMPTS) if (folder / name).exists()])
    try:
        config = put(exported, folder)
    except OSError as error:
        raise Problems([Problem("export", f"{folder} cannot be written: {error}", "choose another: --out")]) from None
    told = [f"Written: {config}", f"Written: {folder / DATASET}", *exported.notes]
    told += [f"Left out: {problem.path}: {problem.why}" for problem in harmless]
    return Written(tuple(told), command(exported, str(config)))


GO_ON = Problem("--leave-out", "goes on without these", "nothing else changes")
"""On a terminal: how to go on without what may be left out."""


def hint(harmful: Sequence[Problem], harmless: Sequence[Problem]) -> list[Problem]:
    """`GO_ON` where all may be left out."""
    return [] if harmful or not harmless else [GO_ON]


def command(exported: Exported, config: str) -> str:
    """The command line that a person types in the folder of sd-scripts."""
    return f'{LAUNCH} {exported.script} --config_file "{config}"'


def for_download(preset: Preset) -> tuple[list[tuple[str, str]], str]:
    """The files as name and text, and what is to be known as HTML; they name each other as if they lay in the folder in
    which sd-scripts is started."""
    name = slug(preset.about.title or str(preset.saving.name))
    places = replace(
        around(preset),
        output_dir="output",
        logging_dir=f"output/{FIGURES}",
        dataset_file=f"{name}-{DATASET}",
        prompts_file=f"{name}-{PROMPTS}",
    )
    exported = export(preset, places)
    files = [(f"{name}-{CONFIG}", exported.config_toml), (f"{name}-{DATASET}", exported.dataset_toml)]
    files += [(f"{name}-{PROMPTS}", exported.prompts_txt)] if exported.prompts_txt else []
    told = text.paragraph("Put the files into the folder of sd-scripts and start it there:", "good")
    told += text.command(command(exported, f"{name}-{CONFIG}"))
    if exported.refused:
        told += text.problem_list(exported.refused, "sd-scripts cannot do this, so that the files train something else")
    return files, told + (text.lines(exported.notes) if exported.notes else "")
