"""A stand-in for the user's sd-scripts: a folder with scripts that read their `--config_file`, print what a real run of
sd-scripts printed (`golden/sdscripts-console.txt`), and write adapters, pictures and figures where it would.

A run called "fails" ends by an error after the first epoch, one called "slow" takes a while there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent / "golden"
NAMED = ("train_network.py", "sdxl_train_network.py")

SCRIPT = f"""
import json, os, sys, time, tomllib
from pathlib import Path
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

assert len(sys.argv) == 3 and sys.argv[1] == "--config_file", sys.argv
given = tomllib.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
flat = {{}}
for name, value in given.items():
    flat |= value if isinstance(value, dict) else {{name: value}}
tomllib.loads(Path(flat["dataset_config"]).read_text(encoding="utf-8"))
out, name = Path(flat["output_dir"]), flat["output_name"]
figures = json.loads(Path({str(GOLDEN / "sdscripts-figures.json")!r}).read_text(encoding="utf-8"))["figures"]
writer = EventFileWriter(str(Path(flat["logging_dir"]) / "20260101000000" / "network_train"))

def draw(when):
    (out / "sample").mkdir(exist_ok=True)
    for number, seed in enumerate((42, 43)):
        file = f"{{name}}_{{when}}_{{number:02}}_20260101000000_{{seed}}.png"
        Image.new("RGB", (16, 16), (90, 60 * number, 0)).save(out / "sample" / file)

def tell_figures(until):
    while figures and figures[0][1] <= until:
        tag, step, value = figures.pop(0)
        told = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        writer.add_event(Record(wall_time=time.time(), step=step, summary=told))
    writer.flush()

text = Path({str(GOLDEN / "sdscripts-console.txt")!r}).read_bytes().decode()
lines = text.replace("{{OUT}}", str(out)).replace("zorb", name).splitlines(keepends=True)
for line in lines:
    if "epoch 1/2" in line:
        tell_figures(4)
    sys.stdout.write(line)
    sys.stdout.flush()
    if "saving checkpoint" in line:
        Path(line.partition(": ")[2].strip()).write_bytes(bytes(2048))
    if "unet dtype" in line:
        draw("e000000")
    if "epoch 2/2" in line:
        time.sleep(60 if "slow" in name else 0.5)
        if "fails" in name:
            raise RuntimeError("the stand-in fails on purpose")
    if "generating sample images" in line and ": 8" in line:
        draw("000008")
tell_figures(99)
writer.close()
"""


def install(folder: Path) -> Path:
    """Write the stand-in, with a Python of its own that is this one."""
    place = folder / "sd-scripts"
    python = place / ("venv/Scripts" if os.name == "nt" else "venv/bin")
    python.mkdir(parents=True)
    for name in NAMED:
        (place / name).write_text(SCRIPT, encoding="utf-8")
    (place / "README.md").write_text("- **Version 0.10.1 (2026-02-13):**\n", encoding="utf-8")
    return place


def machine_file(folder: Path) -> Path:
    """A machine file that names the stand-in, run by this Python."""
    place, file = install(folder), folder / "machine.toml"
    program = Path(sys.executable).as_posix()
    file.write_text(f"sd_scripts = '{place.as_posix()}'\nsd_scripts_python = '{program}'\n", encoding="utf-8")
    return file
