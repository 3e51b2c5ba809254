"""The machine that trains."""

from typing import Annotated

from pydantic import Field

from .base import Section, Setting


class Hardware(Section):
    gpus: Annotated[str, Setting("GPUs", kohya="gpu_ids, num_processes", tier="advanced")] = "auto"
    """Which GPUs train: "auto" (the first one, or the CPU where there is none), "cpu", an id such as "0", or several
    such as "0,1". Several split each step's work: more images per step, so fewer steps per epoch; the learning rate is
    never changed for you."""

    threads: Annotated[
        int, Field(ge=0, le=512), Setting("CPU threads", kohya="num_cpu_threads_per_process", tier="expert")
    ] = 0
    """CPU threads of the trainer. 0 takes what the machine has. Results are bit-identical only between runs with the
    same number, which is recorded with the run."""

    keep_awake: Annotated[bool, Setting("Keep the computer awake", tier="advanced")] = True
    """Asks the system not to go to sleep while a run is at work; the screen may still turn off. Where the system cannot
    be asked, the run says so and goes on."""
