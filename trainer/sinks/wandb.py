"""Weights & Biases, for those who chose it and have its package; the key comes from its own login, never from us."""

from __future__ import annotations

from pathlib import Path

from trainer.contract.events import Event, Sampled

from .tensorboard import scalars

INIT_S = 30
"""Seconds that its server may take to answer; then the run goes on without it, and says so."""


class WeightsAndBiases:
    """The figures and samples of a run under `project`; `folder` is the run folder."""

    def __init__(self, folder: Path, project: str) -> None:
        import wandb

        self._wandb = wandb
        self._folder = Path(folder)
        self._run = wandb.init(
            project=project,
            name=self._folder.name,
            dir=str(self._folder),
            reinit="finish_previous",
            settings=wandb.Settings(init_timeout=INIT_S, login_timeout=INIT_S),
        )

    def write(self, event: Event) -> None:
        """Log the event's figures or pictures at its step."""
        values: dict[str, object] = dict(scalars(event))
        if isinstance(event, Sampled):
            pictures = zip(event.files, event.prompts)
            values["samples"] = [self._wandb.Image(str(self._folder / file), caption=text) for file, text in pictures]
        if values:
            self._run.log(values, step=event.step)

    def close(self) -> None:
        """Tell the server that the run is over."""
        self._run.finish()
