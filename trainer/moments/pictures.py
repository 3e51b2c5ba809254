"""The sample pictures of a run: as it goes, of the adapter that it ends with, before and after."""

from __future__ import annotations

from safetensors.torch import load

from trainer.contract.events import Sampled, Warned
from trainer.sampling.previews import Kept, Previews

from .keeper import Keeper
from .telling import Emit, warn


def preview(
    previews: Previews | None, step: int, emit: Emit, kept: Kept | None = None, prompt: str = ""
) -> Sampled | None:
    """Draw the samples; whatever goes wrong is a warning, never the end of a run. Returns what was drawn. `kept`: the
    weights are those of an earlier step. `prompt`: draw this one instead of the run's own."""
    if previews is None:
        text = "no samples can be drawn on request: this run was started without sampling"
        emit(Warned(step=step, text=text, setting="sampling.every"))
        return None
    try:
        drawn = previews.draw_asked(step, prompt) if prompt else previews.draw(step, kept)
        if drawn is not None:
            emit(drawn)
        return drawn
    except Exception as error:
        warn(f"the samples of step {step} could not be drawn", error, step, emit)
        return None


def draw_final(previews: Previews, keeper: Keeper, file: str, weights_step: int, step: int) -> Sampled | None:
    """The pictures of the adapter that the run ends with, unless it drew them: of the last step as it is, of an earlier
    one that was kept from its file, so that they show what the user will get."""
    network, emit = keeper.network, keeper.emit
    if weights_step == step:
        return None if previews.drew(step) else preview(previews, step, emit)
    last = network.tensors()
    try:
        network.load_tensors(load(keeper.run.get(keeper.run.path / file)))
        return preview(previews, step, emit, Kept(weights_step, file))
    except Exception as error:
        warn("the kept adapter could not be drawn with", error, step, emit)
        return None
    finally:
        network.load_tensors(last)


def lay_out(previews: Previews, step: int, emit: Emit) -> None:
    """Put before and after side by side; a warning where that fails."""
    try:
        previews.sheet()
    except Exception as error:
        warn("before and after could not be laid side by side", error, step, emit)
