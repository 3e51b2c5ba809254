"""What the page's server holds in memory: little of what its many threads have freed, and few bytes a step of a run."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from gui.runs.watch import Watcher
from trainer.contract import events as ev
from trainer.contract.rundir import RunDir
from trainer.report.view import RunView

STEPS = 5000

THREADS = """
import ctypes, sys, threading
from gui import memory
settled = sys.argv[1] == "settled" and memory.settle()
library, all_here = ctypes.CDLL(None), threading.Barrier(12)
library.malloc.restype = ctypes.c_void_p

def work():
    all_here.wait()
    pieces = [library.malloc(2000) for _ in range(1000)]
    all_here.wait()
    for piece in pieces[1:]:
        library.free(ctypes.c_void_p(piece))

threads = [threading.Thread(target=work) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
library.fopen.restype = ctypes.c_void_p
file = library.fopen(sys.argv[2].encode(), b"w")
library.malloc_info(0, ctypes.c_void_p(file))
library.fclose(ctypes.c_void_p(file))
print(settled)
"""
"""What twelve threads took from the C library and gave back; it tells of its arenas in a file."""


def arenas(tmp_path: Path, how: str) -> tuple[bool, int]:
    told = tmp_path / f"{how}.xml"
    argv = [sys.executable, "-c", THREADS, how, str(told)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(argv, cwd=Path(__file__).parents[3], env=plain, capture_output=True, text=True, check=True)
    return done.stdout.strip() == "True", told.read_text().count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_threads_of_the_server_share_what_they_free(tmp_path: Path) -> None:
    settled, few = arenas(tmp_path, "settled")
    _, many = arenas(tmp_path, "as it comes")
    assert settled and few == 1 and many > 4


def write(run: RunDir) -> None:
    lines = []
    for n in range(1, STEPS + 1):
        rate = 1e-4 * math.cos(n / STEPS)
        rates = {"unet": rate, "text_encoder": rate / 2}
        lines.append(ev.StepDone(time=1000.0 + n, step=n, epoch=n / 40, loss=1 / n, learning_rate=rates, grad_norm=0.5))
    run.events.write_text("".join(map(ev.to_line, lines)), encoding="utf-8")


def test_a_step_is_held_in_few_bytes_and_read_without_the_whole_file_in_memory(tmp_path: Path) -> None:
    """Six figures of eight bytes, and what arrays keep for growing; the file is two hundred bytes a step."""
    run = RunDir.create(tmp_path, "long")
    write(run)
    watching = Watcher(tmp_path)
    tracemalloc.start()
    try:
        view = watching.view(run)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(view.losses) == len(view.rates["unet"].values) == len(view.gradients.values) == STEPS
    assert held < 64 * STEPS, f"{held / STEPS:.0f} bytes a step"
    assert most < held + run.events.stat().st_size / 4


def test_what_checks_and_samples_say_again_and_again_is_held_once(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "alike")
    prompt, recipe = "a ring badge, " * 20, {"sampler": "ddim of some kind", "steps": 20}
    writer = ev.Writer(run.events)
    for n in (1, 2):
        writer.write(ev.Validated(step=n, loss=0.1, per_timestep={"125": 0.1}))
        writer.write(ev.Sampled(step=n, files=[f"samples/{n}.png"], prompts=[prompt], recipes=[recipe]))
    writer.close()
    view = Watcher(tmp_path).view(run)
    (one, two), (first, second) = view.samples, view.validations
    assert one.prompts == [prompt] and one.prompts[0] is two.prompts[0]
    assert one.recipes == [recipe] and one.recipes[0]["sampler"] is two.recipes[0]["sampler"]
    assert next(iter(first.per_timestep)) is next(iter(second.per_timestep))


def test_a_figure_that_some_steps_lack_keeps_its_own_steps() -> None:
    """A norm that is missing once, a group that comes late, one that ends and comes back: each value at its step."""
    view = RunView()
    rates: list[dict[str, float]] = [{"a": 1.0}, {"a": 2.0, "b": 3.0}, {"b": 4.0}, {"a": 5.0, "b": 6.0}]
    for n, (rate, norm) in enumerate(zip(rates, (0.1, 0.2, None, 0.4)), start=1):
        view.add(ev.StepDone(step=n, epoch=0, loss=n, learning_rate=rate, grad_norm=norm))
    curves = {"norm": view.gradients, **view.rates}
    assert {name: list(zip(curve.steps, curve.values)) for name, curve in curves.items()} == {
        "norm": [(1, 0.1), (2, 0.2), (4, 0.4)],
        "a": [(1, 1.0), (2, 2.0), (4, 5.0)],
        "b": [(2, 3.0), (3, 4.0), (4, 6.0)],
    }
    assert list(view.steps) == [1, 2, 3, 4]
