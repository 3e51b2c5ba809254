"""What memory each adapter tool takes, over that of the process when it has imported everything.

    python -m benchmarks.tools_memory [--only NAME ...] [--out benchmarks/results/tools_memory.json]

Three sets of made files: 40 and 400 layers of one size, where the peak grows by their names and places only (at most
13 kB a layer, of all files of a tool together), and 2 layers so large that what is held of each is told from what every
run takes. Each case is a process of its own, Linux only. Measured is the peak of its resident memory (`VmHWM`, set back
through `clear_refs` right before the work) less what was resident then, after a first run on tiny files and
`malloc_trim`: the system's own count, no sample of it. glibc is told to hand back what is freed, so that the peak is
what tools hold; by itself it may keep freed blocks of up to 32 MB for the next. Pages of mapped files would count too;
the tools map none.

Bound: 2 x the largest tensor pair + 16 MB (blocks of 1 MiB that are copied, headers, the libraries' workspace).
The pair is in float32, in which all tools compute: down and up of a layer; of all files together where adapters are
merged; and where a whole weight is touched, the weight and the other one (extract) or its update (merge-into, and
LoHa, whose update has to be made). Not measured here: extracting from a square weight takes more of that weight's pair
(1280 x 1280: 48 MB, 3.6 pairs, by LAPACK's workspace), less than of the largest layers in the same models, of 10240 x
1280.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONSTANT = 16e6
_WAIT_S = 900
_ENV = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""One thread, for each has a workspace of its own; and glibc hands back at once what is freed."""


@dataclass(frozen=True)
class Size:
    """How many layers, all alike: weights of `outputs` x `inputs`, adapters of `rank`."""

    layers: int
    rank: int
    outputs: int
    inputs: int

    @property
    def adapter(self) -> int:
        """Bytes of a layer's down and up."""
        return 4 * self.rank * (self.outputs + self.inputs)

    @property
    def weights(self) -> int:
        """Bytes of two weights."""
        return 8 * self.outputs * self.inputs


TINY, FEW, MANY = Size(2, 4, 16, 32), Size(40, 64, 128, 512), Size(400, 64, 128, 512)
WIDE = {True: Size(2, 64, 768, 8192), False: Size(2, 64, 32768, 32768)}
"""By whether whole weights are touched: those are of 25 MB, long as the largest of real models; adapters of 17 MB a
layer."""


@dataclass(frozen=True)
class Case:
    """A tool on files: names of `FILES` among its values stand for them. `files`: how many adapters are one pair."""

    tool: str
    values: Mapping[str, Any]
    weights: bool = False
    files: int = 1

    def pair(self, size: Size) -> int:
        """Bytes of the largest pair."""
        return size.weights if self.weights else self.files * size.adapter


_TWO = {"adapters": ["kohya", "second"]}
CASES: dict[str, Case] = {
    "inspect": Case("inspect", {"adapter": "kohya"}),
    "inspect LoHa": Case("inspect", {"adapter": "loha"}, weights=True),
    "merge, weighted sum": Case("merge", {**_TWO, "weights": [1.0, 0.5]}, files=2),
    "merge, SVD": Case("merge", {**_TWO, "rank": 8}, files=2),
    "merge LoRA and LoHa, SVD": Case("merge", {"adapters": ["kohya", "loha"], "rank": 8}, weights=True),
    "merge into": Case("merge-into", {"model": "base", "adapters": ["kohya"]}, weights=True),
    "merge into, two adapters": Case("merge-into", {"model": "base", **_TWO, "strengths": [1.0, 0.5]}, weights=True),
    "merge into, DoRA": Case("merge-into", {"model": "base", "adapters": ["dora"]}, weights=True),
    "merge into, LoHa": Case("merge-into", {"model": "base", "adapters": ["loha"]}, weights=True),
    "merge into, to fp16": Case(
        "merge-into", {"model": "base", "adapters": ["kohya"], "precision": "fp16"}, weights=True
    ),
    "extract": Case("extract", {"base": "base", "tuned": "tuned", "rank": 16}, weights=True),
    "extract from fp16": Case("extract", {"base": "half", "tuned": "tuned", "rank": 16}, weights=True),
    "resize, rank": Case("resize", {"adapter": "kohya", "rank": 16}),
    "resize, ratio": Case("resize", {"adapter": "kohya", "rank": 128, "method": "ratio", "amount": 8.0}),
    "resize, Frobenius": Case("resize", {"adapter": "kohya", "rank": 128, "method": "Frobenius", "amount": 0.9}),
    "convert Kohya to diffusers": Case("convert", {"adapter": "kohya", "to": "diffusers"}),
    "convert Kohya to LyCORIS": Case("convert", {"adapter": "kohya", "to": "LyCORIS"}),
    "convert diffusers to Kohya": Case("convert", {"adapter": "peft", "to": "Kohya"}),
    "convert LyCORIS to Kohya": Case("convert", {"adapter": "lycoris", "to": "Kohya"}),
    "metadata, edited": Case("metadata", {"adapter": "kohya", "set": ["modelspec.title=Zorb"]}),
    "metadata, stripped": Case("metadata", {"adapter": "kohya", "strip": "everything"}),
    "verify": Case("verify", {"adapter": "kohya"}),
    "verify against a model": Case("verify", {"adapter": "kohya", "model": "base"}),
}

_UNET = "model.diffusion_model."
_KNOWN_BY = {
    f"{_UNET}input_blocks.0.0.weight": (320, 4, 3, 3),
    f"{_UNET}input_blocks.1.1.proj_in.weight": (8, 8, 1, 1),
    f"{_UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (8, 8),
    f"{_UNET}output_blocks.11.0.skip_connection.weight": (8, 8, 1, 1),
}
"""By these a checkpoint is one of Stable Diffusion 1.x, whatever its size."""

Shapes = dict[str, tuple[int, ...]]


def _adapter(size: Size, layer: str, rank_of: Mapping[str, str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    sides = {"down": (size.rank, size.inputs), "up": (size.outputs, size.rank), "alpha": (), "dora": (1, size.inputs)}
    sides |= {"wide": (4, size.inputs), "tall": (size.outputs, 4)}
    for end, side in rank_of.items():
        yield f"{layer}.{end}", sides[side]


_LORA = {"lora_down.weight": "down", "lora_up.weight": "up", "alpha": "alpha"}
_LOHA = {"hada_w1_a": "tall", "hada_w1_b": "wide", "hada_w2_a": "tall", "hada_w2_b": "wide", "alpha": "alpha"}
_PEFT = {"lora_A.weight": "down", "lora_B.weight": "up"}
_BLOCK = "down_blocks{0}1{0}attentions{0}0{0}transformer_blocks{0}{1}{0}attn1{0}to_q"
FILES: dict[str, tuple[str, Mapping[str, str]]] = {
    "kohya": ("lora_unet_" + _BLOCK.replace("{0}", "_"), _LORA),
    "second": ("lora_unet_" + _BLOCK.replace("{0}", "_"), _LORA),
    "dora": ("lora_unet_" + _BLOCK.replace("{0}", "_"), {**_LORA, "dora_scale": "dora"}),
    "loha": ("lora_unet_" + _BLOCK.replace("{0}", "_"), _LOHA),
    "lycoris": ("lycoris_" + _BLOCK.replace("{0}", "_"), _LORA),
    "peft": ("unet." + _BLOCK.replace("{0}", "."), _PEFT),
    "base": (f"{_UNET}input_blocks.4.1.transformer_blocks.{{1}}.attn1.to_q.weight", {}),
    "tuned": (f"{_UNET}input_blocks.4.1.transformer_blocks.{{1}}.attn1.to_q.weight", {}),
    "half": (f"{_UNET}input_blocks.4.1.transformer_blocks.{{1}}.attn1.to_q.weight", {}),
}
"""Name of a made file -> the name of a layer in it, and its tensors: end of the name -> which shape."""


def make_file(folder: Path, name: str, size: Size) -> None:
    """One of `FILES`, of small random numbers, the same in all layers."""
    import torch

    from trainer.plan.adapters.tensorfile import Stored
    from trainer.tools.adapters.stream import DTYPES, Writer

    layer, ends = FILES[name]
    shapes: Shapes = {} if ends else dict(_KNOWN_BY)
    for number in range(size.layers):
        named = layer.replace("{1}", str(number))
        shapes |= dict(_adapter(size, named, ends)) if ends else {named: (size.outputs, size.inputs)}
    dtype = "F16" if name == "half" else "F32"
    dice = torch.Generator().manual_seed(list(FILES).index(name))
    announced = {tensor: Stored(dtype, shape) for tensor, shape in shapes.items()}
    made: dict[tuple[int, ...], torch.Tensor] = {}
    with Writer(folder / f"{name}.safetensors", announced, {"ss_base_model_version": "sd_v1"}) as writer:
        for tensor, shape in shapes.items():
            if shape not in made:
                value = 0.1 * torch.randn(shape, generator=dice) if shape else torch.tensor(size.rank / 2)
                made[shape] = value.to(DTYPES[dtype])
            writer.put(tensor, made[shape])


def names_in(values: Mapping[str, Any]) -> set[str]:
    """The files that a task's values name."""
    words = [word for value in values.values() for word in (value if isinstance(value, list) else [value])]
    return {word for word in words if isinstance(word, str) and word in FILES}


def work(folder: Path, case: Case) -> None:
    """Do a case's task on the files of a folder, as the trainer does it; its result is left there."""
    from trainer.contract import tasks
    from trainer.contract.rundir import RunDir
    from trainer.run import resolve

    def path(value: Any) -> Any:
        if isinstance(value, list):
            return [path(each) for each in value]
        return str(folder / f"{value}.safetensors") if isinstance(value, str) and value in FILES else value

    values = {name: path(value) for name, value in case.values.items()}
    if case.tool not in ("inspect", "verify"):
        values["out"] = str(folder / "made.safetensors")
    task = tasks.make(case.tool, {"gpus": "cpu", **values})  # type: ignore[arg-type]
    done = resolve("tools", case.tool)(RunDir.create(folder / "runs", "x"), task, lambda event: None)
    assert done.how == "done", done
    (folder / "made.safetensors").unlink(missing_ok=True)


def resident(name: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(f"{name}:"))


def peak_of(folder: Path, case: Case) -> int:
    """Bytes that the case takes at most, over what is resident before; `folder` has TINY files in `warm/` too."""
    import torch

    torch.linalg.svd(torch.randn(256, 256), full_matrices=False)  # the libraries' own workspace
    torch.randn(512, 512) @ torch.randn(512, 512)
    work(folder / "warm", case)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = resident("VmRSS")
    work(folder, case)
    return resident("VmHWM") - before


def measured(cases: list[tuple[Path, str]]) -> list[int]:
    """Peaks of cases, each in its folder of files, one after the other in one new process."""
    given = json.dumps([(str(folder), name) for folder, name in cases])
    argv = [sys.executable, "-m", "benchmarks.tools_memory", "--measure", given]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=_WAIT_S, env={**os.environ, **_ENV}
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_files(folder: Path, files: set[str], size: Size) -> None:
    """The files, and tiny ones in `warm/`."""
    (folder / "warm").mkdir(parents=True, exist_ok=True)
    for name in files:
        make_file(folder, name, size)
        make_file(folder / "warm", name, TINY)


def figures(name: str, where: Path | None) -> dict[str, Any]:
    """A case's peaks in MB, its largest pairs, and whether the bound holds."""
    case, told = CASES[name], {}
    sizes = {"40 layers": FEW, "400 layers": MANY, "2 large layers": WIDE[case.weights]}
    with tempfile.TemporaryDirectory(dir=where) as root:
        for title, size in sizes.items():
            make_files(Path(root) / title, names_in(case.values), size)
        peaks = measured([(Path(root) / title, name) for title in sizes])
    for (title, size), peak in zip(sizes.items(), peaks):
        pair = case.pair(size)
        told[title] = {"pair_mb": round(pair / 1e6, 1), "peak_mb": round(peak / 1e6, 1)}
        told[title]["holds"] = peak < 2 * pair + CONSTANT
    return told


def main() -> int:
    """Print the figures; 1 where a bound does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="NAME")
    parser.add_argument("--folder", type=Path, help="where the files are made")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps([peak_of(Path(folder), CASES[name]) for folder, name in json.loads(options.measure)]))
        return 0
    found = {}
    for name in options.only:
        found[name] = figures(name, options.folder)
        row = ", ".join(f"{title} {one['peak_mb']} of {one['pair_mb']}" for title, one in found[name].items())
        print(f"{name}: {row}{'' if all(one['holds'] for one in found[name].values()) else '  TOO MUCH'}", flush=True)
    if options.out:
        from benchmarks.soak import machine_words

        told = {"date": date.today().isoformat(), "machine": machine_words(), "constant_mb": CONSTANT / 1e6}
        options.out.write_text(json.dumps({**told, "cases": found}, indent=1) + "\n", encoding="utf-8")
    return int(not all(one["holds"] for case in found.values() for one in case.values()))


if __name__ == "__main__":
    sys.exit(main())
